// SPDX-License-Identifier: MIT
// postrider: the operator's command. Holds no rights of its own; master and qmgr decide by peer
// credentials what the caller may do. Protocols: lib/proto/ctl.hpp, lib/proto/ctl_master.hpp.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <unistd.h>

#include "base/log.hpp"
#include "command.hpp"
#include "text.hpp"

namespace {

using namespace postrider;
using namespace postrider::ctl;

using Commands = const std::vector<Command>&;

const Command* find_command(std::string_view name) {
  for (Commands list :
       {std::cref(lifecycle_commands()), std::cref(queue_commands()), std::cref(action_commands()),
        std::cref(config_commands()), std::cref(map_commands()), std::cref(sts_commands()),
        std::cref(tlsrpt_commands()), std::cref(reference_commands())})
    for (const Command& command : list)
      if (command.name == name) return &command;
  return nullptr;
}

std::string usage() {
  std::string out = "usage: postrider [-c DIR] [--json] COMMAND [OPTION...] [WORD...]\n"
                    "  -c DIR   directory of main.cf and master.cf ($MAIL_CONFIG, /etc/postrider)\n"
                    "  --json   answers for programs\n";
  const struct {
    std::string_view title;
    Commands commands;
  } groups[] = {{"running", lifecycle_commands()},
                {"looking", queue_commands()},
                {"acting on mail", action_commands()},
                {"configuring", config_commands()},
                {"tables", map_commands()},
                {"protecting", sts_commands()},
                {"reporting", tlsrpt_commands()},
                {"explaining", reference_commands()}};
  for (const auto& group : groups) {
    out.append("\n").append(group.title).append(":\n");
    for (const Command& command : group.commands) {
      std::string left = "  " + std::string(command.name);
      left.append(left.size() < 12 ? 12 - left.size() : 1, ' ');
      out.append(left).append(command.about).append("\n");
    }
  }
  return out + "\n`postrider COMMAND --help` says more.\n";
}

std::string help_for(const Command& command) {
  std::string out = "usage: postrider " + std::string(command.name) +
                    (command.options.empty() ? "" : " [OPTION...]") +
                    (command.synopsis.empty() ? "" : " " + std::string(command.synopsis)) + "\n" +
                    std::string(command.about) + "\n";
  return out + describe_options(command.options);
}

std::string absolute(std::string path) {
  if (!path.empty() && path.front() == '/') return path;
  char* here = ::get_current_dir_name();
  const std::string out = std::string(here != nullptr ? here : "") + "/" + path;
  std::free(here);
  return out;
}

} // namespace

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  std::string directory = "/etc/postrider";
  if (const char* from_environment = std::getenv("MAIL_CONFIG")) directory = from_environment;
  bool json = false;
  int at = 1;
  for (; at < argc && argv[at][0] == '-'; ++at) {
    const std::string word = argv[at];
    if (word == "--json") {
      json = true;
    } else if (word == "-c" && at + 1 < argc) {
      directory = argv[++at];
    } else if (word == "-h" || word == "--help") {
      print(usage());
      return exit_ok;
    } else if (word == "--version") {
      print("Postrider " POSTRIDER_VERSION "\n");
      return exit_ok;
    } else {
      complain("unknown option " + shown(word, 60));
      std::fputs(usage().c_str(), stderr);
      return exit_usage;
    }
  }
  if (directory.empty()) directory = "/etc/postrider";
  Invocation invocation(absolute(directory));
  invocation.json = json;
  if (at == argc) {
    std::fputs(usage().c_str(), stderr);
    return exit_usage;
  }
  const Command* command = find_command(argv[at]);
  if (command == nullptr) {
    complain("unknown command " + shown(argv[at], 60));
    std::fputs(usage().c_str(), stderr);
    return exit_usage;
  }
  std::vector<Option> options = command->options;
  options.push_back({"json", "", "an answer for programs"});
  options.push_back({"help", "", "this text"});
  auto arguments = parse_arguments({argv + at + 1, argv + argc}, options);
  if (!arguments) {
    complain(arguments.error().text());
    std::fputs(help_for(*command).c_str(), stderr);
    return exit_usage;
  }
  if (arguments->has("help")) {
    print(help_for(*command));
    return exit_ok;
  }
  invocation.arguments = std::move(*arguments);
  invocation.json = json || invocation.has("json");
  log::start({.tag = "postrider/postrider"});
  const int status = command->run(invocation);
  log::flush();
  // A full disk or a closed pipe must not look like success.
  if (std::fflush(stdout) != 0 && status == exit_ok) {
    complain("the output could not be written");
    return exit_error;
  }
  return status;
}
