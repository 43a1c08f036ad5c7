// SPDX-License-Identifier: MIT
// smtp_forward.ini: global keys, then a section per domain.
#include <map>
#include <optional>

#include "base/ascii.hpp"
#include "base/text_file.hpp"
#include "import.hpp"

namespace postrider::ctl {

namespace {

struct Entry {
  std::string value;
  std::size_t line = 0;
};

struct Section {
  std::size_t line = 0;
  std::map<std::string, Entry> entries;
  const Entry* find(const std::string& key) const {
    const auto found = entries.find(key);
    return found == entries.end() ? nullptr : &found->second;
  }
  std::string value(const std::string& key, std::string otherwise = "") const {
    const Entry* entry = find(key);
    return entry == nullptr ? std::move(otherwise) : entry->value;
  }
};

struct Ini {
  Section global;
  std::vector<std::pair<std::string, Section>> domains;
};

// A key without "=" is yes, as in Haraka.
Result<Ini> read_ini(std::string_view text, std::string_view file) {
  Ini ini;
  Section* section = &ini.global;
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (line.empty() || line.front() == ';' || line.front() == '#') continue;
    const std::string where = std::string(file) + ":" + std::to_string(number) + ": ";
    if (line.front() == '[') {
      if (line.back() != ']' || line.size() < 3)
        return Error(ErrorKind::config, where + "a section is written [domain]");
      const std::string name = lowercase(trim(line.substr(1, line.size() - 2)));
      if (name == "main") {
        section = &ini.global;
        continue;
      }
      section = &ini.domains.emplace_back(name, Section()).second;
      section->line = number;
      continue;
    }
    const std::size_t equals = line.find('=');
    const std::string key = lowercase(trim(line.substr(0, equals)));
    const std::string_view value =
        equals == std::string_view::npos ? "true" : trim(line.substr(equals + 1));
    if (key.empty()) return Error(ErrorKind::config, where + "a line is written key=value");
    section->entries[key] = {std::string(value), number};
  }
  return ini;
}

bool is_true(std::string_view value) {
  return iequals(value, "true") || iequals(value, "yes") || iequals(value, "ok") ||
         iequals(value, "enabled") || iequals(value, "on") || value == "1";
}

class Haraka {
 public:
  Haraka(Ini ini, std::string_view file) : ini_(std::move(ini)), file_(file) {}

  Imported run() {
    const Section& global = ini_.global;
    for (const auto& [key, entry] : global.entries)
      take_global(key, entry);
    for (const auto& [domain, section] : ini_.domains)
      take_domain(domain, section);
    listener_.columns = "127.0.0.1:2525     inet  n       -       n       -       -       smtpd";
    const std::string target = target_of(global);
    set("smtpd_forward", target);
    set("smtpd_forward_check", "data");
    if (!routes_.empty()) {
      out_.files.push_back({"forward", routes_});
      set("smtpd_forward_maps", "texthash:forward");
    }
    if (!passwords_.empty()) {
      out_.files.push_back({"forward_passwd", passwords_, true});
      set("smtp_sasl_auth_enable", "yes");
      set("smtp_sasl_password_maps", "texthash:forward_passwd");
    }
    set_tls();
    out_.services.push_back(std::move(listener_));
    if (target.empty())
      out_.note(std::string(file_), "no host", Fate::unsupported,
                "without a host of its own mail for other domains is queued here");
    return std::move(out_);
  }

 private:
  std::string place(std::size_t line) const {
    return std::string(file_) + ":" + std::to_string(line);
  }
  void set(std::string_view name, std::string value) {
    if (!value.empty()) listener_.settings.emplace_back(name, std::move(value));
  }

  // "tcp://host:port, ..."; empty without a host.
  std::string target_of(const Section& section) const {
    const std::string scheme =
        is_true(section.value("using_lmtp", ini_.global.value("using_lmtp", "false"))) ? "lmtp:"
                                                                                       : "tcp://";
    const std::string port = section.value("port", "25");
    std::string out;
    if (const Entry* pool = section.find("forwarding_host_pool")) {
      std::string_view rest = pool->value;
      while (!rest.empty()) {
        const std::size_t comma = std::min(rest.find(','), rest.size());
        const std::string_view host = trim(rest.substr(0, comma));
        rest.remove_prefix(std::min(comma + 1, rest.size()));
        if (host.empty()) continue;
        out.append(out.empty() ? "" : ", ").append(scheme).append(host);
        if (host.find(':') == std::string_view::npos) out.append(":").append(port);
      }
      return out;
    }
    const std::string host = section.value("host");
    return host.empty() ? host : scheme + host + ":" + port;
  }

