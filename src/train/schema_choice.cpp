// ChooseSchema: which columns of a table are features, and what the label's words mean.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <map>
#include <set>

#include "base/limits.h"
#include "train/column_file.h"
#include "train/training_set.h"

namespace skerry {
namespace {

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// Label text -> rows of it. Refuses blanks.
Result<std::map<std::string, std::size_t>> CountLabels(const Column& label) {
  std::map<std::string, std::size_t> counts;
  std::vector<std::size_t> blank;
  for (std::size_t row = 0; row < label.rows(); ++row) {
    std::string text = CellText(label, row);
    if (text.empty())
      blank.push_back(row);
    else if (counts.size() <= limits::kCategoriesPerField)
      ++counts[std::move(text)];
  }
  if (!blank.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "label '{}' is blank in {} of {} rows (row {}): fill them in or remove these rows",
                label.name, blank.size(), label.rows(), RowList(blank));
  return counts;
}

using LabelCounts = std::map<std::string, std::size_t>;

// What the label is for: as the options say, else by its values.
Result<ModelTask> ChooseTask(const Column& label, const LabelCounts& counts,
                             const TrainOptions& options) {
  const std::string& task = options.task;
  if (label.type == ColumnType::kTimestamp)
    return Fail(ErrorCode::kInvalidArgument,
                "label '{}' holds times, which are neither classes nor numbers: make a number of "
                "them in the data (hours to the next failure), or is it another column?",
                label.name);
  const std::string values = counts.size() > limits::kCategoriesPerField
                                 ? fmt::format("over {}", limits::kCategoriesPerField)
                                 : std::to_string(counts.size());
  if (task == "regression" && !label.holds_numbers())
    return Fail(ErrorCode::kInvalidArgument,
                "label '{}' is {}, and a regression predicts numbers: is it the right column?",
                label.name, ColumnTypeName(label.type));
  if (task == "regression") return ModelTask::kRegression;
  if (counts.size() == 2 && task != "multiclass") return ModelTask::kBinary;
  if (task.empty() && label.holds_numbers())
    return Fail(ErrorCode::kInvalidArgument,
                "label '{}' has {} different numbers: say whether to predict the number (--task "
                "regression) or one of so many classes (--task multiclass)",
                label.name, values);
  if (counts.size() <= limits::kClasses) return ModelTask::kMulticlass;
  return Fail(ErrorCode::kInvalidArgument,
              "label '{}' has {} different values, at most {} can be classes (kClasses): is it the "
              "right column?",
              label.name, values, limits::kClasses);
}

// In the order of their numbers where all are numbers, else of their texts.
std::vector<std::string> OrderClasses(const LabelCounts& counts) {
  std::vector<std::string> classes;
  bool numbers = true;
  for (const auto& [word, rows] : counts) {
    classes.push_back(word);
    numbers = numbers && EncodeNumber(word).has_value() && !std::isnan(*EncodeNumber(word));
  }
  if (numbers)
    std::stable_sort(classes.begin(), classes.end(),
                     [](const std::string& a, const std::string& b) {
                       return *EncodeNumber(a) < *EncodeNumber(b);
                     });
  return classes;
}

// The two classes, negative first.
Result<std::array<std::string, 2>> ChooseClasses(const Column& label, const LabelCounts& counts,
                                                 const std::string& positive) {
  const auto& [first, first_rows] = *counts.begin();
  const auto& [second, second_rows] = *counts.rbegin();
  if (!positive.empty() && positive != first && positive != second)
    return Fail(ErrorCode::kInvalidArgument, "label '{}' is '{}' or '{}', never '{}'", label.name,
                first, second, positive);
  bool second_is_positive = second_rows <= first_rows;
  for (const auto& [negative_word, positive_word] :
       {std::pair("0", "1"), std::pair("false", "true"), std::pair("no", "yes")})
    if (Lower(first) == negative_word && Lower(second) == positive_word) second_is_positive = true;
  if (!positive.empty()) second_is_positive = positive == second;
  return second_is_positive ? std::array{first, second} : std::array{second, first};
}

// The different texts of a column, or `limit` + 1 of them.
std::set<std::string> FirstTexts(const Column& column, std::size_t limit) {
  std::set<std::string> values;
  for (std::size_t row = 0; row < column.rows() && values.size() <= limit; ++row)
    if (std::string text = CellText(column, row); !text.empty()) values.insert(std::move(text));
  return values;
}

// Whether a column can be read as the numbers that it is told to be.
Status CheckNumbers(const Column& column, const std::string& where) {
  if (column.holds_numbers()) return {};
  if (column.type == ColumnType::kTimestamp)
    return Fail(
        ErrorCode::kInvalidArgument,
        "{}: column '{}' holds times, not numbers: make a number of them in the data (hours "
        "since the last service), or use the role time",
        where, column.name);
  for (std::size_t row = 0; row < column.rows(); ++row)
    if (const std::string text = CellText(column, row); !EncodeNumber(text))
      return Fail(ErrorCode::kInvalidArgument,
                  "{}: column '{}' is told to be a number, but row {} says '{}'", where,
                  column.name, row + 1, text);
  return {};
}

// Why a text column of many different values is no id: most of its cells are numbers.
Status CheckNotBrokenNumbers(const Column& column) {
  std::size_t numbers = 0;
  std::size_t present = 0;
  std::size_t first_word = column.rows();
  for (std::size_t row = 0; row < column.rows(); ++row) {
    if (column.IsNull(row)) continue;
    ++present;
    if (EncodeNumber(column.texts[row]))
      ++numbers;
    else
      first_word = std::min(first_word, row);
  }
  if (numbers * 10 < present * 9 || first_word == column.rows()) return {};
  return Fail(
      ErrorCode::kInvalidArgument,
      "column '{}' holds numbers, but row {} says '{}': mend the cell (blank means missing), "
      "or ignore the column or name it as an id",
      column.name, first_word + 1, column.texts[first_word]);
}

constexpr const char* kGroupColumn = "group column";
constexpr const char* kTimeColumn = "time column";
constexpr const char* kEntityColumn = "entity of windows";

class SchemaChooser {
 public:
  SchemaChooser(const Table& table, const TrainOptions& options)
      : table_(table), options_(options) {}

