// Mutates the corpus of tests/fuzz/infer_request and decodes what comes out: the same inputs in
// every run, in every build. `make fuzz` looks further (infer_request_fuzzer.cpp).
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <random>

#include "serve/tests/infer_request_check.h"
#include "storage/file.h"

namespace skerry {
namespace {

constexpr int kRounds = 200'000;

std::vector<FuzzInput> ReadCorpus() {
  std::vector<FuzzInput> corpus;
  for (const auto& entry : std::filesystem::directory_iterator(SKERRY_FUZZ_CORPUS))
    corpus.push_back(ReadFuzzInput(ReadFile(entry.path(), 1U << 20U).value()));
  return corpus;
}

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  std::size_t Below(std::size_t limit) { return limit == 0 ? 0 : random_() % limit; }

  // Mostly of the JSON; the claim of where it ends moves with it, or is anything.
  FuzzInput Next(const std::vector<FuzzInput>& corpus) {
    FuzzInput input = corpus[Below(corpus.size())];
    const std::size_t split =
        input.header.empty() ? input.body.size()
                             : std::min<std::size_t>(std::stoul(input.header), input.body.size());
    std::string json = input.body.substr(0, split), binary = input.body.substr(split);
    for (std::size_t changes = Below(4) + 1; changes > 0; --changes)
      Change(Below(3) == 0 ? binary : json, corpus[Below(corpus.size())].body);
    input.body = json + binary;
    input.header = fmt::format("{}", Below(20) == 0 ? Below(input.body.size() + 2) : json.size());
    return input;
  }

 private:
  void Change(std::string& text, const std::string& other) {
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
      case 4: text.replace(at, Below(30), other.substr(Below(other.size() + 1), 30)); break;
      default: text.resize(at);
    }
  }

  std::mt19937_64 random_;
};

TEST(InferRequestFuzzTest, MutatedRequestsAreDecodedOrRefused) {
  const std::vector<FuzzInput> corpus = ReadCorpus();
  ASSERT_GE(corpus.size(), 10U);
  std::size_t decoded = 0;
  Mutator mutator(1);
  for (int round = 0; round < kRounds; ++round) {
    const FuzzInput input = mutator.Next(corpus);
    const DecodeOutcome outcome = DecodeOrRefuse(input);
    decoded += outcome.decoded ? 1U : 0U;
    ASSERT_EQ(outcome.fault, "") << "round " << round << " json " << input.header << ": "
                                 << input.body;
  }
  EXPECT_GT(decoded, 1'000U);  // the mutations leave some whole
}

}  // namespace
}  // namespace skerry
