// Rows of hundreds and thousands of columns: what is taken on at once is bounded by their memory.
#include <gmock/gmock.h>

#include <future>

#include "model/batch_rows.h"
#include "outbox/batch_limits.h"
#include "outbox/tests/outbox_fixture.h"
#include "tabular/engine.h"

namespace skerry {
namespace {

using ::testing::HasSubstr;

class WideRowsTest : public OutboxTest {
 protected:
  // Numbers f0, f1, ... that are released into class sample, all or so many of the rows.
  std::shared_ptr<const CompiledPolicy> Widen(std::size_t columns, const char* rate = "1") {
    auto package = std::make_shared<ModelPackage>();
    package->name = "wide";
    package->version = "1";
    package->digest = Digest::Sha256("wide:1");
    package->schema.model = "wide";
    package->schema.classes = {"0", "1"};
    std::string fields;
    for (std::size_t i = 0; i < columns; ++i) {
      const std::string name = "f" + std::to_string(i);
      package->schema.fields.push_back({name, name, FieldRole::kFeature, FieldType::kNumber, {}});
      package->reference.features.push_back({name, 0, 1, {0.25, 0.5, 0.75}, {1, 1, 1, 1}, 0});
      fields += (i == 0 ? "" : ", ") + name + ": keep";
    }
    package_ = package;
    return Policy("skerry: policy/1\nname: all\nversion: 1\nfields: {" + fields +
                  "}\nclasses: {sample: {rate: " + rate + "}}\n");
  }

  // Noise, and in the first column the row's number.
  std::shared_ptr<RowBatch> WideRows(std::size_t rows) {
    auto batch = std::make_shared<RowBatch>();
    batch->package = package_;
    batch->instance = instance_;
    batch->first_n = next_n_;
    batch->rows = rows;
    batch->score.assign(rows, 0.5F);
    batch->prediction.assign(rows, 0);
    const std::size_t columns = package_->schema.fields.size();
    batch->features.resize(rows * columns);
    std::uint32_t bits = 1;
    for (float& value : batch->features) {
      bits = bits * 1'664'525 + 1'013'904'223;
      value = static_cast<float>(bits >> 8U) / static_cast<float>(1U << 24U);
    }
    for (std::size_t row = 0; row < rows; ++row)
      batch->features[row * columns] = static_cast<float>(next_n_ + row);
    next_n_ += rows;
    return batch;
  }

  // Every row is in a segment, in the order of their numbers; the rows of the longest.
  std::size_t ExpectAllSealed(std::size_t rows) {
    EXPECT_EQ(Facts().unsealed_primary_rows, 0U);
    auto engine = *TabularEngine::Open({});
    std::size_t n = 0;
    std::size_t longest = 0;
    for (const Shipment& shipment : Pending())
      for (const auto& [digest, path] : shipment.segments) {
        const auto table = engine->ReadFile(path, {.columns = {"seq", "in_f0"}});
        if (!table) {
          ADD_FAILURE() << table.error().ToString();
          return 0;
        }
        longest = std::max(longest, table->rows());
        for (std::size_t row = 0; row < table->rows(); ++row) {
          ++n;
          EXPECT_EQ(table->columns[0].ints[row], static_cast<std::int64_t>(n));
          EXPECT_EQ(table->columns[1].doubles[row], static_cast<double>(n));
        }
      }
    EXPECT_EQ(n, rows);
    return longest;
  }
};

TEST_F(WideRowsTest, OneRequestOfManyIsSealedInPartsThatFitTheMemory) {
  constexpr std::size_t kColumns = 200;
  constexpr std::size_t kRows = 36'000;
  const auto policy = Widen(kColumns);
  ASSERT_TRUE(Put(WideRows(kRows), policy));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Put(WideRows(1000), policy));
  EXPECT_EQ(Fate(kRows - 1).seq, kRows - 1);
  ASSERT_TRUE(outbox_->SealNow());
  const std::size_t longest = ExpectAllSealed(kRows + 3000);
  EXPECT_LE(longest * kColumns * sizeof(double), limits::kSegmentTableBytes);
  EXPECT_GE(longest * kColumns * sizeof(double), limits::kSegmentTableBytes / 2);
  ExpectSound();
}

TEST_F(WideRowsTest, FourThousandColumns) {
  const auto policy = Widen(4'000);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Put(WideRows(300), policy));
  ASSERT_TRUE(outbox_->SealNow());
  ExpectAllSealed(900);
  ExpectSound();
}

// Fewer rows than a segment has, but as much memory as it may take.
TEST_F(WideRowsTest, AreDueByTheirMemory) {
  options_.segment_age = std::chrono::hours(1);
  Reopen();
  const auto policy = Widen(200);
  for (int i = 0; i < 12; ++i) ASSERT_TRUE(Put(WideRows(1000), policy));
  EXPECT_FALSE(Pending().empty());
  EXPECT_LT(Facts().unsealed_primary_rows * 200 * sizeof(double), limits::kSegmentTableBytes);
}

TEST_F(WideRowsTest, TheQueueIsFullByTheirMemory) {
  options_.queue_rows = 1'000'000;
  Reopen();
  const auto policy = Widen(200, "0.00001");
  std::promise<void> go_on;
  std::promise<void> held;
  outbox_->Submit(WideRows(1), policy, [&](const Status&) {
    held.set_value();
    go_on.get_future().wait();
  });
  held.get_future().wait();  // the writer is, with what it has committed
  const std::size_t fit = limits::kCaptureQueueBytes / MemoryOf(*WideRows(10'000)) - 1;
  std::vector<std::promise<Status>> done(fit + 3);
  for (std::promise<Status>& one : done)
    outbox_->Submit(WideRows(10'000), policy,
                    [&one](const Status& status) { one.set_value(status); });
  const Status refused = done.back().get_future().get();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kResourceExhausted);
  EXPECT_THAT(refused.error().message(), HasSubstr("the capture queue is full"));
  go_on.set_value();
  for (std::size_t i = 0; i + 1 < done.size(); ++i) {
    const Status status = done[i].get_future().get();
    EXPECT_TRUE(status || i >= fit) << i;
  }
  outbox_.reset();  // its writer sets no promise after this
}

TEST_F(WideRowsTest, PartsHoldTheirRowsOfEverything) {
  const auto batch = Rows(50);
  std::size_t bytes = 0;
  for (std::size_t first = 0; first < 50; first += 20) {
    const RowBatch part = SliceOf(*batch, first, std::min<std::size_t>(20, 50 - first));
    bytes += MemoryOf(part);
    for (std::size_t row = 0; row < part.rows; ++row) {
      EXPECT_EQ(part.row_id(row).n, batch->row_id(first + row).n);
      EXPECT_THAT(part.Row(row), ::testing::ElementsAreArray(batch->Row(first + row)));
      EXPECT_EQ(part.IsAnomaly(row), batch->IsAnomaly(first + row));
      EXPECT_EQ(part.score[row], batch->score[first + row]);
      EXPECT_EQ(part.prediction[row], batch->prediction[first + row]);
      for (std::size_t i = 0; i < 2; ++i)
        EXPECT_EQ(part.texts[i][row], batch->texts[i][first + row]);
    }
  }
  EXPECT_EQ(bytes, MemoryOf(*batch));
}

}  // namespace
}  // namespace skerry
