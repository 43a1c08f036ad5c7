// SPDX-License-Identifier: MIT
// mailfront takes its settings from the environment: NAME=VALUE, with "export" or without.
#include "base/ascii.hpp"
#include "import.hpp"

namespace postrider::ctl {

namespace {

std::string unquoted(std::string_view value) {
  value = trim(value);
  if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'') &&
      value.back() == value.front())
    value = value.substr(1, value.size() - 2);
  return std::string(value);
}

bool is_name(std::string_view name) {
  for (const char c : name)
    if (!is_alnum(c) && c != '_') return false;
  return !name.empty();
}

class Mailfront {
 public:
  explicit Mailfront(Imported& out) : out_(out) {
    listener_.columns = "127.0.0.1:2525     inet  n       -       n       -       -       smtpd";
  }

  void take(const std::string& place, const std::string& name, const std::string& value) {
    const auto is = [&](std::string parameter, std::string here, std::string remark = "") {
      if (remark.empty()) remark = parameter;
      listener_.settings.emplace_back(std::move(parameter), std::move(here));
      out_.note(place, name + "=" + value, Fate::works, std::move(remark));
    };
    const auto note = [&](Fate fate, std::string remark) {
      out_.note(place, name + "=" + value, fate, std::move(remark));
    };
    if (name == "SMTPGREETING") {
      is("smtpd_banner", value, "smtpd_banner; it must begin with the host name (RFC 5321)");
    } else if (name == "TIMEOUT") {
      is("smtpd_timeout", value + "s");
    } else if (name == "SESSION_TIMEOUT") {
      is("smtpd_session_time_limit", value + "s");
    } else if (name == "MAXNOTIMPL") {
      is("smtpd_unimplemented_command_limit", value);
    } else if (name == "DATABYTES") {
      is("message_size_limit", value);
    } else if (name == "MAXHOPS") {
      is("hopcount_limit", value);
    } else if (name == "MAXRCPTS") {
      is("smtpd_recipient_limit", value);
    } else if (name == "TLS_CERTFILE") {
      is("smtpd_tls_cert_file", value);
      has_certificate_ = true;
    } else if (name == "TLS_KEYFILE") {
      is("smtpd_tls_key_file", value);
    } else if (name == "TLS_PRIORITY") {
      is("smtpd_tls_priority", value);
    } else if (name == "TLS_COMPAT") {
      is("smtpd_tls_compatibility_mode", "yes");
    } else if (name == "TLS_IMMEDIATE") {
      is("smtpd_tls_wrappermode", "yes");
    } else if (name == "TLS_DH_PARAMS") {
      note(Fate::no_effect, "groups are those of RFC 7919");
    } else if (name == "SMTPLOCALHOST" || name == "TCPLOCALHOST") {
      is("myhostname", value);
    } else if (name == "RELAYCLIENT") {
      note(Fate::differs, "who may relay: mynetworks, or permit_sasl_authenticated");
    } else if (name == "PROTO" || name.starts_with("TCP")) {
      note(Fate::works, "read from the environment by smtpd -S");
    } else if (name == "CVM_SASL_PLAIN" || name == "CVM_LOOKUP" || name == "SASL_AUTH" ||
               name.starts_with("CVM_")) {
      note(Fate::unsupported, "passwords are checked through Cyrus SASL: smtpd_sasl_auth_enable");
    } else if (name == "PLUGINS" || name == "MODULE_PATH" || name == "PLUGIN_PATH") {
      note(Fate::unsupported, "smtpd_*_restrictions, policy services and milters do what plugins "
                              "do: see smtpd(8)");
    } else {
      note(Fate::unsupported, "not known");
    }
  }

  void finish() {
    if (has_certificate_) listener_.settings.emplace_back("smtpd_tls_security_level", "may");
    out_.services.push_back(std::move(listener_));
  }

 private:
  Imported& out_;
  ForeignService listener_;
  bool has_certificate_ = false;
};

} // namespace

Result<Imported> import_mailfront(std::string_view text, std::string_view file) {
  Imported out;
  Mailfront mailfront(out);
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    const std::string place = std::string(file) + ":" + std::to_string(number);
    if (line.starts_with("export ")) line = trim(line.substr(7));
    const std::size_t equals = line.find('=');
    const std::string_view name = trim(line.substr(0, equals));
    if (line.empty() || line.front() == '#') continue;
    if (equals == std::string_view::npos || !is_name(name)) {
      out.note(place, std::string(line), Fate::no_effect, "no NAME=VALUE: passed over");
      continue;
    }
    mailfront.take(place, std::string(name), unquoted(line.substr(equals + 1)));
  }
  mailfront.finish();
  return out;
}

} // namespace postrider::ctl
