#include "storage/tests/faultfs/disk_model.h"

#include <algorithm>
#include <cstring>

#include "storage/file.h"

namespace skerry {
namespace {

constexpr std::uint64_t kMostTraceBytes = std::uint64_t{4} << 30U;
constexpr std::size_t kSector = 512;

struct RecordHead {
  std::uint32_t kind;
  std::uint32_t first_bytes;
  std::uint32_t second_bytes;
  std::uint32_t unused;
  std::uint64_t inode;
  std::uint64_t offset;
};

std::string DirectoryOf(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

}  // namespace

Result<DiskModel> DiskModel::Read(const std::filesystem::path& trace) {
  SKERRY_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(trace, kMostTraceBytes));
  DiskModel model;
  for (std::size_t at = 0; at < bytes.size();) {
    RecordHead head{};
    if (bytes.size() - at < sizeof head)
      return Fail(ErrorCode::kDataLoss, "the trace ends inside a record");
    std::memcpy(&head, bytes.data() + at, sizeof head);
    at += sizeof head;
    if (bytes.size() - at < std::size_t{head.first_bytes} + head.second_bytes)
      return Fail(ErrorCode::kDataLoss, "the trace ends inside a record");
    model.changes_.push_back({static_cast<Change>(head.kind), bytes.substr(at, head.first_bytes),
                              bytes.substr(at + head.first_bytes, head.second_bytes), head.inode,
                              head.offset});
    at += std::size_t{head.first_bytes} + head.second_bytes;
  }
  return model;
}

bool DiskModel::IsOf(const NameChange& change, const std::string& directory) {
  return DirectoryOf(change.first) == directory ||
         (change.kind == Change::kRename && DirectoryOf(change.second) == directory);
}

void DiskModel::Apply(Names& names, const NameChange& change) {
  switch (change.kind) {
    case Change::kCreate: names[change.first] = change.file; break;
    case Change::kMakeDirectory: names[change.first] = nullptr; break;
    case Change::kUnlink:
    case Change::kRemoveDirectory: names.erase(change.first); break;
    case Change::kRename:
      // The source's own creation may not be on the disk: then neither is the target.
      if (const auto source = names.find(change.first); source != names.end()) {
        names[change.second] = source->second;
        names.erase(change.first);
      }
      break;
    case Change::kLink:
      if (const auto source = names.find(change.first); source != names.end())
        names[change.second] = source->second;
      break;
    default: break;
  }
}

void DiskModel::Apply(std::string& bytes, const DataChange& change) {
  if (change.truncates) {
    bytes.resize(change.offset, '\0');
    return;
  }
  if (bytes.size() < change.offset + change.bytes.size())
    bytes.resize(change.offset + change.bytes.size(), '\0');
  std::copy(change.bytes.begin(), change.bytes.end(),
            bytes.begin() + static_cast<std::ptrdiff_t>(change.offset));
}

bool DiskModel::Advance() {
  if (at_ == changes_.size()) return false;
  const Record& record = changes_[at_++];
  switch (record.kind) {
    case Change::kCreate: {
      auto file = std::make_shared<File>();
      inodes_[record.inode] = file;
      pending_.push_back({record.kind, record.first, "", std::move(file)});
      break;
    }
    case Change::kWrite:
    case Change::kTruncate:
      if (const auto file = inodes_.find(record.inode); file != inodes_.end()) {
        file->second->pending.push_back(
            {record.kind == Change::kTruncate, record.offset, record.second});
        Apply(file->second->seen, file->second->pending.back());
      }
      break;
    case Change::kSync:
      if (const auto file = inodes_.find(record.inode); file != inodes_.end()) {
        for (const DataChange& change : file->second->pending) Apply(file->second->synced, change);
        file->second->pending.clear();
      }
      break;
    case Change::kSyncDirectory: {
      const auto kept = std::stable_partition(
          pending_.begin(), pending_.end(),
          [&](const NameChange& change) { return !IsOf(change, record.first); });
      for (auto change = kept; change != pending_.end(); ++change) Apply(synced_, *change);
      pending_.erase(kept, pending_.end());
      break;
    }
    case Change::kSyncFailed:
      if (const auto file = inodes_.find(record.inode); file != inodes_.end())
        file->second->pending.clear();
      break;
    case Change::kMark: break;
    default: pending_.push_back({record.kind, record.first, record.second, nullptr}); break;
  }
  return true;
}

std::string DiskModel::Draw(const File& file, Cut cut, SeededRandom& random) {
  if (cut == Cut::kEverything) return file.seen;
  std::string bytes = file.synced;
  if (cut == Cut::kOnlySynced) return bytes;
  std::uint64_t longest = bytes.size();
  for (const DataChange& change : file.pending) {
    longest = std::max(longest, change.offset + change.bytes.size());
    const std::uint64_t draw = random.NextBelow(5);
    if (draw < 2) Apply(bytes, change);
    if (draw != 2 || change.truncates) continue;
    for (std::size_t from = 0; from < change.bytes.size(); from += kSector)
      if (random.NextBelow(2) == 0)
        Apply(bytes, {false, change.offset + from, change.bytes.substr(from, kSector)});
  }
  if (random.NextBelow(3) == 0 && bytes.size() < longest) bytes.resize(longest, '\0');
  return bytes;
}

Status DiskModel::WriteState(const std::filesystem::path& directory, Cut cut,
                             SeededRandom& random) const {
  Names names = synced_;
  std::map<std::string, std::size_t> left;  // of a directory's changes, how many are there
  for (const NameChange& change : pending_) ++left[DirectoryOf(change.first)];
  if (cut == Cut::kSome)
    for (auto& [name, count] : left) count = random.NextBelow(count + 1);
  for (const NameChange& change : pending_) {
    std::size_t& count = left[DirectoryOf(change.first)];
    if (cut == Cut::kOnlySynced || count == 0) continue;
    --count;
    Apply(names, change);
  }
  SKERRY_RETURN_IF_ERROR(CreateDirectories(directory, 0700));
  for (const auto& [name, file] : names) {
    if (name.ends_with("-shm")) continue;
    const std::filesystem::path path = directory / name;
    // A directory whose own name is not there yet takes its files with it.
    if (!std::filesystem::is_directory(path.parent_path())) continue;
    if (file == nullptr) {
      SKERRY_RETURN_IF_ERROR(CreateDirectories(path, 0700));
      continue;
    }
    SKERRY_RETURN_IF_ERROR(WriteFileDurably(path, Draw(*file, cut, random), 0600));
  }
  return {};
}

}  // namespace skerry
