#include "cli/data_files.h"

#include <fmt/format.h>

#include <chrono>

#include "base/limits.h"
#include "cli/interrupts.h"
#include "cli/terminal.h"
#include "s3/fetch.h"
#include "tabular/file_list.h"

namespace skerry {
namespace {

// Some lines a second for whoever looks, else one now and then.
FetchSink TellFetch(const std::string& first) {
  using Clock = std::chrono::steady_clock;
  const auto pause = ShowsProgress() ? std::chrono::milliseconds(200) : std::chrono::seconds(10);
  return [first, pause,
          shown = std::optional<Clock::time_point>()](const FetchProgress& progress) mutable {
    const Clock::time_point now = Clock::now();
    if (shown && now - *shown < pause) return;
    shown = now;
    PrintProgress(fmt::format(
        "fetching {}{}: {:.1f} of {:.1f} MB, {} of {} objects", first,
        progress.all_files > 1 ? ", ..." : "", static_cast<double>(progress.bytes) / 1e6,
        static_cast<double>(progress.all_bytes) / 1e6, progress.files, progress.all_files));
  };
}

}  // namespace

Status DataFiles::Fetch(const std::vector<std::string>& addresses, std::size_t most) {
  S3Client client({.cancelled = Interrupted});
  SKERRY_ASSIGN_OR_RETURN(const std::vector<S3Object> objects, ExpandObjects(client, addresses));
  if (objects.size() > most)
    return Fail(ErrorCode::kInvalidArgument, "{} means {} objects, and one is read: name it",
                addresses[0], objects.size());
  SKERRY_ASSIGN_OR_RETURN(TemporaryDirectory directory, TemporaryDirectory::Create("skerry-s3"));
  fetched_.emplace(std::move(directory));
  SKERRY_ASSIGN_OR_RETURN(paths_, FetchObjects(client, objects, fetched_->path(),
                                               TellFetch(objects[0].name.ToString())));
  for (std::size_t i = 0; i < paths_.size(); ++i)
    addresses_.emplace_back(paths_[i].string(), objects[i].name.ToString());
  return {};
}

Result<DataFiles> DataFiles::Open(const std::vector<std::string>& names) {
  std::vector<std::string> files, addresses;
  for (const std::string& name : names) (IsS3Address(name) ? addresses : files).push_back(name);
  std::vector<std::filesystem::path> here;
  if (!files.empty()) {
    SKERRY_ASSIGN_OR_RETURN(here, ExpandFiles(files));
  }
  DataFiles data;
  if (!addresses.empty()) SKERRY_RETURN_IF_ERROR(data.Fetch(addresses, limits::kFilesPerTable));
  data.paths_.insert(data.paths_.begin(), here.begin(), here.end());
  return data;
}

Result<DataFiles> DataFiles::One(const std::string& name) {
  DataFiles data;
  if (IsS3Address(name)) {
    CatchInterrupts();
    SKERRY_RETURN_IF_ERROR(data.Fetch({name}, 1));
  } else {
    data.paths_.emplace_back(name);
  }
  return data;
}

std::string DataFiles::Told(std::string text) const {
  for (const auto& [path, address] : addresses_)
    for (std::size_t at = text.find(path); at != std::string::npos;
         at = text.find(path, at + address.size()))
      text.replace(at, path.size(), address);
  return text;
}

Status DataFiles::Told(Status status) const {
  if (status || addresses_.empty()) return status;
  return tl::make_unexpected(Error(status.error().code(), Told(status.error().message())));
}

}  // namespace skerry
