#include "train/import_graph.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <onnx-ml.pb.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "base/limits.h"
#include "train/onnx_graph.h"

namespace skerry {
namespace {

using onnx::TensorProto;

constexpr std::string_view kPrefix = "imported/";  // of every name of the graph's own

std::optional<TensorType> TypeOf(int element) {
  switch (element) {
    case TensorProto::FLOAT: return TensorType::kFloat32;
    case TensorProto::DOUBLE: return TensorType::kFloat64;
    case TensorProto::FLOAT16: return TensorType::kFloat16;
    case TensorProto::INT64: return TensorType::kInt64;
    case TensorProto::INT32: return TensorType::kInt32;
    case TensorProto::STRING: return TensorType::kString;
    default: return std::nullopt;
  }
}

bool IsFloating(TensorType type) {
  return type == TensorType::kFloat32 || type == TensorType::kFloat64 ||
         type == TensorType::kFloat16;
}

TensorProto::DataType ElementOf(TensorType type) {
  switch (type) {
    case TensorType::kFloat64: return TensorProto::DOUBLE;
    case TensorType::kFloat16: return TensorProto::FLOAT16;
    case TensorType::kInt64: return TensorProto::INT64;
    case TensorType::kInt32: return TensorProto::INT32;
    case TensorType::kString: return TensorProto::STRING;
    default: return TensorProto::FLOAT;
  }
}

Result<onnx::ModelProto> Parse(std::string_view onnx) {
  onnx::ModelProto model;
  if (!model.ParseFromArray(onnx.data(), static_cast<int>(onnx.size())) || !model.has_graph())
    return Fail(ErrorCode::kDataLoss, "it is no ONNX model");
  return model;
}

std::string InputText(const onnx::ValueInfoProto& value) {
  std::string shape;
  for (const auto& dimension : value.type().tensor_type().shape().dim())
    shape += (shape.empty() ? "" : ", ") +
             (dimension.has_dim_value() ? std::to_string(dimension.dim_value()) : std::string("N"));
  return fmt::format("{} [{}]", value.name(), shape);
}

Result<ImportedGraph::Input> InputOf(const onnx::ValueInfoProto& value) {
  const auto& tensor = value.type().tensor_type();
  const std::optional<TensorType> type = TypeOf(tensor.elem_type());
  const int rank = tensor.shape().dim_size();
  if (!value.type().has_tensor_type() || !type || rank < 1 || rank > 2)
    return Fail(ErrorCode::kInvalidArgument,
                "the input {} is no table of numbers or texts, [N] or [N, columns]",
                InputText(value));
  ImportedGraph::Input input{value.name(), *type, static_cast<std::size_t>(rank), 1};
  if (rank == 2) {
    const auto& columns = tensor.shape().dim(1);
    input.columns = columns.has_dim_value() && columns.dim_value() > 0
                        ? static_cast<std::size_t>(columns.dim_value())
                        : 0;
  }
  return input;
}

// The node that makes a map of class probabilities, or null.
const onnx::NodeProto* ZipMapOf(const onnx::GraphProto& graph, const std::string& output) {
  for (const onnx::NodeProto& node : graph.node())
    if (node.op_type() == "ZipMap" && node.output_size() == 1 && node.output(0) == output)
      return &node;
  return nullptr;
}

std::vector<std::string> ClassesOf(const onnx::NodeProto& node) {
  std::vector<std::string> classes;
  for (const onnx::AttributeProto& attribute : node.attribute()) {
    if (attribute.name() == "classlabels_int64s")
      for (const std::int64_t label : attribute.ints()) classes.push_back(std::to_string(label));
    if (attribute.name() == "classlabels_strings")
      for (const std::string& label : attribute.strings()) classes.push_back(label);
  }
  return classes;
}

// Of a classifier that gives probabilities as a tensor: its classes are an attribute of some node.
std::vector<std::string> ClassesOfClassifier(const onnx::GraphProto& graph) {
  for (const onnx::NodeProto& node : graph.node()) {
    if (node.op_type().find("Classifier") == std::string::npos) continue;
    if (std::vector<std::string> classes = ClassesOf(node); !classes.empty()) return classes;
  }
  return {};
}

bool SoundsLikeProbabilities(std::string name) {
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name.find("prob") != std::string::npos;
}

bool IsFloatTensor(const onnx::ValueInfoProto& value) {
  const auto type = TypeOf(value.type().tensor_type().elem_type());
  return value.type().has_tensor_type() && type && IsFloating(*type);
}

Result<const onnx::ValueInfoProto*> ChooseOutput(const onnx::GraphProto& graph,
                                                 const std::string& wanted) {
  std::vector<const onnx::ValueInfoProto*> usable;
  std::vector<std::string> names;
  for (const onnx::ValueInfoProto& value : graph.output()) {
    names.push_back(value.name());
    if (IsFloatTensor(value) || ZipMapOf(graph, value.name()) != nullptr) usable.push_back(&value);
  }
  const auto by = [&](auto holds) -> const onnx::ValueInfoProto* {
    const auto found = std::ranges::find_if(usable, holds);
    return found == usable.end() ? nullptr : *found;
  };
  if (!wanted.empty()) {
    if (const auto* named = by([&](const auto* value) { return value->name() == wanted; }))
      return named;
    return Fail(ErrorCode::kInvalidArgument,
                "\"{}\" is no output of floating point numbers; the outputs are {}", wanted,
                fmt::join(names, ", "));
  }
  if (const auto* maps =
          by([&](const auto* value) { return ZipMapOf(graph, value->name()) != nullptr; }))
    return maps;
  if (const auto* likely =
          by([](const auto* value) { return SoundsLikeProbabilities(value->name()); }))
    return likely;
  if (usable.size() == 1) return usable.front();
  return Fail(ErrorCode::kInvalidArgument,
              "which of the outputs is the answer? Name one of {} with --output",
              fmt::join(names, ", "));
}

// Every name of the graph and of the graphs inside it, which may use names from outside.
void Prefix(onnx::GraphProto& graph) {
  const auto prefix = [](std::string& name) {
    if (!name.empty()) name.insert(0, kPrefix);
  };
  for (onnx::NodeProto& node : *graph.mutable_node()) {
    prefix(*node.mutable_name());
    for (std::string& name : *node.mutable_input()) prefix(name);
    for (std::string& name : *node.mutable_output()) prefix(name);
    for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
      if (attribute.has_g()) Prefix(*attribute.mutable_g());
      for (onnx::GraphProto& inner : *attribute.mutable_graphs()) Prefix(inner);
    }
  }
  for (TensorProto& constant : *graph.mutable_initializer()) prefix(*constant.mutable_name());
  for (auto& sparse : *graph.mutable_sparse_initializer())
    prefix(*sparse.mutable_values()->mutable_name());
  for (auto* values : {graph.mutable_input(), graph.mutable_output(), graph.mutable_value_info()})
    for (onnx::ValueInfoProto& value : *values) prefix(*value.mutable_name());
}

// The nodes that stand before and behind the graph.
class Frame {
 public:
  explicit Frame(onnx::ModelProto& model) : graph_(*model.mutable_graph()) {
    body_.Swap(graph_.mutable_node());
  }

