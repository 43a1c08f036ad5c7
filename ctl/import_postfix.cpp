// SPDX-License-Identifier: MIT
// A whole configuration of Postfix. What main.cf says is judged by the parser that the programs
// use, so that this report and `postrider check` cannot differ.
#include <algorithm>
#include <array>

#include "base/logical_lines.hpp"
#include "config/main_cf.hpp"
#include "config/master_cf.hpp"
#include "config/settings.hpp"
#include "import.hpp"
#include "maps/map.hpp"

namespace postrider::ctl {

namespace {

struct Program {
  std::string_view name;
  Fate fate;
  std::string_view remark;
};

// Programs of Postfix, and who does their work here.
constexpr std::array<Program, 34> kPrograms{{
    {"smtpd", Fate::works, ""},
    {"smtp", Fate::works, ""},
    {"lmtp", Fate::works, ""},
    {"qmgr", Fate::works, ""},
    {"oqmgr", Fate::differs, "qmgr"},
    {"nqmgr", Fate::differs, "qmgr"},
    {"bounce", Fate::works, "one service bounce makes all reports"},
    {"tlsmgr", Fate::works, ""},
    {"scache", Fate::works, ""},
    {"anvil", Fate::works, ""},
    {"cleanup", Fate::no_effect, "smtpd rewrites addresses and stores mail itself"},
    {"trivial-rewrite", Fate::no_effect, "qmgr chooses routes itself"},
    {"pickup", Fate::no_effect, "mail of this host comes through the service submit"},
    {"proxymap", Fate::no_effect, "programs open their tables before they give up their rights"},
    {"flush", Fate::no_effect, "qmgr knows what waits for whom: postrider flush DOMAIN"},
    {"showq", Fate::no_effect, "qmgr answers postrider queue"},
    {"error", Fate::no_effect, "the transports error and retry are built in"},
    {"discard", Fate::no_effect, "the transport discard is built in"},
    {"postlogd", Fate::no_effect, "programs write maillog_file themselves"},
    {"tlsproxy", Fate::no_effect, "smtp and smtpd do TLS themselves, and keep its sessions"},
    {"dnsblog", Fate::no_effect, "smtpd asks DNS lists itself: reject_rbl_client"},
    {"verify", Fate::unsupported, "recipients are not probed; list them in relay_recipient_maps"},
    {"postscreen", Fate::unsupported,
     "smtpd carries thousands of slow clients; for the tests of "
     "postscreen use reject_rbl_client and smtpd_client_*_limit"},
    {"pipe", Fate::unsupported, "no mail is given to commands; deliver by LMTP"},
    {"local", Fate::unsupported,
     "there are no mailboxes here; deliver by LMTP, for example to "
     "Dovecot: local_transport = lmtp:unix:PATH"},
    {"virtual", Fate::unsupported, "there are no mailboxes here; deliver by LMTP"},
    {"spawn", Fate::unsupported, "start policy services by other means"},
    {"qmqpd", Fate::unsupported, "QMQP is not spoken"},
    {"nntp", Fate::unsupported, "no such program here"},
    {"uucp", Fate::unsupported, "no such program here"},
    {"maildrop", Fate::unsupported, "no mail is given to commands; deliver by LMTP"},
    {"cyrus", Fate::unsupported, "deliver by LMTP"},
    {"tokenmgr", Fate::works, ""},
    {"saslmgr", Fate::works, ""},
}};

// These belong to the installation, not to the way mail is handled.
bool is_place(std::string_view name) {
  return name == "queue_directory" || name == "data_directory" || name == "daemon_directory" ||
         name == "command_directory" || name == "mail_owner" || name == "maillog_file" ||
         name == "maillog_file_prefixes" || name == "compatibility_level";
}

// The first word in a value that names a table of a type that is not known here.
std::string unknown_table(const std::string& value) {
  for (const char* type : {"mysql:", "pgsql:", "ldap:", "sqlite:", "memcache:", "mongodb:", "nis:",
                           "nisplus:", "netinfo:", "proxy:mysql:", "proxy:pgsql:", "proxy:ldap:"})
    for (std::size_t at = value.find(type); at != std::string::npos; at = value.find(type, at + 1))
      if (at == 0 || std::string_view(" ,\t{").find(value[at - 1]) != std::string_view::npos)
        return type;
  return {};
}

class Postfix {
 public:
  Postfix(std::string_view main_cf, std::string_view master_cf, std::string_view directory)
      : main_path_(std::string(directory) + "/main.cf"),
        master_path_(std::string(directory) + "/master.cf"), main_text_(main_cf),
        main_(config::parse_main_cf(main_cf, main_path_)),
        master_(config::parse_master_cf(master_cf, master_path_)), directory_(directory) {}

