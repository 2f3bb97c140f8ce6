#include "model/session.h"

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <exception>
#include <iterator>
#include <new>
#include <optional>
#include <utility>

#include "base/limits.h"
#include "storage/file.h"

namespace skerry {
namespace {

// One a process, as the library wants it; never destroyed, so that sessions held by threads that
// end after main may still be freed.
Ort::Env& RuntimeEnv() {
  static Ort::Env* const env = [] {
    auto* made = new Ort::Env(ORT_LOGGING_LEVEL_FATAL, "skerry");
    made->DisableTelemetryEvents();
    return made;
  }();
  return *env;
}

Ort::SessionOptions MakeOptions() {
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);
  options.SetInterOpNumThreads(1);
  options.SetExecutionMode(ExecutionMode::ORT_SEQUENTIAL);
  options.AddConfigEntry("session.intra_op.allow_spinning", "0");
  options.AddConfigEntry("session.inter_op.allow_spinning", "0");
  options.SetLogSeverityLevel(ORT_LOGGING_LEVEL_FATAL);
  return options;
}

// The library's types by ours, in the order of TensorType.
constexpr std::array<ONNXTensorElementDataType, 13> kRuntimeTypes = {
    ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL,   ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16,  ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,  ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,  ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING};

ONNXTensorElementDataType ToRuntime(TensorType type) {
  return kRuntimeTypes[static_cast<std::size_t>(type)];
}

std::optional<TensorType> FromRuntime(ONNXTensorElementDataType type) {
  const auto found = std::find(kRuntimeTypes.begin(), kRuntimeTypes.end(), type);
  if (found == kRuntimeTypes.end()) return std::nullopt;
  return static_cast<TensorType>(found - kRuntimeTypes.begin());
}

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// The library's message names source lines of its own build; what follows them is for the reader.
std::string_view WithoutSourceLine(std::string_view message) {
  const std::size_t line = message.find(".cc:");
  if (line == std::string_view::npos) return message;
  const std::size_t end = message.find(' ', line);
  return end == std::string_view::npos ? message : message.substr(end + 1);
}

Error LoadError(const Ort::Exception& exception, std::string_view what) {
  const std::string_view message = WithoutSourceLine(exception.what());
  const OrtErrorCode code = exception.GetOrtErrorCode();
  if (code == ORT_NO_SUCHFILE)
    return Error(ErrorCode::kNotFound, fmt::format("{}: no such file", what));
  if (code == ORT_INVALID_PROTOBUF || Contains(message, "rotobuf parsing failed"))
    return Error(ErrorCode::kDataLoss,
                 fmt::format("{} is damaged, truncated or no ONNX model: {}", what, message));
  if (code == ORT_NOT_IMPLEMENTED || Contains(message, "opset") ||
      Contains(message, "IR version") || Contains(message, "is not a registered function/op"))
    return Error(ErrorCode::kUnimplemented,
                 fmt::format("{} needs an opset, IR version or operator that ONNX Runtime {} does "
                             "not support: {}",
                             what, OrtGetApiBase()->GetVersionString(), message));
  return Error(ErrorCode::kInvalidArgument,
               fmt::format("{} cannot be loaded by ONNX Runtime: {}", what, message));
}

// Runs `load`, which may throw, with the library's exceptions turned into our errors.
template <typename Load>
Status Guarded(std::string_view what, Load&& load) {
  try {
    load();
    return {};
  } catch (const Ort::Exception& exception) {
    return tl::make_unexpected(LoadError(exception, what));
  } catch (const std::bad_alloc&) {
    return Fail(ErrorCode::kTooLarge, "{} needs more memory than there is", what);
  } catch (const std::exception& exception) {
    return Fail(ErrorCode::kInvalidArgument, "{} cannot be loaded by ONNX Runtime: {}", what,
                exception.what());
  }
}

bool ShapeFits(const TensorSpec& spec, std::span<const std::int64_t> shape) {
  if (!spec.has_shape) return true;
  if (spec.shape.size() != shape.size()) return false;
  for (std::size_t i = 0; i < shape.size(); ++i)
    if (spec.shape[i] >= 0 && spec.shape[i] != shape[i]) return false;
  return true;
}

Status CheckInput(const TensorSpec& spec, const Tensor& tensor) {
  if (tensor.type != spec.type)
    return Fail(ErrorCode::kInvalidArgument, "input \"{}\": expected datatype {}, got {}",
                spec.name, TensorTypeName(spec.type), TensorTypeName(tensor.type));
  if (!ShapeFits(spec, tensor.shape))
    return Fail(ErrorCode::kInvalidArgument, "input \"{}\": expected shape {} (-1 is free), got {}",
                spec.name, ShapeText(spec.shape), ShapeText(tensor.shape));
  SKERRY_ASSIGN_OR_RETURN(const std::size_t count, CountElements(tensor.shape));
  const std::size_t held = tensor.type == TensorType::kString
                               ? tensor.strings.size()
                               : tensor.bytes.size() / TensorElementBytes(tensor.type);
  if (held != count)
    return Fail(ErrorCode::kInvalidArgument, "input \"{}\": shape {} wants {} elements, got {}",
                spec.name, ShapeText(tensor.shape), count, held);
  return {};
}

Ort::Value ToRuntimeValue(const Tensor& tensor, const Ort::MemoryInfo& memory) {
  if (tensor.type != TensorType::kString)
    // The library takes a mutable pointer for what it only reads.
    return Ort::Value::CreateTensor(memory, const_cast<char*>(tensor.bytes.data()),
                                    tensor.bytes.size(), tensor.shape.data(), tensor.shape.size(),
                                    ToRuntime(tensor.type));
  Ort::AllocatorWithDefaultOptions allocator;
  Ort::Value value = Ort::Value::CreateTensor(allocator, tensor.shape.data(), tensor.shape.size(),
                                              ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING);
  for (std::size_t i = 0; i < tensor.strings.size(); ++i) {
    const std::string& text = tensor.strings[i];
    std::memcpy(value.GetResizedStringTensorElementBuffer(i, text.size()), text.data(),
                text.size());
  }
  return value;
}

Result<Tensor> FromRuntimeTensor(const Ort::Value& value, const std::string& name) {
  const auto info = value.GetTensorTypeAndShapeInfo();
  const std::optional<TensorType> type = FromRuntime(info.GetElementType());
  if (!type)
    return Fail(ErrorCode::kUnimplemented,
                "output \"{}\" has an element type that has no name here", name);
  Tensor tensor;
  tensor.name = name;
  tensor.Resize(*type, info.GetShape());
  if (*type == TensorType::kString) {
    for (std::size_t i = 0; i < tensor.strings.size(); ++i)
      tensor.strings[i] = value.GetStringTensorElement(i);
  } else if (!tensor.bytes.empty()) {
    std::memcpy(tensor.bytes.data(), value.GetTensorRawData(), tensor.bytes.size());
  }
  return tensor;
}

// What one of our outputs is of the graph's: itself, or the keys of its maps.
enum class Part : std::uint8_t { kTensor, kStack, kMapKeys, kMapValues };

// Puts tensors of one type and shape behind each other along a new first axis.
Result<Tensor> Stack(std::vector<Tensor> parts, const TensorSpec& spec) {
  Tensor stacked;
  stacked.name = spec.name;
  if (parts.empty()) {
    stacked.Resize(spec.type, {0});
    return stacked;
  }
  std::vector<std::int64_t> shape = {static_cast<std::int64_t>(parts.size())};
  shape.insert(shape.end(), parts[0].shape.begin(), parts[0].shape.end());
  for (const Tensor& part : parts)
    if (part.type != parts[0].type || part.shape != parts[0].shape)
      return Fail(
          ErrorCode::kUnimplemented,
          "output \"{}\" is a sequence of tensors {} and {}: only equal shapes fit into one "
          "tensor",
          spec.name, ShapeText(parts[0].shape), ShapeText(part.shape));
  stacked.type = parts[0].type;
  stacked.shape = std::move(shape);
  for (Tensor& part : parts) {
    stacked.bytes += part.bytes;
    std::move(part.strings.begin(), part.strings.end(), std::back_inserter(stacked.strings));
  }
  return stacked;
}

// A sequence of maps (a map alone: one row of them) with the same keys in all.
Result<Tensor> FromMaps(const Ort::Value& sequence, const TensorSpec& spec, Part part) {
  Ort::AllocatorWithDefaultOptions allocator;
  std::vector<Tensor> keys;
  std::vector<Tensor> values;
  for (std::size_t i = 0; i < sequence.GetCount(); ++i) {
    const Ort::Value map = sequence.GetValue(static_cast<int>(i), allocator);
    SKERRY_ASSIGN_OR_RETURN(Tensor key, FromRuntimeTensor(map.GetValue(0, allocator), spec.name));
    if (!keys.empty() && (key.bytes != keys[0].bytes || key.strings != keys[0].strings))
      return Fail(ErrorCode::kUnimplemented,
                  "output \"{}\" has maps of different keys: they do not fit into one tensor",
                  spec.name);
    if (keys.empty()) keys.push_back(std::move(key));
    if (part == Part::kMapKeys) continue;
    SKERRY_ASSIGN_OR_RETURN(Tensor value, FromRuntimeTensor(map.GetValue(1, allocator), spec.name));
    values.push_back(std::move(value));
  }
  if (part == Part::kMapValues) return Stack(std::move(values), spec);
  if (!keys.empty()) return std::move(keys[0]);
  return Stack({}, spec);
}

Result<Tensor> FromRuntimeValue(const Ort::Value& value, const TensorSpec& spec, Part part) {
  if (part == Part::kTensor) return FromRuntimeTensor(value, spec.name);
  if (part != Part::kStack) return FromMaps(value, spec, part);
  Ort::AllocatorWithDefaultOptions allocator;
  std::vector<Tensor> parts;
  for (std::size_t i = 0; i < value.GetCount(); ++i) {
    SKERRY_ASSIGN_OR_RETURN(
        Tensor tensor,
        FromRuntimeTensor(value.GetValue(static_cast<int>(i), allocator), spec.name));
    parts.push_back(std::move(tensor));
  }
  return Stack(std::move(parts), spec);
}

}  // namespace

