// POST /v1/score of rows that come one after another, CSV or NDJSON of any length: scored in chunks
// as the body arrives, answered as NDJSON, one result a line in the order of the rows. Inside
// serve.
//
// Memory is one chunk: the next piece of the body is read when the answers of the one before were
// taken by the network and, with capture sync, its rows are durable.
//
// The first row that is refused ends it: what came before is answered; then the answer's last line
// is {"error": "...", "row": n}, n the row's number from 1 on, and the connection closes. Before
// the first line was sent, a refusal is an answer of its own (4xx, 5xx) as of any other request.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "http/server.h"
#include "serve/row_answer.h"

namespace skerry {

enum class RowFormat : std::uint8_t { kCsv, kNdjson };

// One request's; lives while its handler runs, on that thread.
class ScoreStream {
 public:
  // `answer` has its model. The parts outlive it.
  ScoreStream(const ScoringParts& parts, RowAnswer answer, bool explain);

  // Reads and answers to the end. Blocks.
  void Run(BodyReader& body, RowFormat format);

 private:
  Status ReadCsv(BodyReader& body);
  Status ReadNdjson(BodyReader& body);
  // More bytes of the body; before it waits for them, answers the rows that came so far.
  Result<std::size_t> ReadMore(BodyReader& body, char* out, std::size_t size);
  // After a row was appended to the batch, or refused.
  Status NoteRow(Status appended);
  Status Flush();
  Status Keep(const std::shared_ptr<const RowBatch>& batch);
  void StartBatch();
  void End(const Status& status);

  const ScoringParts& parts_;
  RowAnswer answer_;
  const bool explain_;
  std::shared_ptr<RowBatch> batch_;
  std::size_t row_bytes_ = 0;  // that came since the last whole row
  bool started_ = false;       // the first line was sent
};

}  // namespace skerry
