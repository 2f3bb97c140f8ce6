#include "serve/infer_request.h"

#include <algorithm>
#include <utility>

#include "base/limits.h"
#include "serve/binary_tensors.h"
#include "serve/json_read.h"
#include "serve/json_tensor.h"

namespace skerry {
namespace {

namespace ondemand = simdjson::ondemand;
using json_read::KindName;

// Where a request is being read: its JSON and what of its binary part no tensor has taken yet.
struct Body {
  std::size_t json_bytes;
  std::string_view binary;
};

Error Twice(std::string_view where, std::string_view key) {
  return Error(ErrorCode::kInvalidArgument, fmt::format("{}: \"{}\" is given twice", where, key));
}

// Calls take(key, value) for each member, in their order. `where` says whose they are in errors.
template <typename Where, typename Take>
Status ForEachMember(ondemand::object& object, const Where& where, Take take) {
  for (auto item : object) {
    ondemand::field field;
    std::string_view key;
    if (std::move(item).get(field) || field.unescaped_key().get(key))
      return Fail(ErrorCode::kInvalidArgument, "{}: the object is no valid JSON", where());
    SKERRY_RETURN_IF_ERROR(take(key, field.value()));
  }
  return {};
}

Result<std::uint64_t> ReadCount(ondemand::value& value, std::string_view what) {
  std::uint64_t count = 0;
  if (value.get_uint64().get(count))
    return Fail(ErrorCode::kInvalidArgument, "{}: expected a whole number, got {}", what,
                KindName(value));
  return count;
}

Result<bool> ReadFlag(ondemand::value& value, std::string_view what) {
  bool flag = false;
  if (value.get_bool().get(flag))
    return Fail(ErrorCode::kInvalidArgument, "{}: expected true or false, got {}", what,
                KindName(value));
  return flag;
}

template <typename Where>
Result<std::vector<std::int64_t>> ReadShape(ondemand::value& value, const Where& where) {
  std::vector<std::int64_t> shape;
  shape.reserve(4);
  ondemand::array array;
  if (value.get_array().get(array))
    return Fail(ErrorCode::kInvalidArgument, "{}: expected \"shape\", an array of integers",
                where());
  for (auto item : array) {
    std::int64_t dimension = 0;
    if (item.get_int64().get(dimension) || dimension < 0)
      return Fail(ErrorCode::kInvalidArgument, "{}: shape[{}] is no integer of 0 or more", where(),
                  shape.size());
    if (shape.size() == limits::kTensorRank)
      return Fail(ErrorCode::kTooLarge, "{}: shape has more than {} dimensions", where(),
                  limits::kTensorRank);
    shape.push_back(dimension);
  }
  return shape;
}

// Reads one element of `inputs`. A member may stand before those that say what it is, so `data`
// that comes too early is read in a second pass.
class InputReader {
 public:
  InputReader(std::size_t index, Body& body, Tensor& tensor)
      : index_(index), body_(body), tensor_(tensor) {}

  Status Read(ondemand::value& value) {
    ondemand::object object;
    if (value.get_object().get(object))
      return Fail(ErrorCode::kInvalidArgument, "inputs[{}]: expected an object, got {}", index_,
                  KindName(value));
    SKERRY_RETURN_IF_ERROR(ForEachMember(
        object, [this] { return Where(); },
        [this](std::string_view key, ondemand::value member) { return Take(key, member); }));
    SKERRY_RETURN_IF_ERROR(CheckWhole());
    if (binary_bytes_) return TakeBinary();
    if (read_) return {};
    SKERRY_RETURN_IF_ERROR(Size());
    ondemand::value data;
    if (object.reset().error() || object.find_field("data").get(data))
      return Fail(ErrorCode::kInvalidArgument, "{}: the object is no valid JSON", Where());
    return ReadElements(data, tensor_);
  }

 private:
  std::string Where() const {
    return has_name_ ? fmt::format("input \"{}\"", tensor_.name)
                     : fmt::format("inputs[{}]", index_);
  }

