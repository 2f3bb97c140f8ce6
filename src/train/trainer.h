// From a table to a model package: the one call behind `skerry train` and behind retraining.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "codec/columns.h"
#include "codec/json.h"
#include "model/schema.h"
#include "model/threshold_goal.h"
#include "train/calibration.h"
#include "train/derive_search.h"
#include "train/metrics.h"
#include "train/slices.h"
#include "train/task_metrics.h"
#include "train/window_choice.h"

namespace skerry {

// Called with one line for a person at each stage, on the training thread. May be empty.
using ProgressSink = std::function<void(std::string_view)>;

// Asked often, on the training thread; true makes the training end with kUnavailable "interrupted".
// May be empty.
using CancelCheck = std::function<bool()>;

struct HyperParameters {
  int trees = 400;  // at most; early stopping on an inner fold chooses
  int depth = 6;
  double learning_rate = 0.05;
  double min_child_weight = 1;
  double row_fraction = 0.8;      // of the rows, for each tree
  double feature_fraction = 1.0;  // of the features, for each tree
  double l2 = 1;
  int bins = 0;  // that a feature's values are cut into at most; 0: by the cells (ForTable)
  int early_stopping_rounds = 40;
  int threads = 0;  // that fit trees; 0: by the cells (ForTable)
  // Of a regression: squared-error (also ""), absolute-error, poisson, gamma or tweedie.
  std::string objective{};

  // These with `bins` and `threads` chosen for a table of that size. Bins: kFineBins up to
  // kFineCells, else kBins: limits of physics are sharp, and few cells can afford cuts between
  // nearly all their values. Threads: one for each kCellsOfThread, at most one a core: with fewer
  // cells they wait for each other more than they work, on a busy machine a hundred times more.
  HyperParameters ForTable(std::size_t rows, std::size_t features) const;
  static constexpr int kBins = 256, kFineBins = 1024;
  static constexpr std::size_t kFineCells = 500'000;
  static constexpr std::size_t kCellsOfThread = 250'000;

  Json ToJson() const;
  static Result<HyperParameters> FromJson(const Json& json);  // absent members keep their default
};

enum class DetectorKind : std::uint8_t { kIsolationForest, kPca };
std::string_view DetectorKindName(DetectorKind kind);  // "isolation-forest", "pca"
Result<DetectorKind> ParseDetectorKind(std::string_view name);

struct DetectorParameters {
  DetectorKind kind = DetectorKind::kIsolationForest;
  int trees = 100;    // of a forest
  int samples = 256;  // rows a tree is grown on
  // Share of normal rows at or above the anomaly threshold: of the rows of class 0 where a binary
  // label tells them, else of all rows.
  double alarm_rate = 0.01;

  Json ToJson() const;
  static Result<DetectorParameters> FromJson(const Json& json);
};

struct SearchFacts {  // how hyper-parameters were searched for (train/search.h)
  struct Rung {
    std::size_t configurations = 0;  // that were learnt this far
    double share = 0;                // of what a whole fit takes
    double least_loss = 0;
  };
  std::string loss{};         // what it goes by: "log loss", "RMSE", "MAE"
  std::vector<Rung> rungs{};  // empty: no search
  double default_loss = 0, chosen_loss = 0;
  bool default_chosen = false;

  Json ToJson() const;
};

struct DetectorFacts {  // of a detector by PCA
  std::size_t components = 0;
  double explained_variance = 0;        // share of the variance of the standardized features
  double t2_limit = 0, q_limit = 0;     // that the asked share of normal rows reach
  std::vector<std::string> left_out{};  // features (the schema's field names) without a part
};

struct ToldColumn {     // what a person said of a column of the data
  std::string where{};  // "schema.yaml, line 3, column 9", for errors
  std::optional<FieldType> type{};
};

struct SparkOptions {  // docs/training.md
  // local[N], spark://HOST:PORT, yarn or k8s://URL; empty: trained in this process.
  std::string master{};
  std::filesystem::path submit{};   // spark-submit; empty: of $SPARK_HOME, else on the PATH
  std::vector<std::string> conf{};  // "name=value" each, Spark's own settings
  // Instead of a master, a managed cluster: the URL of its Livy server. It hands the results in at
  // return_host:return_port of this machine (0: any port), or at return_url, if something that
  // forwards stands in front.
  std::string livy{};
  std::string return_host = "127.0.0.1", return_url{};
  std::uint16_t return_port = 0;
  // Addresses and patterns that only the cluster reads (s3://bucket/*.parquet), instead of
  // TrainOptions::data.
  std::vector<std::string> data{};

