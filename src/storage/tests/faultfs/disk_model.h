// What a disk may hold after the power was cut, worked out from a trace of faultfs/shim.c.
//
// The model is stricter than file systems are. What a process wrote to a file is on the disk for
// certain after fsync of that file alone, and a name (created, renamed, removed) after fsync of its
// directory alone. Before that any of it may be there or not, in any order, and a write may be
// there in part, by sectors of 512 bytes; a file may have its new length and zeros in the place of
// data. What a failed fsync left unwritten never reaches the disk, as on Linux, where its pages
// count as clean afterwards, though the process goes on seeing it. Names of one directory come in
// the order in which they were changed, and a rename is whole or not at all, as in every journal.
// Shared memory ("-shm") is never on a disk.
//
//   DiskModel model = *DiskModel::Read(trace);
//   while (model.Advance()) { model.WriteState(directory, DiskModel::Cut::kSome, random); ... }
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "base/random.h"

namespace skerry {

class DiskModel {
 public:
  enum class Change : std::uint32_t {
    kCreate = 1,
    kWrite,
    kTruncate,
    kSync,
    kSyncDirectory,
    kRename,
    kUnlink,
    kMakeDirectory,
    kRemoveDirectory,
    kLink,
    kMark,
    kSyncFailed,
  };
  enum class Cut {
    kOnlySynced,  // nothing of what was not synced is there
    kEverything,  // all of it is: what a killed process leaves
    kSome,        // some of it, drawn
  };

  static Result<DiskModel> Read(const std::filesystem::path& trace);
  // Takes one more change into account; false at the end.
  bool Advance();
  std::size_t changes() const { return changes_.size(); }
  std::size_t at() const { return at_; }
  // Of the change taken last.
  Change change() const { return changes_[at_ - 1].kind; }
  const std::string& text() const { return changes_[at_ - 1].first; }
  // Makes the directory, which must not be there, with what the disk may hold now.
  Status WriteState(const std::filesystem::path& directory, Cut cut, SeededRandom& random) const;

 private:
  struct Record {
    Change kind;
    std::string first;
    std::string second;
    std::uint64_t inode;
    std::uint64_t offset;
  };
  struct DataChange {
    bool truncates;
    std::uint64_t offset;  // or the new length
    std::string bytes;
  };
  struct File {
    std::string synced;
    std::string seen;  // by the process
    std::vector<DataChange> pending;
  };
  using Names = std::map<std::string, std::shared_ptr<File>>;  // null: a directory
  struct NameChange {
    Change kind;
    std::string first;
    std::string second;
    std::shared_ptr<File> file;  // of kCreate
  };

  static bool IsOf(const NameChange& change, const std::string& directory);
  static void Apply(Names& names, const NameChange& change);
  static void Apply(std::string& bytes, const DataChange& change);
  static std::string Draw(const File& file, Cut cut, SeededRandom& random);

  std::vector<Record> changes_;
  std::size_t at_ = 0;
  std::unordered_map<std::uint64_t, std::shared_ptr<File>> inodes_;
  Names synced_;
  std::vector<NameChange> pending_;
};

}  // namespace skerry