  Result<ChosenSchema> Choose() {
    SKERRY_RETURN_IF_ERROR(CheckNamed());
    ModelSchema& schema = chosen_.schema;
    schema.model = options_.name;
    if (!options_.label.empty() || options_.task == "anomaly")
      SKERRY_RETURN_IF_ERROR(ChooseLabel(schema));
    for (const Column& column : table_.columns) SKERRY_RETURN_IF_ERROR(AddField(column));
    if (schema.feature_count() == 0)
      return Fail(ErrorCode::kInvalidArgument,
                  "no column is left to learn from: {} are ignored, carried or not usable",
                  QuotedNames(ColumnNames(table_)));
    return std::move(chosen_);
  }

 private:
  // Task, label and classes.
  Status ChooseLabel(ModelSchema& schema) {
    schema.task = ModelTask::kAnomaly;
    if (options_.task == "anomaly") return {};
    SKERRY_ASSIGN_OR_RETURN(const Column* label,
                            FindColumn(table_, options_.label, "label column"));
    SKERRY_ASSIGN_OR_RETURN(const LabelCounts counts, CountLabels(*label));
    if (counts.size() == 1)
      return Fail(
          ErrorCode::kInvalidArgument,
          "label '{}' has one class only: every row says '{}', so there is nothing to learn",
          label->name, counts.begin()->first);
    SKERRY_ASSIGN_OR_RETURN(schema.task, ChooseTask(*label, counts, options_));
    schema.label_column = options_.label;
    if (schema.task != ModelTask::kBinary && !options_.positive.empty())
      return Fail(ErrorCode::kInvalidArgument,
                  "'{}' was named as the positive value, and a {} task has none", options_.positive,
                  ModelTaskName(schema.task));
    if (schema.task == ModelTask::kMulticlass) schema.classes = OrderClasses(counts);
    if (schema.task != ModelTask::kBinary) return {};
    SKERRY_ASSIGN_OR_RETURN(const auto classes, ChooseClasses(*label, counts, options_.positive));
    schema.positive = classes[1];
    schema.classes = {classes[0], classes[1]};
    return {};
  }