struct OnnxSession::Runtime {
  std::optional<Ort::Session> session;
  Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  std::vector<const char*> input_names;   // into inputs_
  std::vector<std::string> sources;       // the graph's output behind each of outputs_
  std::vector<const char*> output_names;  // into sources
  std::vector<Part> parts;                // one for each of outputs_

  // Whether the outputs are tensors of numbers that have the rows of the inputs, as far as is
  // known.
  std::atomic<bool> keeps_rows{false};

  // Runs with the outputs' memory given, which spares the runtime its own and a copy. Nothing when
  // it does not take it.
  bool RunInto(std::vector<Ort::Value>& inputs, std::vector<const char*>& names,
               std::vector<Tensor>& outputs) {
    std::vector<Ort::Value> values;
    values.reserve(outputs.size());
    for (Tensor& tensor : outputs) values.push_back(ToRuntimeValue(tensor, memory));
    try {
      session->Run(Ort::RunOptions{nullptr}, input_names.data(), inputs.data(), inputs.size(),
                   names.data(), values.data(), values.size());
      return true;
    } catch (const Ort::Exception&) {
      return false;  // the run that follows says why
    }
  }
};

OnnxSession::OnnxSession() : runtime_(std::make_unique<Runtime>()) {}
OnnxSession::~OnnxSession() = default;

