// SQLite, wrapped: the one adapter of sqlite3.h.
//
// A Database is one connection in WAL mode. With Synchronous::kFull (the default) a commit has been
// synced to disk when it returns; with kNormal a power cut may lose the latest commits but never
// damages the file. Ownership: a Database outlives its statements and transactions, which point to
// it. Thread safety: one thread at a time for a Database and all that was made from it (the owner
// guards it); several Databases on one file may be used at once.
//
// Errors by code: disk or quota full -> kResourceExhausted; file damaged or no database ->
// kDataLoss; locked by another connection for longer than busy_timeout_ms -> kUnavailable;
// constraint violated -> kAlreadyExists; no such file (read_only) -> kNotFound; not writable ->
// kPermissionDenied; SQL that does not parse and failed reads or writes -> kInternal. Every message
// names the file. After a kInternal from a write the owner closes the database: a failed fsync is
// never retried.
//
//   SKERRY_ASSIGN_OR_RETURN(auto db, Database::Open(path));
//   SKERRY_ASSIGN_OR_RETURN(auto insert, db->Prepare("INSERT INTO rows(n, body) VALUES(?, ?)"));
//   SKERRY_ASSIGN_OR_RETURN(auto transaction, Transaction::Begin(*db));
//   SKERRY_RETURN_IF_ERROR(insert.Bind(1, n).Bind(2, Blob{body}).Run());
//   SKERRY_RETURN_IF_ERROR(transaction.Commit());
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

struct sqlite3;
struct sqlite3_stmt;

namespace skerry {

class Database;

// Marks bytes that are bound as a BLOB rather than as TEXT.
struct Blob {
  std::string_view bytes;
};

// A prepared statement. Bind by position from 1, Step until it gives false (or Run), then bind
// again. A failed Bind is kept and reported by the next Step or Run. Bound bytes are copied.
class SqlStatement {
 public:
  SqlStatement(SqlStatement&& other) noexcept;
  SqlStatement& operator=(SqlStatement&& other) noexcept;
  ~SqlStatement();

  // Any integer; unsigned 64-bit values keep their bits (read them back with a cast).
  template <std::integral T>
  SqlStatement& Bind(int index, T value) {
    return BindInt(index, static_cast<std::int64_t>(value));
  }
  SqlStatement& Bind(int index, double value);
  SqlStatement& Bind(int index, std::string_view text);
  SqlStatement& Bind(int index, const char* text) { return Bind(index, std::string_view(text)); }
  SqlStatement& Bind(int index, const std::string& text) {
    return Bind(index, std::string_view(text));
  }
  SqlStatement& Bind(int index, Blob blob);
  SqlStatement& Bind(int index, std::nullptr_t);

  // True: a row is there to be read. False: done, and the statement is reset. On an error it is
  // reset too.
  Result<bool> Step();
  // Runs to the end, ignoring rows, and resets.
  Status Run();
  // Binds what a column of another statement's row holds, with its type.
  SqlStatement& BindColumn(int index, const SqlStatement& row, int column);
  // Back to before the first Step; all bindings become NULL.
  void Reset();

  // Columns count from 0; valid while a row is there. SQLite converts between types (NULL gives 0
  // or ""). Views live until the next Step, Run or Reset.
  std::int64_t Int(int column) const;
  double Double(int column) const;
  std::string_view Text(int column) const;
  std::string_view BlobAt(int column) const;
  bool IsNull(int column) const;
  int columns() const;

 private:
  friend class Database;
  SqlStatement(Database* database, sqlite3_stmt* statement)
      : database_(database), statement_(statement) {}
  SqlStatement& BindInt(int index, std::int64_t value);
  SqlStatement& KeepBindResult(int code);

  Database* database_;
  sqlite3_stmt* statement_;
  int bind_result_ = 0;  // the first failed Bind since the last Reset
};

struct DatabaseOptions {
  enum class Synchronous { kFull, kNormal };
  bool read_only = false;  // the file has to be there; nothing is created
  Synchronous synchronous = Synchronous::kFull;
  int busy_timeout_ms = 5'000;
};

class Database {
 public:
  // Opens the file, made durably with mode 0600 if it is absent: WAL, foreign_keys on, incremental
  // auto_vacuum from creation. The directory has to exist.
  static Result<std::unique_ptr<Database>> Open(const std::filesystem::path& path,
                                                DatabaseOptions options = {});
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  // Runs one or several statements without parameters; rows are ignored.
  Status Execute(std::string_view sql);
  // One statement; kInternal with SQLite's message when it does not parse. Those of the same text
  // are prepared once: a statement that goes out of use is kept for the next Prepare.
  Result<SqlStatement> Prepare(std::string_view sql);
  // Rows changed by the latest INSERT, UPDATE or DELETE.
  std::int64_t changes() const;
  std::int64_t last_insert_id() const;
  const std::filesystem::path& path() const { return path_; }

  // Brings the schema up to date: runs steps[user_version], steps[user_version + 1], ..., all in
  // one transaction. Steps are only ever appended to the list. kFailedPrecondition when the file
  // has seen more steps than there are: a newer version of the program wrote it.
  Status Migrate(std::span<const std::string_view> steps);

  // Reads the whole file (seconds for gigabytes). kDataLoss with SQLite's first findings.
  Status IntegrityCheck();

 private:
  friend class SqlStatement;
  friend class Transaction;
  Database(sqlite3* handle, std::filesystem::path path) : handle_(handle), path_(std::move(path)) {}
  Status Configure(const DatabaseOptions& options);
  Result<std::int64_t> ReadPragma(std::string_view name);
  void RollBack();
  // A statement that nobody uses any more: kept, or finalized.
  void Release(sqlite3_stmt* statement);
  // The error of a failed call on this connection, by SQLite's result code.
  tl::unexpected<Error> Failure(int code) const;

  sqlite3* handle_;
  std::filesystem::path path_;
  std::vector<std::pair<std::string_view, sqlite3_stmt*>> free_;  // the one used last is last
};

// A write transaction (BEGIN IMMEDIATE). Rolled back at the end of its life unless Commit
// succeeded. One at a time on a Database; statements in between belong to it.
class Transaction {
 public:
  // kUnavailable when another connection writes for longer than the busy timeout.
  static Result<Transaction> Begin(Database& database);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  // Durable on success (Synchronous::kFull). After an error everything has been rolled back.
  Status Commit();

 private:
  explicit Transaction(Database* database) : database_(database) {}
  Database* database_;  // null: committed, rolled back, or moved from
};

}  // namespace skerry