  // Every column that the options name is there, and named once.
  Status CheckNamed() {
    for (const auto& [name, told] : options_.told)
      SKERRY_RETURN_IF_ERROR(FindColumn(table_, name, "column"), told.where);
    std::vector<std::pair<std::string, const char*>> named;
    if (!options_.label.empty()) named.emplace_back(options_.label, "label column");
    if (!options_.weight_column.empty())
      named.emplace_back(options_.weight_column, "weight column");
    for (const auto& name : options_.ignore) named.emplace_back(name, "column to ignore");
    for (const auto& name : options_.context) named.emplace_back(name, "context column");
    for (const auto& name : options_.id) named.emplace_back(name, "id column");
    for (const auto& [name, what] : named) {
      SKERRY_RETURN_IF_ERROR(FindColumn(table_, name, what));
      const auto [first, inserted] = roles_.emplace(name, what);
      if (!inserted)
        return Fail(ErrorCode::kInvalidArgument, "column '{}' is named twice: as {} and as {}",
                    name, first->second, what);
    }
    SKERRY_RETURN_IF_ERROR(CheckSplitColumn(options_.group_column, kGroupColumn));
    SKERRY_RETURN_IF_ERROR(CheckSplitColumn(options_.windows.entity, kEntityColumn));
    return CheckSplitColumn(options_.time_column, kTimeColumn);
  }

  // Such a column may be ignored or carried besides.
  Status CheckSplitColumn(const std::string& name, const char* what) {
    if (name.empty()) return {};
    SKERRY_RETURN_IF_ERROR(FindColumn(table_, name, what));
    if (name == options_.label || name == options_.weight_column)
      return Fail(ErrorCode::kInvalidArgument, "column '{}' is named twice: as {} and as {}", name,
                  roles_.at(name), what);
    roles_.emplace(name, what);
    return {};
  }

  Status AddField(const Column& column) {
    const auto role = roles_.find(column.name);
    if (role != roles_.end()) {
      const std::string_view what = role->second;
      if (what == "context column" || what == kTimeColumn) AddText(column, FieldRole::kContext);
      if (what == "id column" || what == kGroupColumn || what == kEntityColumn)
        AddText(column, FieldRole::kId);
      return {};
    }
    const auto told = options_.told.find(column.name);
    if (told != options_.told.end() && told->second.type) return AddTold(column, told->second);
    if (column.type != ColumnType::kTimestamp && LeftOutAsConstant(column)) return {};
    if (column.holds_numbers()) {
      Add(column, FieldRole::kFeature, FieldType::kNumber, {});
      return {};
    }
    if (column.type == ColumnType::kTimestamp) {
      chosen_.notes.push_back(
          fmt::format("column '{}' is a time: carried as context, not learnt from", column.name));
      AddText(column, FieldRole::kContext);
      return {};
    }
    return AddTextOrCategory(column);
  }

  Status AddTold(const Column& column, const ToldColumn& told) {
    if (*told.type == FieldType::kNumber) {
      SKERRY_RETURN_IF_ERROR(CheckNumbers(column, told.where));
      Add(column, FieldRole::kFeature, FieldType::kNumber, {});
      return {};
    }
    std::set<std::string> values = FirstTexts(column, limits::kCategoriesPerField);
    if (values.empty() || values.size() > limits::kCategoriesPerField)
      return Fail(
          ErrorCode::kInvalidArgument,
          "{}: column '{}' has {} different texts; a category has 1 to {}: carry it as an id "
          "or context",
          told.where, column.name,
          values.empty() ? "no" : fmt::format("over {}", limits::kCategoriesPerField),
          limits::kCategoriesPerField);
    Add(column, FieldRole::kFeature, FieldType::kCategory, {values.begin(), values.end()});
    return {};
  }