  std::string Node(const std::string& op, std::initializer_list<std::string> inputs) {
    std::string output = fmt::format("frame/{}", ++made_);
    AddGraphNode(graph_, op, inputs, output);
    return output;
  }
  void NodeTo(const std::string& op, std::initializer_list<std::string> inputs,
              const std::string& output) {
    AddGraphNode(graph_, op, inputs, output);
  }
  std::string Concat(const std::vector<std::string>& parts) {
    if (parts.size() == 1) return parts.front();
    std::string output = fmt::format("frame/{}", ++made_);
    onnx::NodeProto& node = AddGraphNode(graph_, "Concat", {}, output);
    for (const std::string& part : parts) node.add_input(part);
    SetAxis(node);
    return output;
  }
  // These columns of a matrix, in this order.
  std::string Columns(const std::string& of, const std::vector<std::int64_t>& which) {
    std::string output = fmt::format("frame/{}", ++made_);
    SetAxis(AddGraphNode(graph_, "Gather", {of, Integers(which)}, output));
    return output;
  }
  std::string Reshape(const std::string& of, std::int64_t columns) {
    return Node("Reshape", {of, Integers(columns == 0 ? std::vector<std::int64_t>{-1}
                                                      : std::vector<std::int64_t>{-1, columns})});
  }
  std::string Cast(const std::string& of, TensorType to) {
    std::string output = fmt::format("frame/{}", ++made_);
    AddCast(graph_, of, output, ElementOf(to));
    return output;
  }
  std::string Number(float value) {
    std::string name = fmt::format("frame/{}", ++made_);
    AddNumberConstant(graph_, name, value);
    return name;
  }
  std::string Integers(const std::vector<std::int64_t>& values) {
    TensorProto& tensor = Constant(TensorProto::INT64, values.size());
    for (const std::int64_t value : values) tensor.add_int64_data(value);
    return tensor.name();
  }
  std::string Texts(const std::vector<std::string>& texts) {
    TensorProto& tensor = Constant(TensorProto::STRING, texts.size());
    for (const std::string& text : texts) tensor.add_string_data(text);
    return tensor.name();
  }
  // The graph's own nodes, but for the one that makes `dropped`.
  void Body(const std::string& dropped) {
    for (onnx::NodeProto& node : body_)
      if (node.output_size() != 1 || node.output(0) != dropped) graph_.add_node()->Swap(&node);
  }

