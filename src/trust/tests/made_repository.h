// A TUF repository as a hub makes it, its files in memory, and a source of them that can lie.
#pragma once

#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "trust/tuf_client.h"
#include "trust/tuf_repository.h"

namespace skerry {

class MadeRepository final : public TufSource {
 public:
  MadeRepository(const std::filesystem::path& keys, std::int64_t now_us)
      : maker(Must(TufRepository::Create(TufKeyDirectory(keys), now_us))) {
    Take();
  }

  void Publish(const std::string& path, std::string_view bytes, std::int64_t now_us) {
    Must(maker.Publish(path, bytes, now_us));
    Take();
  }
  // What the maker has changed, as a hub stores it.
  void Take() {
    for (TufFile& file : maker.TakeFiles()) {
      if (!file.name.empty()) files[file.name] = file.bytes;
      if (!file.name.starts_with("targets/")) newest[file.family] = std::move(file);
    }
  }
  // The maker as it is after a restart of its hub.
  TufRepository Reloaded(const std::filesystem::path& keys) const {
    std::vector<TufFile> kept;
    for (const auto& [family, file] : newest) kept.push_back(file);
    return Must(TufRepository::Load(TufKeyDirectory(keys), kept));
  }

  Result<std::string> Fetch(const std::string& name, std::size_t max_bytes) override {
    fetched.push_back(name);
    const auto found = files.find(name);
    if (found == files.end()) return Fail(ErrorCode::kNotFound, "no {}", name);
    if (found->second.size() > max_bytes)
      return Fail(ErrorCode::kTooLarge, "{} is too large", name);
    return found->second;
  }

  TufRepository maker;
  std::map<std::string, std::string> files;
  std::map<std::string, TufFile> newest;
  std::vector<std::string> fetched;

 private:
  template <typename T>
  static T Must(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().ToString());
    return *std::move(result);
  }
  static void Must(const Status& status) {
    if (!status) throw std::runtime_error(status.error().ToString());
  }
};

}  // namespace skerry
