// How this module holds OpenSSL's objects and turns its error queue into messages. Internal to the
// adapters of OpenSSL. Thread-safe: the error queue is the thread's own.
#pragma once

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry {

template <auto kFree>
struct OpenSslFree {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};

using BioPtr = std::unique_ptr<BIO, OpenSslFree<BIO_free_all>>;
using BignumPtr = std::unique_ptr<BIGNUM, OpenSslFree<BN_free>>;
using KeyContextPtr = std::unique_ptr<EVP_PKEY_CTX, OpenSslFree<EVP_PKEY_CTX_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, OpenSslFree<EVP_PKEY_free>>;
using HashContextPtr = std::unique_ptr<EVP_MD_CTX, OpenSslFree<EVP_MD_CTX_free>>;
using CertificatePtr = std::unique_ptr<X509, OpenSslFree<X509_free>>;
using RequestPtr = std::unique_ptr<X509_REQ, OpenSslFree<X509_REQ_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, OpenSslFree<X509_EXTENSION_free>>;

// What the thread's error queue says, oldest first, "; " between; the queue is empty afterwards.
std::string TakeOpenSslErrors();

// Fails with "<doing>: <the error queue>".
tl::unexpected<Error> OpenSslFailure(ErrorCode code, std::string_view doing);

// For calls that fail only when memory is out or OpenSSL's providers are broken, where no answer
// could be trusted: aborts with the error queue unless `ok`.
void CheckOpenSsl(bool ok, std::string_view doing);

// A read-only BIO over `bytes`, which outlive it.
BioPtr ReadingBio(std::string_view bytes);
BioPtr WritingBio();
std::string BytesOf(const BioPtr& bio);

// Given as the password callback, so that an encrypted PEM is an error and never a prompt.
int RefusePassword(char* buffer, int size, int writing, void* data);

}  // namespace skerry
