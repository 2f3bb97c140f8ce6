// Mutates the corpus of tests/fuzz/infer_request and decodes what comes out. The same seed gives
// the same inputs; SKERRY_FUZZ_SECONDS runs other seeds for so long (make fuzz).
//
// A corpus file is the number of JSON bytes, a newline, and the body.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "serve/binary_tensors.h"
#include "serve/infer_request.h"
#include "storage/file.h"

namespace skerry {
namespace {

constexpr int kRounds = 200'000;

struct Input {
  std::string json, binary;
};

std::vector<Input> ReadCorpus() {
  std::vector<Input> corpus;
  for (const auto& entry : std::filesystem::directory_iterator(SKERRY_FUZZ_CORPUS)) {
    const std::string text = ReadFile(entry.path(), 1U << 20U).value();
    const std::string body = text.substr(text.find('\n') + 1);
    const auto json = std::min<std::size_t>(std::stoul(text), body.size());
    corpus.push_back({body.substr(0, json), body.substr(json)});
  }
  return corpus;
}

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  std::size_t Below(std::size_t limit) { return limit == 0 ? 0 : random_() % limit; }

  Input Next(const std::vector<Input>& corpus) {
    Input input = corpus[Below(corpus.size())];
    for (std::size_t changes = Below(4) + 1; changes > 0; --changes)
      Change(Below(3) == 0 ? input.binary : input.json, corpus[Below(corpus.size())]);
    return input;
  }

 private:
  void Change(std::string& text, const Input& other) {
    static const std::string kTokens[] = {"{",
                                          "}",
                                          "[",
                                          "]",
                                          ",",
                                          ":",
                                          "\"",
                                          "\\",
                                          "null",
                                          "true",
                                          "-1",
                                          "0",
                                          "1e999",
                                          "1e-999",
                                          "18446744073709551616",
                                          "9223372036854775807",
                                          "4294967295",
                                          "0.1",
                                          "\\ud800",
                                          "\\u0000",
                                          "\xC3",
                                          "\"inputs\":",
                                          "\"data\":",
                                          "\"shape\":",
                                          "\"datatype\":\"BYTES\"",
                                          "\"FP16\"",
                                          "\"parameters\":{\"binary_data_size\":",
                                          "\"binary_data_output\":true",
                                          "NaN",
                                          " ",
                                          "\n"};
    const std::size_t at = Below(text.size() + 1);
    switch (Below(6)) {
      case 0: text.insert(at, kTokens[Below(std::size(kTokens))]); break;
      case 1: text.erase(at, Below(8) + 1); break;
      case 2:
        if (at < text.size()) text[at] = static_cast<char>(Below(256));
        break;
      case 3: text.insert(at, text.substr(Below(text.size() + 1), Below(40))); break;
      case 4:
        text.replace(at, Below(30), other.json.substr(Below(other.json.size() + 1), 30));
        break;
      default: text.resize(at);
    }
  }

  std::mt19937_64 random_;
};

void CheckTensor(const Tensor& tensor) {
  const std::size_t elements = tensor.elements();
  if (tensor.type == TensorType::kString) {
    ASSERT_EQ(tensor.strings.size(), elements);
  } else {
    ASSERT_EQ(tensor.bytes.size(), elements * TensorElementBytes(tensor.type));
  }
  std::string raw;
  AppendRawElements(tensor, raw);
  ASSERT_EQ(raw.size(), RawElementBytes(tensor));
  Tensor again;
  again.name = tensor.name;
  again.type = tensor.type;
  again.shape = tensor.shape;
  ASSERT_TRUE(TakeRawElements(raw, again));
  ASSERT_EQ(again.bytes, tensor.bytes);
  ASSERT_EQ(again.strings, tensor.strings);
}

// True when the input was a request.
bool Decode(const Input& input, std::size_t json_bytes) {
  std::string body = input.json + input.binary;
  const std::string before = body;
  const auto request = ParseInferRequest(body, json_bytes);
  EXPECT_EQ(body, before) << "the body is only read";
  if (request) {
    for (const Tensor& tensor : request->inputs) CheckTensor(tensor);
    return true;
  }
  const ErrorCode code = request.error().code();
  EXPECT_TRUE(code == ErrorCode::kInvalidArgument || code == ErrorCode::kTooLarge ||
              code == ErrorCode::kUnimplemented)
      << request.error().message();
  EXPECT_FALSE(request.error().message().empty());
  return false;
}

TEST(InferRequestFuzzTest, MutatedRequestsAreDecodedOrRefused) {
  const std::vector<Input> corpus = ReadCorpus();
  ASSERT_GE(corpus.size(), 10U);
  const char* seconds = std::getenv("SKERRY_FUZZ_SECONDS");
  const auto until = std::chrono::steady_clock::now() +
                     std::chrono::seconds(seconds == nullptr ? 0 : std::atoi(seconds));
  std::size_t decoded = 0;
  std::uint64_t seed = 1;
  do {
    Mutator mutator(seed);
    for (int round = 0; round < kRounds && !HasFailure(); ++round) {
      const Input input = mutator.Next(corpus);
      const std::size_t body = input.json.size() + input.binary.size();
      // Where the JSON ends is a claim of the peer, too.
      const std::size_t json = mutator.Below(20) == 0 ? mutator.Below(body + 1) : input.json.size();
      decoded += Decode(input, json) ? 1U : 0U;
      if (HasFailure())
        ADD_FAILURE() << "seed " << seed << " round " << round << " json " << json << ": "
                      << input.json << input.binary;
    }
    ++seed;
  } while (std::chrono::steady_clock::now() < until && !HasFailure());
  EXPECT_GT(decoded, 1'000U);  // the mutations leave some whole
  RecordProperty("inputs", std::to_string((seed - 1) * kRounds));
  RecordProperty("decoded", std::to_string(decoded));
}

}  // namespace
}  // namespace skerry
