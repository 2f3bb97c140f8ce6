// The binary tensor and classification extensions, as bytes on a socket.
#include "serve/binary_tensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "codec/json.h"
#include "http/tests/raw_connection.h"
#include "serve/tests/serving_fixture.h"

namespace skerry {
namespace {

using testing::HasSubstr;

template <typename T>
std::string Raw(std::initializer_list<T> elements) {
  std::string raw(elements.size() * sizeof(T), '\0');
  std::memcpy(raw.data(), std::data(elements), raw.size());
  return raw;
}
std::string RawTexts(std::initializer_list<std::string> texts) {
  std::string raw;
  for (const std::string& text : texts)
    raw += Raw({static_cast<std::uint32_t>(text.size())}) + text;
  return raw;
}

struct Answer {
  int status = 0;
  std::string header, body;
  Json json{};
  std::string binary{};  // behind the JSON
};

class BinaryTensorsTest : public ScoringHttpTest {
 protected:
  void SetUp() override {
    Serve("milling", fixture::LoadFixture());
    Serve("many", Bare("many", fixture::ManyTensorsModelBytes()));
    StartServer(Parts());
  }

  Answer Post(const std::string& model, const std::string& body, const std::string& json_bytes) {
    RawConnection peer(server_->port());
    std::string request = "POST /v2/models/" + model + "/infer HTTP/1.1\r\nHost: x\r\n";
    if (!json_bytes.empty()) request += "Inference-Header-Content-Length: " + json_bytes + "\r\n";
    peer.Write(request +
               fmt::format("Content-Length: {}\r\nConnection: close\r\n\r\n", body.size()) + body);
    const std::string all = peer.ReadAll();
    const std::size_t end = all.find("\r\n\r\n");
    Answer answer{std::atoi(all.substr(9).c_str()), all.substr(0, end), all.substr(end + 4)};
    std::size_t json = answer.body.size();
    const std::string_view name = "\r\nInference-Header-Content-Length: ";
    if (const std::size_t at = answer.header.find(name); at != std::string::npos)
      json = std::stoul(answer.header.substr(at + name.size()));
    answer.json = ParseJson(answer.body.substr(0, json)).value();
    answer.binary = answer.body.substr(json);
    return answer;
  }
  Answer Binary(const std::string& model, const std::string& json, const std::string& raw) {
    return Post(model, json + raw, std::to_string(json.size()));
  }
  std::string Refused(const std::string& json, const std::string& raw,
                      const std::string& json_bytes = "") {
    const Answer answer =
        Post("milling", json + raw, json_bytes.empty() ? std::to_string(json.size()) : json_bytes);
    EXPECT_EQ(answer.status, 400) << answer.body;
    return answer.json.value("error", "");
  }
};

std::string Matrix(const std::string& size, const std::string& more = "",
                   const std::string& shape = "[1,3]") {
  return R"({"inputs":[{"name":"input","shape":)" + shape +
         R"(,"datatype":"FP32","parameters":{"binary_data_size":)" + size + "}}]" + more + "}";
}
const std::string kRow = Raw<float>({0, 65, 10});

TEST_F(BinaryTensorsTest, AMatrixGoesInAndEveryOutputComesBackAsBytes) {
  const Answer answer =
      Binary("milling", Matrix("12", R"(,"parameters":{"binary_data_output":true})"), kRow);
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_THAT(answer.header, HasSubstr("Content-Type: application/octet-stream"));
  EXPECT_EQ(answer.json["outputs"][0]["parameters"]["binary_data_size"], 8);
  EXPECT_FALSE(answer.json["outputs"][0].contains("data"));
  EXPECT_EQ(answer.json["parameters"]["first_n"], 1);
  EXPECT_EQ(answer.binary, Raw<float>({1.0F - 0.9F, 0.9F}) + RawTexts({"1"}) + Raw<float>({0.9F}) +
                               Raw<float>({0.3F}));
}

TEST_F(BinaryTensorsTest, EachOutputChoosesItsForm) {
  const std::string json =
      Matrix("12", R"(,"parameters":{"binary_data_output":true},"outputs":[{"name":"score"},)"
                   R"({"name":"prediction","parameters":{"binary_data":false}}])");
  const Answer answer = Binary("milling", json, kRow);
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.json["outputs"][1]["data"], Json::array({"1"}));
  EXPECT_EQ(answer.binary, Raw<float>({0.9F}));
  const Answer text =
      Post("milling",
           R"({"inputs":[{"name":"input","shape":[1,3],"datatype":"FP32","data":[0,65,10]}],)"
           R"("outputs":[{"name":"score","parameters":{"binary_data":true}}]})",
           "");
  EXPECT_EQ(text.binary, Raw<float>({0.9F}));
}

TEST_F(BinaryTensorsTest, TensorsTakeTheirBytesInOrderBesideJsonOnes) {
  const std::string json =
      R"({"inputs":[{"parameters":{"binary_data_size":8},"name":"a","datatype":"FP32","shape":[1,2]},)"
      R"({"name":"b","shape":[1,2],"datatype":"FP32","data":[[1,1]]},)"
      R"({"name":"flag","shape":[3],"datatype":"BOOL","parameters":{"binary_data_size":3}},)"
      R"({"name":"count","shape":[1],"datatype":"INT64","parameters":{"binary_data_size":8}},)"
      R"({"name":"word","shape":[3],"datatype":"BYTES","parameters":{"binary_data_size":18}},)"
      R"({"name":"wide","shape":[2,2],"datatype":"FP64","data":[1,2,3,4]}],)"
      R"("parameters":{"binary_data_output":true}})";
  const std::string words = RawTexts({"", std::string("\0\xFF", 2), "word"});
  ASSERT_EQ(words.size(), 18U);
  const Answer answer =
      Binary("many", json,
             Raw<float>({1, 2.5F}) + std::string("\1\0\1", 3) + Raw<std::int64_t>({-9}) + words);
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.binary, Raw<float>({2, 3.5F}) + std::string("\1\0\1", 3) +
                               Raw<std::int64_t>({-9}) + words + Raw<double>({1, 2, 3, 4}));
}