  // Cells that are all the same, or all missing, tell nothing.
  bool LeftOutAsConstant(const Column& column) {
    std::set<std::string> values;
    for (std::size_t row = 0; row < column.rows() && values.size() < 2; ++row)
      values.insert(CellText(column, row));
    if (values.size() > 1) return false;
    const std::string& value = *values.begin();
    const char* form = value.empty()            ? "column '{}' is blank throughout: left out"
                       : column.holds_numbers() ? "column '{}' is {} throughout: left out"
                                                : "column '{}' is '{}' throughout: left out";
    chosen_.notes.push_back(fmt::format(fmt::runtime(form), column.name, value));
    return true;
  }

  Status AddTextOrCategory(const Column& column) {
    const std::size_t limit = std::min(options_.max_categories, limits::kCategoriesPerField);
    std::set<std::string> values = FirstTexts(column, limit);
    if (values.size() <= limit) {
      Add(column, FieldRole::kFeature, FieldType::kCategory, {values.begin(), values.end()});
      return {};
    }
    SKERRY_RETURN_IF_ERROR(CheckNotBrokenNumbers(column));
    chosen_.notes.push_back(
        fmt::format("column '{}' has over {} different texts: carried as an id, not learnt from",
                    column.name, limit));
    AddText(column, FieldRole::kId);
    return {};
  }

  void AddText(const Column& column, FieldRole role) { Add(column, role, FieldType::kText, {}); }

  void Add(const Column& column, FieldRole role, FieldType type,
           std::vector<std::string> categories) {
    const std::string base = FieldNameOf(column.name);
    std::string name = base;
    for (int i = 2; !names_.insert(name).second; ++i) name = fmt::format("{}_{}", base, i);
    chosen_.schema.fields.push_back({.name = std::move(name),
                                     .column = column.name,
                                     .role = role,
                                     .type = type,
                                     .categories = std::move(categories)});
  }

  const Table& table_;
  const TrainOptions& options_;
  ChosenSchema chosen_;
  std::map<std::string, const char*> roles_;
  std::set<std::string> names_;
};

}  // namespace

std::vector<std::string> TextColumns(const TrainOptions& options) {
  std::vector<std::string> columns;
  for (const auto& [name, told] : options.told)
    if (told.type == FieldType::kCategory) columns.push_back(name);
  if (!options.windows.entity.empty()) columns.push_back(options.windows.entity);
  return columns;
}

std::vector<std::string> TextColumns(const ModelSchema& schema) {
  std::vector<std::string> columns;
  for (const Field* field : schema.features())
    if (field->type == FieldType::kCategory) columns.push_back(field->column);
  if (!schema.windows.empty()) columns.push_back(schema.Find(schema.windows.entity)->column);
  return columns;
}

Result<ChosenSchema> ChooseSchema(const Table& table, const TrainOptions& options) {
  return SchemaChooser(table, options).Choose();
}

Result<ChosenSchema> ChooseAndTell(const Table& table, const TrainOptions& options) {
  const auto say = [&](const std::string& line) {
    if (options.progress) options.progress(line);
  };
  say(fmt::format("{} rows of {} columns", table.rows(), table.columns.size()));
  SKERRY_ASSIGN_OR_RETURN(ChosenSchema chosen, ChooseSchema(table, options));
  if (options.threshold && chosen.schema.task != ModelTask::kBinary)
    return Fail(ErrorCode::kInvalidArgument,
                "a threshold is chosen for a label of two values; this task is {}: leave out "
                "--threshold {}",
                ModelTaskName(chosen.schema.task), options.threshold->ToText());
  if (options.calibration != CalibrationKind::kNone && chosen.schema.task != ModelTask::kBinary)
    return Fail(ErrorCode::kInvalidArgument,
                "scores are calibrated for a label of two values; this task is {}: leave out "
                "--calibration {}",
                ModelTaskName(chosen.schema.task), CalibrationName(options.calibration));
  say(ColumnFactsText(DescribeColumns(table, chosen.schema, options)));
  for (const std::string& note : chosen.notes) say(note);
  return chosen;
}

}  // namespace skerry
