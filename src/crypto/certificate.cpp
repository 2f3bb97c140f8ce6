#include "crypto/certificate.h"

#include <openssl/asn1.h>
#include <openssl/pem.h>

#include <algorithm>
#include <ctime>

#include "base/limits.h"
#include "base/random.h"
#include "codec/text.h"
#include "crypto/openssl.h"
#include "storage/file.h"

namespace skerry {
namespace {

constexpr std::int64_t kMicrosPerSecond = 1'000'000;
constexpr std::int64_t kDaySeconds = 24 * 3600;
constexpr std::int64_t kAuthorityDays = 3'653;
constexpr std::int64_t kLeafDays = 365;
// A receiver whose clock is a little behind ours takes the certificate all the same.
constexpr std::int64_t kBackdateSeconds = 3'600;
constexpr std::size_t kCommonNameBytes = 64;  // RFC 5280, ub-common-name
constexpr std::size_t kDnsNameBytes = 253;
constexpr std::size_t kSerialBytes = 16;

using GeneralNamesPtr = std::unique_ptr<GENERAL_NAMES, OpenSslFree<GENERAL_NAMES_free>>;
using GeneralNamePtr = std::unique_ptr<GENERAL_NAME, OpenSslFree<GENERAL_NAME_free>>;
using StorePtr = std::unique_ptr<X509_STORE, OpenSslFree<X509_STORE_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, OpenSslFree<X509_STORE_CTX_free>>;
using SerialPtr = std::unique_ptr<ASN1_INTEGER, OpenSslFree<ASN1_INTEGER_free>>;

Status CheckSize(std::string_view pem) {
  if (pem.size() > limits::kCertificateBytes)
    return Fail(ErrorCode::kTooLarge, "a certificate text of {} bytes is over the limit of {}",
                pem.size(), limits::kCertificateBytes);
  return {};
}

Result<CertificatePtr> ReadCertificate(std::string_view pem) {
  SKERRY_RETURN_IF_ERROR(CheckSize(pem));
  const BioPtr bio = ReadingBio(pem);
  CertificatePtr certificate(PEM_read_bio_X509(bio.get(), nullptr, RefusePassword, nullptr));
  if (certificate == nullptr)
    return OpenSslFailure(ErrorCode::kInvalidArgument, "reading a certificate (PEM)");
  return certificate;
}

std::string WriteCertificate(X509* certificate) {
  const BioPtr bio = WritingBio();
  CheckOpenSsl(PEM_write_bio_X509(bio.get(), certificate) == 1, "writing a certificate");
  return BytesOf(bio);
}

Status SetCommonName(X509_NAME* name, std::string_view common_name) {
  if (common_name.empty() || common_name.size() > kCommonNameBytes)
    return Fail(ErrorCode::kInvalidArgument,
                "'{}' cannot be a certificate's common name: 1 to {} bytes are allowed",
                common_name, kCommonNameBytes);
  if (X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(common_name.data()),
                                 static_cast<int>(common_name.size()), -1, 0) != 1)
    return OpenSslFailure(ErrorCode::kInvalidArgument, "setting the common name");
  return {};
}

// The only common name of a subject; a second one could be read differently by someone else.
Result<std::string> CommonNameOf(const X509_NAME* name) {
  const int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (at < 0 || X509_NAME_get_index_by_NID(name, NID_commonName, at) >= 0)
    return Fail(ErrorCode::kInvalidArgument, "the subject does not have exactly one common name");
  unsigned char* text = nullptr;
  const int size =
      ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
  if (size < 0) return OpenSslFailure(ErrorCode::kInvalidArgument, "reading the common name");
  std::string common_name(reinterpret_cast<const char*>(text), static_cast<std::size_t>(size));
  OPENSSL_free(text);
  return common_name;
}

Result<std::int64_t> MicrosOf(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1)
    return OpenSslFailure(ErrorCode::kInvalidArgument, "reading a certificate's time");
  return std::int64_t{timegm(&parts)} * kMicrosPerSecond;
}

