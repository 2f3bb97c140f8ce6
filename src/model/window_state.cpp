#include "model/window_state.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/limits.h"
#include "model/schema.h"

namespace skerry {
namespace {

constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();

float FiniteOrMissing(double value) {
  const auto narrow = static_cast<float>(value);
  return std::isfinite(narrow) ? narrow : kMissing;
}

double MeanOf(std::span<const double> numbers) {
  double sum = 0;
  for (const double number : numbers) sum += number;
  return sum / static_cast<double>(numbers.size());
}

float DeviationOf(std::span<const double> numbers, double mean) {
  if (numbers.size() < 2) return kMissing;
  double squares = 0;
  for (const double number : numbers) squares += (number - mean) * (number - mean);
  return FiniteOrMissing(std::sqrt(squares / static_cast<double>(numbers.size() - 1)));
}

float SlopeOf(std::span<const double> places, std::span<const double> numbers, double mean) {
  if (numbers.size() < 2) return kMissing;
  const double middle = MeanOf(places);
  double together = 0;
  double squares = 0;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const double away = places[i] - middle;
    together += away * (numbers[i] - mean);
    squares += away * away;
  }
  return FiniteOrMissing(together / squares);
}

}  // namespace

WindowState::WindowState(const ModelSchema& schema)
    : entity_field_(schema.windows.entity), width_(schema.windows.size()) {
  features_ = schema.feature_count();
  const std::vector<const Field*> texts = schema.texts();
  entity_text_ = static_cast<std::size_t>(std::ranges::find(texts, entity_field_, &Field::name) -
                                          texts.begin());
  for (std::size_t i = 0; i < width_; ++i) Place(schema.windows.features[i], i, schema);
  const std::size_t numbers = depth_ * std::max<std::size_t>(sources_.size(), 1);
  most_entities_ = std::min({limits::kWindowEntities, limits::kWindowKeptRows / depth_,
                             std::max<std::size_t>(limits::kWindowKeptNumbers / numbers, 1)});
}

std::size_t WindowState::SourceOf(const std::string& feature, const ModelSchema& schema) {
  const auto known = std::ranges::find(source_names_, feature);
  if (known != source_names_.end()) return static_cast<std::size_t>(known - source_names_.begin());
  const std::vector<const Field*> fields = schema.features();
  source_names_.push_back(feature);
  sources_.push_back(
      static_cast<std::size_t>(std::ranges::find(fields, feature, &Field::name) - fields.begin()));
  return sources_.size() - 1;
}

void WindowState::Place(const WindowFeature& feature, std::size_t place,
                        const ModelSchema& schema) {
  const std::size_t source = SourceOf(feature.of, schema);
  if (feature.statistic == WindowStatistic::kLag) {
    lags_.push_back({source, feature.rows, place});
    depth_ = std::max(depth_, feature.rows + 1);
    return;
  }
  depth_ = std::max(depth_, feature.rows);
  const auto statistic = static_cast<std::size_t>(feature.statistic);
  const auto fits = [&](const Window& window) {
    return window.source == source && window.rows == feature.rows &&
           window.places[statistic] == kNone;
  };
  auto window = std::ranges::find_if(windows_, fits);
  if (window == windows_.end()) {
    windows_.push_back({.source = source, .rows = feature.rows, .places = {}});
    window = std::prev(windows_.end());
    window->places.fill(kNone);
  }
  window->places[statistic] = place;
}

WindowState::Entity& WindowState::Seen(const std::string& name) {
  const auto found = by_name_.find(name);
  if (found != by_name_.end()) {
    kept_.splice(kept_.end(), kept_, found->second);
    return kept_.back();
  }
  if (kept_.size() >= most_entities_) {
    by_name_.erase(kept_.front().name);
    kept_.pop_front();
    if (forgotten_ != nullptr) forgotten_->Add();
  }
  kept_.push_back({.name = name});
  by_name_.emplace(kept_.back().name, std::prev(kept_.end()));
  return kept_.back();
}

void WindowState::Append(Entity& entity, std::span<const float> row) const {
  entity.values.resize(depth_ * sources_.size(), kMissing);
  std::ranges::copy(
      row, entity.values.begin() + static_cast<std::ptrdiff_t>(entity.next * sources_.size()));
  entity.next = (entity.next + 1) % depth_;
  entity.rows = std::min(entity.rows + 1, depth_);
}

float WindowState::At(const Entity& entity, std::size_t source, std::size_t age) const {
  const std::size_t place = (entity.next + depth_ - 1 - age) % depth_;
  return entity.values[place * sources_.size() + source];
}

