// POST /v1/score of CSV and NDJSON over real HTTP.
#include "serve/score_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "codec/json.h"
#include "http/content_coding.h"
#include "http/tests/raw_connection.h"
#include "serve/tests/serving_fixture.h"

namespace skerry {
namespace {

using testing::HasSubstr;

const std::string kCsvType = "text/csv; charset=utf-8";
const std::string kNdjsonType = "application/x-ndjson";
const std::string kHeader = "type,torque_nm,tool_wear_min\n";

std::vector<Json> Lines(const std::string& body) {
  std::vector<Json> lines;
  std::size_t start = 0;
  for (std::size_t end = 0; (end = body.find('\n', start)) != std::string::npos; start = end + 1)
    lines.push_back(ParseJson(body.substr(start, end - start)).value());
  EXPECT_EQ(start, body.size()) << "the last line is cut";
  return lines;
}

// Torque 0, 1, ... 79, 0, ...: above 60 the fixture's tree predicts "1".
std::string CsvRows(std::size_t first, std::size_t count) {
  std::string text;
  for (std::size_t i = first; i < first + count; ++i) text += fmt::format("L,{},1\n", i % 80);
  return text;
}
std::string NdjsonRows(std::size_t first, std::size_t count) {
  std::string text;
  for (std::size_t i = first; i < first + count; ++i)
    text += fmt::format(R"({{"type":"L","torque_nm":{},"tool_wear_min":1}})"
                        "\n",
                        i % 80);
  return text;
}

class ScoreStreamTest : public ScoringHttpTest {
 protected:
  void SetUp() override {
    Serve("milling", fixture::LoadFixture());
    ScoringParts parts = Parts();
    parts.capture = &sink_;
    StartServer(std::move(parts));
  }
  std::vector<Json> Scored(const std::string& body, const std::string& type,
                           const std::string& path = "/v1/score") {
    const HttpReply reply = Call("POST", path, body, type);
    EXPECT_EQ(reply.status, 200) << reply.body;
    EXPECT_EQ(reply.Header("content-type"), "application/x-ndjson");
    return Lines(reply.body);
  }
  std::string Refused(int status, const std::string& body, const std::string& type) {
    const HttpReply reply = Call("POST", "/v1/score", body, type);
    EXPECT_EQ(reply.status, status) << reply.body;
    return ParseJson(reply.body).value()["error"].get<std::string>();
  }
  void ExpectRows(const std::vector<Json>& lines, std::size_t count) {
    ASSERT_GE(lines.size(), count);
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_EQ(lines[i]["row"], fmt::format("{}-{}", row_numbers_.instance().ToString(), i + 1));
      ASSERT_EQ(lines[i]["prediction"], i % 80 > 60 ? "1" : "0") << i;
    }
  }
  // A request whose body follows in chunks.
  static std::string Head(const std::string& type) {
    return fmt::format(
        "POST /v1/score HTTP/1.1\r\nContent-Type: {}\r\nTransfer-Encoding: chunked\r\n\r\n", type);
  }
  static std::string Chunk(const std::string& text) {
    return fmt::format("{:x}\r\n{}\r\n", text.size(), text);
  }

  HeldSink sink_;
};

TEST_F(ScoreStreamTest, CsvIsScoredByFieldAndColumnNames) {
  const auto lines =
      Scored("Torque [Nm],type,tool_wear_min,unit_id,extra\r\n65,L,10,\"a,\"\"b\"\"\",x\r\n,M,,,\n",
             kCsvType);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0]["prediction"], "1");
  EXPECT_EQ(lines[1]["prediction"], "0");
  EXPECT_TRUE(lines[0].contains("reasons"));
}

TEST_F(ScoreStreamTest, ManyRowsComeBackInOrder) {
  constexpr std::size_t kRows = 20'000;
  const auto csv = Scored(kHeader + CsvRows(0, kRows), kCsvType);
  EXPECT_EQ(csv.size(), kRows);
  ExpectRows(csv, kRows);
  const auto ndjson = Scored(NdjsonRows(0, kRows), kNdjsonType);
  ASSERT_EQ(ndjson.size(), kRows);
  for (std::size_t i = 0; i < kRows; ++i) ASSERT_EQ(ndjson[i]["score"], csv[i]["score"]);
  EXPECT_THAT(Call("GET", "/metrics").body,
              HasSubstr("skerry_rows_scored_total{model=\"milling\"} 40000"));
}

