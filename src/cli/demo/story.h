// The demo's story: the whole loop on one machine, each step by the product's ordinary command or
// API, printed as it runs. Any outcome other than the expected one is an error that ends it.
//
// Role: owns the work directory, the hub, the two sites and the link between `north` and the hub.
// One thread calls everything.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "cli/demo/load_generator.h"
#include "cli/demo/process.h"
#include "cli/demo/source_rows.h"
#include "codec/json.h"
#include "http/tcp_proxy.h"
#include "storage/file.h"

namespace skerry {

enum class DemoEnd { kStay, kExit };

struct DemoOptions {
  std::filesystem::path data;  // CSV; empty: the milling simulator
  std::string label = "Machine failure";
  std::vector<std::string> ignore;
  std::uint64_t seed = 20'201'120;
  DemoEnd end = DemoEnd::kStay;
  std::filesystem::path keep;  // where to work and what to leave; empty: temporary
};

class Story {
 public:
  static Result<std::unique_ptr<Story>> Begin(DemoOptions options);
  Status Tell();
  // The app's URL with its token; "" before the hub runs.
  std::string AppUrl();
  // Ends every process that it started.
  void StopEverything();

 private:
  explicit Story(DemoOptions options) : options_(std::move(options)) {}

  struct SitePlace {
    std::string name;
    std::filesystem::path data;
    std::uint16_t port = 0;
    DemoChild process;
    LoadReport load;
    std::string Url() const;
  };
  struct StepResult {
    std::string name;
    double seconds;
    std::string figure;
  };

  // The steps, in order; each returns its key figure. story_*.cpp.
  Result<std::string> PrepareData();
  Result<std::string> TrainAtHub();
  Result<std::string> PackSignPush();
  Result<std::string> StartSites();
  Result<std::string> LoadWithFaults();
  Result<std::string> ShowPolicy();
  Result<std::string> ReturnLink();
  Result<std::string> Reconcile();
  Result<std::string> ShowDrift();
  Result<std::string> LabelRows();
  Result<std::string> RetrainAndGate();
  Result<std::string> RollOut();

  // story.cpp
  Status Step(std::string_view name, Result<std::string> (Story::*step)());
  // Prints the command, as it can be typed in work_, and what it says.
  Result<std::string> Run(const std::vector<std::string>& args);
  Status WaitFor(std::string_view what, std::chrono::seconds patience,
                 const std::function<Result<bool>()>& holds);
  Status StartHub();
  Status StartSite(SitePlace& site);
  Status WaitReady(const SitePlace& site);
  Status CarryToHub(const SitePlace& site);
  Status CarryToSite(const SitePlace& site);
  Result<Json> AskHub(std::string_view method, std::string_view path, const Json& body = nullptr);
  Result<Json> AskSite(const SitePlace& site, std::string_view method, std::string_view path,
                       const Json& body = nullptr);
  void Say(std::string_view line) const;
  void SayCommand(const std::vector<std::string>& args, std::string_view end = "") const;
  void Explain(std::string_view sentence) const;  // wrapped
  void PrintSteps() const;

  // story_setup.cpp
  Status ReadTable();
  Status ChooseFields();
  Status WritePolicy();
  Status WriteTable(const Table& table, const std::filesystem::path& file);

  static constexpr std::size_t kLookupRows = 5'000;  // row ids asked for at once

  // story_load.cpp
  Status CutInMidUpload();
  LoadOptions LoadOptionsFor(const SitePlace& site) const;
  Status CheckAcknowledged(SitePlace& site);
  Result<bool> NorthHasShippedAll();

  // story_improve.cpp
  Result<Json> NewestDrift(const std::string& site);
  Status CheckDrift(const std::string& site, const Json& features);
  void PrintDrift(const std::map<std::string, Json>& by_site) const;
  Status BringStatusHome();
  Status WriteLabels(const std::vector<std::pair<std::string, std::string>>& labels,
                     std::string_view set);
  Result<Json> Retrain(std::string_view labels, std::string_view version);
  Result<bool> Runs(const SitePlace& site, std::string_view version);

  DemoOptions options_;
  std::optional<TemporaryDirectory> temporary_;
  std::filesystem::path work_;
  Table table_;  // all columns as text
  SourceSplit split_;
  bool own_table_ = false;  // neither the simulator nor a table with its columns
  ModelSchema schema_;
  std::string drift_field_, bucket_field_;
  double bucket_width_ = 10;
  std::vector<std::string> arriving_labels_;  // of split_.arrive, as the class index
  LoadData arriving_;
  DemoChild hub_;
  std::unique_ptr<TcpProxy> link_;
  SitePlace north_{"north", {}, 0, {}, {}}, south_{"south", {}, 0, {}, {}};
  std::uint64_t bytes_before_cut_ = 0;
  std::uint64_t cut_offset_ = 0;  // bytes of the cut upload that the hub had acknowledged
  int sticks_ = 0;
  std::vector<StepResult> steps_;
};

Status RunDemo(const DemoOptions& options);

}  // namespace skerry
