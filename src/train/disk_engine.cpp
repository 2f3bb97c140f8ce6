#include "train/disk_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/limits.h"
#include "base/random.h"
#include "storage/file.h"
#include "train/booster.h"
#include "train/data_source.h"
#include "train/disk_rows.h"
#include "train/disk_split.h"
#include "train/package_writer.h"
#include "train/sampled_fit.h"
#include "train/splits.h"
#include "train/training_set.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kSampleSalt = 5;  // of what is drawn by a row's hash

bool Trains(std::uint8_t side, std::uint8_t /*fold*/) { return side < kHeldOut; }
bool TrainsOutside(std::uint8_t side, std::uint8_t fold) { return side < kHeldOut && side != fold; }
bool TrainsInside(std::uint8_t side, std::uint8_t fold) { return side == fold; }

// What is told of every training row in reference.json.
class ReferenceCounter {
 public:
  // Edges are deciles of the sample.
  ReferenceCounter(const ModelSchema& schema, const FeatureMatrix& sample)
      : fields_(schema.features()) {
    for (std::size_t i = 0; i < fields_.size(); ++i) {
      references_.push_back(MakeFeatureReference(*fields_[i], sample.Column(i)));
      std::ranges::fill(references_.back().counts, std::uint64_t{0});
      references_.back().missing = 0;
      ranges_.emplace_back();
    }
  }

  void Add(std::span<const float> row) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      FeatureReference& reference = references_[i];
      if (std::isnan(row[i])) {
        ++reference.missing;
        continue;
      }
      ranges_[i].least = std::min(ranges_[i].least, row[i]);
      ranges_[i].most = std::max(ranges_[i].most, row[i]);
      const std::size_t bin = fields_[i]->type == FieldType::kCategory
                                  ? static_cast<std::size_t>(row[i])
                                  : BinOf(reference.edges, row[i]);
      if (bin < reference.counts.size()) ++reference.counts[bin];
    }
  }

  std::vector<FeatureReference> Take() {
    for (std::size_t i = 0; i < fields_.size(); ++i) {
      if (fields_[i]->type == FieldType::kCategory || ranges_[i].least > ranges_[i].most) continue;
      references_[i].min = ranges_[i].least;
      references_[i].max = ranges_[i].most;
    }
    return std::move(references_);
  }

 private:
  struct Range {
    float least = std::numeric_limits<float>::infinity();
    float most = -std::numeric_limits<float>::infinity();
  };
  std::vector<const Field*> fields_;
  std::vector<FeatureReference> references_{};
  std::vector<Range> ranges_{};
};

class DiskTraining {
 public:
  DiskTraining(const TrainOptions& options, const ModelSchema& schema, DiskRows& rows)
      : options_(options),
        parameters_(options.parameters.ForTable(rows.rows(), schema.feature_count())),
        schema_(schema),
        rows_(rows) {}

  Result<SampledFit> Fit() {
    SKERRY_RETURN_IF_ERROR(SplitOnDisk(options_, rows_, fit_));
    Say(fmt::format("{} rows: {} to train on, {} held out", fit_.rows, fit_.training_rows,
                    fit_.holdout_rows));
    SKERRY_RETURN_IF_ERROR(TakeSample());
    rows_.copies = {};
    rows_.groups = {};
    rows_.times = {};
    if (schema_.task != ModelTask::kAnomaly) SKERRY_RETURN_IF_ERROR(FitAll());
    const std::vector<const Field*> fields = schema_.features();
    for (std::size_t i = 0; i < fields.size(); ++i)
      if (rows_.unlisted[i] > 0) fit_.unlisted.emplace_back(fields[i]->column, rows_.unlisted[i]);
    fit_.engine = "embedded, rows on disk";
    return std::move(fit_);
  }

 private:
  void Say(std::string_view line) const {
    if (options_.progress) options_.progress(line);
  }

