#include "serve/classification.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <type_traits>
#include <vector>

#include "serve/json_text.h"

namespace skerry {
namespace {

// NaN after every number.
template <typename T>
bool IsGreater(T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    if (std::isnan(a) || std::isnan(b)) return !std::isnan(a);
  return a > b;
}

template <typename T>
std::string ClassText(T value, std::size_t index, std::span<const std::string> labels) {
  std::string text = fmt::format("{}:{}", value, index);
  if (index < labels.size()) text += ":" + labels[index];
  return text;
}

// `Shown` is what the text of an element is made from.
template <typename T, typename Shown = T>
void AppendBest(const Tensor& tensor, std::size_t rows, std::size_t classes, std::size_t count,
                std::span<const std::string> labels, std::vector<std::string>& out) {
  std::vector<Shown> values(classes);
  std::vector<std::size_t> order(classes);
  for (std::size_t row = 0; row < rows; ++row) {
    const std::span<const T> elements = tensor.View<T>().subspan(row * classes, classes);
    std::transform(elements.begin(), elements.end(), values.begin(), [](T element) {
      if constexpr (std::is_same_v<T, Shown>)
        return element;
      else if constexpr (std::is_same_v<T, std::uint16_t> && std::is_same_v<Shown, float>)
        return HalfToFloat(element);
      else
        return static_cast<Shown>(element);
    });
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count),
                      order.end(), [&](std::size_t a, std::size_t b) {
                        if (IsGreater(values[a], values[b])) return true;
                        return !IsGreater(values[b], values[a]) && a < b;
                      });
    for (std::size_t i = 0; i < count; ++i)
      out.push_back(ClassText(values[order[i]], order[i], labels));
  }
}

}  // namespace

bool CanClassify(TensorType type) { return type != TensorType::kString; }

Tensor ClassesOf(const Tensor& tensor, std::size_t count, std::span<const std::string> labels) {
  const bool rowed = tensor.shape.size() >= 2;
  const std::size_t rows = rowed ? static_cast<std::size_t>(tensor.shape[0]) : 1;
  const std::size_t classes = rows == 0 ? 0 : tensor.elements() / rows;
  count = std::min(count, classes);
  Tensor best;
  best.name = tensor.name;
  best.type = TensorType::kString;
  if (rowed) best.shape.push_back(static_cast<std::int64_t>(rows));
  best.shape.push_back(static_cast<std::int64_t>(count));
  const auto append = [&]<typename T, typename Shown = T>() {
    AppendBest<T, Shown>(tensor, rows, classes, count, labels, best.strings);
  };
  switch (tensor.type) {
    case TensorType::kBool: append.operator()<std::uint8_t, int>(); break;
    case TensorType::kInt8: append.operator()<std::int8_t, int>(); break;
    case TensorType::kInt16: append.operator()<std::int16_t>(); break;
    case TensorType::kInt32: append.operator()<std::int32_t>(); break;
    case TensorType::kInt64: append.operator()<std::int64_t>(); break;
    case TensorType::kUint8: append.operator()<std::uint8_t, int>(); break;
    case TensorType::kUint16: append.operator()<std::uint16_t>(); break;
    case TensorType::kUint32: append.operator()<std::uint32_t>(); break;
    case TensorType::kUint64: append.operator()<std::uint64_t>(); break;
    case TensorType::kFloat16: append.operator()<std::uint16_t, float>(); break;
    case TensorType::kFloat32: append.operator()<float>(); break;
    case TensorType::kFloat64: append.operator()<double>(); break;
    case TensorType::kString: break;
  }
  return best;
}

}  // namespace skerry
