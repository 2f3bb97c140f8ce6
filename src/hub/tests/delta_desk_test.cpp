#include "hub/delta_desk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

#include "base/delta_limits.h"
#include "codec/tests/noise.h"
#include "hub/registry_keeper.h"
#include "oci/delta_artifact.h"
#include "oci/media_types.h"
#include "storage/file.h"

namespace skerry {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

class DeltaDeskTest : public testing::Test {
 protected:
  // A package of one weight; the version alone makes it another package.
  Digest Put(const std::string& weight, const std::string& version) {
    std::vector<BlobSource> layers{
        BlobSource::OfBytes(std::string(media_types::kModelWeightRaw), weight,
                            {{std::string(annotations::kModelFilePath), "model.onnx"}})};
    const Artifact artifact =
        MakeArtifact(media_types::kModelArtifact,
                     BlobSource::OfBytes(std::string(media_types::kModelConfig), "{}"),
                     std::move(layers), {{std::string(annotations::kVersion), version}})
            .value();
    return registry_->PutArtifact("models/m", version, artifact).value();
  }

  std::vector<LayerDelta> PatchesIn(const std::string& manifest, const Digest& target) {
    return ReadDelta(Manifest::Parse(manifest).value(), target).value();
  }
  std::vector<std::string> Tags() { return registry_->Tags(kDeltaRepository).value(); }

  TemporaryDirectory directory_ = TemporaryDirectory::Create("deltas").value();
  std::unique_ptr<Registry> registry_ = Registry::Open(directory_.path()).value();
  FakeClock clock_{1'750'000'000'000'000};
  MetricRegistry metrics_;
  std::optional<DeltaDesk> desk_{std::in_place, *registry_, clock_, metrics_};
};

TEST_F(DeltaDeskTest, IsMadeOnceInTheBackgroundAndKeptOverARestart) {
  const std::string weight = Noise(100'000, 1);
  const Digest first = Put(weight, "1");
  const Digest second = Put(weight + Noise(100, 2), "2");
  const std::vector<Digest> holds{first};
  EXPECT_EQ(desk_->Find(second, holds).value(), std::nullopt);
  desk_->Start();
  std::optional<std::string> delta;
  while (!delta) {
    std::this_thread::yield();
    delta = desk_->Find(second, holds).value();
  }
  const auto patches = PatchesIn(*delta, second);
  ASSERT_THAT(patches, SizeIs(1));
  EXPECT_EQ(patches[0].base, Digest::Sha256(weight));
  EXPECT_LT(patches[0].patch.size, 1'000U);
  EXPECT_TRUE(registry_->blobs().Has(patches[0].patch.digest));
  desk_.emplace(*registry_, clock_, metrics_);
  EXPECT_EQ(desk_->Find(second, holds).value(), delta) << "without a thread";
}

TEST_F(DeltaDeskTest, WhatNoPatchMakesSmallerGoesWhole) {
  const Digest first = Put(Noise(50'000, 1), "1");
  const Digest second = Put(Noise(50'000, 2), "2");
  const Artifact delta = desk_->Make(second, std::vector{first}).value();
  EXPECT_THAT(PatchesIn(delta.manifest_bytes, second), IsEmpty());
  // A layer that nothing is known for is compressed by itself.
  const Digest third = Put(std::string(50'000, 'a'), "3");
  const auto patches = PatchesIn(desk_->Make(third, {}).value().manifest_bytes, third);
  ASSERT_THAT(patches, SizeIs(1));
  EXPECT_EQ(patches[0].base, std::nullopt);
}

TEST_F(DeltaDeskTest, LayersOverTheLimitGoWhole) {
  const std::string large(limits::kDeltaLayerBytes + 1, 'a');
  const Digest target = Put(large, "1");
  EXPECT_THAT(PatchesIn(desk_->Make(target, {}).value().manifest_bytes, target), IsEmpty());
}

TEST_F(DeltaDeskTest, TooManyThatWaitAreTurnedAway) {
  for (std::size_t i = 0; i < limits::kDeltaQueue; ++i)
    EXPECT_EQ(desk_->Find(Put("weight", std::to_string(i)), {}).value(), std::nullopt);
  EXPECT_EQ(desk_->Find(Put("weight", "0"), {}).value(), std::nullopt) << "waits already";
  const auto one_more = desk_->Find(Put("weight", "more"), {});
  ASSERT_FALSE(one_more);
  EXPECT_EQ(one_more.error().code(), ErrorCode::kResourceExhausted);
}

TEST_F(DeltaDeskTest, UnknownAndOtherArtifactsAreNoPackages) {
  EXPECT_EQ(desk_->Find(Digest::Sha256("nothing"), {}).error().code(), ErrorCode::kNotFound);
  const Artifact policy =
      MakeDocumentArtifact(media_types::kPolicyArtifact, media_types::kPolicyLayer, "x").value();
  const Digest other = registry_->PutArtifact("policies/p", "1", policy).value();
  EXPECT_EQ(desk_->Find(other, {}).error().code(), ErrorCode::kInvalidArgument);
  // As a base it is passed over.
  const Digest target = Put(std::string(50'000, 'a'), "1");
  const auto patches =
      PatchesIn(desk_->Make(target, std::vector{other}).value().manifest_bytes, target);
  ASSERT_THAT(patches, SizeIs(1));
  EXPECT_EQ(patches[0].base, std::nullopt);
}

TEST_F(DeltaDeskTest, GoesWithItsPackages) {
  const std::string weight = Noise(100'000, 1);
  const Digest first = Put(weight, "1");
  const Digest second = Put(weight + "more", "2");
  const Digest third = Put(weight + "and more", "3");
  const auto patches =
      PatchesIn(desk_->Make(second, std::vector{first}).value().manifest_bytes, second);
  ASSERT_THAT(patches, SizeIs(1));
  ASSERT_TRUE(desk_->Make(third, std::vector{first}));
  RegistryKeeper keeper(*registry_, *desk_, metrics_);
  ASSERT_TRUE(keeper.CollectNow(std::chrono::seconds(0)));
  EXPECT_THAT(Tags(), SizeIs(2)) << "nothing has gone";
  ASSERT_TRUE(registry_->DeleteManifest("models/m", second));
  ASSERT_TRUE(keeper.CollectNow(std::chrono::seconds(0)));
  EXPECT_THAT(Tags(), SizeIs(1));
  EXPECT_FALSE(registry_->blobs().Has(patches[0].patch.digest));
  ASSERT_TRUE(registry_->DeleteManifest("models/m", first)) << "a base";
  ASSERT_TRUE(keeper.CollectNow(std::chrono::seconds(0)));
  EXPECT_THAT(Tags(), IsEmpty());
}

}  // namespace
}  // namespace skerry
