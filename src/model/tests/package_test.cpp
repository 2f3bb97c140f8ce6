#include "model/package.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "model/scorer.h"
#include "model/smoke.h"
#include "model/tests/fixture_package.h"
#include "storage/file.h"

namespace skerry {
namespace {

using testing::HasSubstr;

class PackageTest : public testing::Test {
 protected:
  TemporaryDirectory directory_ = TemporaryDirectory::Create("model").value();
  std::filesystem::path path() const { return directory_.path() / "package"; }
};

RowBatch Batch(std::shared_ptr<const ModelPackage> package, std::vector<float> features) {
  RowBatch batch;
  batch.package = std::move(package);
  batch.rows = features.size() / 3;
  batch.features = std::move(features);
  return batch;
}

TEST_F(PackageTest, ScoresRowsAndFindsWhatIsOutOfRange) {
  fixture::WritePackage(path());
  const auto package = LoadPackage(path(), {});
  ASSERT_TRUE(package) << package.error().message();
  EXPECT_EQ((*package)->name, "milling");
  const float missing = std::nanf("");
  RowBatch batch = Batch(*package, {0, 42, 10, 1, 65, 10, 3, 75, 300, missing, missing, missing});
  const Status scored = ScoreRows(batch);
  ASSERT_TRUE(scored) << scored.error().message();
  EXPECT_THAT(batch.score, testing::Pointwise(testing::FloatEq(), {0.1F, 0.9F, 0.9F, 0.1F}));
  EXPECT_THAT(batch.prediction, testing::ElementsAre(0, 1, 1, 0));
  EXPECT_THAT(batch.anomaly_score,
              testing::Pointwise(testing::FloatEq(), {0.3F, 0.3F, 0.8F, 0.3F}));
  EXPECT_TRUE(batch.out_of_range[0].empty());
  EXPECT_THAT(batch.out_of_range[2], testing::ElementsAre(0, 2));
  EXPECT_TRUE(batch.out_of_range[3].empty());
  EXPECT_FALSE(batch.IsAnomaly(0));
  EXPECT_TRUE(batch.IsAnomaly(2));
}

TEST_F(PackageTest, WorksWithoutADetector) {
  fixture::WritePackage(path(), {.detector = false});
  RowBatch batch = Batch(LoadPackage(path(), {}).value(), {0, 42, 10});
  ASSERT_TRUE(ScoreRows(batch));
  EXPECT_TRUE(batch.anomaly_score.empty());
  EXPECT_FALSE(batch.IsAnomaly(0));
}

TEST_F(PackageTest, RowsOfTheWrongWidthAreRefused) {
  fixture::WritePackage(path());
  RowBatch batch = Batch(LoadPackage(path(), {}).value(), {0, 42, 10});
  batch.features.pop_back();
  EXPECT_EQ(ScoreRows(batch).error().code(), ErrorCode::kInvalidArgument);
}

TEST_F(PackageTest, TruncatedModelIsDataLoss) {
  fixture::WritePackage(path());
  const std::string whole = fixture::TreeModelBytes({});
  for (const std::size_t kept : {whole.size() / 2, whole.size() - 1, std::size_t{0}}) {
    fixture::WriteBytes(path() / "model.onnx", whole.substr(0, kept));
    const auto package = LoadPackage(path(), {});
    ASSERT_FALSE(package) << kept;
    EXPECT_EQ(package.error().code(), ErrorCode::kDataLoss) << package.error().message();
    EXPECT_THAT(package.error().message(), HasSubstr("model.onnx"));
  }
}

TEST_F(PackageTest, UnsupportedOpsetSaysSo) {
  fixture::WritePackage(path(), {.model = {.opset = 99}});
  const auto package = LoadPackage(path(), {});
  ASSERT_FALSE(package);
  EXPECT_EQ(package.error().code(), ErrorCode::kUnimplemented) << package.error().message();
  EXPECT_THAT(package.error().message(), HasSubstr("opset"));
}

TEST_F(PackageTest, OpsetOneModelIsRefusedAsUnsupported) {
  const char* data = std::getenv("SKERRY_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "SKERRY_TEST_DATA is not set: no onnx_mnist";
  const auto package =
      LoadBareOnnx(std::filesystem::path(data) / "onnx_mnist" / "model.onnx", "mnist");
  ASSERT_FALSE(package);
  EXPECT_EQ(package.error().code(), ErrorCode::kUnimplemented) << package.error().message();
}

TEST_F(PackageTest, ModelThatDoesNotFitItsSchemaSaysWhatDiffers) {
  struct Case {
    fixture::TreeModel model;
    const char* says;
  };
  const std::vector<Case> cases = {{{.features = 5}, "[-1,3]"},
                                   {{.input = "x"}, "x FP32"},
                                   {{.output = "y"}, "probabilities"},
                                   {{.fixed_rows = 1}, "input FP32 [1,3]"}};
  for (const Case& one : cases) {
    fixture::WritePackage(path(), {.model = one.model});
    const auto package = LoadPackage(path(), {});
    ASSERT_FALSE(package) << one.says;
    EXPECT_EQ(package.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(package.error().message(), HasSubstr(one.says));
  }
}

TEST_F(PackageTest, ScoresThatAreNoProbabilitiesAreRefused) {
  fixture::WritePackage(path(), {.model = {.high = 7}});
  const auto package = LoadPackage(path(), {});
  ASSERT_FALSE(package);
  EXPECT_THAT(package.error().message(), HasSubstr("probabilities"));
}

TEST_F(PackageTest, ReferenceThatDoesNotFitItsSchemaIsRefused) {
  fixture::WritePackage(path());
  ModelReference reference = fixture::Reference();
  reference.features[0].counts = {1, 2};
  fixture::WriteBytes(path() / "reference.json", DumpJson(reference.ToJson()));
  EXPECT_THAT(LoadPackage(path(), {}).error().message(), HasSubstr("\"type\""));
  reference.features.erase(reference.features.begin());
  fixture::WriteBytes(path() / "reference.json", DumpJson(reference.ToJson()));
  EXPECT_THAT(LoadPackage(path(), {}).error().message(), HasSubstr("\"type\""));
}

TEST_F(PackageTest, OneFlippedBitInAnyFileIsFoundByItsDigest) {
  fixture::WritePackage(path());
  PackageIdentity identity{.name = "milling", .version = "1"};
  const std::vector<std::string> names = {"model.onnx", "detector.onnx", "schema.json",
                                          "reference.json"};
  for (const std::string& name : names) identity.files[name] = DigestOfFile(path() / name).value();
  ASSERT_TRUE(LoadPackage(path(), identity));
  for (const std::string& name : names) {
    const std::string whole = ReadFile(path() / name, 1U << 20U).value();
    std::string flipped = whole;
    flipped[flipped.size() / 2] = static_cast<char>(flipped[flipped.size() / 2] ^ 4);
    fixture::WriteBytes(path() / name, flipped);
    const auto package = LoadPackage(path(), identity);
    ASSERT_FALSE(package) << name;
    EXPECT_EQ(package.error().code(), ErrorCode::kDataLoss);
    EXPECT_THAT(package.error().message(), HasSubstr(name));
    fixture::WriteBytes(path() / name, whole);
  }
}

TEST_F(PackageTest, FlippedBitsInABareFileNeverCrash) {
  const std::string whole = fixture::AddModelBytes();
  const std::filesystem::path file = directory_.path() / "bare.onnx";
  std::size_t refused = 0;
  for (std::size_t bit = 0; bit < whole.size() * 8; bit += 3) {
    std::string flipped = whole;
    flipped[bit / 8] =
        static_cast<char>(static_cast<unsigned>(flipped[bit / 8]) ^ (1U << (bit % 8)));
    fixture::WriteBytes(file, flipped);
    refused += !LoadBareOnnx(file, "bare");
  }
  EXPECT_GT(refused, 0U);
}

TEST_F(PackageTest, MissingPartsAreNamed) {
  fixture::WritePackage(path());
  std::filesystem::remove(path() / "reference.json");
  const auto package = LoadPackage(path(), {});
  ASSERT_FALSE(package);
  EXPECT_EQ(package.error().code(), ErrorCode::kNotFound);
  EXPECT_THAT(package.error().message(), HasSubstr("reference.json"));
  EXPECT_EQ(LoadBareOnnx(path() / "none.onnx", "none").error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(LoadBareOnnx(path() / "model.onnx", "Bad Name").error().code(),
            ErrorCode::kInvalidArgument);
}

TEST_F(PackageTest, SmokeRunInAChildAcceptsAGoodPackageAndABareModel) {
  // The address space of a sanitizer's shadow is larger than any sound limit.
  const SmokeLimits limits{.memory_bytes = 0};
  fixture::WritePackage(path());
  const Status package = SmokeRunInChild(SelfExecutable(), path(), limits);
  EXPECT_TRUE(package) << package.error().message();
  const Status bare = SmokeRunInChild(SelfExecutable(), path() / "model.onnx", limits);
  EXPECT_TRUE(bare) << bare.error().message();
}

TEST_F(PackageTest, SmokeRunSaysWhatTheChildSaid) {
  fixture::WritePackage(path(), {.model = {.features = 5}});
  const Status status = SmokeRunInChild(SelfExecutable(), path(), {.memory_bytes = 0});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(status.error().message(), HasSubstr("[-1,3]"));
}

TEST_F(PackageTest, SmokeRunSaysHowTheChildDied) {
  const SmokeLimits limits{
      .memory_bytes = 0, .cpu = std::chrono::seconds(1), .wall = std::chrono::seconds(20)};
  const auto died = [&](const char* name, const SmokeLimits& with) {
    return SmokeRunInChild(SelfExecutable(), directory_.path() / name, with).error().message();
  };
  EXPECT_THAT(died("dies", limits), HasSubstr("signal 11"));
  EXPECT_THAT(died("spins", limits), HasSubstr("1 s of CPU"));
  SmokeLimits short_wall = limits;
  short_wall.wall = std::chrono::milliseconds(50);
  EXPECT_THAT(died("hangs", short_wall), HasSubstr("50 ms"));
}

TEST_F(PackageTest, SmokeRunKeepsAModelWithinItsMemory) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's shadow needs more address space than the limit";
#endif
  fixture::WritePackage(path());
  EXPECT_TRUE(SmokeRunInChild(SelfExecutable(), path()));
  const Status status = SmokeRunInChild(SelfExecutable(), directory_.path() / "eats",
                                        {.memory_bytes = std::size_t{512} << 20U});
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message(), HasSubstr("bad_alloc"));
}

TEST_F(PackageTest, SmokeRunWithoutAnExecutableIsAnInternalError) {
  const Status status = SmokeRunInChild(path() / "absent", path(), {.memory_bytes = 0});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), ErrorCode::kInternal);
}

}  // namespace
}  // namespace skerry
