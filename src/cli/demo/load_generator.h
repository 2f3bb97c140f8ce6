// An open-loop load of Open Inference Protocol requests that remembers what was acknowledged.
//
// Role: the machines of the demo's sites. Sends rows of a table at a fixed rate over keep-alive
// connections, batch 1 and batches mixed; an HTTP 200 is the acknowledgement, and the row ids of
// every 200 are kept. A request that gets no answer is sent again as a new one and its rows count
// as `unanswered_rows`, since the site may or may not have scored them.
//   LoadGenerator load(options, data);   // starts at once
//   LoadReport report = load.Wait();     // or Stop() first
// Owned by one thread, which calls everything; owns and joins its own threads.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/ids.h"

namespace skerry {

// One feature as it is sent: numbers, or texts of a category.
struct LoadField {
  std::string name;  // the schema's field name
  std::vector<double> numbers;
  std::vector<std::string> texts;
  bool is_text() const { return !texts.empty(); }
};

// The least and the greatest number that is not missing; both 0 when all are.
std::pair<double, double> RangeOf(const LoadField& field);

struct LoadData {
  std::vector<LoadField> fields;
  std::size_t rows() const;
};

struct LoadOptions {
  std::string url;  // "http://127.0.0.1:8000"
  std::string model;
  double requests_per_second = 1'000;
  std::uint64_t requests = 0;  // 0: until Stop
  std::size_t batch_rows = 8;  // of each `batch_every`-th request; the others send one row
  std::uint64_t batch_every = 10;
  std::string drift_field;  // empty: none
  double drift_factor = 0.85;
  double drift_from = 0.5;        // from this share of `requests` on
  double injected_share = 0.003;  // rows with one value far outside the data's range
  unsigned threads = 2;
  std::uint64_t seed = 1;
};

struct AcknowledgedRow {
  RowId id;
  std::uint32_t source_row = 0;
  bool drifted = false;
  bool injected = false;
};

struct LoadReport {
  std::vector<AcknowledgedRow> rows;
  std::map<int, std::uint64_t> statuses;  // answers by HTTP status
  std::uint64_t unanswered_requests = 0;  // cut connections and refused ones
  std::uint64_t unanswered_rows = 0;      // rows that were on their way when a connection was cut
  std::string first_problem;              // body of the first answer that is not 200
  double seconds = 0;
  double p50_ms = 0, p99_ms = 0;
  double requests_per_second() const;
};

class LoadGenerator {
 public:
  LoadGenerator(LoadOptions options, LoadData data);
  LoadGenerator(const LoadGenerator&) = delete;
  LoadGenerator& operator=(const LoadGenerator&) = delete;
  ~LoadGenerator();

  // Finishes what is under way and stops.
  void Stop();
  // Until every request was acknowledged, or Stop was called.
  LoadReport Wait();
  std::uint64_t answered() const { return answered_.load(); }
  // Blocks until `count` requests were answered or the load has ended.
  void WaitAnswered(std::uint64_t count);

 private:
  struct Request {
    std::string body;
    std::vector<std::uint32_t> source_rows;
    std::vector<bool> injected;
    bool drifted = false;
  };
  void Run();
  Request Make(std::uint64_t number) const;
  void Keep(const Request& request, const std::string& answer, std::vector<AcknowledgedRow>& rows);
  void NoteAnswer(int status, const std::string& body, double milliseconds);

  const LoadOptions options_;
  const LoadData data_;
  const std::chrono::steady_clock::time_point start_;
  std::atomic<std::uint64_t> next_{0};
  std::atomic<std::uint64_t> answered_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;  // guards report_ and latencies_ms_
  LoadReport report_;
  std::vector<double> latencies_ms_;
  std::vector<std::thread> threads_;
};

}  // namespace skerry
