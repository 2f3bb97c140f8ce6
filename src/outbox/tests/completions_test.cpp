#include "outbox/completions.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <thread>
#include <vector>

namespace skerry {
namespace {

TEST(CompletionsTest, TellsInOrderAndNeverTwoAtATime) {
  std::vector<int> told;
  std::atomic<int> at_once{0};
  std::atomic<int> most{0};
  {
    Completions completions;
    for (int i = 0; i < 2'000; ++i)
      // Few are told on this thread if nobody is being told, many on the other.
      completions.Tell(i % 3 == 0 ? 64 : 1, [&, i] {
        most = std::max(most.load(), ++at_once);
        told.push_back(i);
        --at_once;
      });
  }
  ASSERT_EQ(told.size(), 2'000U);
  for (int i = 0; i < 2'000; ++i) EXPECT_EQ(told[static_cast<std::size_t>(i)], i);
  EXPECT_EQ(most, 1);
}

TEST(CompletionsTest, FewAreToldAtOnceByTheOneWhoAsks) {
  Completions completions;
  std::thread::id by;
  completions.Tell(1, [&] { by = std::this_thread::get_id(); });
  EXPECT_EQ(by, std::this_thread::get_id());
}

TEST(CompletionsTest, ASlowOneHoldsUpWhoeverIsTooFarAhead) {
  Completions completions;
  std::promise<void> go;
  const std::shared_future<void> gone = go.get_future().share();
  std::atomic<int> accepted{0};
  std::atomic<int> told{0};
  const auto ahead = std::async(std::launch::async, [&] {
    for (int i = 0; i < 10; ++i) {
      completions.Tell(64, [&, gone] {
        gone.wait();
        ++told;
      });
      ++accepted;
    }
  });
  EXPECT_EQ(ahead.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout);
  EXPECT_LE(accepted, 3);  // one that is being told and two that wait
  EXPECT_EQ(told, 0);
  go.set_value();
  ahead.wait();
  completions.Wait();
  EXPECT_EQ(told, 10);
}

TEST(CompletionsTest, WhatATellingHoldsIsFreedBeforeWaitReturns) {
  Completions completions;
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> seen = held;
  completions.Tell(64, [held = std::move(held)] { EXPECT_EQ(*held, 1); });
  completions.Wait();
  EXPECT_TRUE(seen.expired());
}

}  // namespace
}  // namespace skerry
