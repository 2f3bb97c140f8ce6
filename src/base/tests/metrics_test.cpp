#include "base/metrics.h"

#include <gtest/gtest.h>

#include <array>

namespace skerry {
namespace {

TEST(MetricRegistry, RendersFamiliesOnceWithTheirSeries) {
  MetricRegistry registry;
  registry.AddCounter("skerry_rows_total", "Rows.", "site=\"a\"").Add(3);
  registry.AddCounter("skerry_rows_total", "Rows.", "site=\"b\"").Add(1);
  registry.AddGauge("skerry_disk_bytes", "Disk.").Set(2.5);
  EXPECT_EQ(registry.RenderPrometheusText(),
            "# HELP skerry_disk_bytes Disk.\n# TYPE skerry_disk_bytes gauge\n"
            "skerry_disk_bytes 2.5\n"
            "# HELP skerry_rows_total Rows.\n# TYPE skerry_rows_total counter\n"
            "skerry_rows_total{site=\"a\"} 3\nskerry_rows_total{site=\"b\"} 1\n");
}

TEST(MetricRegistry, SameNameAndLabelsIsTheSameSeries) {
  MetricRegistry registry;
  EXPECT_EQ(&registry.AddCounter("c", "h"), &registry.AddCounter("c", "h"));
}

TEST(Histogram, BucketsAreCumulativeAndBoundsInclusive) {
  MetricRegistry registry;
  const std::array bounds{1.0, 2.0};
  Histogram& histogram = registry.AddHistogram("h", "x", bounds);
  for (const double value : {0.5, 1.0, 1.5, 9.0}) histogram.Observe(value);
  const std::string text = registry.RenderPrometheusText();
  EXPECT_NE(text.find("h_bucket{le=\"1\"} 2\n"), std::string::npos) << text;
  EXPECT_NE(text.find("h_bucket{le=\"2\"} 3\n"), std::string::npos);
  EXPECT_NE(text.find("h_bucket{le=\"+Inf\"} 4\n"), std::string::npos);
  EXPECT_NE(text.find("h_sum 12\n"), std::string::npos);
  EXPECT_EQ(histogram.Quantile(0.5), 1.0);
}

TEST(LabelSet, EscapesQuotesBackslashesAndNewlines) {
  const std::array<std::pair<std::string_view, std::string_view>, 1> labels{{{"m", "a\"b\\c\nd"}}};
  EXPECT_EQ(LabelSet(labels), R"(m="a\"b\\c\nd")");
}

}  // namespace
}  // namespace skerry