Result<std::string> SerialOf(const X509* certificate) {
  const BignumPtr number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  if (number == nullptr)
    return OpenSslFailure(ErrorCode::kInvalidArgument, "reading the serial number");
  std::string bytes(static_cast<std::size_t>(BN_num_bytes(number.get())), '\0');
  BN_bn2bin(number.get(), reinterpret_cast<unsigned char*>(bytes.data()));
  return EncodeHex(bytes);
}

// RFC 5280 wants at most 20 octets, positive, and unpredictable bits: 127 random ones.
void SetRandomSerial(X509* certificate) {
  unsigned char bytes[kSerialBytes];
  FillRandom(bytes, sizeof bytes);
  bytes[0] &= 0x7FU;
  const BignumPtr number(BN_bin2bn(bytes, sizeof bytes, nullptr));
  const SerialPtr serial(BN_to_ASN1_INTEGER(number.get(), nullptr));
  CheckOpenSsl(serial != nullptr && X509_set_serialNumber(certificate, serial.get()) == 1,
               "setting a serial number");
}

Status AddExtension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  if (extension == nullptr || X509_add_ext(certificate, extension.get(), -1) != 1)
    return OpenSslFailure(ErrorCode::kInternal, "adding a certificate's extension");
  return {};
}

struct LeafProfile {
  std::string_view common_name;
  const char* extended_key_usage;
  std::int64_t days;
  std::int64_t at_least_until_us = 0;
};

// Version 3, random serial, subject, key and times; no issuer, extensions or signature yet.
Result<CertificatePtr> StartCertificate(const PublicKey& key, const LeafProfile& profile,
                                        const Clock& clock) {
  if (key.empty()) return Fail(ErrorCode::kInvalidArgument, "there is no key to certify");
  CertificatePtr certificate(X509_new());
  CheckOpenSsl(certificate != nullptr && X509_set_version(certificate.get(), X509_VERSION_3) == 1,
               "making a certificate");
  SetRandomSerial(certificate.get());
  SKERRY_RETURN_IF_ERROR(
      SetCommonName(X509_get_subject_name(certificate.get()), profile.common_name));
  const std::time_t now = clock.UtcMicros() / kMicrosPerSecond;
  std::time_t from = now - kBackdateSeconds;
  std::time_t to = std::max<std::time_t>(now + profile.days * kDaySeconds,
                                         profile.at_least_until_us / kMicrosPerSecond);
  if (X509_set_pubkey(certificate.get(), key.handle()) != 1 ||
      X509_time_adj_ex(X509_getm_notBefore(certificate.get()), 0, 0, &from) == nullptr ||
      X509_time_adj_ex(X509_getm_notAfter(certificate.get()), 0, 0, &to) == nullptr)
    return OpenSslFailure(ErrorCode::kInternal, "filling in a certificate");
  return certificate;
}

Result<std::string> SignCertificate(X509* certificate, const PrivateKey& key) {
  if (X509_sign(certificate, key.handle(), EVP_sha256()) == 0)
    return OpenSslFailure(ErrorCode::kInternal, "signing a certificate");
  return WriteCertificate(certificate);
}

