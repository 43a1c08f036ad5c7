// SPDX-License-Identifier: MIT
// Servers of the administrator's that are asked over a socket: what a policy service and a
// socketmap server answer, in any pieces (kCut), and how main.cf names them. The first byte says
// which of the two, and whether it is the name.
#include "fuzz/input_server.hpp"
#include "maps/socketmap.hpp"
#include "policy_service.hpp"
#include "support/run_task.hpp"

namespace {
using namespace postrider;

void ask_policy(ev::Loop& loop, fuzz::InputServer& server) {
  smtpd::PolicyOptions options;
  options.server = "unix:" + server.path();
  options.try_limit = 2;
  options.retry_delay = Duration::zero();
  options.default_action = "451 4.3.5 away";
  const auto service = *smtpd::PolicyService::open(options);
  const std::string request = "request=smtpd_access_policy\n";
  const std::string action =
      test::run_task<std::string>(loop, [&] { return service->ask(loop, request); });
  POSTRIDER_CHECK(!action.empty() && action.find('\n') == action.npos, action);
}

void ask_socketmap(ev::Loop& loop, fuzz::InputServer& server) {
  const auto map = *maps::SocketMap::open("unix:" + server.path() + ":name");
  const std::string key = "key";
  const auto answer = test::run_task<maps::Answer>(
      loop, [&] { return map->fetch(loop, key, loop.after(std::chrono::seconds(20))); });
  if (!answer) {
    POSTRIDER_CHECK(log::printable(answer.error().text()) == answer.error().text());
    return;
  }
  if (*answer)
    POSTRIDER_CHECK((*answer)->find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);
}

// Hosts would be looked for.
void name_it(ByteView input) {
  if (const auto map = maps::SocketMap::open("unix:" + std::string(input)))
    POSTRIDER_CHECK(input.rfind(':') != input.npos);
  const auto options = smtpd::PolicyOptions::parse(input, smtpd::PolicyOptions());
  if (!options) {
    POSTRIDER_CHECK(!options.error().text().empty());
    return;
  }
  POSTRIDER_CHECK(!options->server.empty() && options->try_limit > 0);
  if (options->server.starts_with("unix:")) (void)smtpd::PolicyService::open(*options).ok();
}

} // namespace

FUZZ(input) {
  static ev::Loop loop;
  static fuzz::InputServer server(loop);
  const unsigned which = fuzz::take_byte(input);
  if ((which & 2) != 0) return name_it(input);
  server.pieces = fuzz::cut(input.substr(0, 50'000));
  if ((which & 1) != 0)
    ask_policy(loop, server);
  else
    ask_socketmap(loop, server);
  server.settle();
}
