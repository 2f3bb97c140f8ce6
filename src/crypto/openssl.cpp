#include "crypto/openssl.h"

#include <openssl/err.h>

#include <cstdio>
#include <cstdlib>

namespace skerry {

std::string TakeOpenSslErrors() {
  std::string text;
  while (const unsigned long code = ERR_get_error()) {
    const char* reason = ERR_reason_error_string(code);
    if (!text.empty()) text += "; ";
    text += reason != nullptr ? std::string(reason) : fmt::format("error {:#x}", code);
  }
  return text.empty() ? "no reason given" : text;
}

tl::unexpected<Error> OpenSslFailure(ErrorCode code, std::string_view doing) {
  return Fail(code, "{}: {}", doing, TakeOpenSslErrors());
}

void CheckOpenSsl(bool ok, std::string_view doing) {
  if (ok) return;
  fmt::print(stderr, "fatal: OpenSSL: {}: {}\n", doing, TakeOpenSslErrors());
  std::abort();
}

BioPtr ReadingBio(std::string_view bytes) {
  BioPtr bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
  CheckOpenSsl(bio != nullptr, "making a memory buffer");
  return bio;
}

BioPtr WritingBio() {
  BioPtr bio(BIO_new(BIO_s_mem()));
  CheckOpenSsl(bio != nullptr, "making a memory buffer");
  return bio;
}

std::string BytesOf(const BioPtr& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return size > 0 ? std::string(data, static_cast<std::size_t>(size)) : std::string();
}

int RefusePassword(char*, int, int, void*) { return -1; }

}  // namespace skerry