 private:
  TensorProto& Constant(TensorProto::DataType type, std::size_t size) {
    TensorProto& tensor = *graph_.add_initializer();
    tensor.set_name(fmt::format("frame/{}", ++made_));
    tensor.set_data_type(type);
    tensor.add_dims(static_cast<std::int64_t>(size));
    return tensor;
  }
  static void SetAxis(onnx::NodeProto& node) {
    onnx::AttributeProto& axis = *node.add_attribute();
    axis.set_name("axis");
    axis.set_type(onnx::AttributeProto::INT);
    axis.set_i(1);
  }

  onnx::GraphProto& graph_;
  google::protobuf::RepeatedPtrField<onnx::NodeProto> body_;
  int made_ = 0;
};

// The words of one category column, from its codes.
std::string WordsOf(Frame& frame, const std::string& column, const Field& field) {
  std::vector<std::string> words = field.categories;
  words.insert(words.end(), 2, "");  // unseen, missing
  const auto missing = static_cast<float>(field.categories.size() + 1);
  const std::string code =
      frame.Node("Where", {frame.Node("IsNaN", {column}), frame.Number(missing), column});
  return frame.Node("Gather", {frame.Texts(words), frame.Cast(code, TensorType::kInt64)});
}

// Numbers as the graph takes them; a whole number that is missing is 0.
std::string NumbersOf(Frame& frame, const std::string& values, TensorType type) {
  if (type == TensorType::kFloat32) return values;
  if (IsFloating(type)) return frame.Cast(values, type);
  return frame.Cast(frame.Node("Where", {frame.Node("IsNaN", {values}), frame.Number(0), values}),
                    type);
}

// [N, 1] of a feature, as the graph takes it.
std::string ColumnFor(Frame& frame, const ImportedGraph::Input& input, std::size_t place,
                      const Field& field) {
  const std::string column = frame.Columns("input", {static_cast<std::int64_t>(place)});
  return input.type == TensorType::kString ? WordsOf(frame, column, field)
                                           : NumbersOf(frame, column, input.type);
}

Status CheckKind(const ImportedGraph::Input& input, const Field& field) {
  const bool wants_text = input.type == TensorType::kString;
  if (wants_text == (field.type == FieldType::kCategory)) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "the input \"{}\" takes {}, and the feature \"{}\" is a {}", input.name,
              wants_text ? "texts" : "numbers", field.column, FieldTypeName(field.type));
}

// One matrix takes all features; inputs of one column each are found by their names.
Status FeedInputs(Frame& frame, const ImportedGraph& graph, const GraphImport& import) {
  const auto& features = import.features;
  if (graph.inputs.size() == 1) {
    const ImportedGraph::Input& input = graph.inputs.front();
    if (input.columns != 0 && input.columns != features.size())
      return Fail(ErrorCode::kInvalidArgument,
                  "the input \"{}\" has {} columns, and the sample {} features", input.name,
                  input.columns, features.size());
    std::vector<std::string> words;
    for (std::size_t i = 0; i < features.size(); ++i) {
      SKERRY_RETURN_IF_ERROR(CheckKind(input, *features[i]));
      if (input.type == TensorType::kString)
        words.push_back(ColumnFor(frame, input, i, *features[i]));
    }
    const std::string fed =
        words.empty() ? NumbersOf(frame, "input", input.type) : frame.Concat(words);
    frame.NodeTo("Identity", {input.rank == 1 ? frame.Reshape(fed, 0) : fed},
                 std::string(kPrefix) + input.name);
    return {};
  }
  std::set<std::size_t> used;
  for (const ImportedGraph::Input& input : graph.inputs) {
    const auto found = std::ranges::find_if(features, [&](const Field* field) {
      return field->column == input.name || field->name == FieldNameOf(input.name);
    });
    if (found == features.end())
      return Fail(ErrorCode::kInvalidArgument,
                  "the graph has an input \"{}\", and no feature is called so", input.name);
    if (input.columns != 1)
      return Fail(ErrorCode::kInvalidArgument,
                  "the input \"{}\" has {} columns; of several inputs each takes one feature",
                  input.name, input.columns);
    SKERRY_RETURN_IF_ERROR(CheckKind(input, **found));
    const auto place = static_cast<std::size_t>(found - features.begin());
    used.insert(place);
    const std::string column = ColumnFor(frame, input, place, **found);
    frame.NodeTo("Identity", {input.rank == 1 ? frame.Reshape(column, 0) : column},
                 std::string(kPrefix) + input.name);
  }
  for (std::size_t i = 0; i < features.size(); ++i)
    if (!used.contains(i))
      return Fail(ErrorCode::kInvalidArgument,
                  "the feature \"{}\" is no input of the graph: ignore the column, or carry it as "
                  "context",
                  features[i]->column);
  return {};
}

