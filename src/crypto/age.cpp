#include "crypto/age.h"

#include <openssl/rand.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <vector>

#include "base/limits.h"
#include "codec/text.h"
#include "crypto/digest.h"
#include "crypto/openssl.h"
#include "storage/file.h"

namespace skerry {
namespace {

constexpr std::string_view kVersionLine = "age-encryption.org/v1";
constexpr std::string_view kX25519Label = "age-encryption.org/v1/X25519";
constexpr std::string_view kRecipientPrefix = "age";
constexpr std::string_view kIdentityPrefix = "age-secret-key-";
constexpr std::size_t kFileKeyBytes = 16;
constexpr std::size_t kNonceBytes = 16;
constexpr std::size_t kColumns = 64;

using CipherContextPtr = std::unique_ptr<EVP_CIPHER_CTX, OpenSslFree<EVP_CIPHER_CTX_free>>;

unsigned char* Bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }
const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
std::string_view Text(const AgeKeyBytes& key) {
  return {reinterpret_cast<const char*>(key.data()), key.size()};
}
std::string RandomBytes(std::size_t count) {
  std::string bytes(count, '\0');
  CheckOpenSsl(RAND_bytes(Bytes(bytes), static_cast<int>(count)) == 1, "asking for randomness");
  return bytes;
}
AgeKeyBytes KeyOf(std::string_view text) {
  AgeKeyBytes key{};
  std::copy_n(Bytes(text), std::min(text.size(), key.size()), key.begin());
  return key;
}

// 32 bytes (RFC 5869; one block of output).
std::string Hkdf(std::string_view secret, std::string_view salt, std::string_view info) {
  return HmacSha256(HmacSha256(salt, secret), std::string(info) + '\x01');
}

KeyPtr SecretKey(const AgeKeyBytes& secret) {
  KeyPtr key(EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, secret.data(), secret.size()));
  CheckOpenSsl(key != nullptr, "taking an X25519 key");
  return key;
}

AgeKeyBytes PublicHalf(const AgeKeyBytes& secret) {
  AgeKeyBytes half{};
  std::size_t size = half.size();
  CheckOpenSsl(EVP_PKEY_get_raw_public_key(SecretKey(secret).get(), half.data(), &size) == 1,
               "asking an X25519 key");
  return half;
}

// kInvalidArgument for a point of low order, with which everybody would share the secret.
Result<std::string> SharedSecret(const AgeKeyBytes& secret, const AgeKeyBytes& other) {
  const KeyPtr ours = SecretKey(secret);
  const KeyPtr theirs(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, other.data(), other.size()));
  CheckOpenSsl(theirs != nullptr, "taking an X25519 key");
  const KeyContextPtr context(EVP_PKEY_CTX_new(ours.get(), nullptr));
  std::string shared(32, '\0');
  std::size_t size = shared.size();
  if (EVP_PKEY_derive_init(context.get()) != 1 ||
      EVP_PKEY_derive_set_peer(context.get(), theirs.get()) != 1 ||
      EVP_PKEY_derive(context.get(), Bytes(shared), &size) != 1)
    return OpenSslFailure(ErrorCode::kInvalidArgument, "X25519");
  return shared;
}

using Nonce = std::array<unsigned char, 12>;

std::string SealBytes(const AgeKeyBytes& key, const Nonce& nonce, std::string_view plain) {
  const CipherContextPtr context(EVP_CIPHER_CTX_new());
  std::string sealed(plain.size() + kAgeTagBytes, '\0');
  int done = 0;
  int rest = 0;
  const bool sound =
      EVP_EncryptInit_ex(context.get(), EVP_chacha20_poly1305(), nullptr, key.data(),
                         nonce.data()) == 1 &&
      EVP_EncryptUpdate(context.get(), Bytes(sealed), &done, Bytes(plain),
                        static_cast<int>(plain.size())) == 1 &&
      EVP_EncryptFinal_ex(context.get(), Bytes(sealed) + done, &rest) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, static_cast<int>(kAgeTagBytes),
                          sealed.data() + plain.size()) == 1;
  CheckOpenSsl(sound, "sealing");
  return sealed;
}