TEST_F(ScoreStreamTest, LinesMayBeBlankAndTheLastMayHaveNoEnd) {
  EXPECT_EQ(Scored("\n" + NdjsonRows(0, 1) + " \r\n" +
                       R"({"type":"L","torque_nm":1,"tool_wear_min":null,"unit_id":7})",
                   kNdjsonType)
                .size(),
            2U);
}

TEST_F(ScoreStreamTest, RowsAreAnsweredWhileTheBodyStillComes) {
  RawConnection raw(server_->port());
  raw.Write(Head(kCsvType) + Chunk(kHeader + CsvRows(0, 2) + "L,2"));
  EXPECT_THAT(raw.ReadUntil("-2\""), HasSubstr("-1\""));
  // The third row was not whole; its end comes now.
  raw.Write(Chunk(",1\n"));
  raw.ReadUntil("-3\"");
  raw.Write("0\r\n\r\n");
  EXPECT_TRUE(raw.ReadUntil("0\r\n\r\n").ends_with("}\n\r\n0\r\n\r\n"));
}

TEST_F(ScoreStreamTest, BadRowIsTheLastLineBehindTheAnswersBefore) {
  constexpr std::size_t kGood = 2'500;
  for (const auto& [type, body, why] :
       {std::tuple(kCsvType, kHeader + CsvRows(0, kGood) + "L,wet,1\n" + CsvRows(0, 5),
                   "line 2502: field torque_nm"),
        std::tuple(kNdjsonType, NdjsonRows(0, kGood) + "{\"type\":\"L\"}\n" + NdjsonRows(0, 5),
                   "line 2501: field"),
        std::tuple(kNdjsonType, NdjsonRows(0, kGood) + "{\n", "line 2501: ")}) {
    RawConnection raw(server_->port());
    raw.Write(
        fmt::format("POST /v1/score HTTP/1.1\r\nContent-Type: {}\r\nContent-Length: {}\r\n"
                    "\r\n{}",
                    type, body.size() + 1'000, body));
    const std::string all = raw.ReadAll();  // to the connection's end
    EXPECT_TRUE(all.starts_with("HTTP/1.1 200 "));
    std::size_t rows = 0;
    for (std::size_t at = 0; (at = all.find("\"prediction\"", at)) != std::string::npos; ++at)
      ++rows;
    EXPECT_EQ(rows, kGood);
    const std::size_t last = all.rfind("{\"error\":");
    ASSERT_NE(last, std::string::npos);
    const Json error = ParseJson(all.substr(last, all.find('\n', last) - last)).value();
    EXPECT_EQ(error["row"], kGood + 1);
    EXPECT_THAT(error["error"].get<std::string>(), HasSubstr(why));
  }
}

TEST_F(ScoreStreamTest, RefusalBeforeTheFirstLineIsAnAnswerOfItsOwn) {
  const auto csv = [&](const std::string& body) { return Refused(400, body, kCsvType); };
  EXPECT_THAT(csv("type,torque_nm\nL,1\n"), HasSubstr("tool_wear_min"));
  EXPECT_THAT(csv(kHeader + "L,wet,1\n"), HasSubstr("line 2: field torque_nm"));
  EXPECT_THAT(csv(kHeader + "L,1\n"), HasSubstr("line 2: 2 fields"));
  EXPECT_THAT(csv(kHeader), HasSubstr("at least one row"));
  EXPECT_THAT(csv(""), HasSubstr("expected a header row"));
  EXPECT_THAT(csv(kHeader + "\"L"), HasSubstr("quote"));
  EXPECT_THAT(csv("type,torque_nm,Torque [Nm],tool_wear_min\nL,1,1,1\n"), HasSubstr("two columns"));
  const auto ndjson = [&](const std::string& body) { return Refused(400, body, kNdjsonType); };
  EXPECT_THAT(ndjson(""), HasSubstr("at least one row"));
  EXPECT_THAT(ndjson("\n[1]\n"), HasSubstr("line 2: expected a JSON object"));
  EXPECT_THAT(ndjson("7\n"), HasSubstr("line 1: expected a JSON object"));
  EXPECT_THAT(ndjson("{\"colour\":1}\n"), HasSubstr("line 1: \"colour\" is no field"));
  EXPECT_THAT(ndjson(R"({"type":"L","torque_nm":1,"tool_wear_min":1} x)"),
              HasSubstr("line 1: text after the end"));
  EXPECT_EQ(row_numbers_.taken(), 0U);
}

TEST_F(ScoreStreamTest, RowsBeyondTheLimitOfBytesAreRefused) {
  std::string wide = "{";
  for (int i = 0; wide.size() <= limits::kStreamedRowBytes + (1U << 20U); ++i)
    wide += fmt::format("\"member_{}\":1,", i);
  EXPECT_THAT(Refused(413, wide, kNdjsonType), HasSubstr("kStreamedRowBytes"));
  std::string columns = kHeader;
  while (columns.size() <= limits::kStreamedRowBytes + (1U << 20U))
    columns += std::string(100'000, 'x') + ",";
  EXPECT_THAT(Refused(413, columns, kCsvType), HasSubstr("kStreamedRowBytes"));
}

TEST_F(ScoreStreamTest, WithSyncCaptureALineFollowsItsRowsCommit) {
  Serve("milling", fixture::LoadFixture(), CaptureMode::kSync);
  RawConnection raw(server_->port());
  raw.Write(Head(kCsvType) + Chunk(kHeader + CsvRows(0, 3)));
  sink_.AwaitOne();
  EXPECT_FALSE(raw.Readable(std::chrono::milliseconds(0)));
  EXPECT_EQ(sink_.End({})->rows, 3U);
  raw.ReadUntil("-3\"");
  raw.Write(Chunk(CsvRows(3, 2)));
  sink_.End(Fail(ErrorCode::kDataLoss, "the disk is full"));
  const std::string rest = raw.ReadAll();
  EXPECT_THAT(rest, HasSubstr("the disk is full"));
  EXPECT_THAT(rest, HasSubstr("\"row\":4}"));
  EXPECT_EQ(rest.find("-4\""), std::string::npos) << "a row was answered that was not kept";
}

TEST_F(ScoreStreamTest, AsyncCaptureGetsEveryRow) {
  Serve("milling", fixture::LoadFixture(), CaptureMode::kAsync);
  // Lines so short that many fit into one piece of the body: a chunk has its limit all the same.
  constexpr std::size_t kRows = limits::kStreamedChunkRows * 3;
  EXPECT_EQ(Scored(kHeader + CsvRows(0, kRows), kCsvType).size(), kRows);
  for (std::size_t rows = 0; rows < kRows;) {
    const std::size_t chunk = sink_.End({})->rows;
    EXPECT_LE(chunk, limits::kStreamedChunkRows);
    rows += chunk;
  }
}

TEST_F(ScoreStreamTest, CompressedBodiesAreReadWhole) {
  const std::string body =
      http_detail::EncodeBody(kHeader + CsvRows(0, 3'000), http_detail::ContentCoding::kGzip);
  HttpClient client({});
  HttpCall call;
  call.method = "POST";
  call.url = fmt::format("http://127.0.0.1:{}/v1/score", server_->port());
  call.body = body;
  call.headers = {{"Content-Type", kCsvType}, {"Content-Encoding", "gzip"}};
  const HttpReply reply = client.Send(call).value();
  EXPECT_EQ(reply.status, 200);
  ExpectRows(Lines(reply.body), 3'000);
}

TEST_F(ScoreStreamTest, ExplainedRowsOfAStreamAreNotLimited) {
  fixture::PackageFiles files;
  files.model.low = -1;
  files.model.high = 2;
  files.model.explained = true;
  Serve("milling", fixture::LoadFixture(files));
  const std::size_t rows = limits::kExplainedRows + 100;
  const auto lines = Scored(NdjsonRows(0, rows), kNdjsonType, "/v1/score?explain=1");
  ASSERT_EQ(lines.size(), rows);
  EXPECT_NEAR(lines.back()["base"].get<double>(), -0.1, 1e-6);
  EXPECT_EQ(lines.back()["contributions"].size(), 3U);
  Serve("milling", fixture::LoadFixture());
  EXPECT_EQ(Call("POST", "/v1/score?explain=1", NdjsonRows(0, 1), kNdjsonType).status, 501);
}

}  // namespace
}  // namespace skerry