  Status Take(std::string_view key, ondemand::value member) {
    if (key == "name") return TakeName(member);
    if (key == "shape") return TakeShape(member);
    if (key == "datatype") return TakeType(member);
    if (key == "parameters") return TakeParameters(member);
    if (key != "data") return {};
    if (std::exchange(has_data_, true)) return tl::make_unexpected(Twice(Where(), key));
    if (!has_name_ || !has_shape_ || !has_type_) return {};
    SKERRY_RETURN_IF_ERROR(Size());
    read_ = true;
    return ReadElements(member, tensor_);
  }

  Status TakeName(ondemand::value& member) {
    std::string_view text;
    if (std::exchange(has_name_, true))
      return tl::make_unexpected(Twice(fmt::format("inputs[{}]", index_), "name"));
    if (member.get_string().get(text))
      return Fail(ErrorCode::kInvalidArgument, "inputs[{}]: expected \"name\", a string", index_);
    tensor_.name = text;
    return {};
  }

  Status TakeShape(ondemand::value& member) {
    if (std::exchange(has_shape_, true)) return tl::make_unexpected(Twice(Where(), "shape"));
    SKERRY_ASSIGN_OR_RETURN(tensor_.shape, ReadShape(member, [this] { return Where(); }));
    return {};
  }

  Status TakeType(ondemand::value& member) {
    std::string_view text;
    if (std::exchange(has_type_, true)) return tl::make_unexpected(Twice(Where(), "datatype"));
    if (member.get_string().get(text))
      return Fail(ErrorCode::kInvalidArgument, "{}: expected \"datatype\", a string", Where());
    SKERRY_ASSIGN_OR_RETURN(tensor_.type, ParseTensorType(text), Where());
    return {};
  }

  Status TakeParameters(ondemand::value& member) {
    if (std::exchange(has_parameters_, true))
      return tl::make_unexpected(Twice(Where(), "parameters"));
    ondemand::object object;
    if (member.get_object().get(object))
      return Fail(ErrorCode::kInvalidArgument, "{}: parameters: expected an object, got {}",
                  Where(), KindName(member));
    return ForEachMember(
        object, [this] { return Where(); },
        [this](std::string_view key, ondemand::value value) -> Status {
          if (key == "shared_memory_region")
            return Fail(ErrorCode::kUnimplemented, "{}: shared memory is not offered", Where());
          if (key != "binary_data_size") return {};
          if (binary_bytes_) return tl::make_unexpected(Twice(Where(), key));
          SKERRY_ASSIGN_OR_RETURN(binary_bytes_, ReadCount(value, Where() + ": binary_data_size"));
          return {};
        });
  }

  Status CheckWhole() const {
    const auto missing = [this](std::string_view what) {
      return Fail(ErrorCode::kInvalidArgument, "{}: expected {}", Where(), what);
    };
    if (!has_name_) return missing("\"name\", a string");
    if (!has_shape_) return missing("\"shape\", an array of integers");
    if (!has_type_) return missing("\"datatype\", a string");
    if (binary_bytes_ && has_data_) return missing("\"data\" or binary_data_size, and both came");
    if (!binary_bytes_ && !has_data_) return missing("\"data\", an array, or binary_data_size");
    return {};
  }

  Status Size() {
    SKERRY_ASSIGN_OR_RETURN(const std::size_t elements, CountElements(tensor_.shape), Where());
    // An element and its comma take two bytes: a small body cannot make a large allocation.
    if (elements > body_.json_bytes / 2 + 1)
      return Fail(ErrorCode::kInvalidArgument,
                  "{}: shape {} wants {} elements, more than the body can hold", Where(),
                  ShapeText(tensor_.shape), elements);
    tensor_.Resize(tensor_.type, std::move(tensor_.shape));
    return {};
  }

  Status TakeBinary() {
    if (*binary_bytes_ > body_.binary.size())
      return Fail(ErrorCode::kInvalidArgument,
                  "{}: binary_data_size is {}, and {} bytes are left behind the JSON (see the "
                  "header Inference-Header-Content-Length)",
                  Where(), *binary_bytes_, body_.binary.size());
    SKERRY_RETURN_IF_ERROR(CountElements(tensor_.shape), Where());
    const std::string_view raw = body_.binary.substr(0, *binary_bytes_);
    body_.binary.remove_prefix(raw.size());
    return TakeRawElements(std::string(raw), tensor_);
  }