// None when the bytes are not what was sealed.
std::optional<std::string> OpenBytes(const AgeKeyBytes& key, const Nonce& nonce,
                                     std::string_view sealed) {
  if (sealed.size() < kAgeTagBytes) return std::nullopt;
  const std::size_t size = sealed.size() - kAgeTagBytes;
  const CipherContextPtr context(EVP_CIPHER_CTX_new());
  std::string plain(size, '\0');
  std::string tag(sealed.substr(size));
  int done = 0;
  int rest = 0;
  const bool sound = EVP_DecryptInit_ex(context.get(), EVP_chacha20_poly1305(), nullptr, key.data(),
                                        nonce.data()) == 1 &&
                     EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG,
                                         static_cast<int>(kAgeTagBytes), tag.data()) == 1 &&
                     EVP_DecryptUpdate(context.get(), Bytes(plain), &done, Bytes(sealed),
                                       static_cast<int>(size)) == 1;
  CheckOpenSsl(sound, "opening");
  if (EVP_DecryptFinal_ex(context.get(), Bytes(plain) + done, &rest) == 1) return plain;
  TakeOpenSslErrors();
  return std::nullopt;
}

Nonce ChunkNonce(std::uint64_t number, bool last) {
  Nonce nonce{};
  for (std::size_t i = 0; i < 8; ++i)
    nonce[10 - i] = static_cast<unsigned char>(number >> (8U * i));
  nonce[11] = last ? 1 : 0;
  return nonce;
}

// Bech32 without its limit of 90 characters, as age has it.
constexpr std::string_view kBech32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

std::uint32_t Checksum(std::string_view prefix, const std::vector<std::uint8_t>& data) {
  constexpr std::array<std::uint32_t, 5> kGenerator = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa,
                                                       0x3d4233dd, 0x2a1462b3};
  std::vector<std::uint8_t> all;
  for (const char c : prefix) all.push_back(static_cast<std::uint8_t>(c) >> 5U);
  all.push_back(0);
  for (const char c : prefix) all.push_back(static_cast<std::uint8_t>(c) & 31U);
  all.insert(all.end(), data.begin(), data.end());
  std::uint32_t sum = 1;
  for (const std::uint8_t value : all) {
    const std::uint32_t top = sum >> 25U;
    sum = ((sum & 0x1ffffffU) << 5U) ^ value;
    for (std::size_t i = 0; i < kGenerator.size(); ++i)
      if (((top >> i) & 1U) != 0) sum ^= kGenerator[i];
  }
  return sum;
}

std::string EncodeBech32(std::string_view prefix, const AgeKeyBytes& key) {
  std::vector<std::uint8_t> data;
  std::uint32_t held = 0;
  unsigned bits = 0;
  for (const unsigned char byte : key) {
    held = (held << 8U) | byte;
    for (bits += 8; bits >= 5; bits -= 5)
      data.push_back(static_cast<std::uint8_t>((held >> (bits - 5)) & 31U));
  }
  data.push_back(static_cast<std::uint8_t>((held << (5 - bits)) & 31U));  // 256 = 51 * 5 + 1
  std::vector<std::uint8_t> padded = data;
  padded.resize(data.size() + 6);
  const std::uint32_t sum = Checksum(prefix, padded) ^ 1U;
  for (unsigned i = 0; i < 6; ++i)
    data.push_back(static_cast<std::uint8_t>((sum >> (5 * (5 - i))) & 31U));
  std::string text(prefix);
  text += '1';
  for (const std::uint8_t value : data) text += kBech32[value];
  return text;
}

// None unless it is that prefix, a right checksum, and 32 bytes. Lower case.
std::optional<AgeKeyBytes> DecodeBech32(std::string_view prefix, std::string_view text) {
  constexpr std::size_t kDigits = 52;  // of 32 bytes
  if (text.size() != prefix.size() + 1 + kDigits + 6 || !text.starts_with(prefix) ||
      text[prefix.size()] != '1')
    return std::nullopt;
  std::vector<std::uint8_t> data;
  for (const char c : text.substr(prefix.size() + 1)) {
    const std::size_t value = kBech32.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    data.push_back(static_cast<std::uint8_t>(value));
  }
  if (Checksum(prefix, data) != 1) return std::nullopt;
  AgeKeyBytes key{};
  std::uint32_t held = 0;
  unsigned bits = 0;
  std::size_t at = 0;
  for (std::size_t i = 0; i < kDigits; ++i) {
    held = (held << 5U) | data[i];
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    key.at(at++) = static_cast<unsigned char>(held >> bits);
  }
  if ((held & ((1U << bits) - 1U)) != 0) return std::nullopt;
  return key;
}

std::string WithCase(std::string_view text, int (*change)(int)) {
  std::string changed(text);
  for (char& c : changed) c = static_cast<char>(change(static_cast<unsigned char>(c)));
  return changed;
}