TEST_F(BinaryTensorsTest, LengthsThatLieAreRefused) {
  for (const std::string header :
       {"-1", "x", "99999999999999999999", "1e3", "100000", "0x10", "3 "})
    EXPECT_THAT(Refused(Matrix("12"), kRow, header), HasSubstr("JSON")) << header;
  EXPECT_THAT(Refused(Matrix("12"), kRow, "0"), HasSubstr("JSON"));
  EXPECT_THAT(Refused(Matrix("12"), kRow, "20"), HasSubstr("JSON"));
  EXPECT_THAT(Refused(Matrix("12"), kRow, std::to_string(Matrix("12").size() + 4)),
              HasSubstr("JSON"));
  EXPECT_THAT(Refused(Matrix("12"), ""), HasSubstr("0 bytes are left"));
  EXPECT_THAT(Refused(Matrix("12"), kRow.substr(1)), HasSubstr("11 bytes are left"));
  EXPECT_THAT(Refused(Matrix("12"), kRow + "x"), HasSubstr("1 bytes behind the JSON belong to no"));
  EXPECT_THAT(Refused(Matrix("8"), kRow), HasSubstr("takes 12 raw bytes, 8 came"));
  EXPECT_THAT(Refused(Matrix("18446744073709551615"), kRow), HasSubstr("12 bytes are left"));
  for (const std::string size : {"-1", "1.5", "\"12\"", "null", "true", "[12]"})
    EXPECT_THAT(Refused(Matrix(size), kRow), HasSubstr("whole number")) << size;
  EXPECT_THAT(Refused(Matrix("12", "", "[1000000,60]"), kRow), HasSubstr("raw bytes"));
  EXPECT_THAT(Refused(Matrix("12,\"binary_data_size\":12"), kRow), HasSubstr("twice"));
  EXPECT_THAT(
      Refused(R"({"inputs":[{"name":"input","shape":[1,3],"datatype":"FP32","data":[1,2,3],)"
              R"("parameters":{"binary_data_size":12}}]})",
              kRow),
      HasSubstr("both came"));
  EXPECT_EQ(row_numbers_.taken(), 0U);
}

TEST_F(BinaryTensorsTest, TextsThatLieAboutTheirLengthAreRefused) {
  const auto refused = [&](const std::string& shape, const std::string& raw) {
    const std::string json =
        R"({"inputs":[{"name":"word","datatype":"BYTES","shape":)" + shape +
        fmt::format(R"(,"parameters":{{"binary_data_size":{}}}}}]}})", raw.size());
    return Refused(json, raw);
  };
  EXPECT_THAT(refused("[1]", Raw<std::uint32_t>({0xFFFFFFFFU})), HasSubstr("end within element 0"));
  EXPECT_THAT(refused("[1]", "\1\0"), HasSubstr("cannot hold"));
  EXPECT_THAT(refused("[2]", Raw<std::uint32_t>({4}) + "abcd"), HasSubstr("end within element 1"));
  EXPECT_THAT(refused("[1]", RawTexts({"a"}) + "b"), HasSubstr("1 raw bytes are left"));
  EXPECT_THAT(refused("[60000000]", RawTexts({"a"})), HasSubstr("cannot hold"));
}

