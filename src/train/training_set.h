// From a table to numbers: which columns are features, what the label's words mean, and the same
// encoding that scoring uses (model/schema.h).
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "codec/columns.h"
#include "model/schema.h"
#include "train/matrix.h"
#include "train/trainer.h"

namespace skerry {

struct ChosenSchema {
  ModelSchema schema{};
  std::vector<std::string> notes{};  // what was decided about columns, for a person
};

// Chooses the fields of a table for training; without options.label, all but label and classes. The
// errors are those of Train.
Result<ChosenSchema> ChooseSchema(const Table& table, const TrainOptions& options);

// The same, told to options.progress: how many rows there are, and what each column is taken for.
// kInvalidArgument also for a threshold or calibration of another task than the binary one.
Result<ChosenSchema> ChooseAndTell(const Table& table, const TrainOptions& options);

// Columns that are told to be categories, and the entity of windows, are read as they are written.
std::vector<std::string> TextColumns(const TrainOptions& options);
// Of a table that a model with this schema is to judge.
std::vector<std::string> TextColumns(const ModelSchema& schema);

// The features, windows, labels and weights of every row, by the schema's column names. Weights are
// scaled to mean 1; `weight_column` may be empty. Errors (kInvalidArgument): a missing column, a
// label that is blank or none of the classes, a cell that is no number, a weight that is not
// positive; each with its column and rows (1 = the first row of the table).
Result<LabelledRows> EncodeRows(const Table& table, const ModelSchema& schema,
                                const std::string& weight_column);

// The same of a part of a table, without windows, with weights as they are told; ScaleWeights makes
// their mean 1.
Result<LabelledRows> EncodePart(const Table& table, const ModelSchema& schema,
                                const std::string& weight_column);
void ScaleWeights(std::vector<float>& weights);

// FeatureMatrix::categorical of rows of this schema.
std::vector<std::uint8_t> CategoricalColumns(const ModelSchema& schema);

// The features alone; as above.
Result<FeatureMatrix> EncodeFeatures(const Table& table, const ModelSchema& schema);

// One column's cells as the model takes them. `field` gives type and categories.
Result<std::vector<float>> EncodeColumn(const Column& column, const Field& field);

// "2, 3, 8 and 12 more" of rows counted from 0, said from 1.
std::string RowList(const std::vector<std::size_t>& rows);

std::vector<std::string> ColumnNames(const Table& table);
// kInvalidArgument says that there is no such `what` ("label column"), and which columns there are.
Result<const Column*> FindColumn(const Table& table, const std::string& name, const char* what);

// A cell as text, as CSV would write it: "" when missing or NaN; 1.0 is "1".
std::string CellText(const Column& column, std::size_t row);

}  // namespace skerry
