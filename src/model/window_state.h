// The last rows of each entity, and the window features of them. Training and scoring call this
// code row by row in the entity's order, and it computes each number anew from the rows that it
// keeps, oldest first, in double: so the bits are the same whether rows come in one table, one by
// one, or across a restart.
//
// A window of n rows ends with the row itself and has fewer at an entity's beginning. Missing
// numbers in it are left out: mean, min and max need one number, sd (of a sample, n - 1) and slope
// (least squares, per row) two, else they are missing; so is what is not finite in float32. A row
// without an entity ("") is alone: it has no row before it, and no later row sees it.
//
// Bounded: kWindowEntities entities, and fewer where their rows would be more than
// kWindowKeptRows or kWindowKeptNumbers; the one that was seen least recently is forgotten.
// Thread-safe, by one lock; rows of one entity that come at the same time are taken in any order.
//   WindowState state(package.schema);
//   SKERRY_RETURN_IF_ERROR(state.Take(entities, features, windows));
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "base/metrics.h"
#include "codec/columns.h"
#include "model/window_features.h"

namespace skerry {

class WindowState {
 public:
  explicit WindowState(const ModelSchema& schema);  // one with windows

  // Row by row: takes its numbers up as its entity's last, then tells its window features.
  // `entities`: N texts, or none, which leaves each row alone. `features`: float32 [N, F].
  // `windows`: float32 [N, W], filled. kInvalidArgument for an entity of over kEntityBytes, before
  // any row is taken.
  Status Take(std::span<const std::string> entities, std::span<const float> features,
              std::span<float> windows);

  // Which of a row's texts (RowBatch::texts) is the entity.
  std::size_t entity_text() const { return entity_text_; }
  // What is kept: the entity's field, the features, how many rows. One state may go on for another
  // of the same text.
  std::string Kept() const;
  // How many rows were taken so far; Restore does not change it.
  std::uint64_t taken() const;
  std::size_t entities() const;
  // Counts entities that are forgotten for others from now on; the counter outlives this.
  void CountForgotten(Counter& counter);

  // All that is kept, to be restored: the entity (text), then the features (double), by their
  // names; the least recently seen entity first, each with its rows in their order.
  Table ToTable() const;
  // Replaces what is kept. kInvalidArgument where the table is not of the same columns.
  Status Restore(const Table& table);

 private:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  // What is computed of one feature over one length, in one go.
  struct Window {
    std::size_t source, rows;           // an index of sources_
    std::array<std::size_t, 5> places;  // by statistic, its column of W, or kNone
  };
  struct Lag {
    std::size_t source, rows, place;
  };
  // The last `rows` rows, at most depth_, as a ring [depth_][sources_].
  struct Entity {
    std::string name{};
    std::vector<float> values{};
    std::size_t next = 0, rows = 0;
  };
  using Entities = std::list<Entity>;

  std::size_t SourceOf(const std::string& feature, const ModelSchema& schema);
  void Place(const WindowFeature& feature, std::size_t place, const ModelSchema& schema);
  Entity& Seen(const std::string& name);                                      // under mutex_
  void Append(Entity& entity, std::span<const float> row) const;              // a number a source
  float At(const Entity& entity, std::size_t source, std::size_t age) const;  // 0: the last row
  void Compute(const Window& window, const Entity& entity, std::span<float> to);  // under mutex_
  bool Fits(const Table& table) const;

  std::string entity_field_;
  std::size_t entity_text_ = 0;
  std::vector<std::string> source_names_{};
  std::vector<std::size_t> sources_{};  // columns of the features
  std::vector<Window> windows_{};
  std::vector<Lag> lags_{};
  std::size_t features_ = 0, width_ = 0;  // F, W
  std::size_t depth_ = 1;                 // rows that are kept of an entity
  std::size_t most_entities_ = 1;

  mutable std::mutex mutex_;  // guards what follows
  Entities kept_{};           // the most recently seen last
  std::unordered_map<std::string_view, Entities::iterator> by_name_{};
  Entity alone_{};
  std::vector<double> places_{}, numbers_{};  // of a window, oldest first
  std::uint64_t taken_ = 0;
  Counter* forgotten_ = nullptr;
};

}  // namespace skerry