Result<std::unique_ptr<OnnxSession>> OnnxSession::Load(const std::filesystem::path& path) {
  std::error_code missing;
  const auto size = std::filesystem::file_size(path, missing);
  if (missing) return Fail(ErrorCode::kNotFound, "{}: {}", path.string(), missing.message());
  if (size > limits::kModelBytes)
    return Fail(ErrorCode::kTooLarge, "{} has {} bytes, the limit kModelBytes is {}", path.string(),
                size, limits::kModelBytes);
  std::unique_ptr<OnnxSession> made(new OnnxSession);
  SKERRY_RETURN_IF_ERROR(Guarded(path.string(), [&] {
    made->runtime_->session.emplace(RuntimeEnv(), path.c_str(), MakeOptions());
  }));
  SKERRY_RETURN_IF_ERROR(made->Describe(path.string()));
  return made;
}

Result<std::unique_ptr<OnnxSession>> OnnxSession::LoadBytes(std::string_view bytes,
                                                            std::string_view what) {
  if (bytes.empty()) return Fail(ErrorCode::kDataLoss, "{} is empty", what);
  std::unique_ptr<OnnxSession> made(new OnnxSession);
  SKERRY_RETURN_IF_ERROR(Guarded(what, [&] {
    made->runtime_->session.emplace(RuntimeEnv(), bytes.data(), bytes.size(), MakeOptions());
  }));
  SKERRY_RETURN_IF_ERROR(made->Describe(what));
  return made;
}

