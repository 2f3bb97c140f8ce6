#include "storage/sqlite.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "storage/file.h"

namespace skerry {
namespace {

constexpr int kPrimaryCodeMask = 0xFF;
constexpr int kIntegrityFindings = 5;
// Statements that are kept prepared: more than the group commit and the seal of an outbox use.
constexpr std::size_t kFreeStatements = 32;

bool IsDiskFull(int system_errno) { return system_errno == ENOSPC || system_errno == EDQUOT; }

ErrorCode CodeOf(int sqlite_code, int system_errno) {
  // Whatever the reason: what was to be synced may be gone.
  if (sqlite_code == SQLITE_IOERR_FSYNC || sqlite_code == SQLITE_IOERR_DIR_FSYNC)
    return ErrorCode::kInternal;
  switch (sqlite_code & kPrimaryCodeMask) {
    case SQLITE_FULL:
    case SQLITE_NOMEM: return ErrorCode::kResourceExhausted;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return ErrorCode::kDataLoss;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return ErrorCode::kUnavailable;
    case SQLITE_CONSTRAINT: return ErrorCode::kAlreadyExists;
    case SQLITE_READONLY:
    case SQLITE_PERM: return ErrorCode::kPermissionDenied;
    case SQLITE_TOOBIG: return ErrorCode::kTooLarge;
    case SQLITE_IOERR:
      return IsDiskFull(system_errno) ? ErrorCode::kResourceExhausted : ErrorCode::kInternal;
    case SQLITE_CANTOPEN:
      if (system_errno == ENOENT) return ErrorCode::kNotFound;
      if (system_errno == EACCES || system_errno == EPERM) return ErrorCode::kPermissionDenied;
      return IsDiskFull(system_errno) ? ErrorCode::kResourceExhausted : ErrorCode::kInternal;
    default: return ErrorCode::kInternal;
  }
}

// What a person can do about it.
std::string_view AdviceFor(ErrorCode code) {
  switch (code) {
    case ErrorCode::kResourceExhausted: return "; free some space on its disk";
    case ErrorCode::kDataLoss:
      return "; the file is damaged: move it aside, or put a backup in its place";
    case ErrorCode::kUnavailable: return "; another process is using it: try again";
    default: return "";
  }
}

tl::unexpected<Error> FailureOn(const std::filesystem::path& path, int code, int system_errno,
                                std::string_view message) {
  const ErrorCode ours = CodeOf(code, system_errno);
  const bool system_matters =
      (code & kPrimaryCodeMask) == SQLITE_IOERR || (code & kPrimaryCodeMask) == SQLITE_CANTOPEN;
  const std::string reason = system_matters && system_errno != 0
                                 ? fmt::format(" ({})", std::strerror(system_errno))
                                 : std::string();
  return Fail(ours, "database {}: {}{}{}", path.string(), message, reason, AdviceFor(ours));
}

// SQLite would create the file with the umask's mode and never sync its directory entry.
Status CreateIfAbsent(const std::filesystem::path& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0 && errno == EEXIST) return {};
  if (fd < 0) {
    const int error = errno;
    return FailureOn(path, SQLITE_CANTOPEN, error, "cannot create the file");
  }
  close(fd);
  return SyncDirectory(path.has_parent_path() ? path.parent_path() : ".");
}

bool MayBePreparedOnce(std::string_view sql) {
  return sql.starts_with("SELECT") || sql.starts_with("INSERT") || sql.starts_with("UPDATE") ||
         sql.starts_with("DELETE");
}

std::string_view ViewOf(const void* bytes, int size) {
  if (bytes == nullptr) return {};
  return {static_cast<const char*>(bytes), static_cast<std::size_t>(size)};
}

}  // namespace

SqlStatement::SqlStatement(SqlStatement&& other) noexcept
    : database_(other.database_),
      statement_(std::exchange(other.statement_, nullptr)),
      bind_result_(other.bind_result_) {}

SqlStatement& SqlStatement::operator=(SqlStatement&& other) noexcept {
  std::swap(database_, other.database_);
  std::swap(statement_, other.statement_);
  std::swap(bind_result_, other.bind_result_);
  return *this;
}

SqlStatement::~SqlStatement() {
  if (statement_ != nullptr) database_->Release(statement_);
}

SqlStatement& SqlStatement::KeepBindResult(int code) {
  if (bind_result_ == SQLITE_OK) bind_result_ = code;
  return *this;
}

SqlStatement& SqlStatement::BindInt(int index, std::int64_t value) {
  return KeepBindResult(sqlite3_bind_int64(statement_, index, value));
}