  const std::size_t index_;
  Body& body_;
  Tensor& tensor_;
  bool has_name_ = false, has_shape_ = false, has_type_ = false, has_parameters_ = false;
  bool has_data_ = false;
  bool read_ = false;  // data, into the tensor
  std::optional<std::uint64_t> binary_bytes_;
};

Status ReadInputs(ondemand::value& value, Body& body, std::vector<Tensor>& inputs) {
  ondemand::array array;
  if (value.get_array().get(array))
    return Fail(ErrorCode::kInvalidArgument, "inputs: expected an array, got {}", KindName(value));
  for (auto item : array) {
    ondemand::value element;
    if (item.get(element))
      return Fail(ErrorCode::kInvalidArgument, "inputs[{}] is no valid JSON", inputs.size());
    if (inputs.size() == limits::kTensorsPerRequest)
      return Fail(ErrorCode::kTooLarge, "more than {} inputs", limits::kTensorsPerRequest);
    inputs.emplace_back();
    SKERRY_RETURN_IF_ERROR(InputReader(inputs.size() - 1, body, inputs.back()).Read(element));
  }
  return {};
}

Status ReadOutputParameters(ondemand::value& value, std::string_view where, RequestedOutput& output,
                            std::optional<bool>& binary) {
  ondemand::object object;
  if (value.get_object().get(object))
    return Fail(ErrorCode::kInvalidArgument, "{}: parameters: expected an object, got {}", where,
                KindName(value));
  return ForEachMember(
      object, [&where] { return where; },
      [&](std::string_view key, ondemand::value member) -> Status {
        if (key == "shared_memory_region")
          return Fail(ErrorCode::kUnimplemented, "{}: shared memory is not offered", where);
        if (key == "binary_data") {
          SKERRY_ASSIGN_OR_RETURN(binary, ReadFlag(member, fmt::format("{}: binary_data", where)));
        } else if (key == "classification") {
          const std::string what = fmt::format("{}: classification", where);
          SKERRY_ASSIGN_OR_RETURN(output.classification, ReadCount(member, what));
          if (output.classification == 0)
            return Fail(ErrorCode::kInvalidArgument, "{}: expected how many classes, got 0", what);
        }
        return {};
      });
}

// What the outputs said of their own; the request's binary_data_output holds for the others.
struct OutputsRead {
  std::vector<RequestedOutput> outputs;
  std::vector<std::optional<bool>> binary;
};

Status ReadOutput(ondemand::value& value, OutputsRead& read) {
  const std::string where = fmt::format("outputs[{}]", read.outputs.size());
  ondemand::object object;
  if (value.get_object().get(object))
    return Fail(ErrorCode::kInvalidArgument, "{}: expected an object with \"name\"", where);
  RequestedOutput output;
  std::optional<bool> binary;
  SKERRY_RETURN_IF_ERROR(ForEachMember(
      object, [&where] { return where; },
      [&](std::string_view key, ondemand::value member) -> Status {
        if (key == "parameters") return ReadOutputParameters(member, where, output, binary);
        if (key != "name") return {};
        std::string_view name;
        if (member.get_string().get(name))
          return Fail(ErrorCode::kInvalidArgument, "{}: expected \"name\", a string", where);
        output.name = name;
        return {};
      }));
  if (output.name.empty())
    return Fail(ErrorCode::kInvalidArgument, "{}: expected an object with \"name\"", where);
  read.outputs.push_back(std::move(output));
  read.binary.push_back(binary);
  return {};
}

Status ReadOutputs(ondemand::value& value, OutputsRead& read) {
  ondemand::array array;
  if (value.get_array().get(array))
    return Fail(ErrorCode::kInvalidArgument, "outputs: expected an array, got {}", KindName(value));
  for (auto item : array) {
    ondemand::value element;
    if (item.get(element))
      return Fail(ErrorCode::kInvalidArgument, "outputs[{}] is no valid JSON", read.outputs.size());
    if (read.outputs.size() == limits::kTensorsPerRequest)
      return Fail(ErrorCode::kTooLarge, "more than {} outputs", limits::kTensorsPerRequest);
    SKERRY_RETURN_IF_ERROR(ReadOutput(element, read));
  }
  return {};
}

Status ReadId(ondemand::value& value, std::string& id) {
  std::string_view text;
  if (value.get_string().get(text))
    return Fail(ErrorCode::kInvalidArgument, "id: expected a string, got {}", KindName(value));
  if (text.size() > limits::kRequestIdBytes)
    return Fail(ErrorCode::kTooLarge, "id has {} bytes, the limit kRequestIdBytes is {}",
                text.size(), limits::kRequestIdBytes);
  id = text;
  return {};
}

// Reads the members of a request, each at most once.
class RequestReader {
 public:
  RequestReader(Body& body, InferRequest& request) : body_(body), request_(request) {}