Result<std::string> MakeAuthorityCertificate(const PrivateKey& key, std::string_view common_name,
                                             const Clock& clock) {
  SKERRY_ASSIGN_OR_RETURN(
      const CertificatePtr certificate,
      StartCertificate(key.public_key(), {common_name, nullptr, kAuthorityDays}, clock));
  X509* raw = certificate.get();
  CheckOpenSsl(X509_set_issuer_name(raw, X509_get_subject_name(raw)) == 1, "setting the issuer");
  SKERRY_RETURN_IF_ERROR(
      AddExtension(raw, raw, NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  SKERRY_RETURN_IF_ERROR(AddExtension(raw, raw, NID_key_usage, "critical,keyCertSign,cRLSign"));
  SKERRY_RETURN_IF_ERROR(AddExtension(raw, raw, NID_subject_key_identifier, "hash"));
  return SignCertificate(raw, key);
}

// A leaf with everything but alternative names and signature.
Result<CertificatePtr> StartLeaf(const PublicKey& key, const LeafProfile& profile,
                                 std::string_view authority_pem, const Clock& clock) {
  SKERRY_ASSIGN_OR_RETURN(const CertificatePtr authority, ReadCertificate(authority_pem));
  SKERRY_ASSIGN_OR_RETURN(CertificatePtr certificate, StartCertificate(key, profile, clock));
  X509* leaf = certificate.get();
  X509* issuer = authority.get();
  CheckOpenSsl(X509_set_issuer_name(leaf, X509_get_subject_name(issuer)) == 1,
               "setting the issuer");
  SKERRY_RETURN_IF_ERROR(AddExtension(leaf, issuer, NID_basic_constraints, "critical,CA:FALSE"));
  SKERRY_RETURN_IF_ERROR(AddExtension(leaf, issuer, NID_key_usage, "critical,digitalSignature"));
  SKERRY_RETURN_IF_ERROR(AddExtension(leaf, issuer, NID_ext_key_usage, profile.extended_key_usage));
  SKERRY_RETURN_IF_ERROR(AddExtension(leaf, issuer, NID_subject_key_identifier, "hash"));
  SKERRY_RETURN_IF_ERROR(AddExtension(leaf, issuer, NID_authority_key_identifier, "keyid"));
  return certificate;
}

bool IsDnsName(std::string_view name) {
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
  return !name.empty() && name.size() <= kDnsNameBytes &&
         name.find_first_not_of(kAllowed) == std::string_view::npos && name.front() != '.' &&
         name.find("..") == std::string_view::npos;
}

Result<GeneralNamePtr> MakeGeneralName(const std::string& name) {
  GeneralNamePtr made(GENERAL_NAME_new());
  CheckOpenSsl(made != nullptr, "making an alternative name");
  if (ASN1_OCTET_STRING* address = a2i_IPADDRESS(name.c_str()); address != nullptr) {
    GENERAL_NAME_set0_value(made.get(), GEN_IPADD, address);
    return made;
  }
  TakeOpenSslErrors();
  if (!IsDnsName(name))
    return Fail(ErrorCode::kInvalidArgument, "'{}' is neither a DNS name nor an IP address", name);
  ASN1_IA5STRING* text = ASN1_IA5STRING_new();
  CheckOpenSsl(text != nullptr && ASN1_STRING_set(text, name.data(), static_cast<int>(name.size())),
               "making an alternative name");
  GENERAL_NAME_set0_value(made.get(), GEN_DNS, text);
  return made;
}

// Built as a structure: the names never pass through OpenSSL's configuration syntax, where a comma
// in one would add another.
Status AddAlternativeNames(X509* certificate, std::span<const std::string> names) {
  const GeneralNamesPtr list(GENERAL_NAMES_new());
  CheckOpenSsl(list != nullptr, "making alternative names");
  for (const std::string& name : names) {
    SKERRY_ASSIGN_OR_RETURN(GeneralNamePtr one, MakeGeneralName(name));
    // The list owns it from here on.
    CheckOpenSsl(sk_GENERAL_NAME_push(list.get(), one.release()) > 0, "adding a name");
  }
  if (X509_add1_ext_i2d(certificate, NID_subject_alt_name, list.get(), 0, X509V3_ADD_DEFAULT) != 1)
    return OpenSslFailure(ErrorCode::kInternal, "adding alternative names");
  return {};
}

Status CheckLeafUse(X509* certificate, CertificateUse use) {
  if (X509_check_ca(certificate) != 0)
    return Fail(ErrorCode::kPermissionDenied, "the certificate is that of an authority");
  const bool limited = (X509_get_extension_flags(certificate) & EXFLAG_XKUSAGE) != 0;
  const std::uint32_t allowed = limited ? X509_get_extended_key_usage(certificate) : 0;
  const std::uint32_t wanted = use == CertificateUse::kServer ? XKU_SSL_SERVER
                               : use == CertificateUse::kSite ? XKU_SSL_CLIENT
                                                              : XKU_SSL_SERVER | XKU_SSL_CLIENT;
  if ((allowed & wanted) == 0 || (X509_get_key_usage(certificate) & KU_DIGITAL_SIGNATURE) == 0)
    return Fail(ErrorCode::kPermissionDenied, "the certificate is not one for {}",
                use == CertificateUse::kServer ? "a server"
                : use == CertificateUse::kSite ? "a site"
                                               : "a server or a site");
  return {};
}

}  // namespace

Result<CertificateFacts> ParseCertificate(std::string_view pem) {
  SKERRY_ASSIGN_OR_RETURN(const CertificatePtr certificate, ReadCertificate(pem));
  CertificateFacts facts;
  SKERRY_ASSIGN_OR_RETURN(facts.common_name,
                          CommonNameOf(X509_get_subject_name(certificate.get())));
  SKERRY_ASSIGN_OR_RETURN(facts.serial, SerialOf(certificate.get()));
  SKERRY_ASSIGN_OR_RETURN(facts.not_before_us, MicrosOf(X509_get0_notBefore(certificate.get())));
  SKERRY_ASSIGN_OR_RETURN(facts.not_after_us, MicrosOf(X509_get0_notAfter(certificate.get())));
  SKERRY_ASSIGN_OR_RETURN(facts.key, PublicKey::FromHandle(X509_get0_pubkey(certificate.get())),
                          "certificate");
  facts.pem = WriteCertificate(certificate.get());
  return facts;
}

Result<std::string> MakeCertificateRequest(const PrivateKey& key, std::string_view common_name) {
  if (key.empty()) return Fail(ErrorCode::kFailedPrecondition, "there is no private key");
  const RequestPtr request(X509_REQ_new());
  CheckOpenSsl(request != nullptr, "making a certificate request");
  SKERRY_RETURN_IF_ERROR(SetCommonName(X509_REQ_get_subject_name(request.get()), common_name));
  if (X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
      X509_REQ_set_pubkey(request.get(), key.handle()) != 1 ||
      X509_REQ_sign(request.get(), key.handle(), EVP_sha256()) == 0)
    return OpenSslFailure(ErrorCode::kInternal, "making a certificate request");
  const BioPtr bio = WritingBio();
  CheckOpenSsl(PEM_write_bio_X509_REQ(bio.get(), request.get()) == 1, "writing a request");
  return BytesOf(bio);
}

Result<PublicKey> VerifyCertificateRequest(std::string_view csr_pem,
                                           std::string_view expected_common_name) {
  SKERRY_RETURN_IF_ERROR(CheckSize(csr_pem));
  const BioPtr bio = ReadingBio(csr_pem);
  const RequestPtr request(PEM_read_bio_X509_REQ(bio.get(), nullptr, RefusePassword, nullptr));
  if (request == nullptr)
    return OpenSslFailure(ErrorCode::kInvalidArgument, "reading a certificate request (PEM)");
  EVP_PKEY* raw_key = X509_REQ_get0_pubkey(request.get());
  SKERRY_ASSIGN_OR_RETURN(PublicKey key, PublicKey::FromHandle(raw_key), "certificate request");
  if (X509_REQ_verify(request.get(), raw_key) != 1)
    return OpenSslFailure(ErrorCode::kPermissionDenied,
                          "the certificate request is not signed by the key in it");
  SKERRY_ASSIGN_OR_RETURN(const std::string name,
                          CommonNameOf(X509_REQ_get_subject_name(request.get())),
                          "certificate request");
  if (name != expected_common_name)
    return Fail(ErrorCode::kPermissionDenied, "the certificate request is for '{}', not for '{}'",
                name, expected_common_name);
  return key;
}

Result<CertificateAuthority> CertificateAuthority::LoadOrCreate(
    const std::filesystem::path& directory, std::string_view common_name, const Clock& clock) {
  const auto key_path = directory / "ca.key";
  const auto certificate_path = directory / "ca.pem";
  std::error_code ignored;  // an unreadable directory fails in the next step, with its reason
  const bool has_certificate = std::filesystem::exists(certificate_path, ignored);
  if (has_certificate && !std::filesystem::exists(key_path, ignored))
    return Fail(ErrorCode::kFailedPrecondition,
                "{} is there but its key {} is not: restore the key from a backup",
                certificate_path.string(), key_path.string());
  // The key first: a crash in between leaves a key without a certificate, which is made anew.
  SKERRY_ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::LoadOrCreate(key_path));
  if (!has_certificate) {
    SKERRY_ASSIGN_OR_RETURN(const std::string made,
                            MakeAuthorityCertificate(key, common_name, clock));
    SKERRY_RETURN_IF_ERROR(WriteFileDurably(certificate_path, made));
  }
  SKERRY_ASSIGN_OR_RETURN(std::string pem, ReadFile(certificate_path, limits::kCertificateBytes));
  SKERRY_ASSIGN_OR_RETURN(const CertificateFacts facts, ParseCertificate(pem),
                          certificate_path.string());
  if (facts.key != key.public_key())
    return Fail(ErrorCode::kFailedPrecondition, "{} does not belong to the key {}",
                certificate_path.string(), key_path.string());
  return CertificateAuthority(std::move(key), facts.pem, &clock);
}