TEST_F(BinaryTensorsTest, WhatJsonCannotSayIsRefusedByName) {
  EXPECT_THAT(Refused(Matrix("12"), Raw<float>({0, INFINITY, 1})), HasSubstr("field torque_nm"));
  EXPECT_EQ(Binary("milling", Matrix("12"), Raw<float>({0, NAN, 1})).status, 200);
  const std::string half = R"({"inputs":[{"name":"input","shape":[1,3],"datatype":"FP16",)"
                           R"("parameters":{"binary_data_size":6}}]})";
  EXPECT_THAT(Refused(half, "abcdef"), HasSubstr("expected datatype FP32, got FP16"));
  const std::string shared = R"({"inputs":[{"name":"input","shape":[1,3],"datatype":"FP32",)"
                             R"("parameters":{"shared_memory_region":"r"}}]})";
  EXPECT_EQ(Post("milling", shared, "").status, 501);
}

TEST_F(BinaryTensorsTest, ClassificationGivesTheBestClassesByName) {
  const auto ask = [&](const std::string& name, const std::string& parameters) {
    return Binary(
        "milling",
        Matrix("24", R"(,"outputs":[{"name":")" + name + R"(","parameters":{)" + parameters + "}}]",
               "[2,3]"),
        kRow + Raw<float>({1, 20, 10}));
  };
  const Answer one = ask("probabilities", R"("classification":1)");
  ASSERT_EQ(one.status, 200) << one.body;
  EXPECT_EQ(one.json["outputs"][0]["datatype"], "BYTES");
  EXPECT_EQ(one.json["outputs"][0]["shape"], Json::array({2, 1}));
  EXPECT_EQ(one.json["outputs"][0]["data"], Json::array({"0.9:1:1", "0.9:0:0"}));
  const Answer both = ask("probabilities", R"("classification":9,"binary_data":true)");
  EXPECT_EQ(both.json["outputs"][0]["shape"], Json::array({2, 2}));
  EXPECT_EQ(both.binary.substr(0, 11), RawTexts({"0.9:1:1"}));
  EXPECT_THAT(ask("score", R"("classification":1)").json["error"].get<std::string>(),
              HasSubstr("\"score\" has no classes"));
  for (const std::string bad : {"0", "-1", "\"1\"", "1.5"})
    EXPECT_EQ(ask("probabilities", R"("classification":)" + bad).status, 400) << bad;
}

TEST_F(BinaryTensorsTest, ABareGraphsOutputsAreClassifiedByIndex) {
  const auto ask = [&](const std::string& name) {
    return Post("many",
                R"({"inputs":[{"name":"a","shape":[2,2],"datatype":"FP32","data":[1,2.5,null,3]},)"
                R"({"name":"b","shape":[2,2],"datatype":"FP32","data":[1,1,1,1]},)"
                R"({"name":"flag","shape":[2],"datatype":"BOOL","data":[false,true]},)"
                R"({"name":"count","shape":[3],"datatype":"INT64","data":[-5,7,7]},)"
                R"({"name":"word","shape":[1],"datatype":"BYTES","data":["x"]},)"
                R"({"name":"wide","shape":[2,2],"datatype":"FP64","data":[[1,2],[3,1e300]]}],)"
                R"("outputs":[{"name":")" +
                    name + R"(","parameters":{"classification":2}}]})",
                "");
  };
  EXPECT_EQ(ask("sum").json["outputs"][0]["data"], Json::array({"3.5:1", "2:0", "4:1", "nan:0"}));
  EXPECT_EQ(ask("count_out").json["outputs"][0]["data"], Json::array({"7:1", "7:2"}));
  EXPECT_EQ(ask("flag_out").json["outputs"][0]["data"], Json::array({"1:1", "0:0"}));
  EXPECT_THAT(ask("word_out").json["error"].get<std::string>(), HasSubstr("no classes"));
}

TEST_F(BinaryTensorsTest, MembersGivenTwiceAreRefused) {
  const std::string input = R"({"name":"input","shape":[1,3],"datatype":"FP32","data":[0,1,2]})";
  const auto refused = [&](const std::string& body) {
    const Answer answer = Post("milling", body, "");
    EXPECT_EQ(answer.status, 400) << body;
    return answer.json.value("error", "");
  };
  EXPECT_THAT(refused(R"({"inputs":[)" + input + R"(],"inputs":[)" + input + "]}"),
              HasSubstr("\"inputs\" is given twice"));
  for (const std::string member : {R"("name":"x")", R"("shape":[1])", R"("datatype":"FP32")",
                                   R"("data":[1])", R"("parameters":{},"parameters":{})"})
    EXPECT_THAT(
        refused(R"({"inputs":[)" + input.substr(0, input.size() - 1) + "," + member + "}]}"),
        HasSubstr("twice"));
  EXPECT_THAT(refused(R"({"parameters":{"a":1,"a":2},"inputs":[)" + input + "]}"),
              HasSubstr("parameters.a is given twice"));
}

}  // namespace
}  // namespace skerry
