#include "storage/sqlite.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <functional>

#include "storage/file.h"

namespace skerry {
namespace {

class SqliteTest : public testing::Test {
 protected:
  std::filesystem::path path() const { return directory_.path() / "test.db"; }

  std::unique_ptr<Database> MustOpen(DatabaseOptions options = {}) const {
    auto opened = Database::Open(path(), options);
    EXPECT_TRUE(opened) << opened.error().ToString();
    return std::move(*opened);
  }

  static std::int64_t Ask(Database& database, std::string_view sql) {
    auto statement = database.Prepare(sql);
    EXPECT_TRUE(statement) << statement.error().ToString();
    const auto has_row = statement->Step();
    EXPECT_TRUE(has_row && *has_row) << sql;
    return statement->Int(0);
  }

  static Status Insert(Database& database, int n) {
    SKERRY_ASSIGN_OR_RETURN(auto insert, database.Prepare("INSERT INTO t VALUES(?, ?)"));
    return insert.Bind(1, n).Bind(2, Blob{std::string(2'000, 'x')}).Run();
  }

  TemporaryDirectory directory_ = TemporaryDirectory::Create("skerry-sqlite").value();
};

// A process of its own with a pipe each way. The body runs in the child and gets both ends.
class Child {
 public:
  using Body = std::function<void(int in, int out)>;
  explicit Child(const Body& body) {
    EXPECT_EQ(pipe(to_child_.data()), 0);
    EXPECT_EQ(pipe(to_parent_.data()), 0);
    pid_ = fork();
    if (pid_ == 0) {
      close(to_child_[1]);
      close(to_parent_[0]);
      body(to_child_[0], to_parent_[1]);
      _exit(0);
    }
    close(to_child_[0]);
    close(to_parent_[1]);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    close(to_child_[1]);
    close(to_parent_[0]);
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
  }

  char ReadByte() const {
    char byte = 0;
    return read(to_parent_[0], &byte, 1) == 1 ? byte : '\0';
  }
  void Kill() { EXPECT_EQ(kill(pid_, SIGKILL), 0); }
  int WaitForStatus() {
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    pid_ = -1;
    return status;
  }

 private:
  std::array<int, 2> to_child_{};
  std::array<int, 2> to_parent_{};
  pid_t pid_ = -1;
};

void Tell(int out, char byte) { [[maybe_unused]] const auto written = write(out, &byte, 1); }

TEST_F(SqliteTest, ValuesOfEveryTypeComeBackAsTheyWere) {
  const auto db = MustOpen();
  ASSERT_TRUE(db->Execute("CREATE TABLE t(i, u, d, s, e, b, n)"));
  const std::string text("w\0rld", 5);
  auto insert = db->Prepare("INSERT INTO t VALUES(?,?,?,?,?,?,?)").value();
  ASSERT_TRUE(insert.Bind(1, -7)
                  .Bind(2, UINT64_MAX)
                  .Bind(3, 0.1)
                  .Bind(4, text)
                  .Bind(5, std::string_view())
                  .Bind(6, Blob{std::string_view("\0\xff", 2)})
                  .Bind(7, nullptr)
                  .Run());
  EXPECT_EQ(db->changes(), 1);
  EXPECT_EQ(db->last_insert_id(), 1);
  auto select = db->Prepare("SELECT * FROM t").value();
  ASSERT_TRUE(select.Step().value());
  EXPECT_EQ(select.Int(0), -7);
  EXPECT_EQ(static_cast<std::uint64_t>(select.Int(1)), UINT64_MAX);
  EXPECT_EQ(select.Double(2), 0.1);
  EXPECT_EQ(select.Text(3), text);
  EXPECT_EQ(select.Text(4), "");
  EXPECT_FALSE(select.IsNull(4));
  EXPECT_EQ(select.BlobAt(5), std::string_view("\0\xff", 2));
  EXPECT_TRUE(select.IsNull(6));
  EXPECT_FALSE(select.Step().value());
}

TEST_F(SqliteTest, OpensWithTheSettingsThatDurabilityNeeds) {
  const auto db = MustOpen();
  EXPECT_EQ(Ask(*db, "SELECT journal_mode='wal' FROM pragma_journal_mode"), 1);
  EXPECT_EQ(Ask(*db, "PRAGMA synchronous"), 2);
  EXPECT_EQ(Ask(*db, "PRAGMA auto_vacuum"), 2);
  EXPECT_EQ(Ask(*db, "PRAGMA foreign_keys"), 1);
  struct stat facts{};
  ASSERT_EQ(stat(path().c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777U, 0600U);
}

TEST_F(SqliteTest, StatementForgetsItsBindingsWhenReset) {
  const auto db = MustOpen();
  ASSERT_TRUE(db->Execute("CREATE TABLE t(a, b)"));
  auto insert = db->Prepare("INSERT INTO t VALUES(?, ?)").value();
  ASSERT_TRUE(insert.Bind(1, 1).Bind(2, 2).Run());
  ASSERT_TRUE(insert.Bind(1, 3).Run());
  EXPECT_EQ(Ask(*db, "SELECT count(*) FROM t WHERE a = 3 AND b IS NULL"), 1);
}

TEST_F(SqliteTest, AStatementOfTheSameTextIsPreparedOnceAndBringsNothingAlong) {
  const auto database = MustOpen();
  ASSERT_TRUE(database->Execute(
      "CREATE TABLE t(n INTEGER, body BLOB); INSERT INTO t VALUES(1, ''), (2, '')"));
  const std::string select = "SELECT n, ? FROM t ORDER BY n";
  {
    auto first = database->Prepare(select);
    ASSERT_TRUE(first);
    ASSERT_TRUE(*first->Bind(1, "left over").Step());  // and left in the midst of its rows
  }
  auto again = database->Prepare(select);
  auto beside = database->Prepare(select);  // while the other is in use
  ASSERT_TRUE(again && beside);
  ASSERT_TRUE(*again->Step());
  EXPECT_EQ(again->Int(0), 1);
  EXPECT_TRUE(again->IsNull(1));
  ASSERT_TRUE(*beside->Bind(1, "own").Step());
  EXPECT_EQ(beside->Text(1), "own");
  EXPECT_TRUE(again->IsNull(1));
}

TEST_F(SqliteTest, KeptStatementsHoldNoLockAndFollowTheSchema) {
  const auto database = MustOpen();
  ASSERT_TRUE(
      database->Execute("CREATE TABLE t(n INTEGER, body BLOB); INSERT INTO t VALUES(1, '')"));
  for (int i = 0; i < 100; ++i)  // more than are kept
    EXPECT_EQ(Ask(*database, fmt::format("SELECT n + {} FROM t", i)), 1 + i);
  EXPECT_EQ(Ask(*database, "SELECT COUNT(*) FROM t"), 1);
  ASSERT_TRUE(database->Execute(
      "DROP TABLE t; CREATE TABLE t(other TEXT, n INTEGER); INSERT INTO t VALUES('', 7)"));
  EXPECT_EQ(Ask(*database, "SELECT n + 99 FROM t"), 106);
  ASSERT_TRUE(database->Execute("DROP TABLE t"));
  auto gone = database->Prepare("SELECT COUNT(*) FROM t");
  EXPECT_FALSE(gone && gone->Step());
}

TEST_F(SqliteTest, BindingThatDoesNotExistFailsTheRun) {
  const auto db = MustOpen();
  auto select = db->Prepare("SELECT ?").value();
  const auto status = select.Bind(2, 1).Run();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), ErrorCode::kInternal);
  EXPECT_TRUE(select.Bind(1, 1).Run());
}

TEST_F(SqliteTest, SqlThatIsWrongOrMoreThanOneStatementIsNotPrepared) {
  const auto db = MustOpen();
  EXPECT_FALSE(db->Prepare("SELEC 1"));
  EXPECT_FALSE(db->Prepare("SELECT 1; SELECT 2"));
  EXPECT_FALSE(db->Prepare(""));
  EXPECT_TRUE(db->Prepare("SELECT 1; "));
}

TEST_F(SqliteTest, ViolatedConstraintIsAlreadyExists) {
  const auto db = MustOpen();
  ASSERT_TRUE(db->Execute("CREATE TABLE t(n INTEGER PRIMARY KEY); INSERT INTO t VALUES(1)"));
  const auto status = db->Execute("INSERT INTO t VALUES(1)");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), ErrorCode::kAlreadyExists);
  EXPECT_NE(status.error().message().find(path().string()), std::string::npos);
}

TEST_F(SqliteTest, TransactionIsRolledBackUnlessCommitted) {
  const auto db = MustOpen();
  ASSERT_TRUE(db->Execute("CREATE TABLE t(n)"));
  {
    const auto transaction = Transaction::Begin(*db);
    ASSERT_TRUE(transaction && db->Execute("INSERT INTO t VALUES(1)"));
  }
  EXPECT_EQ(Ask(*db, "SELECT count(*) FROM t"), 0);
  {
    auto transaction = Transaction::Begin(*db);
    ASSERT_TRUE(transaction && db->Execute("INSERT INTO t VALUES(1)") && transaction->Commit());
    EXPECT_FALSE(transaction->Commit());
  }
  EXPECT_EQ(Ask(*db, "SELECT count(*) FROM t"), 1);
}

TEST_F(SqliteTest, AcknowledgedCommitsSurviveTheProcessBeingKilled) {
  Child child([&](int, int out) {
    const auto db = Database::Open(path());
    if (!db || !(*db)->Execute("CREATE TABLE t(n, body)")) return;
    for (int n = 0;; ++n) {
      if (!Insert(**db, n)) return;
      Tell(out, '+');
    }
  });
  constexpr int kAcknowledged = 50;
  for (int n = 0; n < kAcknowledged; ++n) ASSERT_EQ(child.ReadByte(), '+');
  child.Kill();
  child.WaitForStatus();
  const auto db = MustOpen();
  EXPECT_TRUE(db->IntegrityCheck());
  EXPECT_GE(Ask(*db, "SELECT count(*) FROM t"), kAcknowledged);
}

TEST_F(SqliteTest, WriterOfAnotherProcessMakesBeginUnavailableWhileReadsGoOn) {
  ASSERT_TRUE(MustOpen()->Execute("CREATE TABLE t(n, body)"));
  const Child child([&](int in, int out) {
    const auto db = Database::Open(path());
    const auto transaction = Transaction::Begin(**db);
    Tell(out, transaction ? '+' : '-');
    char byte = 0;
    [[maybe_unused]] const auto ended = read(in, &byte, 1);  // until the parent lets go
  });
  ASSERT_EQ(child.ReadByte(), '+');
  const auto db = MustOpen({.busy_timeout_ms = 1});
  EXPECT_EQ(Ask(*db, "SELECT count(*) FROM t"), 0);
  const auto second = Transaction::Begin(*db);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), ErrorCode::kUnavailable);
}