  void take_global(const std::string& key, const Entry& entry) {
    const std::string said = key + "=" + entry.value;
    const auto note = [&](Fate fate, std::string remark) {
      out_.note(place(entry.line), key == "auth_pass" ? "auth_pass=..." : said, fate,
                std::move(remark));
    };
    if (key == "host" || key == "port" || key == "using_lmtp") {
      note(Fate::works, "smtpd_forward");
    } else if (key == "forwarding_host_pool") {
      note(Fate::differs, "smtpd_forward: the hosts are tried in this order, dead ones last; "
                          "Haraka takes turns");
    } else if (key == "connect_timeout") {
      set("smtp_connect_timeout", entry.value + "s");
      note(Fate::works, "smtp_connect_timeout");
    } else if (key == "timeout") {
      set("smtpd_forward_idle_time", entry.value + "s");
      note(Fate::works, "smtpd_forward_idle_time");
    } else if (key == "max_connections") {
      set("smtpd_forward_connection_limit", entry.value);
      note(Fate::works, "smtpd_forward_connection_limit, per process and next server; Haraka "
                        "reads the key and does not enforce it");
    } else if (key == "enable_tls") {
      note(Fate::works, "smtp_tls_security_level");
    } else if (key == "auth_type" || key == "auth_user" || key == "auth_pass") {
      take_login(ini_.global, key);
      note(Fate::differs, "smtp_sasl_password_maps; never sent without TLS, unless "
                          "smtp_sasl_security_options is changed to noanonymous");
    } else if (key == "enable_outbound") {
      if (is_true(entry.value))
        note(Fate::works, "smtpd_forward is for all mail of the listener");
      else
        note(Fate::differs, "mail of clients that may relay is not told from other mail: give "
                            "these clients a listener without smtpd_forward (submission)");
    } else if (key == "check_sender") {
      if (is_true(entry.value)) set("smtpd_forward_check_sender", "yes");
      note(Fate::works, "smtpd_forward_check_sender");
    } else if (key == "check_recipient") {
      if (is_true(entry.value)) set("smtpd_forward_check_recipient", "yes");
      note(Fate::works, "smtpd_forward_check_recipient");
    } else if (key == "domain_selector") {
      set("smtpd_forward_selector", entry.value);
      note(Fate::works, "smtpd_forward_selector");
    } else if (key == "one_message_per_rcpt") {
      if (is_true(entry.value)) set("smtpd_forward_one_recipient", "yes");
      note(Fate::works, "smtpd_forward_one_recipient");
    } else if (key == "bind") {
      set("smtp_bind_address", entry.value);
      note(Fate::works, "smtp_bind_address");
    } else if (key == "bind_helo") {
      set("smtp_helo_name", entry.value);
      note(Fate::works, "smtp_helo_name");
    } else if (key == "queue") {
      if (iequals(entry.value, "smtp_forward"))
        note(Fate::works, "smtpd_forward");
      else if (iequals(entry.value, "outbound"))
        note(Fate::differs, "leave smtpd_forward out: mail is queued and sent to its MX hosts");
      else
        note(Fate::unsupported, "there is no other place for mail than smtpd_forward or the queue");
    } else {
      note(Fate::unsupported, "not known");
    }
  }

  void take_login(const Section& section, const std::string& key) {
    if (key != "auth_user") return; // once for the three
    const std::string type = section.value("auth_type");
    const std::string host = section.value("host", ini_.global.value("host"));
    const std::string port = section.value("port", "25");
    if (host.empty() || type.empty()) return;
    passwords_ += "[" + host + "]:" + port + " " + section.value("auth_user") + ":" +
                  section.value("auth_pass") + "\n";
    const std::string mechanism = lowercase(type);
    if (mechanisms_.find(mechanism) == std::string::npos)
      mechanisms_ += (mechanisms_.empty() ? "" : ", ") + mechanism;
  }

  void take_domain(const std::string& domain, const Section& section) {
    const Entry* outbound = section.find("enable_outbound");
    std::string target = target_of(section);
    if (outbound != nullptr && !is_true(outbound->value) && target.empty()) {
      target = "queue";
    } else if (target.empty()) {
      target = target_of(ini_.global);
    }
    if (target.empty()) {
      out_.note(place(section.line), "[" + domain + "]", Fate::unsupported,
                "it has no host, and there is no default one");
      return;
    }
    routes_ += domain + " " + target + "\n";
    out_.note(place(section.line), "[" + domain + "]", Fate::works,
              "smtpd_forward_maps: " + target);
    for (const auto& [key, entry] : section.entries) {
      const std::string said = "[" + domain + "] " + key;
      if (key == "host" || key == "port" || key == "forwarding_host_pool" ||
          key == "enable_outbound")
        continue;
      if (key == "auth_type" || key == "auth_user" || key == "auth_pass") {
        take_login(section, key);
        if (key == "auth_user")
          out_.note(place(entry.line), said, Fate::differs,
                    "smtp_sasl_password_maps, by next server");
      } else if (key == "enable_tls") {
        const std::string host = section.value("host", ini_.global.value("host"));
        policies_ += "[" + host + "]:" + section.value("port", "25") +
                     (is_true(entry.value) ? " may\n" : " none\n");
        out_.note(place(entry.line), said, Fate::works, "smtp_tls_policy_maps");
      } else {
        out_.note(place(entry.line), said, Fate::unsupported,
                  "holds for the whole listener here; use a second listener");
      }
    }
  }

  void set_tls() {
    const bool tls = is_true(ini_.global.value("enable_tls", "true"));
    set("smtp_tls_security_level", tls ? "may" : "none");
    if (!policies_.empty()) {
      out_.files.push_back({"forward_tls", policies_});
      set("smtp_tls_policy_maps", "texthash:forward_tls");
    }
    set("smtp_sasl_mechanism_filter", mechanisms_);
    if (!mechanisms_.empty()) set("smtp_sasl_tls_security_options", "noanonymous");
  }

  Ini ini_;
  std::string_view file_;
  Imported out_;
  ForeignService listener_;
  std::string routes_;
  std::string passwords_;
  std::string policies_;
  std::string mechanisms_;
};

} // namespace

Result<Imported> import_haraka(std::string_view text, std::string_view file) {
  POSTRIDER_TRY(Ini ini, read_ini(text, file));
  return Haraka(std::move(ini), file).run();
}

} // namespace postrider::ctl