std::string EncodeUnpadded(std::string_view bytes) {
  std::string text = EncodeBase64(bytes);
  while (text.ends_with('=')) text.pop_back();
  return text;
}

std::optional<std::string> DecodeUnpadded(std::string_view text) {
  if (text.ends_with('=')) return std::nullopt;
  std::string padded(text);
  padded.append((4 - padded.size() % 4) % 4, '=');
  auto bytes = DecodeBase64(padded);
  if (!bytes) return std::nullopt;
  return std::move(*bytes);
}

// The key that wraps the file's key for one receiver.
AgeKeyBytes WrapKey(std::string_view shared, const AgeKeyBytes& share,
                    const AgeKeyBytes& recipient) {
  return KeyOf(Hkdf(shared, std::string(Text(share)) + std::string(Text(recipient)), kX25519Label));
}

AgeChunks ChunksOf(std::string_view file_key, std::string_view nonce) {
  return AgeChunks(Hkdf(file_key, nonce, "payload"));
}

std::string HeaderMac(std::string_view file_key, std::string_view header) {
  return HmacSha256(Hkdf(file_key, "", "header"), header);
}

tl::unexpected<Error> NoAge(std::string_view what) {
  return Fail(ErrorCode::kDataLoss, "it is no whole file of age (age-encryption.org/v1): {}", what);
}

// One receiver's part of a header: "-> TYPE ARGUMENT ...", then its body.
struct Stanza {
  std::string_view arguments;  // behind "-> "
  std::string body;            // base64, lines joined
};

struct ParsedHeader {
  std::vector<Stanza> stanzas;
  std::size_t signed_bytes = 0;  // up to and with "---"
  std::string_view mac;
  std::size_t end = 0;  // behind the line of the MAC
};

Result<ParsedHeader> ParseHeader(std::string_view start) {
  constexpr std::size_t kStanzas = 64;
  ParsedHeader header;
  std::size_t at = 0;
  bool in_body = false;
  for (bool first = true;; first = false) {
    const std::size_t end = start.find('\n', at);
    if (end == std::string_view::npos) return NoAge("its header does not end");
    const std::string_view line = start.substr(at, end - at);
    if (first && line != kVersionLine) return NoAge("its first line is another");
    if (!first && in_body) {
      header.stanzas.back().body += line;
      in_body = line.size() == kColumns;
    } else if (line.starts_with("-> ") && header.stanzas.size() < kStanzas) {
      header.stanzas.push_back({line.substr(3), ""});
      in_body = true;
    } else if (line.starts_with("--- ")) {
      header.signed_bytes = at + 3;
      header.mac = line.substr(4);
      header.end = end + 1;
      return header;
    } else if (!first) {
      return NoAge("its header is damaged");
    }
    at = end + 1;
  }
}

// The file's key, when the stanza is for this receiver.
std::optional<std::string> Unwrap(const Stanza& stanza, const AgeIdentity& identity) {
  constexpr std::string_view kType = "X25519 ";
  if (!stanza.arguments.starts_with(kType)) return std::nullopt;
  const auto share = DecodeUnpadded(stanza.arguments.substr(kType.size()));
  const auto wrapped = DecodeUnpadded(stanza.body);
  if (!share || !wrapped || share->size() != 32 || wrapped->size() != kFileKeyBytes + kAgeTagBytes)
    return std::nullopt;
  const auto shared = SharedSecret(identity.secret(), KeyOf(*share));
  if (!shared) return std::nullopt;
  return OpenBytes(WrapKey(*shared, KeyOf(*share), identity.recipient().bytes()), Nonce{},
                   *wrapped);
}

}  // namespace

Result<AgeRecipient> AgeRecipient::Parse(std::string_view text) {
  const auto bytes = DecodeBech32(kRecipientPrefix, text);
  if (!bytes)
    return Fail(ErrorCode::kInvalidArgument,
                "\"{}\" is no receiver: one is \"age1\" and 58 letters and digits, as "
                "`skerry bundle receiver` prints it",
                text);
  AgeRecipient recipient;
  recipient.bytes_ = *bytes;
  return recipient;
}

std::string AgeRecipient::ToString() const { return EncodeBech32(kRecipientPrefix, bytes_); }

AgeIdentity AgeIdentity::Generate() {
  AgeIdentity identity;
  identity.secret_ = KeyOf(RandomBytes(identity.secret_.size()));
  identity.recipient_.bytes_ = PublicHalf(identity.secret_);
  return identity;
}