  Status Take(std::string_view key, ondemand::value& value) {
    if (key == "inputs") {
      if (std::exchange(has_inputs_, true)) return tl::make_unexpected(Twice("the request", key));
      return ReadInputs(value, body_, request_.inputs);
    }
    if (key == "outputs") {
      if (std::exchange(has_outputs_, true)) return tl::make_unexpected(Twice("the request", key));
      return ReadOutputs(value, outputs_);
    }
    if (key == "parameters") return json_read::ReadParameters(value, request_.parameters);
    if (key == "id") return ReadId(value, request_.id);
    return {};
  }

  Status Finish() {
    // An empty array is for graphs that take nothing.
    if (!has_inputs_)
      return Fail(ErrorCode::kInvalidArgument, "expected \"inputs\", an array of tensors");
    if (!body_.binary.empty())
      return Fail(ErrorCode::kInvalidArgument,
                  "{} bytes behind the JSON belong to no input's binary_data_size",
                  body_.binary.size());
    const auto wanted = request_.parameters.find("binary_data_output");
    request_.binary_outputs = wanted != request_.parameters.end() && !wanted->second.per_row &&
                              wanted->second.texts.front() == "true";
    for (std::size_t i = 0; i < outputs_.outputs.size(); ++i)
      outputs_.outputs[i].binary = outputs_.binary[i].value_or(request_.binary_outputs);
    request_.outputs = std::move(outputs_.outputs);
    return {};
  }

 private:
  Body& body_;
  InferRequest& request_;
  OutputsRead outputs_;
  bool has_inputs_ = false, has_outputs_ = false;
};

}  // namespace

std::vector<std::string> OutputNames(std::span<const RequestedOutput> outputs) {
  std::vector<std::string> names;
  names.reserve(outputs.size());
  for (const RequestedOutput& output : outputs) names.push_back(output.name);
  return names;
}

Result<InferRequest> ParseInferRequest(std::string& body) {
  return ParseInferRequest(body, body.size());
}

Result<InferRequest> ParseInferRequest(std::string& body, std::size_t json_bytes) {
  SKERRY_ASSIGN_OR_RETURN(ondemand::document document, json_read::Start(body, json_bytes));
  const std::string_view json = std::string_view(body).substr(0, json_bytes);
  ondemand::object object;
  if (document.get_object().get(object))
    return Fail(ErrorCode::kInvalidArgument,
                "expected a JSON object with \"inputs\" (Open Inference Protocol v2)");
  InferRequest request;
  Body parts{json_bytes, std::string_view(body).substr(json_bytes)};
  RequestReader reader(parts, request);
  for (auto item : object) {
    ondemand::field field;
    std::string_view key;
    if (const auto error = std::move(item).get(field))
      return tl::make_unexpected(json_read::Malformed(error, document, json));
    if (const auto error = field.unescaped_key().get(key))
      return tl::make_unexpected(json_read::Malformed(error, document, json));
    ondemand::value value = field.value();
    SKERRY_RETURN_IF_ERROR(reader.Take(key, value));
  }
  if (!json_read::AtEnd(document))
    return Fail(ErrorCode::kInvalidArgument, "the body is no valid JSON: text after the object");
  SKERRY_RETURN_IF_ERROR(reader.Finish());
  return request;
}

}  // namespace skerry
