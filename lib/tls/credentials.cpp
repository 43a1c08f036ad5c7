// SPDX-License-Identifier: MIT
#include "tls/credentials.hpp"

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <optional>

#include "base/bytes.hpp"
#include "base/log.hpp"
#include "base/text_file.hpp"
#include "tls/digest.hpp"
#include "tls/native.hpp"
#include "tls/pem.hpp"

namespace postrider::tls {

namespace {

constexpr std::size_t kFileLimit = std::size_t{16} << 20;

Error wrong(const std::string& file, std::string_view what) {
  return Error(ErrorKind::config, file + ": " + std::string(what));
}

Result<std::string> read(const std::string& file) {
  Result<TextFile> read = read_text_file(file, kFileLimit);
  if (!read) return Error(ErrorKind::config, read.error().text(), read.error().saved_errno());
  return std::move(read->text);
}

gnutls_datum_t datum(std::string_view bytes) {
  return {reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data())),
          static_cast<unsigned>(bytes.size())};
}

Result<void> add_key(KeyPair& pair, const PemBlock& block, const std::string& file) {
  if (block.encrypted)
    return wrong(file, "the private key is encrypted; store it without pass phrase "
                       "(openssl pkey -in OLD -out NEW)");
  gnutls_privkey_init(&pair.key);
  const gnutls_datum_t pem = datum(block.text);
  const int rc = gnutls_privkey_import_x509_raw(pair.key, &pem, GNUTLS_X509_FMT_PEM, nullptr, 0);
  if (rc < 0) return wrong(file, "bad private key: " + gnutls_text(rc));
  const auto algorithm =
      static_cast<gnutls_pk_algorithm_t>(gnutls_privkey_get_pk_algorithm(pair.key, nullptr));
  if (algorithm == GNUTLS_PK_RSA || algorithm == GNUTLS_PK_RSA_PSS ||
      algorithm == GNUTLS_PK_ECDSA || algorithm == GNUTLS_PK_EDDSA_ED25519 ||
      algorithm == GNUTLS_PK_EDDSA_ED448)
    return {};
  const char* name = gnutls_pk_get_name(algorithm);
  return wrong(file, std::string(name != nullptr ? name : "unknown") +
                         " private keys are not supported; use RSA, ECDSA or Ed25519");
}

// Only a warning: an administrator may have no better one now, and most servers do not look.
void warn_if_expired(const gnutls_datum_t& pem, const std::string& file) {
  gnutls_x509_crt_t certificate = nullptr;
  gnutls_x509_crt_init(&certificate);
  if (gnutls_x509_crt_import(certificate, &pem, GNUTLS_X509_FMT_PEM) == 0) {
    const std::time_t now = std::time(nullptr);
    if (gnutls_x509_crt_get_expiration_time(certificate) < now)
      log::warning(file + ": the certificate has expired; renew it");
    else if (gnutls_x509_crt_get_activation_time(certificate) > now)
      log::warning(file + ": the certificate is not valid yet; look at the clock of this host");
  }
  gnutls_x509_crt_deinit(certificate);
}

Result<void> add_certificate(KeyPair& pair, const PemBlock& block, const std::string& file) {
  const gnutls_datum_t pem = datum(block.text);
  gnutls_pcert_st certificate;
  const int rc = gnutls_pcert_import_x509_raw(&certificate, &pem, GNUTLS_X509_FMT_PEM, 0);
  if (rc < 0) return wrong(file, "bad certificate: " + gnutls_text(rc));
  pair.chain.push_back(certificate);
  if (pair.chain.size() == 1) warn_if_expired(pem, file);
  return {};
}

std::string key_id(gnutls_pubkey_t key) {
  unsigned char id[64];
  std::size_t size = sizeof id;
  if (gnutls_pubkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, id, &size) < 0) return {};
  return std::string(reinterpret_cast<char*>(id), size);
}

bool belong_together(const KeyPair& pair) {
  gnutls_pubkey_t key = nullptr;
  gnutls_pubkey_init(&key);
  const int rc = gnutls_pubkey_import_privkey(key, pair.key, 0, 0);
  const bool same = rc >= 0 && !key_id(key).empty() && key_id(key) == key_id(pair.chain[0].pubkey);
  gnutls_pubkey_deinit(key);
  return same;
}