namespace {

// nullopt for what is no tensor or has a type without a name here.
std::optional<TensorSpec> SpecOf(std::string name, const Ort::TypeInfo& info) {
  if (info.GetONNXType() != ONNX_TYPE_TENSOR) return std::nullopt;
  const auto tensor = info.GetTensorTypeAndShapeInfo();
  const std::optional<TensorType> type = FromRuntime(tensor.GetElementType());
  if (!type) return std::nullopt;
  TensorSpec spec{std::move(name), *type, tensor.GetShape(), true};
  // The library tells an unknown rank and a scalar alike; take it as "any".
  spec.has_shape = !spec.shape.empty();
  for (std::int64_t& dimension : spec.shape) dimension = std::max<std::int64_t>(dimension, -1);
  return spec;
}

bool HasFreeRows(const TensorSpec& spec) { return !spec.shape.empty() && spec.shape[0] == -1; }

struct OutputPart {
  TensorSpec spec;
  Part part;
};

// The plain tensors that stand for a graph's output; none when it cannot be answered.
std::vector<OutputPart> PartsOf(const std::string& name, const Ort::TypeInfo& info) {
  std::vector<OutputPart> parts;
  if (auto spec = SpecOf(name, info)) parts.push_back({std::move(*spec), Part::kTensor});
  if (info.GetONNXType() != ONNX_TYPE_SEQUENCE) return parts;
  const Ort::TypeInfo element = info.GetSequenceTypeInfo().GetSequenceElementType();
  if (auto spec = SpecOf(name, element)) {
    if (spec->has_shape) spec->shape.insert(spec->shape.begin(), -1);
    parts.push_back({std::move(*spec), Part::kStack});
  }
  if (element.GetONNXType() != ONNX_TYPE_MAP) return parts;
  const auto map = element.GetMapTypeInfo();
  const auto value = SpecOf(name, map.GetMapValueType());
  const auto key = FromRuntime(map.GetMapKeyType());
  if (!value || !key) return parts;
  parts.push_back({{name, value->type, {-1, -1}, true}, Part::kMapValues});
  parts.push_back({{name + "_keys", *key, {-1}, true}, Part::kMapKeys});
  return parts;
}

}  // namespace

Status OnnxSession::Describe(std::string_view what) {
  Status fits;
  SKERRY_RETURN_IF_ERROR(Guarded(what, [&] {
    Ort::Session& session = *runtime_->session;
    Ort::AllocatorWithDefaultOptions allocator;
    for (std::size_t i = 0; i < session.GetInputCount(); ++i) {
      std::string name = session.GetInputNameAllocated(i, allocator).get();
      std::optional<TensorSpec> spec = SpecOf(name, session.GetInputTypeInfo(i));
      if (!spec)
        fits = Fail(ErrorCode::kUnimplemented,
                    "{}: input \"{}\" is no tensor of a type that can be served", what, name);
      else
        inputs_.push_back(std::move(*spec));
    }
    for (std::size_t i = 0; i < session.GetOutputCount(); ++i) {
      const std::string name = session.GetOutputNameAllocated(i, allocator).get();
      for (OutputPart& part : PartsOf(name, session.GetOutputTypeInfo(i))) {
        outputs_.push_back(std::move(part.spec));
        runtime_->sources.push_back(name);
        runtime_->parts.push_back(part.part);
      }
    }
  }));
  SKERRY_RETURN_IF_ERROR(std::move(fits));
  if (outputs_.empty())
    return Fail(ErrorCode::kUnimplemented, "{}: no output is a tensor that can be served", what);
  // Free rows and nothing else that is free.
  const auto rows_alone = [](const TensorSpec& spec) {
    return spec.type != TensorType::kString && !spec.shape.empty() && spec.shape[0] == -1 &&
           std::count(spec.shape.begin(), spec.shape.end(), -1) == 1;
  };
  runtime_->keeps_rows = !inputs_.empty() && !inputs_[0].shape.empty() &&
                         inputs_[0].shape[0] == -1 &&
                         std::all_of(outputs_.begin(), outputs_.end(), rows_alone) &&
                         std::all_of(runtime_->parts.begin(), runtime_->parts.end(),
                                     [](Part part) { return part == Part::kTensor; });
  batches_ = std::ranges::all_of(inputs_, HasFreeRows) &&
             std::ranges::all_of(outputs_, HasFreeRows) &&
             std::ranges::all_of(runtime_->parts, [](Part part) { return part == Part::kTensor; });
  for (const TensorSpec& spec : inputs_) runtime_->input_names.push_back(spec.name.c_str());
  for (const std::string& source : runtime_->sources)
    runtime_->output_names.push_back(source.c_str());
  return {};
}

