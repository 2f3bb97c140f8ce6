#include "hub/train_request.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string_view>

#include "hub/model_shelf.h"
#include "model/threshold_goal.h"
#include "train/calibration.h"
#include "train/option_ranges.h"
#include "train/trainer.h"

namespace skerry {
namespace {

enum class Kind { kColumn, kColumns, kText, kWhole, kNumber, kFlag };

struct Option {
  std::string_view member;  // the option of `skerry train`, with _ for -
  Kind kind;
  OptionRange range{};                                 // of numbers; none: any
  Status (*check)(const std::string& text) = nullptr;  // of texts
};

Status OneOf(const std::string& text, std::initializer_list<std::string_view> words) {
  if (std::find(words.begin(), words.end(), text) != words.end()) return {};
  std::string list;
  for (const std::string_view word : words)
    list += fmt::format("{}{}", list.empty() ? "" : ", ", word);
  return Fail(ErrorCode::kInvalidArgument, "there is no '{}'; it is one of {}", text, list);
}

Status CheckTask(const std::string& text) {
  return OneOf(text, {"classification", "multiclass", "regression", "anomaly"});
}
Status CheckObjective(const std::string& text) {
  return OneOf(text, {"squared-error", "absolute-error", "poisson", "gamma", "tweedie"});
}
Status CheckThreshold(const std::string& text) {
  return ThresholdGoal::Parse(text).map([](const ThresholdGoal&) {});
}
Status CheckCalibration(const std::string& text) {
  return ParseCalibration(text).map([](CalibrationKind) {});
}
Status CheckDetector(const std::string& text) {
  return ParseDetectorKind(text).map([](DetectorKind) {});
}

Status CheckWindow(const std::string& text) {
  return WindowOptions::Parse(text).map([](const WindowOptions&) {});
}

constexpr std::array kOptions{
    Option{"task", Kind::kText, {}, &CheckTask},
    Option{"positive", Kind::kText},
    Option{"group", Kind::kColumn},
    Option{"time", Kind::kColumn},
    Option{"weight", Kind::kColumn},
    Option{"ignore", Kind::kColumns},
    Option{"context", Kind::kColumns},
    Option{"id", Kind::kColumns},
    Option{"slice", Kind::kColumns},
    Option{"window", Kind::kText, {}, &CheckWindow},
    Option{"window_column", Kind::kColumns},
    Option{"derive", Kind::kWhole, option_ranges::kDerive},
    Option{"threshold", Kind::kText, {}, &CheckThreshold},
    Option{"calibration", Kind::kText, {}, &CheckCalibration},
    Option{"search", Kind::kWhole, option_ranges::kSearch},
    Option{"detector", Kind::kText, {}, &CheckDetector},
    Option{"alarm_rate", Kind::kNumber, option_ranges::kAlarmRate},
    Option{"seed", Kind::kWhole},
    Option{"holdout", Kind::kNumber, option_ranges::kHoldout},
    Option{"objective", Kind::kText, {}, &CheckObjective},
    Option{"trees", Kind::kWhole, option_ranges::kTrees},
    Option{"depth", Kind::kWhole, option_ranges::kDepth},
    Option{"learning_rate", Kind::kNumber, option_ranges::kLearningRate},
    Option{"bins", Kind::kWhole, option_ranges::kBins},
    Option{"threads", Kind::kWhole, option_ranges::kThreads},
    Option{"from_disk", Kind::kFlag},
};

constexpr std::array<std::string_view, 8> kOthers = {"kind",   "model",  "data", "label",
                                                     "engine", "master", "livy", "columns"};

Status ForbidUnknown(const Json& json) {
  std::string known;
  for (const std::string_view other : kOthers) known += fmt::format("{}, ", other);
  for (const Option& option : kOptions) known += fmt::format("{}, ", option.member);
  known.resize(known.size() - 2);
  for (const auto& [member, value] : json.items()) {
    const auto is_it = [&](std::string_view name) { return name == member; };
    if (std::any_of(kOthers.begin(), kOthers.end(), is_it) ||
        std::any_of(kOptions.begin(), kOptions.end(),
                    [&](const Option& option) { return is_it(option.member); }))
      continue;
    return Fail(ErrorCode::kInvalidArgument, "run: unknown key '{}'; known are: {}", member, known);
  }
  return {};
}

// A text that can be an argument of a program.
Status CheckText(std::string_view member, const std::string& text) {
  if (text.empty()) return Fail(ErrorCode::kInvalidArgument, "run.{}: is empty", member);
  if (text.find('\0') != std::string::npos)
    return Fail(ErrorCode::kInvalidArgument, "run.{}: has a character of code 0", member);
  return {};
}

class OptionReader {
 public:
  OptionReader(const JsonObject& object, TrainRequest& request)
      : object_(object), request_(request) {}

