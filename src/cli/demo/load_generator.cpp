#include "cli/demo/load_generator.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <optional>
#include <utility>

#include "base/random.h"
#include "codec/json.h"
#include "http/client.h"

namespace skerry {
namespace {

constexpr std::uint64_t kUnits = 40;
constexpr std::chrono::milliseconds kRetryPause{20};

std::string JsonText(const std::string& text) { return DumpJson(Json(text)); }

double Percentile(std::vector<double>& values, double q) {
  if (values.empty()) return 0;
  const auto at = static_cast<std::size_t>(q * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(at), values.end());
  return values[at];
}

// Far above everything that the field's data holds.
double FarOutside(const LoadField& field, SeededRandom& random) {
  const auto [low, high] = RangeOf(field);
  return high + (0.3 + 0.7 * random.NextDouble()) * std::max(high - low, 1.0);
}

}  // namespace

std::pair<double, double> RangeOf(const LoadField& field) {
  std::optional<std::pair<double, double>> range;
  for (const double value : field.numbers) {
    if (std::isnan(value)) continue;
    if (!range) range.emplace(value, value);
    range->first = std::min(range->first, value);
    range->second = std::max(range->second, value);
  }
  return range.value_or(std::pair<double, double>());
}

std::size_t LoadData::rows() const {
  if (fields.empty()) return 0;
  return std::max(fields[0].numbers.size(), fields[0].texts.size());
}

double LoadReport::requests_per_second() const {
  std::uint64_t answers = 0;
  for (const auto& [status, count] : statuses) answers += count;
  return seconds > 0 ? static_cast<double>(answers) / seconds : 0;
}

LoadGenerator::LoadGenerator(LoadOptions options, LoadData data)
    : options_(std::move(options)),
      data_(std::move(data)),
      start_(std::chrono::steady_clock::now()) {
  for (unsigned i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { Run(); });
}

LoadGenerator::~LoadGenerator() {
  Stop();
  for (std::thread& thread : threads_)
    if (thread.joinable()) thread.join();
}

void LoadGenerator::Stop() { stop_.store(true); }

LoadReport LoadGenerator::Wait() {
  for (std::thread& thread : threads_)
    if (thread.joinable()) thread.join();
  const std::lock_guard lock(mutex_);
  report_.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  report_.p50_ms = Percentile(latencies_ms_, 0.5);
  report_.p99_ms = Percentile(latencies_ms_, 0.99);
  return report_;
}

void LoadGenerator::WaitAnswered(std::uint64_t count) {
  std::uint64_t seen = answered_.load();
  while (seen < count && (options_.requests == 0 || seen < options_.requests)) {
    answered_.wait(seen);
    seen = answered_.load();
  }
}

// Each row of the table in turn, again from the front after the last; which values are spoilt
// follows from the seed and the request's number alone, so that a run can be repeated.
LoadGenerator::Request LoadGenerator::Make(std::uint64_t number) const {
  SeededRandom random(options_.seed * 1'000'003 + number);
  const bool batch = options_.batch_every > 0 && number % options_.batch_every == 0;
  const std::size_t rows = batch ? options_.batch_rows : 1;
  const std::size_t source_rows = data_.rows();
  assert(source_rows > 0);
  Request request;
  request.drifted =
      !options_.drift_field.empty() && options_.requests > 0 &&
      static_cast<double>(number) >= options_.drift_from * static_cast<double>(options_.requests);
  std::vector<std::size_t> spoilt(rows, data_.fields.size());
  // Batches take their rows from a stride of their own, so that no source row depends on `rows`.
  for (std::size_t i = 0; i < rows; ++i) {
    const std::uint64_t at = batch ? number * 7'919 + i : number;
    request.source_rows.push_back(static_cast<std::uint32_t>(at % source_rows));
    if (random.NextDouble() < options_.injected_share) {
      const std::size_t field = random.NextBelow(data_.fields.size());
      if (!data_.fields[field].is_text()) spoilt[i] = field;
    }
    request.injected.push_back(spoilt[i] < data_.fields.size());
  }
  std::string inputs;
  for (std::size_t f = 0; f < data_.fields.size(); ++f) {
    const LoadField& field = data_.fields[f];
    std::string values;
    for (std::size_t i = 0; i < rows; ++i) {
      if (i > 0) values += ',';
      const std::uint32_t row = request.source_rows[i];
      if (field.is_text()) {
        values += JsonText(field.texts[row]);
        continue;
      }
      double value = spoilt[i] == f ? FarOutside(field, random) : field.numbers[row];
      if (request.drifted && field.name == options_.drift_field) value *= options_.drift_factor;
      values += std::isnan(value) ? std::string("null") : fmt::format("{}", value);
    }
    inputs +=
        fmt::format(R"({}{{"name":"{}","datatype":"{}","shape":[{}],"data":[{}]}})",
                    f > 0 ? "," : "", field.name, field.is_text() ? "BYTES" : "FP32", rows, values);
  }
  std::string units, notes;
  for (std::size_t i = 0; i < rows; ++i) {
    units += fmt::format("{}\"unit-{:02}\"", i > 0 ? "," : "", random.NextBelow(kUnits));
    notes += fmt::format("{}\"seen by operator {}\"", i > 0 ? "," : "", random.NextBelow(1'000));
  }
  request.body =
      fmt::format(R"({{"inputs":[{}],"parameters":{{"unit_id":[{}],"operator_note":[{}]}}}})",
                  inputs, units, notes);
  return request;
}

void LoadGenerator::Keep(const Request& request, const std::string& answer,
                         std::vector<AcknowledgedRow>& rows) {
  const auto parsed = ParseJson(answer);
  if (!parsed) return;
  const JsonObject object(*parsed, "answer");
  const auto parameters = object.Object("parameters");
  if (!parameters) return;
  const auto instance = parameters->String("instance");
  const auto first = parameters->Uint("first_n");
  if (!instance || !first) return;
  const auto id = InstanceId::Parse(*instance);
  if (!id) return;
  for (std::size_t i = 0; i < request.source_rows.size(); ++i)
    rows.push_back(
        {{*id, *first + i}, request.source_rows[i], request.drifted, request.injected[i]});
}

void LoadGenerator::NoteAnswer(int status, const std::string& body, double milliseconds) {
  {
    const std::lock_guard lock(mutex_);
    ++report_.statuses[status];
    if (status != 200 && report_.first_problem.empty()) report_.first_problem = body.substr(0, 500);
    latencies_ms_.push_back(milliseconds);
  }
  answered_.fetch_add(1);
  answered_.notify_all();
}

void LoadGenerator::Run() {
  using Clock = std::chrono::steady_clock;
  HttpClient client({});
  const std::string url = fmt::format("{}/v2/models/{}/infer", options_.url, options_.model);
  std::vector<AcknowledgedRow> rows;
  bool connected = false;  // the last request was answered, so the next one reaches the server
  while (!stop_.load()) {
    const std::uint64_t number = next_.fetch_add(1);
    if (options_.requests > 0 && number >= options_.requests) break;
    std::this_thread::sleep_until(
        start_ + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(
                     static_cast<double>(number) / options_.requests_per_second)));
    const Request request = Make(number);
    while (true) {
      const auto sent_at = Clock::now();
      const auto reply =
          client.Send({.method = "POST", .url = url, .headers = {}, .body = request.body});
      if (reply) {
        NoteAnswer(reply->status, reply->body,
                   std::chrono::duration<double, std::milli>(Clock::now() - sent_at).count());
        if (reply->status == 200) Keep(request, reply->body, rows);
        connected = true;
        break;
      }
      {
        const std::lock_guard lock(mutex_);
        ++report_.unanswered_requests;
        if (std::exchange(connected, false)) report_.unanswered_rows += request.source_rows.size();
      }
      if (stop_.load()) break;
      std::this_thread::sleep_for(kRetryPause);
    }
  }
  const std::lock_guard lock(mutex_);
  report_.rows.insert(report_.rows.end(), rows.begin(), rows.end());
}

}  // namespace skerry