SqlStatement& SqlStatement::Bind(int index, double value) {
  return KeepBindResult(sqlite3_bind_double(statement_, index, value));
}

SqlStatement& SqlStatement::Bind(int index, std::string_view text) {
  // A null pointer would bind NULL; an empty view is the empty text.
  const char* data = text.empty() ? "" : text.data();
  return KeepBindResult(
      sqlite3_bind_text64(statement_, index, data, text.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
}

SqlStatement& SqlStatement::Bind(int index, Blob blob) {
  const char* data = blob.bytes.empty() ? "" : blob.bytes.data();
  return KeepBindResult(
      sqlite3_bind_blob64(statement_, index, data, blob.bytes.size(), SQLITE_TRANSIENT));
}

SqlStatement& SqlStatement::Bind(int index, std::nullptr_t) {
  return KeepBindResult(sqlite3_bind_null(statement_, index));
}

SqlStatement& SqlStatement::BindColumn(int index, const SqlStatement& row, int column) {
  return KeepBindResult(
      sqlite3_bind_value(statement_, index, sqlite3_column_value(row.statement_, column)));
}

Result<bool> SqlStatement::Step() {
  if (bind_result_ != SQLITE_OK) {
    const int code = bind_result_;
    Reset();
    return FailureOn(database_->path_, code, 0,
                     fmt::format("binding a value: {}", sqlite3_errstr(code)));
  }
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) {
    Reset();
    return false;
  }
  auto failure = database_->Failure(code);
  Reset();
  return failure;
}

Status SqlStatement::Run() {
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool has_row, Step());
    if (!has_row) return {};
  }
}

void SqlStatement::Reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
  bind_result_ = SQLITE_OK;
}

std::int64_t SqlStatement::Int(int column) const {
  return sqlite3_column_int64(statement_, column);
}
double SqlStatement::Double(int column) const { return sqlite3_column_double(statement_, column); }

std::string_view SqlStatement::Text(int column) const {
  // The pointer first: asking for it may convert the value, which changes its size.
  const void* text = sqlite3_column_text(statement_, column);
  return ViewOf(text, sqlite3_column_bytes(statement_, column));
}

std::string_view SqlStatement::BlobAt(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  return ViewOf(bytes, sqlite3_column_bytes(statement_, column));
}

bool SqlStatement::IsNull(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

int SqlStatement::columns() const { return sqlite3_column_count(statement_); }

Result<std::unique_ptr<Database>> Database::Open(const std::filesystem::path& path,
                                                 DatabaseOptions options) {
  if (!options.read_only) SKERRY_RETURN_IF_ERROR(CreateIfAbsent(path));
  const int access = options.read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &handle,
                                   access | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  std::unique_ptr<Database> database(new Database(handle, path));
  if (code != SQLITE_OK) return database->Failure(code);
  SKERRY_RETURN_IF_ERROR(database->Configure(options));
  return database;
}

Status Database::Configure(const DatabaseOptions& options) {
  sqlite3_busy_timeout(handle_, options.busy_timeout_ms);
  // Reads the header, so that a file that is no database is found now rather than at first use.
  SKERRY_RETURN_IF_ERROR(ReadPragma("schema_version"));
  SKERRY_RETURN_IF_ERROR(Execute("PRAGMA foreign_keys=ON"));
  if (options.read_only) return {};
  // auto_vacuum takes effect only in an empty file, and takes the write lock in any.
  SKERRY_ASSIGN_OR_RETURN(const std::int64_t pages, ReadPragma("page_count"));
  if (pages == 0) SKERRY_RETURN_IF_ERROR(Execute("PRAGMA auto_vacuum=INCREMENTAL"));
  SKERRY_ASSIGN_OR_RETURN(SqlStatement mode, Prepare("PRAGMA journal_mode=WAL"));
  SKERRY_ASSIGN_OR_RETURN(const bool has_row, mode.Step());
  if (!has_row || mode.Text(0) != "wal")
    return Fail(ErrorCode::kInternal,
                "database {}: its file system does not take a write-ahead log (shared memory); "
                "use a local disk",
                path_.string());
  return Execute(options.synchronous == DatabaseOptions::Synchronous::kFull
                     ? "PRAGMA synchronous=FULL"
                     : "PRAGMA synchronous=NORMAL");
}

Database::~Database() {
  for (const auto& [sql, statement] : free_) sqlite3_finalize(statement);
  sqlite3_close_v2(handle_);
}

tl::unexpected<Error> Database::Failure(int code) const {
  if (handle_ == nullptr) return FailureOn(path_, code, 0, sqlite3_errstr(code));
  return FailureOn(path_, code, sqlite3_system_errno(handle_), sqlite3_errmsg(handle_));
}

Status Database::Execute(std::string_view sql) {
  const int code = sqlite3_exec(handle_, std::string(sql).c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return Failure(code);
  return {};
}

Result<SqlStatement> Database::Prepare(std::string_view sql) {
  const auto held =
      std::find_if(free_.rbegin(), free_.rend(), [&](const auto& it) { return it.first == sql; });
  if (held != free_.rend()) {
    SqlStatement statement(this, held->second);
    free_.erase(std::next(held).base());
    return statement;
  }
  sqlite3_stmt* raw = nullptr;
  const char* tail = nullptr;
  const int code = sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &raw, &tail);
  if (code != SQLITE_OK) return Failure(code);
  SqlStatement statement(this, raw);
  const std::string_view rest = sql.substr(static_cast<std::size_t>(tail - sql.data()));
  if (raw == nullptr || rest.find_first_not_of(" \t\r\n;") != std::string_view::npos)
    return Fail(ErrorCode::kInternal, "database {}: '{}' is not exactly one statement",
                path_.string(), sql);
  return statement;
}

void Database::Release(sqlite3_stmt* statement) {
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
  const std::string_view sql = sqlite3_sql(statement);
  // Some pragmas act when they are prepared.
  if (!MayBePreparedOnce(sql)) return void(sqlite3_finalize(statement));
  if (free_.size() == kFreeStatements) {
    sqlite3_finalize(free_.front().second);
    free_.erase(free_.begin());
  }
  free_.emplace_back(sql, statement);
}

std::int64_t Database::changes() const { return sqlite3_changes64(handle_); }
std::int64_t Database::last_insert_id() const { return sqlite3_last_insert_rowid(handle_); }

Result<std::int64_t> Database::ReadPragma(std::string_view name) {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement statement, Prepare(fmt::format("PRAGMA {}", name)));
  SKERRY_ASSIGN_OR_RETURN(const bool has_row, statement.Step());
  return has_row ? statement.Int(0) : 0;
}