Result<AgeIdentity> AgeIdentity::Parse(std::string_view text) {
  const auto bytes = DecodeBech32(kIdentityPrefix, WithCase(text, &std::tolower));
  // The text is a secret: it is not repeated.
  if (!bytes)
    return Fail(ErrorCode::kInvalidArgument,
                "it is no key of age: one is \"AGE-SECRET-KEY-1\" and 58 letters and digits");
  AgeIdentity identity;
  identity.secret_ = *bytes;
  identity.recipient_.bytes_ = PublicHalf(identity.secret_);
  return identity;
}

Result<AgeIdentity> AgeIdentity::Load(const std::filesystem::path& path) {
  SKERRY_RETURN_IF_ERROR(CheckPrivateFile(path));
  SKERRY_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, limits::kKeyFileBytes));
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    if (!line.empty() && line.front() != '#') {
      SKERRY_ASSIGN_OR_RETURN(AgeIdentity identity, Parse(line), path.string());
      return identity;
    }
    at = end + 1;
  }
  return Fail(ErrorCode::kInvalidArgument, "{} has no key", path.string());
}

Result<AgeIdentity> AgeIdentity::LoadOrCreate(const std::filesystem::path& path) {
  auto known = Load(path);
  if (known || known.error().code() != ErrorCode::kNotFound) return known;
  AgeIdentity made = Generate();
  SKERRY_RETURN_IF_ERROR(WriteFileDurably(
      path, fmt::format("# receiver: {}\n{}\n", made.recipient().ToString(), made.ToString()),
      0600));
  return made;
}

std::string AgeIdentity::ToString() const {
  return WithCase(EncodeBech32(kIdentityPrefix, secret_), &std::toupper);
}

AgeChunks::AgeChunks(std::string_view key) : key_(KeyOf(key)) {}

std::string AgeChunks::Seal(std::uint64_t number, bool last, std::string_view plain) const {
  return SealBytes(key_, ChunkNonce(number, last), plain);
}

Result<std::string> AgeChunks::Open(std::uint64_t number, bool last,
                                    std::string_view sealed) const {
  auto plain = OpenBytes(key_, ChunkNonce(number, last), sealed);
  if (!plain) return Fail(ErrorCode::kDataLoss, "chunk {} is damaged", number);
  return std::move(*plain);
}

Result<AgeHead> BeginAge(const AgeRecipient& recipient) {
  const AgeIdentity ephemeral = AgeIdentity::Generate();
  const AgeKeyBytes& share = ephemeral.recipient().bytes();
  const std::string file_key = RandomBytes(kFileKeyBytes);
  const std::string nonce = RandomBytes(kNonceBytes);
  SKERRY_ASSIGN_OR_RETURN(const std::string shared,
                          SharedSecret(ephemeral.secret(), recipient.bytes()),
                          recipient.ToString());
  const std::string wrapped =
      SealBytes(WrapKey(shared, share, recipient.bytes()), Nonce{}, file_key);
  std::string header = fmt::format("{}\n-> X25519 {}\n{}\n---", kVersionLine,
                                   EncodeUnpadded(Text(share)), EncodeUnpadded(wrapped));
  header += " " + EncodeUnpadded(HeaderMac(file_key, header)) + "\n";
  return AgeHead{header + nonce, ChunksOf(file_key, nonce)};
}

Result<AgeHead> OpenAge(std::string_view start, const AgeIdentity& identity) {
  SKERRY_ASSIGN_OR_RETURN(const ParsedHeader header, ParseHeader(start));
  for (const Stanza& stanza : header.stanzas) {
    const auto file_key = Unwrap(stanza, identity);
    if (!file_key) continue;
    const auto mac = DecodeUnpadded(header.mac);
    if (!mac ||
        !ConstantTimeEqual(*mac, HeaderMac(*file_key, start.substr(0, header.signed_bytes))))
      return NoAge("its header was altered");
    if (start.size() < header.end + kNonceBytes) return NoAge("it ends behind its header");
    const std::string_view nonce = start.substr(header.end, kNonceBytes);
    return AgeHead{std::string(start.substr(0, header.end + kNonceBytes)),
                   ChunksOf(*file_key, nonce)};
  }
  return Fail(ErrorCode::kPermissionDenied, "it is encrypted to another receiver than {}",
              identity.recipient().ToString());
}

}  // namespace skerry