namespace {

std::string NamesOf(std::span<const TensorSpec> specs) {
  std::string names;
  for (const TensorSpec& spec : specs) names += (names.empty() ? "" : ", ") + spec.name;
  return names;
}

const TensorSpec* FindSpec(std::span<const TensorSpec> specs, std::string_view name) {
  const auto found = std::find_if(specs.begin(), specs.end(),
                                  [name](const TensorSpec& spec) { return spec.name == name; });
  return found == specs.end() ? nullptr : &*found;
}

Status CheckGivenNames(std::span<const TensorSpec> specs, std::span<const Tensor> given) {
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (FindSpec(specs, given[i].name) == nullptr)
      return Fail(ErrorCode::kInvalidArgument, "no input named \"{}\"; the model has {}",
                  given[i].name, NamesOf(specs));
    for (std::size_t j = 0; j < i; ++j)
      if (given[j].name == given[i].name)
        return Fail(ErrorCode::kInvalidArgument, "input \"{}\" is given twice", given[i].name);
  }
  return {};
}

}  // namespace

namespace {

std::vector<Tensor> SizedOutputs(std::span<const TensorSpec> specs,
                                 std::span<const std::size_t> chosen, std::int64_t rows) {
  std::vector<Tensor> outputs(chosen.size());
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const TensorSpec& spec = specs[chosen[i]];
    outputs[i].name = spec.name;
    std::vector<std::int64_t> shape = spec.shape;
    shape[0] = rows;
    outputs[i].Resize(spec.type, std::move(shape));
  }
  return outputs;
}

}  // namespace

Result<std::vector<Tensor>> OnnxSession::Run(std::span<const Tensor> given,
                                             std::span<const std::string> wanted) const {
  SKERRY_RETURN_IF_ERROR(CheckGivenNames(inputs_, given));
  std::vector<const Tensor*> ordered;
  for (const TensorSpec& spec : inputs_) {
    const auto found = std::find_if(given.begin(), given.end(),
                                    [&](const Tensor& tensor) { return tensor.name == spec.name; });
    if (found == given.end())
      return Fail(ErrorCode::kInvalidArgument, "input \"{}\" is missing: expected {}", spec.name,
                  spec.ToString());
    SKERRY_RETURN_IF_ERROR(CheckInput(spec, *found));
    ordered.push_back(&*found);
  }
  std::vector<std::size_t> chosen;
  for (const std::string& name : wanted) {
    const TensorSpec* spec = FindSpec(outputs_, name);
    if (spec == nullptr)
      return Fail(ErrorCode::kInvalidArgument, "no output named \"{}\"; the model has {}", name,
                  NamesOf(outputs_));
    chosen.push_back(static_cast<std::size_t>(spec - outputs_.data()));
  }
  for (std::size_t i = 0; wanted.empty() && i < outputs_.size(); ++i) chosen.push_back(i);
  std::vector<const char*> names;
  std::vector<std::size_t> place;  // of each chosen output in what the graph returns
  for (const std::size_t output : chosen) {
    // Keys and values of a map are one output of the graph, which refuses a name given twice.
    const std::string_view source = runtime_->sources[output];
    const auto found = std::find(names.begin(), names.end(), source);
    place.push_back(static_cast<std::size_t>(found - names.begin()));
    if (found == names.end()) names.push_back(runtime_->output_names[output]);
  }
  try {
    std::vector<Ort::Value> values;
    for (const Tensor* tensor : ordered)
      values.push_back(ToRuntimeValue(*tensor, runtime_->memory));
    std::vector<Tensor> outputs;
    const bool keeps_rows = runtime_->keeps_rows.load(std::memory_order_relaxed);
    if (keeps_rows && names.size() == chosen.size() && !given[0].shape.empty() &&
        given[0].shape[0] > 0) {
      outputs = SizedOutputs(outputs_, chosen, given[0].shape[0]);
      if (runtime_->RunInto(values, names, outputs)) return outputs;
      outputs.clear();
    }
    const std::vector<Ort::Value> made =
        runtime_->session->Run(Ort::RunOptions{nullptr}, runtime_->input_names.data(),
                               values.data(), values.size(), names.data(), names.size());
    // It can run, but not with these shapes.
    if (keeps_rows) runtime_->keeps_rows.store(false, std::memory_order_relaxed);
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      SKERRY_ASSIGN_OR_RETURN(Tensor tensor, FromRuntimeValue(made[place[i]], outputs_[chosen[i]],
                                                              runtime_->parts[chosen[i]]));
      outputs.push_back(std::move(tensor));
    }
    return outputs;
  } catch (const std::exception& exception) {
    return Fail(ErrorCode::kInternal, "ONNX Runtime failed: {}",
                WithoutSourceLine(exception.what()));
  }
}

