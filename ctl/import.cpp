// SPDX-License-Identifier: MIT
#include "import.hpp"

#include <algorithm>
#include <sys/stat.h>

#include "base/text_file.hpp"
#include "check.hpp"
#include "command.hpp"
#include "init.hpp"
#include "json.hpp"
#include "text.hpp"

namespace postrider::ctl {

std::string_view to_string(Fate fate) {
  switch (fate) {
  case Fate::works: return "works";
  case Fate::differs: return "differs";
  case Fate::no_effect: return "not needed";
  case Fate::unsupported: return "NOT SUPPORTED";
  }
  POSTRIDER_UNREACHABLE();
}

namespace {

// Values of Postfix use $names; those of others mean a dollar sign.
std::string value_of(const Imported& imported, const std::string& value) {
  if (imported.complete) return value;
  std::string out;
  for (const char c : value)
    out.append(c == '$' ? "$$" : std::string(1, c));
  return out;
}

} // namespace

std::string main_cf_lines(const Imported& imported) {
  std::string out;
  for (const auto& [name, value] : imported.main)
    out += name + " = " + value_of(imported, value) + "\n";
  return out;
}

std::string master_cf_lines(const Imported& imported) {
  std::string out;
  for (const ForeignService& service : imported.services) {
    out += service.columns + "\n";
    for (const auto& [name, value] : service.settings) {
      const std::string text = value_of(imported, value);
      const bool plain = !text.empty() && text.find_first_of(" \t{}") == std::string::npos;
      out += plain ? "  -o " + name + "=" + text + "\n" : "  -o { " + name + " = " + text + " }\n";
    }
  }
  return out;
}

namespace {

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// An envdir: a file for each variable, whose first line is the value.
Result<std::string> lines_of_directory(const std::string& path) {
  std::string out;
  for (const char* name :
       {"SMTPGREETING", "TIMEOUT", "SESSION_TIMEOUT", "MAXNOTIMPL", "DATABYTES", "MAXHOPS",
        "MAXRCPTS", "TLS_CERTFILE", "TLS_KEYFILE", "TLS_PRIORITY", "TLS_COMPAT", "TLS_IMMEDIATE",
        "TLS_DH_PARAMS", "SMTPLOCALHOST", "RELAYCLIENT", "PLUGINS", "CVM_SASL_PLAIN"}) {
    const auto file = read_text_file(path + "/" + name, 1 << 16);
    if (!file && file.error().kind() == ErrorKind::not_found) continue;
    if (!file) return file.error();
    out += std::string(name) + "=" + file->text.substr(0, file->text.find('\n')) + "\n";
  }
  return out;
}

Result<Imported> read(const std::string& kind, const std::string& path) {
  struct stat now {};
  const bool directory = ::stat(path.c_str(), &now) == 0 && S_ISDIR(now.st_mode);
  if (kind == "postfix") {
    POSTRIDER_TRY(const TextFile main_cf, read_text_file(path + "/main.cf"));
    POSTRIDER_TRY(const TextFile master_cf, read_text_file(path + "/master.cf"));
    return import_postfix(main_cf.text, master_cf.text, path);
  }
  if (kind == "mailfront" && directory) {
    POSTRIDER_TRY(const std::string text, lines_of_directory(path));
    return import_mailfront(text, base_name(path));
  }
  POSTRIDER_TRY(const TextFile file, read_text_file(path));
  const std::string name = base_name(path);
  if (kind == "haraka") return import_haraka(file.text, name);
  if (kind == "maddy") return import_maddy(file.text, name);
  if (kind == "mailfront") return import_mailfront(file.text, name);
  return Error(ErrorKind::config, shown(kind, 40) + ": write haraka, maddy, mailfront or postfix");
}

std::string report_of(const Imported& imported) {
  Table table({"WHERE", "WHAT IT SAYS", "HERE", "REMARK"});
  for (const Item& item : imported.items)
    table.add({shown(item.place), shown(item.said, 60), std::string(to_string(item.fate)),
               shown(item.remark)});
  return table.text();
}

std::size_t count(const Imported& imported, Fate fate) {
  return static_cast<std::size_t>(
      std::count_if(imported.items.begin(), imported.items.end(),
                    [fate](const Item& item) { return item.fate == fate; }));
}

std::string summary_of(const Imported& imported) {
  return std::to_string(count(imported, Fate::works)) + " work, " +
         std::to_string(count(imported, Fate::differs)) + " differ, " +
         std::to_string(count(imported, Fate::no_effect)) + " are not needed, " +
         std::to_string(count(imported, Fate::unsupported)) + " are not supported\n";
}

std::string lines_of(const Imported& imported) {
  std::string out;
  const auto part = [&out](const std::string& name, const std::string& text) {
    if (!text.empty()) out += "\n# --- " + name + "\n" + text;
  };
  part("main.cf", main_cf_lines(imported));
  part("master.cf", master_cf_lines(imported));
  for (const InstanceFile& file : imported.files)
    part(file.name,
         file.secret ? "# passwords: shown only in the file that --into writes\n" : file.text);
  return out;
}

std::string json_of(const Imported& imported) {
  std::vector<json::Members> items;
  for (const Item& item : imported.items)
    items.push_back({{"place", item.place},
                     {"said", item.said},
                     {"fate", std::string(to_string(item.fate))},
                     {"remark", item.remark}});
  return json::of_objects(items) + "\n";
}

// A whole instance in `directory`; says what its own check thinks of it.
int write_instance(const Invocation& in, const Imported& imported, const std::string& directory) {
  Instance instance;
  instance.directory = directory;
  instance.main_lines = main_cf_lines(imported);
  instance.master_lines = master_cf_lines(imported);
  instance.files = imported.files;
  instance.user = in.value("user");
  const auto made = make_instance(instance);
  if (!made) return fail(in, made.error());
  std::string out;
  for (const std::string& path : made->made)
    out += "made " + path + "\n";
  for (const std::string& text : made->warnings)
    out += "warning: " + text + "\n";
  const Report report = check_configuration(directory);
  for (const std::string& text : report.errors)
    out += "error: " + text + "\n";
  for (const std::string& text : report.warnings)
    out += "warning: " + text + "\n";
  out += report.errors.empty()
             ? "ready: postrider -c " + directory + " start\n"
             : "mend what stands above, then: postrider -c " + directory + " check\n";
  print(shown_lines(out));
  return report.errors.empty() ? exit_ok : exit_failed;
}

int run_import(const Invocation& in) {
  if (in.words().size() != 2)
    return fail(in, exit_usage, "import: name a kind, and a file or directory");
  std::string path = in.words()[1];
  while (path.size() > 1 && path.ends_with('/'))
    path.pop_back();
  const auto imported = read(in.words()[0], path);
  if (!imported) return fail(in, imported.error());
  if (in.json)
    print(json_of(*imported));
  else
    print(report_of(*imported) + "\n" + summary_of(*imported));
  int status = count(*imported, Fate::unsupported) == 0 ? exit_ok : exit_failed;
  const std::string directory = in.value("into");
  if (directory.empty()) {
    if (!in.json) print(shown_lines(lines_of(*imported)));
    return status;
  }
  if (directory.front() != '/')
    return fail(in, exit_usage, "import: --into needs a path that begins with /");
  const int written = write_instance(in, *imported, directory);
  return written != exit_ok ? written : status;
}

} // namespace

const Command& import_command() {
  static const Command command = {
      "import",
      "haraka|maddy|mailfront|postfix PATH",
      "turn another system's configuration into ours, with a remark for each line",
      {{"into", "DIR", "make an instance there that is ready to run"},
       {"user", "NAME", "with --into: owner of the mail, when made by root (postrider)"}},
      run_import};
  return command;
}

} // namespace postrider::ctl