TEST_F(SqliteTest, FullDatabaseIsResourceExhaustedAndKeepsWhatWasCommitted) {
  const auto db = MustOpen();
  ASSERT_TRUE(db->Execute("CREATE TABLE t(n, body); PRAGMA max_page_count=20"));
  int n = 0;
  Status status;
  while (n < 1'000 && (status = Insert(*db, n))) ++n;
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), ErrorCode::kResourceExhausted);
  EXPECT_EQ(Ask(*db, "SELECT count(*) FROM t"), n);
  ASSERT_TRUE(db->Execute("DELETE FROM t WHERE n < 10"));
  EXPECT_TRUE(Insert(*db, n));
}

TEST_F(SqliteTest, WriteThatTheSystemRefusesLosesNothingCommitted) {
  // RLIMIT_FSIZE makes write(2) fail half-way through the log, as a full disk would.
  Child child([&](int, int out) {
    (void)signal(SIGXFSZ, SIG_IGN);
    const auto db = Database::Open(path());
    if (!db || !(*db)->Execute("CREATE TABLE t(n, body)")) return;
    const rlimit limit{200'000, 200'000};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return;
    for (int n = 0; n < 1'000 && Insert(**db, n); ++n) Tell(out, '+');
    Tell(out, (*db)->Execute("SELECT count(*) FROM t") ? 'r' : '-');
    _exit(0);  // no orderly close, which would write again
  });
  int acknowledged = 0;
  char last = 0;
  while ((last = child.ReadByte()) == '+') ++acknowledged;
  EXPECT_EQ(last, 'r');
  EXPECT_GT(acknowledged, 10);
  EXPECT_LT(acknowledged, 1'000);
  child.WaitForStatus();
  const auto db = MustOpen();
  EXPECT_TRUE(db->IntegrityCheck());
  EXPECT_EQ(Ask(*db, "SELECT count(*) FROM t"), acknowledged);
}

TEST_F(SqliteTest, FileThatIsNoDatabaseIsDataLossAtOpening) {
  ASSERT_TRUE(WriteFileDurably(path(), std::string(8'192, 'z')));
  const auto db = Database::Open(path());
  ASSERT_FALSE(db);
  EXPECT_EQ(db.error().code(), ErrorCode::kDataLoss);
  EXPECT_NE(db.error().message().find(path().string()), std::string::npos);
}

TEST_F(SqliteTest, DamagedPageIsFoundByTheIntegrityCheck) {
  {
    const auto db = MustOpen();
    ASSERT_TRUE(db->Execute("CREATE TABLE t(n, body)"));
    for (int n = 0; n < 100; ++n) ASSERT_TRUE(Insert(*db, n));
    EXPECT_TRUE(db->IntegrityCheck());
  }
  std::string bytes = ReadFile(path(), 100U << 20U).value();
  constexpr std::size_t kPageBytes = 4'096;
  ASSERT_GT(bytes.size(), 12 * kPageBytes);
  bytes.replace(10 * kPageBytes, 64, 64, '\x5a');
  ASSERT_TRUE(WriteFileDurably(path(), bytes));
  const auto status = MustOpen()->IntegrityCheck();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), ErrorCode::kDataLoss);
}

TEST_F(SqliteTest, ReadOnlyNeedsTheFileAndRefusesToWrite) {
  const auto absent = Database::Open(path(), {.read_only = true});
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code(), ErrorCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(path()));
  ASSERT_TRUE(MustOpen()->Execute("CREATE TABLE t(n, body)"));
  const auto db = MustOpen({.read_only = true});
  EXPECT_EQ(Ask(*db, "SELECT count(*) FROM t"), 0);
  const auto status = Insert(*db, 1);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), ErrorCode::kPermissionDenied);
}

