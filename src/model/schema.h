// schema.json of a model package: which fields a row has, what each is for, and how its text
// becomes a number. One reading for training, scoring, policy and the hub.
//
// A plain value, immutable after load, safe to read from any thread. Format:
// docs/formats/model-package.md ("skerry-schema/1"): an unknown major version is refused, unknown
// members are ignored.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "codec/json.h"
#include "model/derived_features.h"
#include "model/window_features.h"

namespace skerry {

// feature: an input of the model. context: travels with the row, is no input. id: as context, and
// it names somebody or something.
enum class FieldRole : std::uint8_t { kFeature, kContext, kId };
// Features are numbers or categories; context and ids may be any of the three and travel as text.
enum class FieldType : std::uint8_t { kNumber, kCategory, kText };

// What a model answers. binary: one of two classes, with the probability of class 1. multiclass:
// one of several classes, with the probability of each. regression: a number. anomaly: how strange
// a row is; such a package has a detector alone.
enum class ModelTask : std::uint8_t { kBinary, kMulticlass, kRegression, kAnomaly };

std::string_view ModelTaskName(ModelTask task);  // "binary", "multiclass", ...
std::string_view FieldRoleName(FieldRole role);  // "feature", "context", "id"
std::string_view FieldTypeName(FieldType type);  // "number", "category", "text"

struct Field {
  std::string name;    // [a-z][a-z0-9_]*, see FieldNameOf
  std::string column;  // as the data calls it: "Air temperature [K]"
  FieldRole role = FieldRole::kFeature;
  FieldType type = FieldType::kNumber;
  std::vector<std::string> categories;  // of a category feature, in code order; else empty

  bool operator==(const Field&) const = default;
};

struct ModelSchema {
  std::string model;  // name, by the grammar of CheckName
  ModelTask task = ModelTask::kBinary;
  std::string label_column;  // as in the training data; empty for anomaly
  std::string positive;      // binary: the label's text that is class 1
  // The answer's words, by class: two for binary, 2 to kClasses for multiclass, else none.
  std::vector<std::string> classes;
  std::vector<Field> fields;
  // What the predictor is given behind the features, in that order; of another task than anomaly.
  std::vector<DerivedFeature> derived{};
  // What it is given behind these, of the entity's last rows.
  WindowSet windows{};

  std::size_t feature_count() const;
  // By field name; null when there is none. Views live as long as the schema.
  const Field* Find(std::string_view name) const;
  const Field* FindColumn(std::string_view column) const;
  // In the order of a row's values.
  std::vector<const Field*> features() const;
  // Of the predictor's columns: the names of the features, of what is derived, of the windows.
  // Views into the schema.
  std::vector<std::string_view> input_names() const;
  // Context and id fields in schema order: the order of RowBatch::texts.
  std::vector<const Field*> texts() const;

  Json ToJson() const;
  // kInvalidArgument names the member; kUnimplemented for an unknown major version.
  static Result<ModelSchema> FromJson(const Json& json);
  bool operator==(const ModelSchema&) const = default;
};

bool IsFieldName(std::string_view name);  // [a-z][a-z0-9_]*

// The field name of a column: lower case, every run of other characters one underscore
// ("Air temperature [K]" -> "air_temperature_k"); "f_" in front when it would begin with a digit.
std::string FieldNameOf(std::string_view column);

// A category's code is its index in Field::categories. A text that is none of them gets the code
// categories.size() ("unseen"), so that it can be told from a missing value, which is NaN (empty
// text).
float EncodeCategory(const Field& field, std::string_view text);

// The number in `text`, or NaN when it is empty, blank, or one of NaN, NA, null (any case).
// kInvalidArgument otherwise; infinities are refused.
Result<float> EncodeNumber(std::string_view text);

// A feature's value from text by the field's type; the error names the field.
Result<float> EncodeFeature(const Field& field, std::string_view text);

}  // namespace skerry
