// SPDX-License-Identifier: MIT
#include "sasl/cyrus.hpp"

#include <algorithm>
#include <cstdlib>

#include "sasl/client.hpp"
#include "sasl/cyrus_common.hpp"

namespace postrider::sasl {
namespace {

// What Cyrus would log at its higher levels holds passwords; and it would log from a pool thread.
// What failed is in the code that a step returns.
int log_nothing(void*, int, const char*) { return SASL_OK; }

std::string& plugin_directory() {
  static std::string path;
  return path;
}
int get_path(void*, const char** path) {
  *path = plugin_directory().c_str();
  return SASL_OK;
}

const Identity& identity_of(void* context) { return static_cast<Dialogue*>(context)->identity; }

int get_simple(void* context, int id, const char** result, unsigned* length) {
  const Identity& identity = identity_of(context);
  const std::string* text = nullptr;
  if (id == SASL_CB_AUTHNAME) text = &identity.user;
  if (id == SASL_CB_USER) text = &identity.authorize_as;
  if (!text || !result) return SASL_BADPARAM;
  *result = text->c_str();
  if (length) *length = static_cast<unsigned>(text->size());
  return SASL_OK;
}

// DIGEST-MD5: the realm of a user with a domain when the server has it, else the server's first.
int get_realm(void* context, int, const char** available, const char** result) {
  if (!available || !*available || !result) return SASL_FAIL;
  const std::string& user = identity_of(context).user;
  const std::size_t at = user.rfind('@');
  *result = *available;
  for (; at != std::string::npos && *available; ++available)
    if (user.compare(at + 1, std::string::npos, *available) == 0) *result = *available;
  return SASL_OK;
}

} // namespace

struct Cyrus::Impl {
  explicit Impl(const Dialogue& what) : dialogue(what) {}
  ~Impl() {
    sasl_dispose(&connection);
    if (!secret) return;
    ::explicit_bzero(secret->data, secret->len);
    std::free(secret);
  }

  static int get_secret(sasl_conn_t*, void* context, int id, sasl_secret_t** out) {
    if (id != SASL_CB_PASS || !out) return SASL_BADPARAM;
    *out = static_cast<Impl*>(context)->secret;
    return *out ? SASL_OK : SASL_FAIL;
  }

  int open() {
    const std::string_view password = dialogue.identity.password.view();
    secret = static_cast<sasl_secret_t*>(std::malloc(sizeof(sasl_secret_t) + password.size()));
    if (!secret) return SASL_NOMEM;
    secret->len = password.size();
    std::copy(password.begin(), password.end(), secret->data); // of EXTERNAL there is none
    secret->data[password.size()] = 0;

    sasl_callback_t* next = callbacks;
    *next++ = callback(SASL_CB_LOG, log_nothing, nullptr);
    *next++ = callback(SASL_CB_AUTHNAME, get_simple, &dialogue);
    *next++ = callback(SASL_CB_PASS, get_secret, this);
    *next++ = callback(SASL_CB_GETREALM, get_realm, &dialogue);
    // Without it a mechanism sends no authorization identity: the server derives it.
    if (!dialogue.identity.authorize_as.empty() || dialogue.client_certificate)
      *next++ = callback(SASL_CB_USER, get_simple, &dialogue);
    *next = {SASL_CB_LIST_END, nullptr, nullptr};

    int code = sasl_client_new(dialogue.service.c_str(), dialogue.server.c_str(), nullptr, nullptr,
                               callbacks, 0, &connection);
    if (code != SASL_OK) return code;
    sasl_security_properties_t properties{};
    properties.max_ssf = 0; // no security layers
    properties.maxbufsize = 0;
    properties.security_flags = security_flags(dialogue.security);
    code = sasl_setprop(connection, SASL_SEC_PROPS, &properties);
    if (code != SASL_OK || !dialogue.client_certificate) return code;
    return sasl_setprop(connection, SASL_AUTH_EXTERNAL, dialogue.identity.user.c_str());
  }

  const Dialogue& dialogue;
  sasl_callback_t callbacks[6];
  sasl_secret_t* secret = nullptr;
  sasl_conn_t* connection = nullptr;
};

Result<void> Cyrus::initialize(const std::string& plugin_path) {
  plugin_directory() = plugin_path;
  static sasl_callback_t callbacks[3];
  callbacks[0] = callback(SASL_CB_LOG, log_nothing, nullptr);
  callbacks[1] = callback(SASL_CB_GETPATH, get_path, nullptr);
  if (plugin_path.empty()) callbacks[1] = {SASL_CB_LIST_END, nullptr, nullptr};
  callbacks[2] = {SASL_CB_LIST_END, nullptr, nullptr};
  use_mutexes(); // before any other call
  const int code = sasl_client_init(callbacks);
  if (code == SASL_OK) return {};
  return Error(ErrorKind::config,
               std::string("Cyrus SASL cannot be used: ") + sasl_errstring(code, nullptr, nullptr));
}

Cyrus::Cyrus(const Dialogue& dialogue) : impl_(std::make_unique<Impl>(dialogue)) {}
Cyrus::~Cyrus() = default;

namespace {

void take_output(Cyrus::Step& step, const char* output, unsigned length) {
  step.has_output = output != nullptr;
  if (output) step.output = Secret(std::string_view(output, length));
}

} // namespace

Cyrus::Step Cyrus::start(const std::string& mechanisms) {
  Step step;
  step.code = impl_->open();
  if (step.code != SASL_OK) return step;
  const char* output = nullptr;
  const char* chosen = nullptr;
  unsigned length = 0;
  step.code =
      sasl_client_start(impl_->connection, mechanisms.c_str(), nullptr, &output, &length, &chosen);
  if (chosen) step.mechanism = chosen;
  take_output(step, output, length);
  return step;
}

Cyrus::Step Cyrus::step(std::string_view challenge) {
  Step step;
  const char* output = nullptr;
  unsigned length = 0;
  step.code = sasl_client_step(impl_->connection, challenge.data(),
                               static_cast<unsigned>(challenge.size()), nullptr, &output, &length);
  take_output(step, output, length);
  return step;
}

bool Cyrus::ended(const Step& step) { return step.code == SASL_OK; }
bool Cyrus::failed(const Step& step) { return step.code != SASL_OK && step.code != SASL_CONTINUE; }

Error Cyrus::error_of(const Step& step) {
  const ErrorKind kind = step.code == SASL_NOMECH  ? ErrorKind::not_found
                         : step.code == SASL_NOMEM ? ErrorKind::busy
                                                   : ErrorKind::protocol;
  return Error(kind, sasl_errstring(step.code, nullptr, nullptr));
}

} // namespace postrider::sasl