TEST_F(SqliteTest, DirectoryThatIsAbsentIsNotFound) {
  const auto db = Database::Open(directory_.path() / "no" / "test.db");
  ASSERT_FALSE(db);
  EXPECT_EQ(db.error().code(), ErrorCode::kNotFound);
}

TEST_F(SqliteTest, MigrationRunsEachStepOnceAndAllOrNothing) {
  const std::vector<std::string_view> one = {"CREATE TABLE t(n); INSERT INTO t VALUES(1)"};
  const std::vector<std::string_view> broken = {one[0], "INSERT INTO t VALUES(2)", "NONSENSE"};
  const std::vector<std::string_view> two = {one[0], "INSERT INTO t VALUES(3)"};
  const auto db = MustOpen();
  ASSERT_TRUE(db->Migrate(one));
  ASSERT_TRUE(db->Migrate(one));
  EXPECT_EQ(Ask(*db, "SELECT sum(n) FROM t"), 1);
  const auto status = db->Migrate(broken);
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message().find("schema step 3"), std::string::npos);
  EXPECT_EQ(Ask(*db, "SELECT sum(n) FROM t"), 1);
  ASSERT_TRUE(db->Migrate(two));
  EXPECT_EQ(Ask(*db, "SELECT sum(n) FROM t"), 4);
}

TEST_F(SqliteTest, SchemaOfANewerProgramIsRefused) {
  const std::vector<std::string_view> two = {"CREATE TABLE t(n)", "CREATE TABLE u(n)"};
  const auto db = MustOpen();
  ASSERT_TRUE(db->Migrate(two));
  const auto status = db->Migrate(std::span(two).first(1));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), ErrorCode::kFailedPrecondition);
}

}  // namespace
}  // namespace skerry
