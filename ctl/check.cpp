// SPDX-License-Identifier: MIT
#include "check.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <set>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/ascii.hpp"
#include "base/fd.hpp"
#include "base/text_file.hpp"
#include "config/master_cf.hpp"
#include "init.hpp"
#include "maps/ask.hpp"
#include "sandbox/domain.hpp"
#include "smtpclient/tls_client.hpp"
#include "text.hpp"

namespace postrider::ctl {

namespace {

// Adds what was not said before.
class Collector {
 public:
  explicit Collector(Report& report) : report_(report) {}
  void error(const std::string& text) { add(report_.errors, text); }
  void warning(const std::string& text) { add(report_.warnings, text); }
  void take(const config::Findings& findings, std::string_view prefix_of_overrides) {
    for (const std::string& text : findings.errors)
      error(placed(text, prefix_of_overrides));
    for (const std::string& text : findings.warnings)
      warning(placed(text, prefix_of_overrides));
  }

 private:
  // Findings about -o name the option only; say which line of master.cf it is in.
  static std::string placed(const std::string& text, std::string_view prefix) {
    return text.starts_with("-o ") ? std::string(prefix) + text : text;
  }
  void add(std::vector<std::string>& to, const std::string& text) {
    if (said_.insert(text).second) to.push_back(text);
  }
  Report& report_;
  std::set<std::string> said_;
};

std::string place_of(const std::string& directory, const config::Value& value) {
  if (value.origin.kind == config::Origin::Kind::main_cf)
    return directory + "/main.cf:" + std::to_string(value.origin.line) + ": ";
  return {};
}

// Tables that somebody set: can they be read now?
void check_tables(const config::Settings& settings, Collector& out) {
  ev::Loop loop; // for tables that ask another process
  maps::MapOptions options;
  options.base_directory = settings.config_directory();
  for (const config::Settings::Row& row : settings.all()) {
    if (row.value->origin.kind == config::Origin::Kind::initial || row.parameter == nullptr ||
        row.parameter->status != config::Status::live)
      continue;
    const bool is_map = row.name.ends_with("_maps") || row.name == "oauth_token_sources";
    for (const std::string& word : row.value->words) {
      const std::size_t colon = word.find(':');
      if (colon == std::string::npos) continue;
      const std::string type = word.substr(0, colon);
      if (!is_map && !maps::is_map_type(type)) continue; // [2001:db8::1] and the like
      const std::string where =
          place_of(settings.config_directory(), *row.value) + std::string(row.name) + ": ";
      options.warn = [&](std::string_view text) { out.warning(where + shown(text)); };
      auto map = maps::open_map(word, options);
      if (!map) {
        out.error(where + map.error().text());
        continue;
      }
      const std::function<maps::Answer()> question = [&] { return (*map)->lookup("192.0.2.1"); };
      const auto answer = maps::ask_now<std::optional<std::string>>(
          loop, question, loop.after(std::chrono::seconds(5)));
      if (!answer) out.error(where + shown(word) + ": " + answer.error().text());
    }
  }
}

void check_transports(const config::Settings& settings, const config::MasterCf& master,
                      Collector& out) {
  for (const char* name : {"default_transport", "relay_transport", "local_transport"}) {
    const config::Value* value = settings.find(name);
    if (value == nullptr || value->origin.kind == config::Origin::Kind::initial) continue;
    const std::string transport = value->text.substr(0, value->text.find(':'));
    const bool known = std::any_of(
        master.services.begin(), master.services.end(), [&](const config::ServiceEntry& s) {
          return s.type == config::ServiceType::unix_ && s.name == transport;
        });
    if (!known)
      out.error(place_of(settings.config_directory(), *value) + name + " = " + value->text +
                ": master.cf has no unix service " + transport);
  }
}

void check_host(const config::Settings& settings, Collector& out) {
  if (::geteuid() == 0) {           // otherwise everything has the caller's uid
    std::set<std::string> troubles; // a wrong mail_owner is one for every domain
    for (const sandbox::Domain domain : sandbox::kDomains)
      if (const auto user = sandbox::identity_of(domain, settings); !user)
        troubles.insert(user.error().text());
    for (const std::string& trouble : troubles)
      out.error(trouble);
    const std::string shared = sandbox::sharing_warning(settings);
    if (!shared.empty()) out.warning(shared);
  }
  const std::string& queue = settings.text("queue_directory");
  struct stat now {};
  if (::stat(queue.c_str(), &now) != 0) {
    if (errno != ENOENT) out.error(Error::from_errno("queue_directory = " + queue, errno).text());
    return; // master makes it
  }
  if (!S_ISDIR(now.st_mode)) out.error("queue_directory = " + queue + ": is not a directory");
  const std::string trouble = file_system_trouble(queue);
  if (!trouble.empty()) out.warning("queue_directory = " + queue + " " + trouble);
}

// What a client would refuse at its start.
void check_client(const config::Settings& settings, const std::string& program,
                  const std::string& where, Collector& out) {
  using smtpclient::Flavor;
  if (program != "smtp" && program != "lmtp") return;
  const Flavor flavor = program == "smtp" ? Flavor::smtp : Flavor::lmtp;
  const auto options = smtpclient::Options::load(settings, flavor, config::Machine::here());
  if (!options) return out.error(where + options.error().text());
  for (const std::string& text : smtpclient::tls_warnings(settings, flavor == Flavor::lmtp))
    out.warning(where + text);
  const auto tables = smtpclient::Tables::open(settings, flavor);
  if (!tables) return out.error(where + tables.error().text());
  const auto files = smtpclient::TlsFiles::open(options->tls, *tables);
  if (!files) return out.error(where + files.error().text());
  for (const auto level : {smtpclient::TlsLevel::may, smtpclient::TlsLevel::encrypt}) {
    const auto policy = smtpclient::make_policy(options->tls, level, nullptr);
    const auto made = policy ? tls::translate(policy->ciphers) : policy.error();
    if (!made || made->lost.empty()) continue;
    std::string names;
    for (const std::string& name : made->lost)
      names += " " + name;
    out.warning(where + "at level " + std::string(to_string(level)) +
                " GnuTLS cannot leave out the excluded ciphers alone; not offered either:" + names);
  }
}

// What the program says of its line: its parameters are its own business, and so are the files that
// they name.
void ask_program(const std::string& program, const std::string& directory,
                 const config::ServiceEntry& service, const std::string& where, Collector& out) {
  std::vector<std::string> words{program, "--check", "-c", directory, "-n", service.name};
  for (const auto& [name, value] : service.overrides) {
    words.emplace_back("-o");
    words.push_back(name + "=" + value);
  }
  std::vector<char*> arguments;
  for (std::string& word : words)
    arguments.push_back(word.data());
  arguments.push_back(nullptr);

  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return out.error(Error::from_errno("pipe", errno).text());
  Fd reading(ends[0]), writing(ends[1]);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, writing.get(), STDERR_FILENO);
  pid_t pid = 0;
  const int failed =
      ::posix_spawn(&pid, program.c_str(), &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  writing.reset();
  if (failed != 0) return out.error(where + Error::from_errno(program, failed).text());
  std::string said;
  char buffer[4096];
  for (ssize_t got; (got = ::read(reading.get(), buffer, sizeof buffer)) != 0;) {
    if (got > 0) said.append(buffer, static_cast<std::size_t>(got));
    if (got < 0 && errno != EINTR) break;
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  bool explained = false;
  for (const std::string_view line : split(said, "\n")) {
    constexpr std::string_view kError = "error: ", kWarning = "warning: ";
    if (line.starts_with(kError))
      out.error(where + shown(line.substr(kError.size())));
    else if (const std::size_t at = line.find(kWarning); at != std::string_view::npos)
      out.warning(where + shown(line.substr(at + kWarning.size())));
    explained = explained || line.starts_with(kError);
  }
  if (status != 0 && !explained) out.error(where + program + " --check failed: " + shown(said));
}

} // namespace

Report check_configuration(const std::string& directory) {
  Report report;
  Collector out(report);
  config::Findings base;
  auto settings = config::Settings::load(
      {.config_directory = directory, .overrides = {}, .process_name = "master"}, base);
  if (!settings && base.errors.empty()) base.errors.push_back(settings.error().text());
  out.take(base, "");

  const std::string master_path = directory + "/master.cf";
  const auto file = read_text_file(master_path);
  if (!file) {
    out.error(file.error().text());
    return report;
  }
  const config::MasterCf master = config::parse_master_cf(file->text, master_path);
  for (const std::string& text : master.errors)
    out.error(text);
  for (const config::ServiceEntry& service : master.services) {
    const std::string where =
        master_path + ":" + std::to_string(service.line) + ": service " + service.name + ": ";
    config::Findings findings;
    auto own = config::Settings::load({.config_directory = directory,
                                       .overrides = service.overrides,
                                       .process_name = service.command,
                                       .service_name = service.name},
                                      findings);
    if (!own && findings.errors.empty()) findings.errors.push_back(own.error().text());
    out.take(findings, where);
    if (own) check_client(*own, service.command, where, out);
    if (!settings) continue;
    const std::string program = settings->text("daemon_directory") + "/" + service.command;
    if (::access(program.c_str(), X_OK) != 0)
      out.error(where + Error::from_errno(program, errno).text() +
                "; remove the line, or install the program");
    else if (own && findings.errors.empty() && service.command == "smtpd")
      ask_program(program, directory, service, where, out);
  }
  if (settings) {
    check_tables(*settings, out);
    check_transports(*settings, master, out);
    check_host(*settings, out);
  }
  return report;
}

} // namespace postrider::ctl