  bool asked() const { return !master.empty() || !livy.empty(); }
};

struct TrainOptions {
  // CSV, Parquet or NDJSON with the same columns; their rows are taken together, in this order.
  std::vector<std::filesystem::path> data{};
  // classification, multiclass, regression or anomaly, which has no label. Empty: classification
  // where the label has two values or is text, else kInvalidArgument asks.
  std::string task{};
  std::string label{};
  // Columns by the name in the data. Ignored ones are not in the schema; context and id columns are
  // carried, not learnt from. A text column of more than max_categories values is taken for an id.
  std::vector<std::string> ignore{}, context{}, id{};
  // The label's text that is class 1; empty: of "0"/"1", "false"/"true", "no"/"yes" the second, of
  // any other two the rarer one.
  std::string positive{};
  std::string name = "model", version = "1";
  std::uint64_t seed = 1;
  std::filesystem::path out{};  // must not exist
  // Share of the rows (one input row is one source row) held out for the report: whole groups, or
  // the latest, where such a column is named, else after one shuffle with `seed`; rows of equal
  // features stay on one side. 0: train on every row of `data`.
  double holdout = 0.2;
  // Files of held-out rows, with the same columns, instead: `holdout` must be 0 then.
  std::vector<std::filesystem::path> holdout_data{};
  std::string weight_column{};  // optional, positive; no feature
  // No group has rows on two sides of a split; the latest rows are held out. Both columns are
  // carried, not learnt from, unless they are named otherwise.
  std::string group_column{}, time_column{};
  std::size_t max_categories = 100;
  // By column: types of features as told, not as inferred; each column must be there
  // (train/column_file.h reads them from a file).
  std::map<std::string, ToldColumn> told{};
  std::optional<ThresholdGoal> threshold{};              // of a binary task alone; none: F1
  CalibrationKind calibration = CalibrationKind::kNone;  // of a binary task alone
  // Columns of the data by whose values the figures are also told; empty: train/slices.h chooses.
  std::vector<std::string> slices{};
  // At most so many derived features are sought (train/derive_search.h), of another task than
  // anomaly; 0: none.
  std::size_t derive = 0;
  WindowOptions windows{};  // with time_column; of another task than anomaly
  HyperParameters parameters{};
  int search = 0;  // configurations to try, `parameters` among them; 0: no search
  DetectorParameters detector{};
  SparkOptions spark{};
  // Keeps the rows on disk while trees are fitted (train/disk_engine.h), as is done by itself with
  // more than limits::kWholeTableCells cells.
  bool from_disk = false;
  ProgressSink progress{};
  CancelCheck cancelled{};
};

struct SplitFacts {                           // how training rows and held-out rows were parted
  std::string group_column{}, time_column{};  // "" = none
  std::size_t groups = 0;
  std::size_t copies = 0;    // rows with the features of an earlier one
  std::size_t left_out = 0;  // neither trained on nor held out: they would be on both sides
  // The digest of a byte a row of the data: the number of its inner fold, 254 left out, 255 held
  // out; "": not told.
  std::string assignment{};
  Json ToJson() const;
};

struct ModelScores {  // of one model on the held-out rows
  Interval auc, average_precision, f1;
  Interval alarm_rate, false_alarm_rate;  // at the threshold, as those of Confusion
  std::optional<Interval> cost{};         // of a row, where the threshold was chosen for costs
  Confusion confusion;
  Json ToJson() const;
};

struct CalibrationReport {  // of a binary model
  Calibration function{};
  // Of training rows, by models and calibrations of the inner folds that did not see the row, and
  // of held-out rows; and before the calibration, where there is one.
  ProbabilityScores folds{}, folds_before{}, holdout{}, holdout_before{};
  Json ToJson() const;
};

struct TrainReport {
  std::string name{}, version{};
  std::string engine = "embedded";  // or "Spark 3.5.7, XGBoost 3.2.0"
  std::uint64_t seed = 0;
  std::uint64_t rows = 0, training_rows = 0, holdout_rows = 0;
  std::uint64_t training_positives = 0, holdout_positives = 0;
  SplitFacts split{};
  std::vector<std::string> warnings{};  // what makes the figures doubtful, a sentence each
  std::string data_digest{};  // of the file; of the files' digests, when several; "" without files
  int trees = 0;              // that early stopping kept
  double threshold = 0, anomaly_threshold = 0;
  ThresholdGoal threshold_goal{};  // of a binary model
  CalibrationReport calibration{};
  // How often the detector beside a predictor raises alarms: on training rows, each scored by a
  // detector of the inner folds that did not see it, and on held-out rows.
  TaskScores alarm_folds{}, alarm_holdout{};
  // Largest |trainer - ONNX Runtime| over every row: probability, and anomaly score (of PCA, whose
  // scores have no greatest, relative to the trainer's).
  double max_model_difference = 0, max_detector_difference = 0;
  // On held-out rows; all zero when there are none (holdout_rows == 0).
  ModelScores model, logistic_regression, majority;
  // Of any other task instead of those: of this model, of the training rows' class frequencies or
  // mean, and of the inner folds. Of a detector: how often it raises alarms.
  ModelTask task = ModelTask::kBinary;
  std::vector<std::string> classes{};
  TaskScores task_model{}, task_baseline{}, task_folds{};
  // Of the training rows, each scored by a model of the inner folds that did not see it.
  ModelScores cross_validation;
  // Of a retraining: the labelled rows that came back, and how well the inner folds told them apart
  // (AUC, each row scored by a model that did not see it). Labels that say nothing give 0.5.
  std::uint64_t released_rows = 0;
  Interval released_auc{};
  std::vector<SliceTable> slices{};  // of the held-out rows; without any, of the inner folds'
  DeriveReport derived{};
  WindowSet windows{};  // of the schema
  // Total gain by input of the predictor (schema's input_names()), greatest first.
  std::vector<std::pair<std::string, double>> gains;
  double seconds = 0;
  HyperParameters parameters{};
  SearchFacts search{};
  DetectorParameters detector{};
  DetectorFacts detector_facts{};

  // "an isolation forest of 100 trees", "PCA of 3 components (92.1 % of the variance)".
  std::string DetectorWords() const;
  Json ToJson() const;
  std::string ToText() const;  // the table that `skerry train` prints
};

// Trains and writes the package directory `out`: model.onnx, detector.onnx, schema.json,
// reference.json, card.md, report.json, provenance.json, plot-*.svg. The directory appears at the
// end, synced, by one rename; after a failure or an interruption nothing of that name exists.
// kAlreadyExists when it does.
//
// kInvalidArgument, naming column or rows and what to do: no such label, a label with blank cells
// or with other than two values, no rows, a column told twice or unknown, no feature left, a type
// that cannot be a feature, too few rows of a class. Blank and NaN cells of features are missing
// values, which the model takes as such. kInternal when the exported model differs from the trainer
// on any row by more than model_fit.h allows.
//
// Not thread-safe with itself (XGBoost keeps global state); one training a process at a time.
Result<TrainReport> Train(const TrainOptions& options);

// The permutation of 0 .. rows-1 that a split without groups, times and copies follows: the first
// `round(rows * holdout)` are held out, the others train.
std::vector<std::size_t> ShuffledRows(std::size_t rows, std::uint64_t seed);

}  // namespace skerry