Result<std::string> CertificateAuthority::IssueServer(const PublicKey& key,
                                                      std::span<const std::string> dns_or_ip,
                                                      std::int64_t at_least_until_us) const {
  if (dns_or_ip.empty())
    return Fail(ErrorCode::kInvalidArgument, "a server's certificate needs at least one name");
  SKERRY_ASSIGN_OR_RETURN(
      const CertificatePtr leaf,
      StartLeaf(key, {dns_or_ip.front(), "serverAuth", kLeafDays, at_least_until_us},
                certificate_pem_, *clock_));
  SKERRY_RETURN_IF_ERROR(AddAlternativeNames(leaf.get(), dns_or_ip));
  return SignCertificate(leaf.get(), key_);
}

Result<std::string> CertificateAuthority::IssueSite(const PublicKey& key,
                                                    std::string_view site) const {
  SKERRY_ASSIGN_OR_RETURN(const CertificatePtr leaf, StartLeaf(key, {site, "clientAuth", kLeafDays},
                                                               certificate_pem_, *clock_));
  return SignCertificate(leaf.get(), key_);
}

Status VerifyIssuedBy(std::string_view certificate_pem, std::string_view ca_pem,
                      CertificateUse use) {
  SKERRY_ASSIGN_OR_RETURN(const CertificatePtr certificate, ReadCertificate(certificate_pem));
  SKERRY_ASSIGN_OR_RETURN(const CertificatePtr authority, ReadCertificate(ca_pem), "authority");
  SKERRY_RETURN_IF_ERROR(CheckLeafUse(certificate.get(), use));
  const StorePtr store(X509_STORE_new());
  const StoreContextPtr context(X509_STORE_CTX_new());
  CheckOpenSsl(store != nullptr && context != nullptr &&
                   X509_STORE_add_cert(store.get(), authority.get()) == 1 &&
                   X509_STORE_set_flags(store.get(), X509_V_FLAG_NO_CHECK_TIME) == 1 &&
                   X509_STORE_CTX_init(context.get(), store.get(), certificate.get(), nullptr) == 1,
               "starting to verify a certificate");
  if (X509_verify_cert(context.get()) == 1) return {};
  TakeOpenSslErrors();
  return Fail(ErrorCode::kPermissionDenied, "the certificate is not one of this authority: {}",
              X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get())));
}

}  // namespace skerry