  // The rows that are judged: all, or some that are drawn by their unit.
  Status TakeSample() {
    const auto kept = static_cast<double>(fit_.training_rows + fit_.holdout_rows);
    const double share = static_cast<double>(SampledRows(schema_)) / kept;
    sampled_.assign(rows_.rows(), false);
    for (std::size_t row = 0; row < rows_.rows(); ++row)
      sampled_[row] =
          share >= 1 || UnitInterval(MixHash(UnitOf(rows_, fit_, row), kSampleSalt)) < share;
    for (LabelledRows* side : {&fit_.training, &fit_.holdout}) {
      side->task = rows_.facts.task;
      side->classes = rows_.facts.classes;
      side->features = {.columns = rows_.columns(), .values = {}, .categorical = rows_.categorical};
    }
    const auto is_judged = [&](std::size_t row) {
      return sampled_[row] && rows_.side[row] != kLeftOut;
    };
    SKERRY_RETURN_IF_ERROR(rows_.ForRows(is_judged, [&](std::size_t row, auto features) {
      LabelledRows& to = rows_.side[row] == kHeldOut ? fit_.holdout : fit_.training;
      to.features.values.insert(to.features.values.end(), features.begin(), features.end());
      to.labels.push_back(rows_.facts.labels[row]);
      to.weights.push_back(rows_.facts.weights[row]);
      if (!rows_.facts.targets.empty()) to.targets.push_back(rows_.facts.targets[row]);
      if (rows_.side[row] < kHeldOut) fit_.folds.push_back(rows_.side[row]);
    }));
    ReferenceCounter counter(schema_, fit_.training.features);
    const auto trains = [&](std::size_t row) { return Trains(rows_.side[row], 0); };
    SKERRY_RETURN_IF_ERROR(rows_.ForRows(
        trains, [&](std::size_t, std::span<const float> features) { counter.Add(features); }));
    fit_.learnt.features = counter.Take();
    return {};
  }

  Status FitAll() {
    const std::size_t folds = InnerFoldCount(rows_.rows());
    const std::size_t outputs = rows_.facts.outputs();
    std::vector<float>& inner = fit_.learnt.inner.scores;
    inner.assign(fit_.training.rows() * outputs, 0);
    double rounds = 0;
    std::size_t fitted = 0;
    for (std::size_t fold = 0; fold < folds; ++fold) {
      Say(fmt::format("choosing the number of trees: inner fold {} of {}", fold + 1, folds));
      SKERRY_ASSIGN_OR_RETURN(const int chosen, FitFold(static_cast<std::uint8_t>(fold), inner));
      rounds += chosen;
      fitted += chosen > 0 ? 1 : 0;
    }
    const int trees = std::max(
        1, static_cast<int>(
               std::lround(rounds / static_cast<double>(std::max<std::size_t>(fitted, 1)))));
    fit_.learnt.inner.rounds = trees;
    Say(fmt::format("fitting {} trees to {} rows", trees, fit_.training_rows));
    SKERRY_ASSIGN_OR_RETURN(const XgboostFunctions* xgb, LoadXgboost());
    SKERRY_ASSIGN_OR_RETURN(const XgboostMatrix training, MatrixOf(*xgb, Trains, 0));
    SKERRY_ASSIGN_OR_RETURN(Booster booster, FitBooster(*xgb, training, rows_.facts, parameters_,
                                                        trees, options_.seed, options_.cancelled));
    FittedTrees& result = fit_.learnt.fitted;
    SKERRY_ASSIGN_OR_RETURN(result.ensemble, booster.Trees(rows_.columns()));
    SKERRY_RETURN_IF_ERROR(booster.PredictInPlace(fit_.training.features, result.scores));
    return booster.PredictInPlace(fit_.holdout.features, result.scores);
  }

  Result<XgboostMatrix> MatrixOf(const XgboostFunctions& xgb, SideRows::Wanted wanted,
                                 std::uint8_t fold, const XgboostMatrix* reference = nullptr) {
    SideRows rows(rows_, wanted, fold);
    Result<XgboostMatrix> matrix = XgboostMatrix::FromBlocks(xgb, rows, parameters_, reference);
    SKERRY_RETURN_IF_ERROR(rows.failed());
    return matrix;
  }

  // The rounds of the least loss; 0 for a fold without rows. Fills the scores of its sampled rows.
  Result<int> FitFold(std::uint8_t fold, std::vector<float>& inner) {
    std::vector<std::size_t> watched;
    for (std::size_t row = 0; row < rows_.rows(); ++row)
      if (rows_.side[row] == fold) watched.push_back(row);
    if (watched.empty() || watched.size() == fit_.training_rows) return 0;
    const LabelledRows facts = rows_.facts.Select(watched);
    SKERRY_ASSIGN_OR_RETURN(const XgboostFunctions* xgb, LoadXgboost());
    SKERRY_ASSIGN_OR_RETURN(const XgboostMatrix outside, MatrixOf(*xgb, TrainsOutside, fold));
    SKERRY_ASSIGN_OR_RETURN(const XgboostMatrix inside,
                            MatrixOf(*xgb, TrainsInside, fold, &outside));
    SKERRY_ASSIGN_OR_RETURN(const EarlyStopped stopped,
                            FitWithEarlyStopping(*xgb, outside, inside, facts, parameters_,
                                                 options_.seed, options_.cancelled));
    const std::size_t outputs = facts.outputs();
    std::size_t from = 0;  // of `watched`
    std::size_t to = 0;    // of the sampled training rows
    for (std::size_t row = 0; row < rows_.rows(); ++row) {
      if (rows_.side[row] >= kHeldOut) continue;
      const bool mine = rows_.side[row] == fold;
      for (std::size_t k = 0; mine && sampled_[row] && k < outputs; ++k)
        inner[to * outputs + k] = stopped.scores[from * outputs + k];
      from += mine ? 1 : 0;
      to += sampled_[row] ? 1 : 0;
    }
    return stopped.rounds;
  }