  Imported run(std::string_view master_text) {
    out_.complete = true;
    for (const std::string& text : main_.errors)
      out_.note(text.substr(0, text.find(": ")), "", Fate::unsupported, text);
    for (const config::ServiceEntry& service : master_.services)
      if (service.type == config::ServiceType::unix_) transports_.push_back(service.name);
    config::Findings findings;
    (void)config::Settings::parse(main_text_, source(), transports_, config::Machine::here(),
                                  findings);
    for (const config::Entry& entry : main_.entries)
      take(entry, findings);
    // A line that only Postfix's master understands (fifo, unix-dgram, a pipe) is an item, too.
    for (const std::string& text : master_.errors) {
      const std::size_t end = text.find(": ");
      out_.note(text.substr(0, end), line_of(master_text, text.substr(0, end)), Fate::no_effect,
                text.substr(end + 2));
    }
    for (const config::ServiceEntry& service : master_.services)
      take(service);
    return std::move(out_);
  }

 private:
  config::Source source() const {
    return {.config_directory = std::string(directory_), .overrides = {}, .process_name = "master"};
  }

  std::string line_of(std::string_view text, const std::string& place) const {
    const std::size_t colon = place.rfind(':');
    LogicalLines lines(text);
    while (auto line = lines.next())
      if (std::to_string(line->number) == place.substr(colon + 1))
        return line->text.substr(0, line->text.find_first_of(" \t"));
    return {};
  }

  // What the parser said about this line, without the place and the line itself.
  static std::string said_about(const std::vector<std::string>& texts, const std::string& start,
                                const std::string& line) {
    for (const std::string& text : texts) {
      const std::size_t at = text.find(start);
      if (at == std::string::npos) continue;
      std::string rest = text.substr(at + start.size());
      if (rest.starts_with(line)) rest = rest.substr(line.size());
      while (rest.starts_with(": ") || rest.starts_with(" "))
        rest.erase(0, 1 + (rest.front() == ':'));
      return rest.empty() ? text : rest;
    }
    return {};
  }

  void take(const config::Entry& entry, const config::Findings& findings) {
    const std::string place = main_path_ + ":" + std::to_string(entry.line);
    const std::string said = entry.name + " = " + entry.value;
    const std::string start = "main.cf:" + std::to_string(entry.line) + ": ";
    const config::Parameter* known = config::find_parameter(entry.name);
    if (is_place(entry.name))
      return out_.note(place, said, Fate::differs, "the new instance has its own");
    const std::string error = said_about(findings.errors, start, said);
    const std::string warning = said_about(findings.warnings, start, said);
    const std::string table = unknown_table(entry.value);
    if (!table.empty()) {
      out_.note(place, said, Fate::unsupported,
                "there are no tables of type " + table.substr(0, table.size() - 1) +
                    "; make a texthash or lmdb table of it, or ask it by socketmap");
    } else if (!error.empty()) {
      out_.note(place, said, Fate::unsupported, error);
      // To go on without it would betray what was asked for: it stays, and the instance does not
      // start before somebody has decided.
      if (known != nullptr && known->status == config::Status::unsafe)
        out_.main.emplace_back(entry.name, entry.value);
    } else if (known != nullptr && known->status == config::Status::obsolete) {
      out_.note(place, said, Fate::no_effect, std::string(known->about));
    } else if (known != nullptr && known->status == config::Status::missing) {
      out_.note(place, said, Fate::unsupported, "not in this version");
    } else {
      if (warning.empty())
        out_.note(place, said, Fate::works);
      else
        out_.note(place, said, Fate::differs, warning);
      out_.main.emplace_back(entry.name, entry.value);
    }
  }

