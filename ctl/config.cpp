// SPDX-License-Identifier: MIT
// init, check, conf, version: what works without a running suite.
#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ascii.hpp"
#include "base/text_file.hpp"
#include "check.hpp"
#include "command.hpp"
#include "config/master_cf.hpp"
#include "edit.hpp"
#include "init.hpp"
#include "json.hpp"
#include "maps/map.hpp"
#include "text.hpp"

namespace postrider::ctl {

namespace {

// Absolute, without symbolic links as far as it exists.
std::string resolved(const std::string& path) {
  if (char* real = ::realpath(path.c_str(), nullptr)) {
    std::string out = real;
    std::free(real);
    return out;
  }
  if (!path.empty() && path.front() == '/') return path;
  char* here = ::get_current_dir_name();
  const std::string out = std::string(here != nullptr ? here : "") + "/" + path;
  std::free(here);
  return out;
}

// For a hint that can be pasted into a shell.
std::string own_name() {
  const std::string self = resolved("/proc/self/exe");
  return self.find_first_of(" '\"\\$`") == std::string::npos ? self : "postrider";
}

int run_init(const Invocation& in) {
  if (in.words().size() != 1) return fail(in, exit_usage, "name the directory of the new instance");
  Instance instance;
  instance.directory = resolved(in.words().front());
  while (instance.directory.size() > 1 && instance.directory.back() == '/')
    instance.directory.pop_back();
  instance.listen = in.arguments.values("listen");
  instance.relayhost = in.value("relayhost");
  instance.myhostname = in.value("myhostname");
  instance.user = in.value("user");
  instance.log = in.value("log");
  auto made = make_instance(instance);
  if (!made) return fail(in, made.error());
  for (const std::string& warning : made->warnings)
    complain("WARNING: " + warning);
  if (in.json) {
    print(json::of_object({{"directory", instance.directory},
                           {"main_cf", instance.directory + "/main.cf"},
                           {"master_cf", instance.directory + "/master.cf"}}) +
          "\n");
    return exit_ok;
  }
  std::string out = "made";
  for (const std::string& path : made->made)
    out += " " + path;
  const std::string self = own_name() + " -c " + instance.directory;
  out += "\nstart it with: " + self + " start\n";
  out += "    or, in a container: " + self + " start-fg\n";
  print(out);
  return exit_ok;
}

int run_check(const Invocation& in) {
  const Report report = check_configuration(in.config_directory);
  if (in.json) {
    print(json::of_findings(report.errors, report.warnings) + "\n");
  } else {
    for (const std::string& text : report.errors)
      print("error: " + shown(text) + "\n");
    for (const std::string& text : report.warnings)
      print("warning: " + shown(text) + "\n");
    if (report.errors.empty())
      print(report.warnings.empty() ? "the configuration is good\n"
                                    : "the configuration can be used\n");
  }
  return report.errors.empty() ? exit_ok : exit_failed;
}

std::string_view origin_word(config::Origin::Kind kind) {
  switch (kind) {
  case config::Origin::Kind::initial: return "default";
  case config::Origin::Kind::main_cf: return "main.cf";
  case config::Origin::Kind::override_: return "override";
  }
  return "";
}

enum class Show { as_written, expanded, defaults };

json::Parameter parameter_of(const config::Settings::Row& row, Show show) {
  json::Parameter out;
  out.name = row.name;
  out.initial = row.initial;
  if (row.parameter != nullptr) out.type = config::to_string(row.parameter->type);
  switch (show) {
  case Show::as_written: out.value = row.value->raw; break;
  case Show::expanded: out.value = row.value->text; break;
  case Show::defaults: out.value = row.initial; break;
  }
  // A default that was found out on this host: what it came to says more than its marker.
  if (out.initial.starts_with('@')) out.initial = out.value;
  if (out.value.starts_with('@') && out.value == row.initial) out.value = row.value->text;
  out.origin =
      show == Show::defaults ? "default" : std::string(origin_word(row.value->origin.kind));
  if (show != Show::defaults && row.value->origin.kind == config::Origin::Kind::main_cf)
    out.line = row.value->origin.line;
  return out;
}

// Written beside and renamed, so that no program ever reads a part of it.
Result<void> replace_file(const std::string& path, std::string_view text) {
  struct stat old {};
  if (::stat(path.c_str(), &old) != 0) return Error::from_errno(path, errno);
  const std::string real = resolved(path); // a symbolic link stays one
  const std::string fresh = real + ".new";
  ::unlink(fresh.c_str());
  Fd fd(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return Error::from_errno("create " + fresh, errno);
  const auto give_up = [&](const std::string& what) {
    const Error error = Error::from_errno(what, errno);
    ::unlink(fresh.c_str());
    return error;
  };
  while (!text.empty()) {
    const ssize_t n = ::write(fd.get(), text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return give_up("write " + fresh);
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  if (::fchown(fd.get(), old.st_uid, old.st_gid) != 0 ||
      ::fchmod(fd.get(), old.st_mode & 07777) != 0)
    return give_up("set owner of " + fresh);
  if (::fsync(fd.get()) != 0) return give_up("sync " + fresh);
  if (::rename(fresh.c_str(), real.c_str()) != 0) return give_up("rename " + fresh);
  return {};
}

int edit(const Invocation& in, bool remove) {
  std::vector<Edit> edits;
  for (const std::string& word : in.words()) {
    auto one = parse_edit(remove ? word + "=" : word);
    if (!one) return fail(in, exit_usage, one.error().text());
    one->remove = remove;
    edits.push_back(std::move(*one));
  }
  if (edits.empty())
    return fail(in, exit_usage, remove ? "name the parameters" : "expected name=value");
  const std::string path = in.config_directory + "/main.cf";
  auto file = read_text_file(path);
  if (!file) return fail(in, file.error());
  const std::string text = edited_main_cf(file->text, edits);
  std::vector<std::string> transports;
  if (const auto master = read_text_file(in.config_directory + "/master.cf"))
    for (const config::ServiceEntry& s : config::parse_master_cf(master->text).services)
      transports.push_back(s.name);
  config::Findings findings;
  const config::Source source{
      .config_directory = in.config_directory, .overrides = {}, .process_name = "postrider"};
  const auto parsed =
      config::Settings::parse(text, source, transports, config::Machine::here(), findings);
  for (const std::string& warning : findings.warnings)
    complain("warning: " + shown(warning));
  if (!parsed) return fail(in, exit_config, "nothing was changed: " + parsed.error().text());
  if (auto written = replace_file(path, text); !written) return fail(in, written.error());
  return exit_ok;
}

int list_map_types() {
  for (const std::string_view type : maps::map_types())
    print(std::string(type) + "\n");
  return exit_ok;
}

int run_conf(const Invocation& in) {
  if (in.has("map-types")) return list_map_types();
  if (in.has("edit") || in.has("remove")) return edit(in, in.has("remove"));
  config::Findings findings;
  auto settings = config::Settings::load(
      {.config_directory = in.config_directory, .overrides = {}, .process_name = "postrider"},
      findings);
  for (const std::string& warning : findings.warnings)
    complain("warning: " + shown(warning));
  if (!settings) {
    for (const std::string& error : findings.errors)
      complain("error: " + shown(error));
    return fail(in, exit_config, "main.cf cannot be used: " + settings.error().text());
  }
  const Show show = in.has("defaults")   ? Show::defaults
                    : in.has("expanded") ? Show::expanded
                                         : Show::as_written;
  std::vector<json::Parameter> chosen;
  for (const config::Settings::Row& row : settings->all()) {
    if (in.has("changed") && row.value->origin.kind == config::Origin::Kind::initial) continue;
    if (in.has("defaults") && row.parameter == nullptr) continue;
    if (!in.words().empty() &&
        std::find(in.words().begin(), in.words().end(), row.name) == in.words().end())
      continue;
    chosen.push_back(parameter_of(row, show));
  }
  int status = exit_ok;
  for (const std::string& word : in.words()) {
    const bool found = std::any_of(chosen.begin(), chosen.end(),
                                   [&](const json::Parameter& p) { return p.name == word; });
    if (found || (in.has("changed") && config::find_parameter(word) != nullptr)) continue;
    const std::string_view near = config::nearest_parameter(word);
    complain(shown(word) + ": unknown parameter" +
             (near.empty() ? "" : "; did you mean " + std::string(near) + "?"));
    status = exit_failed;
  }
  if (in.json) {
    print(json::of(chosen) + "\n");
    return status;
  }
  std::string out;
  for (const json::Parameter& p : chosen) {
    if (!in.has("values")) out += p.name + " = ";
    out += shown(p.value);
    if (in.has("origin")) {
      out += "   # " + p.origin;
      if (p.line != 0) out += ":" + std::to_string(p.line);
    }
    out += "\n";
  }
  print(out);
  return status;
}

int run_version(const Invocation& in) {
  if (in.json)
    print(json::of_object({{"version", POSTRIDER_VERSION}}) + "\n");
  else
    print("Postrider " POSTRIDER_VERSION "\n");
  return exit_ok;
}

} // namespace

const std::vector<Command>& config_commands() {
  static const std::vector<Command> commands = {
      {"init",
       "DIR",
       "make a private instance that is ready to run",
       {{"listen", "ADDR:PORT", "accept mail there (127.0.0.1:2525); may be given again"},
        {"relayhost", "HOST", "send all mail through this host"},
        {"myhostname", "NAME", "the full name of this host"},
        {"user", "NAME", "owner of the mail, when made by root (postrider)"},
        {"log", "FILE", "where the log goes (DIR/log/postrider.log); /dev/stdout for containers"}},
       run_init},
      import_command(),
      {"check", "", "look for mistakes in main.cf, master.cf and tables", {}, run_check},
      {"conf",
       "[NAME...]",
       "show parameters, or with -e change main.cf",
       {{"changed,n", "", "only what main.cf sets"},
        {"defaults,d", "", "the defaults"},
        {"expanded,x", "", "with $names replaced"},
        {"values,h", "", "values without names"},
        {"origin,o", "", "where each value comes from"},
        {"map-types,m", "", "the types of tables"},
        {"edit,e", "", "NAME=VALUE...: change main.cf"},
        {"remove,X", "", "NAME...: remove from main.cf"}},
       run_conf},
      {"version", "", "print the version", {}, run_version},
  };
  return commands;
}

} // namespace postrider::ctl
