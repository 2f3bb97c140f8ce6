#include "crypto/certificate.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include "crypto/openssl.h"
#include "storage/file.h"

namespace skerry {
namespace {

constexpr std::int64_t kDayUs = 24LL * 3600 * 1'000'000;
constexpr std::int64_t kNowUs = 1'770'000'000'000'000;  // February 2026

CertificatePtr Read(std::string_view pem) {
  const BioPtr bio = ReadingBio(pem);
  return CertificatePtr(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}

class CertificateTest : public testing::Test {
 protected:
  CertificateAuthority MustOpen(const char* name = "hub") {
    std::filesystem::create_directory(directory_.path() / name);
    auto opened =
        CertificateAuthority::LoadOrCreate(directory_.path() / name, "skerry hub", clock_);
    EXPECT_TRUE(opened) << opened.error().ToString();
    return std::move(*opened);
  }

  TemporaryDirectory directory_ = TemporaryDirectory::Create("skerry-ca").value();
  FakeClock clock_{kNowUs};
  PrivateKey key_ = PrivateKey::Generate().value();
};

TEST_F(CertificateTest, AuthorityIsMadeOnceAndLastsTenYears) {
  const auto first = MustOpen();
  EXPECT_EQ(MustOpen().certificate_pem(), first.certificate_pem());
  const auto facts = ParseCertificate(first.certificate_pem()).value();
  EXPECT_EQ(facts.common_name, "skerry hub");
  EXPECT_LT(facts.not_before_us, kNowUs);
  EXPECT_GE(facts.not_after_us, kNowUs + 3'652 * kDayUs);
  struct stat mode{};
  ASSERT_EQ(stat((directory_.path() / "hub" / "ca.key").c_str(), &mode), 0);
  EXPECT_EQ(mode.st_mode & 0777U, 0600U);
}

TEST_F(CertificateTest, AuthorityWithoutItsKeyOrWithAnotherOneIsRefused) {
  MustOpen();
  const auto key_path = directory_.path() / "hub" / "ca.key";
  ASSERT_TRUE(WriteFileDurably(key_path, key_.ToPem().value(), 0600));
  auto opened = CertificateAuthority::LoadOrCreate(directory_.path() / "hub", "x", clock_);
  EXPECT_EQ(opened.error().code(), ErrorCode::kFailedPrecondition);
  ASSERT_TRUE(RemoveFile(key_path));
  opened = CertificateAuthority::LoadOrCreate(directory_.path() / "hub", "x", clock_);
  EXPECT_EQ(opened.error().code(), ErrorCode::kFailedPrecondition);
}

TEST_F(CertificateTest, CrashBetweenKeyAndCertificateIsMended) {
  MustOpen();
  ASSERT_TRUE(RemoveFile(directory_.path() / "hub" / "ca.pem"));
  const auto again = MustOpen();
  EXPECT_TRUE(VerifyIssuedBy(again.IssueSite(key_.public_key(), "north").value(),
                             again.certificate_pem(), CertificateUse::kSite));
}

TEST_F(CertificateTest, SiteCertificateIsForAClientOfThatNameForOneYear) {
  const auto authority = MustOpen();
  const std::string pem = authority.IssueSite(key_.public_key(), "north").value();
  const auto facts = ParseCertificate(pem).value();
  EXPECT_EQ(facts.common_name, "north");
  EXPECT_EQ(facts.key, key_.public_key());
  EXPECT_EQ(facts.pem, pem);
  EXPECT_EQ(facts.not_after_us, kNowUs + 365 * kDayUs);
  EXPECT_TRUE(VerifyIssuedBy(pem, authority.certificate_pem()));
  EXPECT_TRUE(VerifyIssuedBy(pem, authority.certificate_pem(), CertificateUse::kSite));
  EXPECT_EQ(
      VerifyIssuedBy(pem, authority.certificate_pem(), CertificateUse::kServer).error().code(),
      ErrorCode::kPermissionDenied);
  EXPECT_EQ(X509_check_purpose(Read(pem).get(), X509_PURPOSE_SSL_CLIENT, 0), 1);
}

TEST_F(CertificateTest, ServerCertificateNamesHostsAndAddresses) {
  const auto authority = MustOpen();
  const std::string names[] = {"hub.example.org", "localhost", "127.0.0.1", "::1"};
  const std::string pem = authority.IssueServer(key_.public_key(), names).value();
  EXPECT_TRUE(VerifyIssuedBy(pem, authority.certificate_pem(), CertificateUse::kServer));
  EXPECT_FALSE(VerifyIssuedBy(pem, authority.certificate_pem(), CertificateUse::kSite));
  const auto certificate = Read(pem);
  EXPECT_EQ(X509_check_host(certificate.get(), "localhost", 0, 0, nullptr), 1);
  EXPECT_EQ(X509_check_host(certificate.get(), "hub.example.org", 0, 0, nullptr), 1);
  EXPECT_EQ(X509_check_host(certificate.get(), "other.example.org", 0, 0, nullptr), 0);
  EXPECT_EQ(X509_check_ip_asc(certificate.get(), "127.0.0.1", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(certificate.get(), "::1", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(certificate.get(), "127.0.0.2", 0), 0);
}

TEST_F(CertificateTest, NamesThatAreNoneAreRefused) {
  const auto authority = MustOpen();
  EXPECT_EQ(authority.IssueServer(key_.public_key(), {}).error().code(),
            ErrorCode::kInvalidArgument);
  const std::vector<std::string> bad_names = {"", "a,DNS:b", "a b", "..", std::string(300, 'a')};
  for (const std::string& bad : bad_names) {
    const std::string names[] = {"localhost", bad};
    EXPECT_EQ(authority.IssueServer(key_.public_key(), names).error().code(),
              ErrorCode::kInvalidArgument)
        << bad;
  }
  EXPECT_FALSE(authority.IssueSite(key_.public_key(), ""));
  EXPECT_FALSE(authority.IssueSite(key_.public_key(), std::string(65, 'n')));
  EXPECT_FALSE(authority.IssueSite(PublicKey(), "north"));
}

TEST_F(CertificateTest, SerialNumbersAreRandomAndLong) {
  const auto authority = MustOpen();
  const auto one = ParseCertificate(authority.IssueSite(key_.public_key(), "n").value()).value();
  const auto two = ParseCertificate(authority.IssueSite(key_.public_key(), "n").value()).value();
  EXPECT_NE(one.serial, two.serial);
  EXPECT_GE(one.serial.size(), 20U);
  EXPECT_LE(one.serial.size(), 32U);
}

TEST_F(CertificateTest, ExpiredCertificateStillShowsWhoIssuedIt) {
  const auto authority = MustOpen();
  FakeClock old(0);  // a clock of 1970
  const auto other =
      CertificateAuthority::LoadOrCreate(directory_.path() / "hub", "x", old).value();
  EXPECT_TRUE(VerifyIssuedBy(other.IssueSite(key_.public_key(), "north").value(),
                             authority.certificate_pem(), CertificateUse::kSite));
}

TEST_F(CertificateTest, CertificateOfAnotherAuthorityOrAnAuthorityItselfIsRefused) {
  const auto authority = MustOpen();
  const auto other = MustOpen("other");  // the same name, another key
  const std::string pem = other.IssueSite(key_.public_key(), "north").value();
  EXPECT_EQ(VerifyIssuedBy(pem, authority.certificate_pem()).error().code(),
            ErrorCode::kPermissionDenied);
  EXPECT_FALSE(VerifyIssuedBy(authority.certificate_pem(), authority.certificate_pem()));
  // A leaf is no authority.
  const std::string leaf = authority.IssueSite(key_.public_key(), "north").value();
  EXPECT_FALSE(VerifyIssuedBy(leaf, leaf));
  EXPECT_EQ(VerifyIssuedBy("nothing", leaf).error().code(), ErrorCode::kInvalidArgument);
}

TEST_F(CertificateTest, FlippedBitInAnyByteOfACertificateIsRefused) {
  const auto authority = MustOpen();
  const auto certificate = Read(authority.IssueSite(key_.public_key(), "north").value());
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate.get(), &der);
  ASSERT_GT(size, 0);
  for (int at_byte = 0; at_byte < size; ++at_byte) {
    const auto flip = static_cast<unsigned char>(1U << (at_byte % 8));
    der[at_byte] ^= flip;
    const unsigned char* at = der;
    const CertificatePtr changed(d2i_X509(nullptr, &at, size));
    if (changed != nullptr) {
      const BioPtr bio = WritingBio();
      PEM_write_bio_X509(bio.get(), changed.get());
      EXPECT_FALSE(VerifyIssuedBy(BytesOf(bio), authority.certificate_pem())) << at_byte;
    }
    der[at_byte] ^= flip;
  }
  OPENSSL_free(der);
}

TEST_F(CertificateTest, RequestProvesItsKeyAndName) {
  const std::string csr = MakeCertificateRequest(key_, "north").value();
  EXPECT_EQ(VerifyCertificateRequest(csr, "north").value(), key_.public_key());
  EXPECT_EQ(VerifyCertificateRequest(csr, "south").error().code(), ErrorCode::kPermissionDenied);
  EXPECT_EQ(VerifyCertificateRequest("nothing", "north").error().code(),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(VerifyCertificateRequest(std::string(100'000, 'x'), "north").error().code(),
            ErrorCode::kTooLarge);
}

TEST_F(CertificateTest, RequestSignedByAnotherKeyIsRefused) {
  const RequestPtr request(X509_REQ_new());
  X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>("north"), -1, -1, 0);
  ASSERT_EQ(X509_REQ_set_pubkey(request.get(), key_.public_key().handle()), 1);
  const auto thief = PrivateKey::Generate().value();
  ASSERT_NE(X509_REQ_sign(request.get(), thief.handle(), EVP_sha256()), 0);
  const BioPtr bio = WritingBio();
  ASSERT_EQ(PEM_write_bio_X509_REQ(bio.get(), request.get()), 1);
  EXPECT_EQ(VerifyCertificateRequest(BytesOf(bio), "north").error().code(),
            ErrorCode::kPermissionDenied);
}

}  // namespace
}  // namespace skerry