  void take(const config::ServiceEntry& service) {
    const std::string place = master_path_ + ":" + std::to_string(service.line);
    const std::string said =
        service.name + " " + std::string(to_string(service.type)) + " " + service.command;
    const auto* program = std::find_if(kPrograms.begin(), kPrograms.end(),
                                       [&](const Program& p) { return p.name == service.command; });
    if (program == kPrograms.end())
      return out_.note(place, said, Fate::unsupported, "no such program here");
    if (program->fate == Fate::unsupported && !is_used(service))
      return out_.note(place, said, Fate::no_effect, "main.cf does not use it");
    if (program->fate != Fate::works && program->fate != Fate::differs)
      return out_.note(place, said, program->fate, std::string(program->remark));
    if (service.command == "bounce" && service.name != "bounce")
      return out_.note(place, said, Fate::no_effect, std::string(program->remark));
    std::string remark(program->remark);
    ForeignService ours;
    ours.columns = service.name + " " + std::string(to_string(service.type)) + " " +
                   (service.is_private ? "-" : "n") + " - n " + wakeup_of(service) + " " +
                   limit_of(service) + " " +
                   std::string(program->remark == "qmgr" ? program->remark : service.command);
    const Fate fate = remark.empty() ? Fate::works : Fate::differs;
    if (remark.empty() && service.chroot) remark = "without chroot: it needs none";
    out_.note(place, said, fate, remark);
    for (const auto& [name, value] : service.overrides)
      take_override(service, place, name, value, ours);
    for (const std::string& argument : service.arguments)
      if (argument != "-v")
        out_.note(place, service.name + ": " + argument, Fate::unsupported, "no such option");
    out_.services.push_back(std::move(ours));
  }

  // Listeners are; others when main.cf names them.
  bool is_used(const config::ServiceEntry& service) const {
    if (service.type == config::ServiceType::inet || service.name == "local") return true;
    return std::any_of(main_.entries.begin(), main_.entries.end(), [&](const config::Entry& e) {
      return e.value == service.name || e.value.find(service.name + ":") != std::string::npos;
    });
  }
  static std::string wakeup_of(const config::ServiceEntry& service) {
    if (service.wakeup.count() == 0 || service.command == "qmgr") return "-";
    return std::to_string(service.wakeup.count()) + (service.wakeup_only_if_used ? "?" : "");
  }
  // One process here does what a hundred do there; who keeps something for all is alone.
  static std::string limit_of(const config::ServiceEntry& service) {
    const std::string& program = service.command;
    return program == "smtpd" || program == "smtp" || program == "lmtp" ? "-" : "1";
  }

  void take_override(const config::ServiceEntry& service, const std::string& place,
                     const std::string& name, const std::string& value, ForeignService& ours) {
    const std::string said = service.name + ": -o " + name + "=" + value;
    config::Source with = source();
    with.process_name = service.command;
    with.service_name = service.name;
    with.overrides = {{name, value}};
    config::Findings findings;
    (void)config::Settings::parse(main_text_, with, transports_, config::Machine::here(), findings);
    const config::Parameter* known = config::find_parameter(name);
    const std::string error = said_about(findings.errors, "-o " + name, "");
    const std::string warning = said_about(findings.warnings, "-o " + name, "");
    if (!error.empty()) {
      out_.note(place, said, Fate::unsupported, error);
      if (known != nullptr && known->status == config::Status::unsafe)
        ours.settings.emplace_back(name, value);
    } else if (known != nullptr && known->status == config::Status::obsolete) {
      out_.note(place, said, Fate::no_effect, std::string(known->about));
    } else if (known != nullptr && known->status == config::Status::missing) {
      out_.note(place, said, Fate::unsupported, "not in this version");
    } else {
      out_.note(place, said, warning.empty() ? Fate::works : Fate::differs, warning);
      ours.settings.emplace_back(name, value);
    }
  }

  std::string main_path_;
  std::string master_path_;
  std::string main_text_;
  config::MainCf main_;
  config::MasterCf master_;
  std::string_view directory_;
  std::vector<std::string> transports_;
  Imported out_;
};

} // namespace

Result<Imported> import_postfix(std::string_view main_cf, std::string_view master_cf,
                                std::string_view directory) {
  return Postfix(main_cf, master_cf, directory).run(master_cf);
}

} // namespace postrider::ctl