void WindowState::Compute(const Window& window, const Entity& entity, std::span<float> to) {
  places_.clear();
  numbers_.clear();
  const std::size_t count = std::min(entity.rows, window.rows);
  for (std::size_t age = count; age-- > 0;) {
    const float number = At(entity, window.source, age);
    if (std::isnan(number)) continue;
    places_.push_back(static_cast<double>(count - 1 - age));
    numbers_.push_back(number);
  }
  const bool none = numbers_.empty();
  const double mean = none ? 0 : MeanOf(numbers_);
  const auto value = [&](WindowStatistic statistic) {
    if (none) return kMissing;
    switch (statistic) {
      case WindowStatistic::kMean: return FiniteOrMissing(mean);
      case WindowStatistic::kDeviation: return DeviationOf(numbers_, mean);
      case WindowStatistic::kMinimum: return FiniteOrMissing(std::ranges::min(numbers_));
      case WindowStatistic::kMaximum: return FiniteOrMissing(std::ranges::max(numbers_));
      case WindowStatistic::kSlope: return SlopeOf(places_, numbers_, mean);
      case WindowStatistic::kLag: break;  // is none of these
    }
    return kMissing;
  };
  for (std::size_t i = 0; i < window.places.size(); ++i)
    if (window.places[i] != kNone) to[window.places[i]] = value(static_cast<WindowStatistic>(i));
}

Status WindowState::Take(std::span<const std::string> entities, std::span<const float> features,
                         std::span<float> windows) {
  for (const std::string& entity : entities)
    if (entity.size() > limits::kEntityBytes)
      return Fail(ErrorCode::kInvalidArgument,
                  "field {}: an entity of {} bytes, the limit kEntityBytes is {}", entity_field_,
                  entity.size(), limits::kEntityBytes);
  std::vector<float> row(sources_.size());
  const std::scoped_lock lock(mutex_);
  for (std::size_t i = 0; i * features_ < features.size(); ++i) {
    for (std::size_t k = 0; k < sources_.size(); ++k) {
      const float number = features[i * features_ + sources_[k]];
      row[k] = std::isnan(number) ? kMissing : number;  // whatever bits a client's NaN has
    }
    alone_.next = alone_.rows = 0;
    const bool known = i < entities.size() && !entities[i].empty();
    Entity& entity = known ? Seen(entities[i]) : alone_;
    Append(entity, row);
    const std::span<float> to = windows.subspan(i * width_, width_);
    for (const Window& window : windows_) Compute(window, entity, to);
    for (const Lag& lag : lags_)
      to[lag.place] = entity.rows > lag.rows ? At(entity, lag.source, lag.rows) : kMissing;
    ++taken_;
  }
  return {};
}

std::string WindowState::Kept() const {
  return fmt::format("{} rows of {} by {}", depth_, fmt::join(source_names_, ", "), entity_field_);
}

Table WindowState::ToTable() const {
  std::unique_lock lock(mutex_);
  const Entities kept = kept_;
  lock.unlock();  // scoring goes on while the table is made
  Table table;
  table.columns.push_back({.name = entity_field_, .type = ColumnType::kText});
  for (const std::string& name : source_names_)
    table.columns.push_back({.name = name, .type = ColumnType::kDouble});
  for (const Entity& entity : kept) {
    for (std::size_t age = entity.rows; age-- > 0;) {
      table.columns[0].AppendText(entity.name);
      for (std::size_t k = 0; k < sources_.size(); ++k) {
        const float value = At(entity, k, age);
        if (std::isnan(value))
          table.columns[k + 1].AppendNull();
        else
          table.columns[k + 1].AppendDouble(value);
      }
    }
  }
  return table;
}

bool WindowState::Fits(const Table& table) const {
  if (table.columns.size() != source_names_.size() + 1) return false;
  if (table.columns[0].name != entity_field_ || table.columns[0].type != ColumnType::kText)
    return false;
  for (std::size_t k = 0; k < source_names_.size(); ++k)
    if (table.columns[k + 1].name != source_names_[k] ||
        table.columns[k + 1].type != ColumnType::kDouble)
      return false;
  return true;
}

Status WindowState::Restore(const Table& table) {
  if (!Fits(table))
    return Fail(ErrorCode::kInvalidArgument, "it holds no rows of {} by {}",
                fmt::join(source_names_, ", "), entity_field_);
  std::vector<float> row(sources_.size());
  const std::scoped_lock lock(mutex_);
  by_name_.clear();
  kept_.clear();
  for (std::size_t i = 0; i < table.rows(); ++i) {
    for (std::size_t k = 0; k < sources_.size(); ++k) {
      const Column& column = table.columns[k + 1];
      row[k] = column.IsNull(i) ? kMissing : static_cast<float>(column.doubles[i]);
    }
    Append(Seen(table.columns[0].texts[i]), row);
  }
  return {};
}

std::uint64_t WindowState::taken() const {
  const std::scoped_lock lock(mutex_);
  return taken_;
}

std::size_t WindowState::entities() const {
  const std::scoped_lock lock(mutex_);
  return kept_.size();
}

void WindowState::CountForgotten(Counter& counter) {
  const std::scoped_lock lock(mutex_);
  forgotten_ = &counter;
}

}  // namespace skerry