  Status Read(const Option& option) {
    const std::string member(option.member);
    if (!object_.Has(member.c_str())) return {};
    switch (option.kind) {
      case Kind::kColumn: {
        SKERRY_ASSIGN_OR_RETURN(const std::string column, object_.String(member.c_str()));
        return TakeColumn(member, member, column);
      }
      case Kind::kColumns: return TakeColumns(member);
      case Kind::kText: {
        SKERRY_ASSIGN_OR_RETURN(const std::string text, object_.String(member.c_str()));
        SKERRY_RETURN_IF_ERROR(CheckText(member, text));
        if (option.check != nullptr)
          SKERRY_RETURN_IF_ERROR(option.check(text), fmt::format("run.{}", member));
        return Add(member, text);
      }
      case Kind::kWhole: {
        SKERRY_ASSIGN_OR_RETURN(const std::uint64_t number, object_.Uint(member.c_str()));
        SKERRY_RETURN_IF_ERROR(CheckRange(option, static_cast<double>(number)));
        return Add(member, std::to_string(number));
      }
      case Kind::kNumber: {
        SKERRY_ASSIGN_OR_RETURN(const double number, object_.Number(member.c_str()));
        SKERRY_RETURN_IF_ERROR(CheckRange(option, number));
        return Add(member, fmt::format("{}", number));
      }
      case Kind::kFlag: {
        SKERRY_ASSIGN_OR_RETURN(const bool set, object_.Bool(member.c_str()));
        if (set) request_.options.push_back("--" + WithDashes(member));
        return {};
      }
    }
    return {};
  }

  Status TakeColumn(const std::string& member, const std::string& where,
                    const std::string& column) {
    SKERRY_RETURN_IF_ERROR(CheckText(where, column));
    request_.named.push_back({where, column});
    return Add(member, column);
  }

 private:
  static std::string WithDashes(std::string member) {
    std::replace(member.begin(), member.end(), '_', '-');
    return member;
  }
  static Status CheckRange(const Option& option, double number) {
    const OptionRange& range = option.range;
    if (range.most == 0 || (number >= range.least && number <= range.most)) return {};
    return Fail(ErrorCode::kInvalidArgument, "run.{}: is from {} to {}, not {}", option.member,
                range.least, range.most, number);
  }
  Status Add(const std::string& member, const std::string& value) {
    request_.options.push_back(fmt::format("--{}={}", WithDashes(member), value));
    return {};
  }
  Status TakeColumns(const std::string& member) {
    SKERRY_ASSIGN_OR_RETURN(const auto columns, object_.Strings(member.c_str()));
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const std::string where = fmt::format("{}[{}]", member, i);
      if (columns[i].find(',') != std::string::npos)
        return Fail(ErrorCode::kInvalidArgument,
                    "run.{}: \"{}\" has a comma; tell the column's role under run.columns", where,
                    columns[i]);
      SKERRY_RETURN_IF_ERROR(TakeColumn(member, where, columns[i]));
    }
    return {};
  }

  const JsonObject& object_;
  TrainRequest& request_;
};

Status ReadEngine(const JsonObject& object, TrainRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(const std::string engine, object.StringOr("engine", "embedded"));
  SKERRY_RETURN_IF_ERROR(OneOf(engine, {"embedded", "spark"}), "run.engine");
  for (const auto& [member, value] :
       {std::pair{"master", &request.master}, std::pair{"livy", &request.livy}}) {
    if (!object.Has(member)) continue;
    SKERRY_ASSIGN_OR_RETURN(*value, object.String(member));
    SKERRY_RETURN_IF_ERROR(CheckText(member, *value));
    if (engine != "spark")
      return Fail(ErrorCode::kInvalidArgument, "run.{}: goes with the engine spark alone", member);
  }
  if (engine != "spark") return {};
  if (request.master.empty() == request.livy.empty())
    return Fail(ErrorCode::kInvalidArgument,
                "run.engine: spark goes with one of run.master and run.livy");
  if (object.BoolOr("from_disk", false).value_or(false))
    return Fail(ErrorCode::kInvalidArgument, "run.from_disk: is of the engine embedded");
  return {};
}

Status ReadData(const JsonObject& object, TrainRequest& request) {
  SKERRY_ASSIGN_OR_RETURN(request.data, object.Strings("data"));
  if (request.data.empty())
    return Fail(ErrorCode::kInvalidArgument, "run.data: names no file to train from");
  if (request.data.size() > limits::kFilesPerTable)
    return Fail(ErrorCode::kTooLarge, "run.data: more than {} names (kFilesPerTable)",
                limits::kFilesPerTable);
  for (std::size_t i = 0; i < request.data.size(); ++i)
    SKERRY_RETURN_IF_ERROR(CheckText(object.ElementPath("data", i).substr(4), request.data[i]));
  return {};
}

}  // namespace

Result<TrainRequest> TrainRequest::FromJson(const Json& json) {
  SKERRY_RETURN_IF_ERROR(ForbidUnknown(json));
  const JsonObject object(json, "run");
  TrainRequest request;
  SKERRY_ASSIGN_OR_RETURN(const std::string model, object.String("model"));
  SKERRY_ASSIGN_OR_RETURN(auto parts, ParseNameAndVersion("run.model", model));
  request.name = std::move(parts.first);
  request.version = std::move(parts.second);
  SKERRY_RETURN_IF_ERROR(ReadData(object, request));
  if (object.Has("columns")) {
    SKERRY_ASSIGN_OR_RETURN(const JsonObject columns, object.Object("columns"));
    request.columns = columns.json();
  }
  OptionReader reader(object, request);
  if (object.Has("label")) {
    SKERRY_ASSIGN_OR_RETURN(request.label, object.String("label"));
    SKERRY_RETURN_IF_ERROR(reader.TakeColumn("label", "label", request.label));
  }
  for (const Option& option : kOptions) SKERRY_RETURN_IF_ERROR(reader.Read(option));
  if (request.label.empty() && request.columns.is_null() &&
      object.StringOr("task", "").value_or("") != "anomaly")
    return Fail(ErrorCode::kInvalidArgument,
                "run.label: say which column is to be predicted (only a task anomaly has none)");
  SKERRY_RETURN_IF_ERROR(ReadEngine(object, request));
  return request;
}

}  // namespace skerry
