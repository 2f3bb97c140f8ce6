// Turns requests into row batches by the package's schema: OIP tensors, named JSON fields, CSV.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/row_batch.h"
#include "serve/infer_request.h"

namespace skerry {

// All return a batch with package, rows, features and texts filled. Errors: kInvalidArgument names
// the field or tensor, what was expected and what came; kTooLarge over limits::kRowsPerRequest.

// Either the one tensor "input" FP32 [N,F] (category codes, null for missing), or one tensor a
// feature, named as the field, [N] or [N,1], of a number type for numbers and BYTES for categories
// ("" for missing). Context and ids come from the parameters of their names; other parameters are
// ignored.
Result<std::shared_ptr<RowBatch>> BatchFromTensors(std::shared_ptr<const ModelPackage> package,
                                                   const InferRequest& request);

// One object of named fields, or an array of them. Every feature must be there (null: missing);
// context and ids may be absent; unknown names are refused.
Result<std::shared_ptr<RowBatch>> BatchFromNamedRows(std::shared_ptr<const ModelPackage> package,
                                                     std::string& body);

// Rows of named fields that come one by one, as the lines of NDJSON. The package outlives it. Not
// thread-safe.
class NamedRows;
class NamedRowAppender {
 public:
  explicit NamedRowAppender(const ModelPackage& package);
  NamedRowAppender(const NamedRowAppender&) = delete;
  NamedRowAppender& operator=(const NamedRowAppender&) = delete;
  ~NamedRowAppender();
  // Appends the one object in `text` to the batch; `line` is for errors, after which the batch may
  // hold a part of the row (see DropPartRow).
  Status Append(std::string& text, std::uint64_t line, RowBatch& batch);

 private:
  std::unique_ptr<NamedRows> rows_;
};

// Which CSV columns hold the schema's fields; for streams and files (score_stream.h, score_file.h).
struct CsvColumns {
  std::vector<const Field*> features;        // schema order
  std::vector<std::size_t> feature_columns;  // one a feature
  std::vector<std::size_t> text_columns;     // one of schema.texts() each; kAbsent when not there
  std::size_t width = 0;
  static constexpr std::size_t kAbsent = static_cast<std::size_t>(-1);
};
// kInvalidArgument names the columns that are missing or given twice.
Result<CsvColumns> MapCsvColumns(const ModelSchema& schema, const std::vector<std::string>& header);
// Appends one record to the batch's features and texts and counts it; `line` is for errors, after
// which the batch may hold a part of the row.
Status AppendCsvRow(const CsvColumns& columns, const std::vector<std::string>& fields,
                    std::uint64_t line, RowBatch& batch);

// Takes back what a row that was refused has left in the batch.
void DropPartRow(RowBatch& batch);

}  // namespace skerry