// `key_file` and `cert_file` are for the error's text.
Result<void> add_pair(Credentials::Native& native, KeyPair pair, const std::string& key_file,
                      const std::string& cert_file) {
  if (pair.chain.empty())
    return wrong(cert_file, "no certificate behind the private key; put its chain there");
  if (!belong_together(pair))
    return wrong(key_file, "the private key does not belong to the certificate in " + cert_file +
                               "; bring both from the same order");
  native.has_certificate = true;
  const gnutls_datum_t& own = pair.chain.front().cert; // DER
  native.digest = sha256(native.digest + std::string(reinterpret_cast<char*>(own.data), own.size));
  if (!native.pairs_in_handle) {
    native.pairs.push_back(std::move(pair));
    return {};
  }
  const int rc = gnutls_certificate_set_key(native.handle, nullptr, 0, pair.chain.data(),
                                            static_cast<int>(pair.chain.size()), pair.key);
  if (rc < 0) return wrong(cert_file, gnutls_text(rc));
  pair.chain.clear(); // the handle owns both now
  pair.key = nullptr;
  return {};
}

// Postfix's form: each key is directly followed by its chain; a key may end one file and its
// certificates begin the next.
Result<void> load_chain_files(Credentials::Native& native, const std::vector<std::string>& files) {
  std::optional<KeyPair> pair;
  std::string key_file, cert_file;
  for (const std::string& file : files) {
    POSTRIDER_TRY(const std::string text, read(file));
    bool something = false;
    for (const PemBlock& block : pem_blocks(text)) {
      if (block.kind == PemBlock::Kind::public_key) continue;
      something = true;
      if (block.kind == PemBlock::Kind::key) {
        if (pair) POSTRIDER_TRY_VOID(add_pair(native, std::move(*pair), key_file, cert_file));
        pair.emplace();
        key_file = cert_file = file;
        POSTRIDER_TRY_VOID(add_key(*pair, block, file));
      } else {
        if (!pair)
          return wrong(file, "a certificate comes before its private key; put the key first");
        cert_file = file;
        POSTRIDER_TRY_VOID(add_certificate(*pair, block, file));
      }
    }
    if (!something) return wrong(file, "no private key and no certificate in PEM form");
  }
  if (pair) POSTRIDER_TRY_VOID(add_pair(native, std::move(*pair), key_file, cert_file));
  return {};
}

Result<void> load_pair(Credentials::Native& native, const CredentialFiles::Pair& files) {
  const std::string& key_file = files.key.empty() ? files.cert : files.key;
  POSTRIDER_TRY(const std::string certificates, read(files.cert));
  POSTRIDER_TRY(const std::string keys, read(key_file));
  KeyPair pair;
  for (const PemBlock& block : pem_blocks(keys))
    if (block.kind == PemBlock::Kind::key && pair.key == nullptr)
      POSTRIDER_TRY_VOID(add_key(pair, block, key_file));
  if (pair.key == nullptr) return wrong(key_file, "no private key in PEM form");
  for (const PemBlock& block : pem_blocks(certificates))
    if (block.kind == PemBlock::Kind::certificate)
      POSTRIDER_TRY_VOID(add_certificate(pair, block, files.cert));
  if (pair.chain.empty()) return wrong(files.cert, "no certificate in PEM form");
  return add_pair(native, std::move(pair), key_file, files.cert);
}

int add_roots(Credentials::Native& native, const std::string& text) {
  const gnutls_datum_t pem = datum(text);
  const int count = gnutls_x509_trust_list_add_trust_mem(
      native.roots, &pem, nullptr, GNUTLS_X509_FMT_PEM, GNUTLS_TL_NO_DUPLICATES, 0);
  if (count > 0) native.root_count += static_cast<std::size_t>(count);
  return count;
}

// The regular files of a directory of roots, in an order that stays.
Result<std::vector<std::string>> files_in(const std::string& path) {
  std::error_code problem;
  std::filesystem::directory_iterator entries(path, problem);
  std::vector<std::string> files;
  for (; !problem && entries != std::filesystem::directory_iterator(); entries.increment(problem))
    if (std::error_code gone; entries->is_regular_file(gone)) files.push_back(entries->path());
  if (problem) return wrong(path, problem.message());
  std::sort(files.begin(), files.end());
  return files;
}

// All files are read now: later, in the jail, none can be. What is no certificate is skipped, as
// in a directory that c_rehash made.
Result<void> load_ca_path(Credentials::Native& native, const std::string& path) {
  POSTRIDER_TRY(const std::vector<std::string> files, files_in(path));
  const std::size_t before = native.root_count;
  for (const std::string& file : files)
    if (const Result<std::string> text = read(file)) add_roots(native, *text);
  if (native.root_count == before)
    log::warning(path + ": no certificate in any file of this directory");
  return {};
}