  const TrainOptions& options_;
  const HyperParameters parameters_;
  const ModelSchema& schema_;
  DiskRows& rows_;
  std::vector<bool> sampled_{};
  SampledFit fit_{};
};

Status ReadRows(TabularEngine& engine, const TrainOptions& options, const ModelSchema& schema,
                DiskRows& rows) {
  ReadOptions read;
  read.text_columns = TextColumns(schema);
  std::size_t said = 0;
  for (const fs::path& path : options.data) {
    SKERRY_ASSIGN_OR_RETURN(const auto stream, engine.StreamFile(path, read));
    const std::size_t before = rows.rows();
    while (true) {
      if (options.cancelled && options.cancelled())
        return Fail(ErrorCode::kUnavailable, "interrupted");
      SKERRY_ASSIGN_OR_RETURN(const Table table, stream->Next());
      if (table.rows() == 0) break;
      SKERRY_RETURN_IF_ERROR(rows.Append(table, schema, options),
                             fmt::format("{}, behind row {}", path.string(), rows.rows() - before));
      constexpr std::size_t kSaidRows = 5'000'000;
      if (rows.rows() / kSaidRows == said) continue;
      said = rows.rows() / kSaidRows;
      if (options.progress) options.progress(fmt::format("{} rows are on disk", rows.rows()));
    }
  }
  if (!options.weight_column.empty()) ScaleWeights(rows.facts.weights);
  return {};
}

}  // namespace

Result<bool> IsForDisk(TabularEngine& engine, const TrainOptions& options) {
  if (options.from_disk || !options.holdout_data.empty()) return options.from_disk;
  std::uint64_t cells = 0;
  for (const fs::path& path : options.data) {
    // A cell of text takes two bytes at least: most files need not be counted.
    SKERRY_ASSIGN_OR_RETURN(const FileState state, ReadFileState(path));
    const bool parquet = path.extension() == ".parquet";
    if (!parquet && path.extension() != ".gz" && state.bytes < limits::kWholeTableCells) continue;
    ReadOptions first;
    first.first_rows = 1;
    SKERRY_ASSIGN_OR_RETURN(const Table table, engine.ReadFile(path, first));
    SKERRY_ASSIGN_OR_RETURN(const std::uint64_t rows, engine.CountRows(path));
    cells += rows * table.columns.size();
  }
  return cells > limits::kWholeTableCells;
}

Result<TrainReport> TrainFromDisk(TabularEngine& engine, const TrainOptions& options) {
  const TrainingClock clock;
  if (!options.windows.entity.empty())
    return Fail(
        ErrorCode::kUnimplemented,
        "windows are computed where the rows fit in memory: leave out --window, or train on "
        "fewer rows or columns");
  if (options.derive > 0)
    return Fail(ErrorCode::kUnimplemented,
                "derived features are chosen where the rows fit in memory: leave out --derive");
  if (!options.holdout_data.empty())
    return Fail(ErrorCode::kUnimplemented,
                "held-out files are taken where the rows fit in memory: leave out --from-disk");
  if (options.search != 0)
    return Fail(
        ErrorCode::kUnimplemented,
        "hyper-parameters are searched for where the rows fit in memory: leave out --search, "
        "or search on a part of the rows and tell what it found (--depth, --learning-rate)");
  SKERRY_ASSIGN_OR_RETURN(
      SourceData data, ReadSourceData(engine, options.data, TextColumns(options), options.progress,
                                      limits::kSchemaRows));
  SKERRY_ASSIGN_OR_RETURN(const ChosenSchema chosen, ChooseAndTell(data.table, options));
  data.table = {};
  SKERRY_RETURN_IF_ERROR(CheckSampledSlices(options, chosen.schema));
  SKERRY_ASSIGN_OR_RETURN(
      DiskRows rows,
      DiskRows::Create(fs::absolute(options.out).lexically_normal().parent_path(), chosen.schema));
  SKERRY_RETURN_IF_ERROR(ReadRows(engine, options, chosen.schema, rows));
  SKERRY_RETURN_IF_ERROR(CheckUnchanged(options.data, data.states));
  SKERRY_ASSIGN_OR_RETURN(SampledFit fit, DiskTraining(options, chosen.schema, rows).Fit());
  SKERRY_ASSIGN_OR_RETURN(FittedPackage package,
                          PackageSampled(std::move(fit), options, chosen.schema));
  return FinishPackage(std::move(package), options, data, clock);
}

}  // namespace skerry
