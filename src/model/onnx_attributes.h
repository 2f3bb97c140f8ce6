// A node's attributes by name. Inside model.
#pragma once

#include <onnx-ml.pb.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace skerry {

// Views live as long as the node. What is absent is empty, or what the caller says.
class OnnxAttributes {
 public:
  using Strings = google::protobuf::RepeatedPtrField<std::string>;

  explicit OnnxAttributes(const onnx::NodeProto& node) : node_(&node) {}

  bool Has(std::string_view name) const {
    return Find(name) != &onnx::AttributeProto::default_instance();
  }
  std::span<const std::int64_t> Ints(std::string_view name) const {
    const auto& ints = Find(name)->ints();
    return {ints.data(), static_cast<std::size_t>(ints.size())};
  }
  std::span<const float> Floats(std::string_view name) const {
    const auto& floats = Find(name)->floats();
    return {floats.data(), static_cast<std::size_t>(floats.size())};
  }
  const Strings& Texts(std::string_view name) const { return Find(name)->strings(); }
  std::int64_t Int(std::string_view name, std::int64_t absent) const {
    return Has(name) ? Find(name)->i() : absent;
  }
  std::string_view Text(std::string_view name, std::string_view absent) const {
    return Has(name) ? std::string_view(Find(name)->s()) : absent;
  }

 private:
  const onnx::AttributeProto* Find(std::string_view name) const {
    for (const onnx::AttributeProto& attribute : node_->attribute())
      if (attribute.name() == name) return &attribute;
    return &onnx::AttributeProto::default_instance();
  }

  const onnx::NodeProto* node_;
};

}  // namespace skerry
