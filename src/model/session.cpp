#include "model/session.h"

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <exception>
#include <iterator>
#include <new>
#include <numeric>
#include <optional>
#include <utility>

#include "base/limits.h"
#include "model/runtime_values.h"
#include "model/tree_runner.h"
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

}  // namespace

struct OnnxSession::Runtime {
  std::optional<Ort::Session> session;
  Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  std::vector<const char*> input_names;   // into inputs_
  std::vector<std::string> sources;       // the graph's output behind each of outputs_
  std::vector<const char*> output_names;  // into sources
  std::vector<OutputKind> kinds;          // one for each of outputs_

  // Whether the outputs are tensors of numbers that have the rows of the first input, as far as is
  // known.
  std::atomic<bool> keeps_rows{false};
  std::unique_ptr<const TreeRunner> trees{};  // null: the runtime runs the graph

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
  if (size <= limits::kWalkedModelBytes) {
    SKERRY_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, limits::kWalkedModelBytes));
    made->AdoptTrees(bytes);
  }
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
  made->AdoptTrees(bytes);
  return made;
}

namespace {

bool HasFreeRows(const TensorSpec& spec) { return !spec.shape.empty() && spec.shape[0] == -1; }

// The rows say how many bytes such a tensor with free rows has.
bool IsSizedByRows(const TensorSpec& spec) {
  return spec.type != TensorType::kString && std::ranges::count(spec.shape, -1) == 1;
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
        runtime_->kinds.push_back(part.kind);
      }
    }
  }));
  SKERRY_RETURN_IF_ERROR(std::move(fits));
  if (outputs_.empty())
    return Fail(ErrorCode::kUnimplemented, "{}: no output is a tensor that can be served", what);
  const bool rows_out = std::ranges::all_of(outputs_, HasFreeRows) &&
                        std::ranges::all_of(runtime_->kinds, [](OutputKind kind) {
                          return kind == OutputKind::kTensor;
                        });
  batches_ = rows_out && std::ranges::all_of(inputs_, HasFreeRows);
  runtime_->keeps_rows = rows_out && !inputs_.empty() && HasFreeRows(inputs_[0]) &&
                         std::ranges::all_of(outputs_, IsSizedByRows);
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
  if (runtime_->trees && ordered[0]->shape[0] > 0) {
    std::vector<Tensor> outputs = SizedOutputs(outputs_, chosen, ordered[0]->shape[0]);
    runtime_->trees->Run(ordered[0]->View<float>(), chosen, outputs);
    return outputs;
  }
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
    const bool into = runtime_->keeps_rows.load(std::memory_order_relaxed) &&
                      names.size() == chosen.size() && ordered[0]->shape[0] > 0;
    if (into) {
      outputs = SizedOutputs(outputs_, chosen, ordered[0]->shape[0]);
      if (runtime_->RunInto(values, names, outputs)) return outputs;
      outputs.clear();
    }
    const std::vector<Ort::Value> made =
        runtime_->session->Run(Ort::RunOptions{nullptr}, runtime_->input_names.data(),
                               values.data(), values.size(), names.data(), names.size());
    // It can run, but not with these shapes.
    if (into) runtime_->keeps_rows.store(false, std::memory_order_relaxed);
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      SKERRY_ASSIGN_OR_RETURN(Tensor tensor, FromRuntimeValue(made[place[i]], outputs_[chosen[i]],
                                                              runtime_->kinds[chosen[i]]));
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
  if (runtime_->trees && runtime_->trees->RunScores(in, output, out)) return {};
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

bool OnnxSession::walks_trees() const { return runtime_->trees != nullptr; }

namespace {

// What the graph declares of its outputs is what the trees give of a row.
bool HasWidths(std::span<const TensorSpec> specs, std::size_t width) {
  return std::ranges::all_of(specs, [width](const TensorSpec& spec) {
    std::int64_t numbers = 1;
    for (const std::int64_t size : spec.shape) numbers *= std::max<std::int64_t>(size, 1);
    return numbers == (spec.type == TensorType::kFloat32 ? static_cast<std::int64_t>(width) : 1);
  });
}

bool IsSame(const Tensor& wanted, const Tensor& got, const TreeRunner& runner) {
  if (runner.is_bare() || wanted.type != TensorType::kFloat32) return wanted.bytes == got.bytes;
  const auto near = [relative = runner.gives_numbers()](float a, float b) {
    return a == b || std::abs(a - b) <= TreeRunner::kLinkDifference * (relative ? std::abs(a) : 1);
  };
  return std::ranges::equal(wanted.View<float>(), got.View<float>(), near);
}

}  // namespace

void OnnxSession::AdoptTrees(std::string_view onnx) {
  constexpr std::size_t kProbes = 256, kAlone = 16;
  if (!runtime_->keeps_rows || inputs_.size() != 1 || inputs_[0].type != TensorType::kFloat32 ||
      inputs_[0].shape.size() != 2 || inputs_[0].shape[1] <= 0)
    return;
  const auto columns = static_cast<std::size_t>(inputs_[0].shape[1]);
  auto runner = TreeRunner::Make(onnx, columns);
  if (!runner || !HasWidths(outputs_, runner->width())) return;
  std::vector<std::size_t> all(outputs_.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  const std::vector<float> probes = runner->ProbeRows(kProbes);
  const auto agree = [&](std::size_t first, std::size_t rows) {
    Tensor input;
    input.name = inputs_[0].name;
    input.Resize(TensorType::kFloat32, {static_cast<std::int64_t>(rows), inputs_[0].shape[1]});
    const std::span<const float> given(probes.data() + first * columns, rows * columns);
    std::ranges::copy(given, input.MutableView<float>().begin());
    const auto wanted = Run({&input, 1});
    std::vector<Tensor> got = SizedOutputs(outputs_, all, input.shape[0]);
    runner->Run(given, all, got);
    const auto same = [&runner](const Tensor& a, const Tensor& b) { return IsSame(a, b, *runner); };
    return wanted && std::ranges::equal(*wanted, got, same);
  };
  // The runtime has other code for one row than for several.
  bool same = agree(0, kProbes);
  for (std::size_t row = 0; same && row < kAlone; ++row) same = agree(row, 1);
  if (same) runtime_->trees = std::move(runner);
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
    return Fail(ErrorCode::kInvalidArgument,
                "expected the one input \"input\" FP32 [-1,{}] as the schema has it, got "
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

std::string OnnxRuntimeVersion() { return OrtGetApiBase()->GetVersionString(); }

}  // namespace skerry
