// SPDX-License-Identifier: MIT
// start, start-fg, stop, reload, upgrade, status: what master is asked for.
#include <cerrno>
#include <cstring>
#include <optional>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.hpp"
#include "command.hpp"
#include "json.hpp"
#include "text.hpp"
#include "view.hpp"

extern char** environ;

namespace postrider::ctl {

namespace {

// master's drain limit and kill come well before.
constexpr std::chrono::seconds kStopLimit{60};
// Status is asked for when something is wrong: a qmgr that hangs must not keep the rest from the
// reader.
constexpr std::chrono::seconds kStatusLimit{5};

Result<std::string> master_program(const config::Settings& settings) {
  const std::string path = settings.text("daemon_directory") + "/master";
  if (::access(path.c_str(), X_OK) != 0)
    return Error::from_errno(path + ": check daemon_directory", errno);
  return path;
}

// Connects only to see whether somebody is there.
bool is_running(const config::Settings& settings) {
  return connect_unix(settings.text("queue_directory"), proto::kMasterSocket).ok();
}

Result<proto::MasterStatus> ask_status(const std::string& queue_directory) {
  POSTRIDER_TRY(auto client, Client::to_master(queue_directory));
  proto::MasterRequest request;
  request.verb = proto::MasterVerb::status;
  return client->ask<proto::MasterStatus>(request);
}

int already_running(const Invocation& in, const config::Settings& settings) {
  const auto status = ask_status(settings.text("queue_directory"));
  return fail(in, exit_failed,
              "the mail system is already running" +
                  (status ? ", process " + std::to_string(status->pid) : std::string()));
}

int run_start(const Invocation& in) {
  auto settings = load_settings(in);
  if (!settings) return fail(in, settings.error());
  if (is_running(*settings)) return already_running(in, *settings);
  const std::string& log_file = settings->text("maillog_file");
  if (log_file == "/dev/stdout" || log_file == "/dev/stderr")
    return fail(in, exit_config, "to log to " + log_file + ", use `postrider start-fg`");
  const auto program = master_program(*settings);
  if (!program) return fail(in, program.error());
  // master returns when the one it leaves in the background listens on every socket.
  const char* argv[] = {program->c_str(), "-c", in.config_directory.c_str(), "-w", nullptr};
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, program->c_str(), nullptr, nullptr,
                                  const_cast<char* const*>(argv), environ);
  if (error != 0) return fail(in, Error::from_errno("start " + *program, error));
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return fail(in, Error::from_errno("wait for master", errno));
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return fail(in, exit_failed,
                "not started; `postrider -c " + in.config_directory + " check` may tell more" +
                    (log_file.empty() ? "" : ", and " + log_file));
  const std::string& queue = settings->text("queue_directory");
  const auto now = ask_status(queue);
  if (!now) return fail(in, now.error());
  // Sockets listen from the beginning; qmgr greets once it has read its queue back.
  if (auto client = Client::to_qmgr(queue); !client)
    return fail(in, exit_try_again,
                "started, but the queue is not ready: " + client.error().text());
  if (in.json)
    print(json::of(&*now, nullptr) + "\n");
  else
    print("started: process " + std::to_string(now->pid) + "\n");
  return exit_ok;
}

int run_start_fg(const Invocation& in) {
  auto settings = load_settings(in);
  if (!settings) return fail(in, settings.error());
  if (is_running(*settings)) return already_running(in, *settings);
  const auto program = master_program(*settings);
  if (!program) return fail(in, program.error());
  ::execl(program->c_str(), program->c_str(), "-d", "-c", in.config_directory.c_str(),
          static_cast<char*>(nullptr));
  return fail(in, Error::from_errno("start " + *program, errno));
}

int run_stop(const Invocation& in) {
  const auto directory = find_queue_directory(in);
  if (!directory) return fail(in, directory.error());
  auto client = Client::to_master(*directory);
  if (!client) {
    if (client.error().kind() == ErrorKind::closed)
      return fail(in, exit_unavailable, "the mail system is not running");
    return fail(in, client.error());
  }
  proto::MasterRequest request;
  request.verb = proto::MasterVerb::stop;
  auto done = (*client)->order<proto::MasterDone>(request);
  if (!done) return fail(in, done.error());
  if (!done->ok) return fail(in, exit_failed, shown(done->text));
  if (auto gone = (*client)->wait_closed(kStopLimit); !gone)
    return fail(in, exit_try_again,
                "still stopping after " + show_duration(kStopLimit.count()) +
                    "; `postrider status` shows who is left");
  print(in.json ? json::of_object({{"state", "stopped"}}) + "\n" : "stopped\n");
  return exit_ok;
}

int run_reload(const Invocation& in) {
  auto settings = load_settings(in);
  if (!settings)
    return fail(in, exit_config,
                settings.error().text() + " (the running configuration stays in force)");
  auto client = Client::to_master(settings->text("queue_directory"));
  if (!client) return fail(in, client.error());
  proto::MasterRequest request;
  request.verb = proto::MasterVerb::reload;
  auto done = (*client)->order<proto::MasterDone>(request);
  if (!done) return fail(in, done.error());
  if (!done->ok)
    return fail(in, exit_config,
                shown_lines(done->text) + "\npostrider: the old configuration stays in force");
  if (in.json)
    print(json::of_object({{"state", "reloaded"}, {"text", done->text}}) + "\n");
  else
    print("reloaded\n" + (done->text.empty() ? "" : shown_lines(done->text) + "\n"));
  return exit_ok;
}

// The process stays, its program changes: the connection closes, and the next one finds another
// generation.
int run_upgrade(const Invocation& in) {
  auto settings = load_settings(in);
  if (!settings)
    return fail(in, exit_config,
                settings.error().text() + " (the running programs stay as they are)");
  const std::string& queue = settings->text("queue_directory");
  const auto before = ask_status(queue);
  if (!before) return fail(in, before.error());
  auto client = Client::to_master(queue);
  if (!client) return fail(in, client.error());
  proto::MasterRequest request;
  request.verb = proto::MasterVerb::upgrade;
  const auto done = (*client)->order<proto::MasterDone>(request);
  if (done)
    return fail(in, exit_config,
                shown_lines(done->text) + "\npostrider: the running programs stay as they are");
  if (done.error().kind() != ErrorKind::closed) return fail(in, done.error());
  const auto now = ask_status(queue);
  if (!now || now->generation == before->generation)
    return fail(in, exit_failed,
                "the new master does not answer; see the log" +
                    (now ? std::string() : ": " + now.error().text()));
  if (in.json)
    print(json::of(&*now, nullptr) + "\n");
  else
    print("upgraded: version " + shown(now->version) + ", generation " +
          std::to_string(now->generation) + "\n");
  return exit_ok;
}

int run_status(const Invocation& in) {
  const bool sessions = in.words().size() == 1 && in.words().front() == "sessions";
  if (!sessions && !in.words().empty())
    return fail(in, exit_usage, "status takes no word but sessions");
  const auto destinations = in.arguments.number("destinations", 20, 0, 10000);
  if (!destinations) return fail(in, exit_usage, destinations.error().text());
  const auto directory = find_queue_directory(in);
  if (!directory) return fail(in, directory.error());
  auto master = ask_status(*directory);
  if (!master && master.error().kind() == ErrorKind::closed) {
    if (in.json)
      print(json::of(nullptr, nullptr) + "\n");
    else
      print("the mail system is not running\n");
    return exit_unavailable;
  }
  // Others than root and mail_owner may not ask master, but they may see the queue's numbers.
  if (!master) complain(master.error().text());
  std::optional<proto::StatusAnswer> queue;
  std::string queue_trouble;
  if (auto client = Client::to_qmgr(*directory, kStatusLimit)) {
    proto::AskStatus request;
    request.destinations = static_cast<std::uint32_t>(*destinations);
    auto answer = (*client)->ask<proto::StatusAnswer>(request);
    if (answer)
      queue = std::move(*answer);
    else
      queue_trouble = answer.error().text();
  } else {
    queue_trouble = client.error().text();
  }
  if (in.json) {
    print(json::of(master ? &*master : nullptr, queue ? &*queue : nullptr) + "\n");
  } else {
    const std::int64_t now = now_micros();
    if (sessions) {
      if (master) print(view_sessions(*master, queue ? &*queue : nullptr));
    } else {
      if (master) print(view(*master, now) + "\n");
      if (queue) print(view(*queue, now));
    }
    if (!queue) print("Queue: " + shown(queue_trouble) + "\n");
  }
  if (!master) return exit_not_allowed;
  return queue ? exit_ok : exit_unavailable;
}

} // namespace

const std::vector<Command>& lifecycle_commands() {
  static const std::vector<Command> commands = {
      {"start", "", "start the mail system in the background", {}, run_start},
      {"start-fg", "", "start it in the foreground, as in a container", {}, run_start_fg},
      {"stop", "", "stop it, and wait until it is down", {}, run_stop},
      {"reload", "", "read main.cf and master.cf again", {}, run_reload},
      {"upgrade",
       "",
       "start the programs anew, one after the other, without a closed door",
       {},
       run_upgrade},
      {"status",
       "[sessions]",
       "show services, queue and destinations, or processes",
       {{"destinations", "N", "the N destinations with most mail (20)"}},
       run_status},
  };
  return commands;
}

} // namespace postrider::ctl