Result<void> load_roots(Credentials::Native& native, const CredentialFiles& files) {
  if (!files.ca_file.empty()) {
    POSTRIDER_TRY(const std::string text, read(files.ca_file));
    if (add_roots(native, text) <= 0) return wrong(files.ca_file, "no certificate in PEM form");
  }
  if (!files.ca_path.empty()) POSTRIDER_TRY_VOID(load_ca_path(native, files.ca_path));
  if (!files.default_ca) return {};
  const int count =
      gnutls_x509_trust_list_add_system_trust(native.roots, GNUTLS_TL_NO_DUPLICATES, 0);
  if (count > 0)
    native.root_count += static_cast<std::size_t>(count);
  else
    log::warning("the system has no root certificates; install ca-certificates");
  return {};
}

std::string stamps(const CredentialFiles& files) {
  std::string all;
  const auto add = [&all](const std::string& path) {
    const Result<FileStamp> stamp = path.empty() ? FileStamp() : stamp_of(path);
    const FileStamp seen = stamp ? *stamp : FileStamp();
    put_le(all, seen.device);
    put_le(all, seen.inode);
    put_le(all, seen.size);
    put_le(all, static_cast<std::uint64_t>(seen.mtime_nanos));
    put_le(all, static_cast<std::uint64_t>(seen.ctime_nanos));
  };
  for (const std::string& file : files.chain_files)
    add(file);
  for (const CredentialFiles::Pair& pair : files.pairs) {
    add(pair.cert);
    add(pair.key);
  }
  add(files.ca_file);
  add(files.ca_path);
  if (files.ca_path.empty()) return all;
  // A file that is written anew leaves the directory as it was.
  if (const Result<std::vector<std::string>> roots = files_in(files.ca_path))
    for (const std::string& file : *roots)
      add(file);
  return all;
}

} // namespace

std::string gnutls_text(int code) {
  std::string text = gnutls_strerror(code);
  while (text.ends_with('.'))
    text.pop_back();
  return text;
}

int choose_client_certificate(gnutls_session_t session, const gnutls_datum_t*, int,
                              const gnutls_pk_algorithm_t* algorithms, int algorithm_count,
                              gnutls_pcert_st** chain, unsigned* chain_length,
                              gnutls_privkey_t* key) {
  *chain_length = 0;
  const auto* credentials = static_cast<const Credentials*>(gnutls_session_get_ptr(session));
  for (const KeyPair& pair : credentials->native().pairs) {
    const int algorithm = gnutls_privkey_get_pk_algorithm(pair.key, nullptr);
    for (int i = 0; i < algorithm_count; ++i) {
      if (static_cast<int>(algorithms[i]) != algorithm) continue;
      *chain = const_cast<gnutls_pcert_st*>(pair.chain.data());
      *chain_length = static_cast<unsigned>(pair.chain.size());
      *key = pair.key;
      return 0;
    }
  }
  return 0;
}

Credentials::Credentials(std::unique_ptr<Native> native) : native_(std::move(native)) {}
Credentials::~Credentials() = default;
const std::string& Credentials::digest() const { return native_->digest; }
bool Credentials::has_certificate() const { return native_->has_certificate; }

Result<std::shared_ptr<const Credentials>> Credentials::load(const CredentialFiles& files) {
  auto native = std::make_unique<Native>();
  int rc = gnutls_certificate_allocate_credentials(&native->handle);
  if (rc >= 0) rc = gnutls_x509_trust_list_init(&native->roots, 0);
  if (rc >= 0)
    rc = files.server ? gnutls_anon_allocate_server_credentials(&native->anonymous_server)
                      : gnutls_anon_allocate_client_credentials(&native->anonymous_client);
  if (rc < 0) return Error(ErrorKind::config, gnutls_text(rc));
  native->pairs_in_handle = files.server;
  POSTRIDER_TRY_VOID(load_chain_files(*native, files.chain_files));
  for (const CredentialFiles::Pair& pair : files.pairs)
    POSTRIDER_TRY_VOID(load_pair(*native, pair));
  if (!files.server)
    gnutls_certificate_set_retrieve_function2(native->handle, choose_client_certificate);
  POSTRIDER_TRY_VOID(load_roots(*native, files));
  return std::shared_ptr<const Credentials>(new Credentials(std::move(native)));
}

Result<CredentialSource> CredentialSource::open(CredentialFiles files) {
  CredentialSource source;
  source.files_ = std::move(files);
  source.seen_ = stamps(source.files_);
  POSTRIDER_TRY(source.current_, Credentials::load(source.files_));
  return source;
}

Result<bool> CredentialSource::refresh() {
  std::string now = stamps(files_);
  if (now == seen_) return false;
  seen_ = std::move(now);
  POSTRIDER_TRY(current_, Credentials::load(files_));
  return true;
}

} // namespace postrider::tls
