#include "sync/tests/site_fixture.h"

#include <future>

#include "base/random.h"
#include "model/scorer.h"
#include "model/smoke.h"
#include "model/tests/fixture_package.h"

namespace skerry {

Status RecordingTarget::UseModel(const AdmittedPackage& package) {
  if (!refuse_model.empty()) return Fail(ErrorCode::kInvalidArgument, "{}", refuse_model);
  SKERRY_RETURN_IF_ERROR(LoadPackage(package.directory, {.name = package.ref.name,
                                                         .version = package.ref.version,
                                                         .digest = package.ref.digest,
                                                         .files = package.files}));
  models.push_back(package.ref);
  return {};
}

Status RecordingTarget::UsePolicy(const std::optional<PolicyRef>& policy, std::string_view yaml) {
  if (!refuse_policy.empty()) return Fail(ErrorCode::kInvalidArgument, "{}", refuse_policy);
  if (policy) SKERRY_RETURN_IF_ERROR(PolicyDocument::Parse(yaml));
  policies.push_back(policy);
  return {};
}

std::string OpenPolicyYaml(const std::string& version) {
  return fmt::format(R"(skerry: policy/1
name: milling
version: {}
default: drop
fields:
  type: {{action: keep, rule: process}}
  torque_nm: {{action: keep, rule: process}}
  tool_wear_min: {{action: keep, rule: process}}
derived:
  prediction: keep
  score: keep
  anomaly_score: keep
  event_time: keep
  status: keep
classes:
  sample: {{rate: 1}}
)",
                     version);
}

SiteFixture::SiteFixture() : directory_(TemporaryDirectory::Create("sync").value()) {}

std::filesystem::path SiteFixture::MakePackage(const std::string& name, float split) {
  const std::filesystem::path directory = Path(name);
  fixture::WritePackage(directory, {.model = {.split = split}});
  return directory;
}

void SiteFixture::OpenSite(const std::string& name) {
  identity_ = SiteIdentity::Open(Path("site/identity"), name).value();
  OutboxOptions options;
  options.directory = Path("site/outbox");
  options.site = name;
  options.key = identity_->key();
  options.clock = &clock_;
  options.segment_rows = 500;
  options.grace_bytes = grace_bytes_;
  options.metrics = &metrics_;
  outbox_ = Must(Outbox::Open(std::move(options)));
  DeployerOptions deploying;
  deploying.data = Path("site");
  deploying.gate.smoke_program = SelfExecutable();
  deploying.gate.smoke_limits.memory_bytes = 0;  // a sanitizer's shadow is larger than any limit
  deployer_ = Must(Deployer::Open(std::move(deploying), *identity_, target_, clock_));
  deployer_->Restore();
  if (package_) return;
  package_ =
      LoadPackage(MakePackage("capture-package"), {.name = "milling", .version = "1"}).value();
  policy_ = CompiledPolicy::Compile(PolicyDocument::Parse(OpenPolicyYaml()).value(),
                                    package_->schema, identity_->policy_hmac_key())
                .value();
  std::string anomalies = OpenPolicyYaml();
  anomalies.insert(anomalies.find("  sample:"), "  anomaly: {when: \"torque_nm > 0\"}\n");
  anomaly_policy_ = CompiledPolicy::Compile(PolicyDocument::Parse(anomalies).value(),
                                            package_->schema, identity_->policy_hmac_key())
                        .value();
}

void SiteFixture::CloseSite() {
  deployer_.reset();
  outbox_.reset();
  identity_.reset();
}

void SiteFixture::JoinDirectly(TestHub& hub) {
  Must(identity_->TakeToken(hub.MakeToken(identity_->site(), hub.url())));
  Must(identity_->ApplyGrant(hub.Grant(identity_->MakeRequest().value()).value()));
}

void SiteFixture::Capture(std::size_t rows, std::uint64_t seed) { CaptureBy(policy_, rows, seed); }

void SiteFixture::CaptureAnomalies(std::size_t rows, std::uint64_t seed) {
  CaptureBy(anomaly_policy_, rows, seed);
}

void SiteFixture::CaptureBy(const std::shared_ptr<const CompiledPolicy>& policy, std::size_t rows,
                            std::uint64_t seed) {
  SeededRandom random(seed);
  auto batch = std::make_shared<RowBatch>();
  batch->package = package_;
  batch->instance = outbox_->epoch();
  batch->first_n = next_n_;
  batch->event_time_us = clock_.UtcMicros();
  batch->mono_us = clock_.MonotonicMicros();
  batch->clock = ClockQuality::kSynced;
  batch->rows = rows;
  for (std::size_t row = 0; row < rows; ++row) {
    batch->features.push_back(static_cast<float>(random.NextBelow(3)));
    batch->features.push_back(static_cast<float>(15 + random.NextDouble() * 50));
    batch->features.push_back(static_cast<float>(random.NextDouble() * 240));
  }
  batch->texts.assign(package_->schema.texts().size(), std::vector<std::string>(rows, "text"));
  Must(ScoreRows(*batch));
  next_n_ += rows;
  std::promise<Status> committed;
  outbox_->Submit(batch, policy, [&](Status status) { committed.set_value(std::move(status)); });
  Must(committed.get_future().get());
  Must(outbox_->SealNow());
}

std::uint64_t SiteFixture::PendingRows() {
  const OutboxFacts facts = outbox_->facts().value();
  return facts.sealed_primary_rows + facts.unsealed_primary_rows;
}

Result<std::string> SiteFixture::MakeStatus() {
  SKERRY_ASSIGN_OR_RETURN(SiteStatus status, outbox_->ReadStatus());
  status.alarms = deployer_->facts().alarms;
  return SignStatus(status, identity_->key());
}

ExchangeParts SiteFixture::PartsOfExchange() {
  ExchangeParts parts;
  parts.identity = identity_.get();
  parts.outbox = outbox_.get();
  parts.deployer = deployer_.get();
  parts.clock = &clock_;
  parts.metrics = &exchange_metrics_.emplace_back();
  parts.make_status = [this] { return MakeStatus(); };
  return parts;
}

SiteBundleParts SiteFixture::BundleParts() {
  return {identity_.get(),   outbox_.get(),     deployer_.get(), [this] { return MakeStatus(); },
          &bundle_progress_, Path("site/sync"), custody_.get(),  &clock_};
}

}  // namespace skerry
