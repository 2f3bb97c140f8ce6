// SQLite, wrapped: WAL, synchronous=FULL, one connection that both writes and checkpoints.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"

struct sqlite3;
struct sqlite3_stmt;

namespace skerry {

// A prepared statement. Bind by position from 1; Step until it says false; Reset to run again.
// Not thread-safe; lives no longer than its Database.
class SqlStatement {
 public:
  SqlStatement(SqlStatement&&) noexcept;
  SqlStatement& operator=(SqlStatement&&) noexcept;
  ~SqlStatement();

  SqlStatement& Bind(int index, std::int64_t value);
  SqlStatement& Bind(int index, std::uint64_t value);
  SqlStatement& Bind(int index, int value) { return Bind(index, std::int64_t{value}); }
  SqlStatement& Bind(int index, double value);
  SqlStatement& Bind(int index, std::string_view text);
  SqlStatement& Bind(int index, const char* text) { return Bind(index, std::string_view(text)); }
  SqlStatement& Bind(int index, const std::string& text) { return Bind(index, std::string_view(text)); }
  SqlStatement& BindBlob(int index, std::string_view bytes);
  SqlStatement& BindNull(int index);

  // True: a row is there to be read. False: done.
  Result<bool> Step();
  // Steps to the end, then resets; for statements without rows.
  Status Run();
  void Reset();

  std::int64_t Int(int column) const;      // columns count from 0
  std::uint64_t Uint(int column) const { return static_cast<std::uint64_t>(Int(column)); }
  double Real(int column) const;
  std::string Text(int column) const;      // copies; blobs too
  bool IsNull(int column) const;

 private:
  friend class Database;
  SqlStatement(sqlite3* database, sqlite3_stmt* statement);
  sqlite3* database_ = nullptr;
  sqlite3_stmt* statement_ = nullptr;
};

// One connection. Used by one thread at a time (the owner guards it).
// Errors: SQLITE_FULL and ENOSPC -> kResourceExhausted, SQLITE_CORRUPT and NOTADB -> kDataLoss,
// constraint violations -> kAlreadyExists, busy -> kUnavailable, the rest -> kInternal.
class Database {
 public:
  // Creates the file if needed, mode 0600; sets WAL, synchronous=FULL, incremental vacuum,
  // foreign_keys=ON, busy_timeout. Commits are durable (fsync'd WAL) when they return.
  static Result<Database> Open(const std::filesystem::path& path);
  static Result<Database> OpenReadOnly(const std::filesystem::path& path);
  Database(Database&&) noexcept;
  Database& operator=(Database&&) noexcept;
  ~Database();

  Result<SqlStatement> Prepare(std::string_view sql);
  // One or more statements without parameters or rows.
  Status Execute(const std::string& sql);
  std::int64_t last_insert_rowid() const;
  std::int64_t changes() const;
  // Runs each script from `user_version` on, in one transaction: schema migration.
  Status Migrate(std::initializer_list<std::string_view> scripts);

 private:
  explicit Database(sqlite3* handle) : handle_(handle) {}
  sqlite3* handle_ = nullptr;
};

// BEGIN IMMEDIATE at Begin; rolled back unless Commit succeeded. A failed COMMIT rolls back too.
class Transaction {
 public:
  static Result<Transaction> Begin(Database& database);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Status Commit();  // durable on success

 private:
  explicit Transaction(Database* database) : database_(database) {}
  Database* database_;
};

}  // namespace skerry