void GiveOutput(Frame& frame, const std::string& values, const GraphImport& import) {
  const auto columns = static_cast<std::int64_t>(import.graph_columns);
  const std::string matrix = frame.Reshape(frame.Cast(values, TensorType::kFloat32), columns);
  if (import.task == ModelTask::kRegression) return frame.NodeTo("Identity", {matrix}, "value");
  if (import.graph_columns == 1 && import.columns == 2) {
    const std::string other = frame.Node("Sub", {frame.Number(1), matrix});
    const std::string both =
        import.swap_classes ? frame.Concat({matrix, other}) : frame.Concat({other, matrix});
    return frame.NodeTo("Identity", {both}, "probabilities");
  }
  frame.NodeTo("Identity", {import.swap_classes ? frame.Columns(matrix, {1, 0}) : matrix},
               "probabilities");
}

// Nodes of the frame are of the default operator set.
void ImportDefaultOperators(onnx::ModelProto& model) {
  for (const auto& opset : model.opset_import())
    if (opset.domain().empty() || opset.domain() == "ai.onnx") return;
  constexpr int kOpset = 17;
  onnx::OperatorSetIdProto& opset = *model.add_opset_import();
  opset.set_domain("");
  opset.set_version(kOpset);
}

}  // namespace

Result<ImportedGraph> InspectGraph(std::string_view onnx, const std::string& output) {
  SKERRY_ASSIGN_OR_RETURN(const onnx::ModelProto model, Parse(onnx));
  const onnx::GraphProto& graph = model.graph();
  ImportedGraph found;
  found.producer = model.producer_name();
  if (!model.producer_version().empty()) found.producer += " " + model.producer_version();
  std::set<std::string> constants;
  for (const TensorProto& constant : graph.initializer()) constants.insert(constant.name());
  for (const onnx::ValueInfoProto& value : graph.input()) {
    if (constants.contains(value.name())) continue;
    SKERRY_ASSIGN_OR_RETURN(ImportedGraph::Input input, InputOf(value));
    found.inputs.push_back(std::move(input));
  }
  if (found.inputs.empty()) return Fail(ErrorCode::kInvalidArgument, "the graph has no input");
  SKERRY_ASSIGN_OR_RETURN(const onnx::ValueInfoProto* chosen, ChooseOutput(graph, output));
  found.output = chosen->name();
  const onnx::NodeProto* maps = ZipMapOf(graph, chosen->name());
  found.probabilities = maps != nullptr || SoundsLikeProbabilities(chosen->name());
  if (maps != nullptr) found.classes = ClassesOf(*maps);
  if (found.probabilities && found.classes.empty()) found.classes = ClassesOfClassifier(graph);
  return found;
}

Result<std::string> ImportGraph(std::string_view onnx, const ImportedGraph& graph,
                                const GraphImport& import) {
  SKERRY_ASSIGN_OR_RETURN(onnx::ModelProto model, Parse(onnx));
  const onnx::NodeProto* maps = ZipMapOf(model.graph(), graph.output);
  const std::string values = std::string(kPrefix) + (maps ? maps->input(0) : graph.output);
  const std::string dropped = maps ? std::string(kPrefix) + graph.output : "";
  Prefix(*model.mutable_graph());
  model.mutable_graph()->clear_output();
  // Constants that are inputs too would be inputs of the package.
  model.mutable_graph()->clear_input();
  DescribeMatrix(*model.mutable_graph()->add_input(), "input", import.features.size());
  Frame frame(model);
  SKERRY_RETURN_IF_ERROR(FeedInputs(frame, graph, import));
  frame.Body(dropped);
  GiveOutput(frame, values, import);
  DescribeMatrix(*model.mutable_graph()->add_output(),
                 import.task == ModelTask::kRegression ? "value" : "probabilities", import.columns);
  ImportDefaultOperators(model);
  return SerializeGraph(model);
}

}  // namespace skerry
