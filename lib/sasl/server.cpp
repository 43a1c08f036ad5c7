// SPDX-License-Identifier: MIT
#include "sasl/server.hpp"

#include <algorithm>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "sasl/cyrus_common.hpp"

namespace postrider::sasl {
namespace {

constexpr std::size_t kMostTrouble = 500;

// Of the whole process, which does one thing at a time.
std::string& trouble() {
  static std::string text;
  return text;
}

// Higher levels may hold passwords.
int note_trouble(void*, int level, const char* message) {
  if (level == SASL_LOG_NONE || level > SASL_LOG_WARN || message == nullptr) return SASL_OK;
  std::string& text = trouble();
  if (text.size() > kMostTrouble) return SASL_OK;
  if (!text.empty()) text += "; ";
  text += log::printable(std::string_view(message).substr(0, kMostTrouble));
  return SASL_OK;
}

// A name that may go to a password database and into a log: text without control characters.
bool is_name(std::string_view name) {
  if (name.empty() || name.size() > Exchange::kLongestName) return false;
  return log::printable(name) == name;
}

// As Cyrus wants it: "192.0.2.1;0".
std::string with_port(const std::string& address) {
  return address.empty() ? std::string() : address + ";0";
}

// Who could not show what was asked for. All others did not get so far, or nobody knows.
bool is_guess(int code) {
  return code == SASL_BADAUTH || code == SASL_NOUSER || code == SASL_NOVERIFY;
}

Stage stage_of(int code) {
  switch (code) {
  case SASL_OK: return Stage::done;
  case SASL_CONTINUE: return Stage::challenge;
  case SASL_BADAUTH:
  case SASL_NOUSER:
  case SASL_NOVERIFY:
  case SASL_NOMECH:
  case SASL_BADPROT:
  case SASL_BADPARAM:
  case SASL_BUFOVER:
  case SASL_BADMAC:
  case SASL_WRONGMECH:
  case SASL_NOAUTHZ:
  case SASL_TOOWEAK:
  case SASL_ENCRYPT:
  case SASL_TRANS:
  case SASL_EXPIRED:
  case SASL_DISABLED:
  case SASL_PWLOCK:
  case SASL_NOUSERPASS:
  case SASL_BADBINDING: return Stage::refused;
  default: return Stage::failed;
  }
}

std::string reason_of(int code) {
  // Who asks must not learn which names exist.
  if (is_guess(code)) code = SASL_BADAUTH;
  return log::printable(sasl_errstring(code, nullptr, nullptr));
}

} // namespace

struct Exchange::Impl {
  Impl(ServerFacts what, Admit may) : facts(std::move(what)), admit(std::move(may)) {}
  ~Impl() { sasl_dispose(&connection); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // Called by mechanisms once they know the name, before anything is done with the password.
  static int see_name(sasl_conn_t*, void* context, const char* in, unsigned length, unsigned flags,
                      const char* realm, char* out, unsigned most, unsigned* out_length) {
    Impl& self = *static_cast<Impl*>(context);
    const std::string name(in, length);
    if (!is_name(name)) return SASL_BADAUTH;
    if (length > most) return SASL_BUFOVER;
    if ((flags & SASL_CU_AUTHID) != 0 && self.account.empty()) {
      self.account = name;
      if (realm != nullptr && *realm != 0 && name.find('@') == std::string::npos)
        self.account.append("@").append(realm);
      self.forbidden = self.admit && !self.admit(self.account);
    }
    if (self.forbidden) return SASL_UNAVAIL;
    std::copy(name.begin(), name.end(), out);
    if (length < most) out[length] = 0;
    *out_length = length;
    return SASL_OK;
  }

  int open() {
    callbacks[0] = callback(SASL_CB_CANON_USER, see_name, this);
    callbacks[1] = {SASL_CB_LIST_END, nullptr, nullptr};
    const std::string client = with_port(facts.client);
    const std::string server = with_port(facts.server);
    const auto or_null = [](const std::string& text) {
      return text.empty() ? nullptr : text.c_str();
    };
    int code = sasl_server_new(facts.service.c_str(), facts.hostname.c_str(), or_null(facts.realm),
                               or_null(server), or_null(client), callbacks, 0, &connection);
    if (code != SASL_OK) return code;
    sasl_security_properties_t properties{};
    properties.max_ssf = 0; // no security layers
    properties.maxbufsize = 0;
    properties.security_flags = security_flags(facts.security);
    code = sasl_setprop(connection, SASL_SEC_PROPS, &properties);
    if (code != SASL_OK || facts.external.empty()) return code;
    return sasl_setprop(connection, SASL_AUTH_EXTERNAL, facts.external.c_str());
  }

  ServerStep result(int code, const char* output, unsigned length) {
    ServerStep step;
    step.trouble = std::exchange(trouble(), {});
    step.account = account;
    step.mechanism = mechanism;
    step.stage = stage_of(code);
    if (step.stage == Stage::challenge) {
      if (output != nullptr) step.challenge = Secret(std::string_view(output, length));
      return step;
    }
    if (forbidden) {
      step.stage = Stage::forbidden;
      step.reason = "too many failed logins";
      return step;
    }
    step.guess = is_guess(code);
    if (step.stage != Stage::done) {
      step.reason = reason_of(code);
      return step;
    }
    const void* value = nullptr;
    if (sasl_getprop(connection, SASL_USERNAME, &value) == SASL_OK && value != nullptr)
      step.username = static_cast<const char*>(value);
    if (is_name(step.username)) return step;
    step.username.clear();
    step.stage = Stage::refused;
    step.reason = reason_of(SASL_BADAUTH);
    return step;
  }

  const ServerFacts facts;
  const Admit admit;
  sasl_callback_t callbacks[2];
  sasl_conn_t* connection = nullptr;
  std::string mechanism;
  std::string account;
  bool forbidden = false;
};

Result<void> Exchange::initialize(const std::string& application, const std::string& config_path) {
  static std::string name; // Cyrus keeps the pointer
  name = application;
  static sasl_callback_t callbacks[2];
  callbacks[0] = callback(SASL_CB_LOG, note_trouble, nullptr);
  callbacks[1] = {SASL_CB_LIST_END, nullptr, nullptr};
  if (!config_path.empty()) {
    std::string path = config_path;
    if (sasl_set_path(SASL_PATH_TYPE_CONFIG, path.data()) != SASL_OK)
      return Error(ErrorKind::config, "Cyrus SASL does not take the path " + config_path);
  }
  const int code = sasl_server_init(callbacks, name.c_str());
  const std::string said = std::exchange(trouble(), {});
  if (code == SASL_OK) return {};
  return Error(ErrorKind::config, "Cyrus SASL cannot be used: " + reason_of(code) +
                                      (said.empty() ? "" : " (" + said + ")"));
}

Result<std::vector<std::string>> Exchange::mechanisms(const ServerFacts& facts) {
  Impl impl(facts, {});
  int code = impl.open();
  const char* list = nullptr;
  int count = 0;
  if (code == SASL_OK)
    code = sasl_listmech(impl.connection, nullptr, "", " ", "", &list, nullptr, &count);
  const std::string said = std::exchange(trouble(), {});
  if (code != SASL_OK || list == nullptr)
    return Error(ErrorKind::not_found, reason_of(code == SASL_OK ? SASL_NOMECH : code) +
                                           (said.empty() ? "" : " (" + said + ")"));
  std::vector<std::string> out;
  for (const std::string_view word : split(list, " "))
    out.emplace_back(word);
  return out;
}

Exchange::Exchange(ServerFacts facts, Admit admit)
    : impl_(std::make_unique<Impl>(std::move(facts), std::move(admit))) {}
Exchange::~Exchange() = default;

ServerStep Exchange::start(const std::string& mechanism, std::optional<std::string_view> initial) {
  impl_->mechanism = mechanism;
  int code = impl_->open();
  const char* output = nullptr;
  unsigned length = 0;
  // An empty response is one; Cyrus sees by the pointer whether there is any.
  const char* response = !initial ? nullptr : initial->empty() ? "" : initial->data();
  if (code == SASL_OK)
    code =
        sasl_server_start(impl_->connection, mechanism.c_str(), response,
                          initial ? static_cast<unsigned>(initial->size()) : 0, &output, &length);
  return impl_->result(code, output, length);
}

ServerStep Exchange::step(std::string_view response) {
  const char* output = nullptr;
  unsigned length = 0;
  const int code = sasl_server_step(impl_->connection, response.empty() ? "" : response.data(),
                                    static_cast<unsigned>(response.size()), &output, &length);
  return impl_->result(code, output, length);
}

} // namespace postrider::sasl