Status OnnxSession::RunMatrix(std::span<const float> in, std::size_t rows, std::size_t columns,
                              std::size_t output, std::span<float> out,
                              std::size_t out_columns) const {
  const std::array<std::int64_t, 2> in_shape = {static_cast<std::int64_t>(rows),
                                                static_cast<std::int64_t>(columns)};
  const std::array<std::int64_t, 2> out_shape = {static_cast<std::int64_t>(rows),
                                                 static_cast<std::int64_t>(out_columns)};
  try {
    // The library takes a mutable pointer for what it only reads.
    const Ort::Value input =
        Ort::Value::CreateTensor<float>(runtime_->memory, const_cast<float*>(in.data()), in.size(),
                                        in_shape.data(), in_shape.size());
    Ort::Value result = Ort::Value::CreateTensor<float>(runtime_->memory, out.data(), out.size(),
                                                        out_shape.data(), out_shape.size());
    runtime_->session->Run(Ort::RunOptions{nullptr}, runtime_->input_names.data(), &input, 1,
                           &runtime_->output_names[output], &result, 1);
    return {};
  } catch (const std::exception& exception) {
    return Fail(ErrorCode::kInternal, "ONNX Runtime failed: {}",
                WithoutSourceLine(exception.what()));
  }
}

Result<std::size_t> OnnxSession::RequireMatrix(std::size_t columns, std::string_view output,
                                               std::size_t out_columns) const {
  const auto fits = [](const TensorSpec& spec, std::size_t width) {
    return spec.type == TensorType::kFloat32 && spec.shape.size() == 2 && spec.shape[0] < 0 &&
           (spec.shape[1] < 0 || static_cast<std::size_t>(spec.shape[1]) == width);
  };
  if (inputs_.size() != 1 || inputs_[0].name != "input" || !fits(inputs_[0], columns)) {
    std::string found;
    for (const TensorSpec& spec : inputs_) found += (found.empty() ? "" : ", ") + spec.ToString();
    return Fail(
        ErrorCode::kInvalidArgument,
        "expected the one input \"input\" FP32 [-1,{}] as the schema's features have it, got "
        "{}",
        columns, found);
  }
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    if (outputs_[i].name != output) continue;
    if (fits(outputs_[i], out_columns)) return i;
    return Fail(ErrorCode::kInvalidArgument, "expected the output \"{}\" FP32 [-1,{}], got {}",
                output, out_columns, outputs_[i].ToString());
  }
  return Fail(ErrorCode::kInvalidArgument, "expected an output \"{}\" FP32 [-1,{}], got {}", output,
              out_columns, NamesOf(outputs_));
}

}  // namespace skerry