Status Database::Migrate(std::span<const std::string_view> steps) {
  const auto wanted = static_cast<std::int64_t>(steps.size());
  SKERRY_ASSIGN_OR_RETURN(std::int64_t version, ReadPragma("user_version"));
  if (version == wanted) return {};
  SKERRY_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*this));
  // Again under the lock: another process may have migrated in between.
  SKERRY_ASSIGN_OR_RETURN(version, ReadPragma("user_version"));
  if (version < 0 || version > wanted)
    return Fail(ErrorCode::kFailedPrecondition,
                "database {}: its schema is version {}, this program knows up to {}: use the newer "
                "program that wrote it",
                path_.string(), version, wanted);
  for (; version < wanted; ++version) {
    SKERRY_RETURN_IF_ERROR(Execute(steps[static_cast<std::size_t>(version)]),
                           fmt::format("schema step {}", version + 1));
  }
  SKERRY_RETURN_IF_ERROR(Execute(fmt::format("PRAGMA user_version={}", wanted)));
  return transaction.Commit();
}

Status Database::IntegrityCheck() {
  SKERRY_ASSIGN_OR_RETURN(SqlStatement check,
                          Prepare(fmt::format("PRAGMA integrity_check({})", kIntegrityFindings)));
  std::vector<std::string> findings;
  while (true) {
    SKERRY_ASSIGN_OR_RETURN(const bool has_row, check.Step());
    if (!has_row) break;
    findings.emplace_back(check.Text(0));
  }
  if (findings.size() == 1 && findings.front() == "ok") return {};
  return FailureOn(path_, SQLITE_CORRUPT, 0, fmt::format("{}", fmt::join(findings, "; ")));
}

void Database::RollBack() {
  // SQLite may have rolled back by itself. A failing ROLLBACK leaves nothing to be done: the
  // journal is played back at the next opening.
  if (sqlite3_get_autocommit(handle_) == 0)
    sqlite3_exec(handle_, "ROLLBACK", nullptr, nullptr, nullptr);
}

Result<Transaction> Transaction::Begin(Database& database) {
  SKERRY_RETURN_IF_ERROR(database.Execute("BEGIN IMMEDIATE"));
  return Transaction(&database);
}

Status Transaction::Commit() {
  Database* database = std::exchange(database_, nullptr);
  if (database == nullptr) return Fail(ErrorCode::kInternal, "the transaction has already ended");
  Status status = database->Execute("COMMIT");
  if (!status) database->RollBack();
  return status;
}

Transaction::~Transaction() {
  if (database_ != nullptr) database_->RollBack();
}

}  // namespace skerry
