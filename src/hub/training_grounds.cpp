#include "hub/training_grounds.h"

#include <algorithm>
#include <string_view>
#include <system_error>

#include "tabular/file_list.h"
#include "train/spark_run.h"

namespace skerry {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLakePrefix = "lake/";

bool IsBelow(const fs::path& path, const fs::path& directory) {
  const auto [of_directory, of_path] =
      std::mismatch(directory.begin(), directory.end(), path.begin(), path.end());
  return of_directory == directory.end() && of_path != path.end();
}

// Absolute, without "..", "." and a "/" at its end.
fs::path Plain(const fs::path& path) {
  const fs::path normal = fs::absolute(path).lexically_normal();
  return normal.has_filename() || normal == normal.root_path() ? normal : normal.parent_path();
}

bool IsAddress(const std::string& name) { return name.find("://") != std::string::npos; }

std::string Listed(const std::vector<std::string>& texts) {
  std::string list;
  for (const std::string& text : texts) list += (list.empty() ? "" : ", ") + text;
  return list.empty() ? "none" : list;
}

Status CheckCluster(const std::string& asked, const std::vector<std::string>& allowed,
                    std::string_view member, std::string_view option) {
  if (std::find(allowed.begin(), allowed.end(), asked) != allowed.end()) return {};
  return Fail(ErrorCode::kPermissionDenied,
              "run.{}: this hub does not train at {}; it may at: {} (its operator adds one by {})",
              member, asked, Listed(allowed), option);
}

}  // namespace

Status TrainingGrounds::Settle(const fs::path& hub_data) {
  const fs::path own = fs::weakly_canonical(hub_data);
  for (const fs::path& directory : directories) {
    std::error_code error;
    Root root{.told = Plain(directory), .real = fs::canonical(directory, error)};
    if (error || !fs::is_directory(root.real, error))
      return Fail(ErrorCode::kInvalidArgument, "--train-from: there is no directory {}",
                  directory.string());
    if (root.real == own || IsBelow(own, root.real) || IsBelow(root.real, own))
      return Fail(ErrorCode::kInvalidArgument,
                  "--train-from: {} and the hub's data directory are not apart: keys would be in "
                  "the reach of trainings (the hub's lake is trained from without this option)",
                  directory.string());
    roots_.push_back(std::move(root));
  }
  for (const std::string& address : addresses)
    if (!IsAddress(address) || !address.ends_with('/'))
      return Fail(ErrorCode::kInvalidArgument,
                  "--train-address: '{}' is not of the form s3://BUCKET/ with a / at its end",
                  address);
  if (livy.empty() != return_listen.empty())
    return Fail(ErrorCode::kInvalidArgument, "--train-livy and --return-listen go together");
  return {};
}

Result<std::string> TrainingGrounds::ResolveFile(const std::string& name, const std::string& member,
                                                 const Root& lake) const {
  const bool of_lake = name.starts_with(kLakePrefix);
  const fs::path path =
      (of_lake ? lake.told / name.substr(kLakePrefix.size()) : fs::path(name)).lexically_normal();
  std::vector<Root> allowed = roots_;
  if (of_lake) allowed = {lake};
  const auto below = [&](const fs::path& file, fs::path Root::* of) {
    return std::any_of(allowed.begin(), allowed.end(),
                       [&](const Root& root) { return IsBelow(file, root.*of); });
  };
  if (!path.is_absolute() || !below(path, &Root::told)) {
    std::vector<std::string> names{"lake/ (the hub's own)"};
    for (const Root& root : roots_) names.push_back(root.told.string() + "/");
    return Fail(ErrorCode::kPermissionDenied,
                "{}: {} is not below what this hub trains from: {} (its operator adds a directory "
                "by --train-from)",
                member, name, Listed(names));
  }
  SKERRY_ASSIGN_OR_RETURN(const auto files, ExpandFiles({path.string()}), member);
  for (const fs::path& file : files) {
    std::error_code error;
    const fs::path real = fs::canonical(file, error);
    if (error || !below(real, &Root::real))
      return Fail(ErrorCode::kPermissionDenied,
                  "{}: {} is a link to a file that this hub does not train from", member,
                  file.string());
  }
  return path.string();
}

Status TrainingGrounds::CheckAddress(const TrainRequest& request, const std::string& address,
                                     const std::string& member) const {
  if (!request.on_spark() && !address.starts_with("s3://"))
    return Fail(ErrorCode::kInvalidArgument,
                "{}: {} is read by Spark alone: say \"engine\": \"spark\", or name a file or an "
                "object of S3 (s3://)",
                member, address);
  const bool allowed = std::any_of(addresses.begin(), addresses.end(), [&](const std::string& one) {
    return address.starts_with(one) && address.size() > one.size();
  });
  if (allowed && address.find("..") == std::string::npos) return {};
  return Fail(ErrorCode::kPermissionDenied,
              "{}: {} is not below what this hub trains from: {} (its operator adds an address by "
              "--train-address)",
              member, address, Listed(addresses));
}

Result<std::vector<std::string>> TrainingGrounds::Resolve(const TrainRequest& request,
                                                          const fs::path& lake) const {
  std::error_code error;  // a lake that cannot be found has no files either
  const Root own{.told = Plain(lake), .real = fs::weakly_canonical(lake, error)};
  std::vector<std::string> names, files;
  for (std::size_t i = 0; i < request.data.size(); ++i) {
    const std::string& name = request.data[i];
    const std::string member = fmt::format("run.data[{}]", i);
    if (IsAddress(name)) {
      SKERRY_RETURN_IF_ERROR(CheckAddress(request, name, member));
      names.push_back(name);
      continue;
    }
    SKERRY_ASSIGN_OR_RETURN(std::string file, ResolveFile(name, member, own));
    names.push_back(file);
    files.push_back(std::move(file));
  }
  if (!files.empty() && files.size() < names.size())
    return Fail(ErrorCode::kInvalidArgument,
                "run.data: files and addresses do not go together: name data of one kind");
  SKERRY_ASSIGN_OR_RETURN([[maybe_unused]] const auto all, ExpandFiles(files), "run.data");
  return names;
}

Status TrainingGrounds::CheckEngine(const TrainRequest& request) const {
  if (!request.on_spark()) return {};
  if (!request.master.empty())
    SKERRY_RETURN_IF_ERROR(CheckCluster(request.master, masters, "master", "--train-master"));
  if (!request.livy.empty())
    SKERRY_RETURN_IF_ERROR(CheckCluster(request.livy, livy, "livy", "--train-livy"));
  SparkOptions spark;
  spark.master = request.master;
  spark.livy = request.livy;
  spark.submit = spark_submit;
  spark.conf = spark_conf;
  return CheckSparkRoad(spark);
}

std::vector<std::string> TrainingGrounds::EngineArguments(const TrainRequest& request) const {
  if (!request.on_spark()) return {};
  std::vector<std::string> arguments{"--engine=spark"};
  const auto add = [&](std::string_view option, const std::string& value) {
    if (!value.empty()) arguments.push_back(fmt::format("--{}={}", option, value));
  };
  add("master", request.master);
  add("livy", request.livy);
  if (!request.livy.empty()) {
    add("return-listen", return_listen);
    add("return-url", return_url);
  }
  add("spark-submit", spark_submit.string());
  for (const std::string& setting : spark_conf) add("spark-conf", setting);
  return arguments;
}

}  // namespace skerry
