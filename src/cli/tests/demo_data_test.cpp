#include <gtest/gtest.h>

#include <set>

#include "cli/demo/milling_simulator.h"
#include "cli/demo/source_rows.h"
#include "cli/terminal.h"

namespace skerry {
namespace {

TEST(SourceSplit, NoSourceRowStandsOnBothSidesOfAnySplit) {
  for (const std::size_t rows : {200U, 999U, 10'000U}) {
    const SourceSplit split = SplitSourceRows(rows, 7);
    const std::set<std::size_t> train(split.train.begin(), split.train.end());
    const std::set<std::size_t> labelling(split.labelling.begin(), split.labelling.end());
    const std::set<std::size_t> holdout(split.holdout.begin(), split.holdout.end());
    const std::set<std::size_t> arrive(split.arrive.begin(), split.arrive.end());
    std::set<std::size_t> all = train;
    all.insert(labelling.begin(), labelling.end());
    all.insert(holdout.begin(), holdout.end());
    EXPECT_EQ(all.size(), rows);  // every row stands somewhere,
    EXPECT_EQ(train.size() + labelling.size() + holdout.size(), rows);  // and nowhere twice
    EXPECT_EQ(arrive.size(), labelling.size() + holdout.size());
    for (const std::size_t row : arrive) EXPECT_FALSE(train.contains(row));
  }
}

TEST(SourceSplit, LabellingRowsAreTheFirstHalfOfThoseThatArrive) {
  const SourceSplit split = SplitSourceRows(1'000, 3);
  for (std::size_t i = 0; i < split.labelling.size(); ++i)
    EXPECT_EQ(split.arrive[i], split.labelling[i]);
}

TEST(MillingSimulator, FollowsThePublishedRules) {
  const Table table = SimulateMilling({.seed = 5, .rows = 10'000});
  const Column& torque = *table.Find("Torque [Nm]");
  const Column& speed = *table.Find("Rotational speed [rpm]");
  const Column& failure = *table.Find("Machine failure");
  double sum = 0;
  std::int64_t failures = 0;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    sum += torque.doubles[i];
    failures += failure.ints[i];
    EXPECT_GE(torque.doubles[i], 3.8);
    const double watt =
        torque.doubles[i] * static_cast<double>(speed.ints[i]) * 2 * 3.14159265358979 / 60;
    if (watt < 3'499 || watt > 9'001) {
      EXPECT_EQ(failure.ints[i], 1) << "row " << i;
    }
  }
  EXPECT_NEAR(sum / 10'000, 40, 0.5);
  EXPECT_GT(failures, 200);
  EXPECT_LT(failures, 600);
  EXPECT_EQ(SimulateMilling({.seed = 5, .rows = 100}), SimulateMilling({.seed = 5, .rows = 100}));
}

TEST(Terminal, AddressesAndNames) {
  EXPECT_EQ(ParseHostPort(":8000").value().host, "127.0.0.1");
  EXPECT_EQ(ParseHostPort("[::1]:80").value().host, "::1");
  for (const char* bad : {"", "8000", "host:", "host:x", "h:99999"})
    EXPECT_FALSE(ParseHostPort(bad)) << bad;
  EXPECT_EQ(ParseNameVersion("milling:2").value().version, "2");
  EXPECT_FALSE(ParseNameVersion("Milling:2"));
  EXPECT_FALSE(ParseNameVersion("milling"));
  EXPECT_EQ(WithThousands(1'234'567), "1,234,567");
  EXPECT_EQ(WithThousands(999), "999");
}

}  // namespace
}  // namespace skerry
