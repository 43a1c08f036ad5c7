// SPDX-License-Identifier: MIT
// flush, retry, hold, release, requeue, delete: one request to qmgr, which counts what it did.
#include "client.hpp"
#include "command.hpp"
#include "json.hpp"
#include "selector.hpp"
#include "view.hpp"

namespace postrider::ctl {

namespace {

using proto::Action;

int act(const Invocation& in, Action action) {
  auto select =
      parse_selector(in.arguments, action == Action::flush ? Empty::is_all : Empty::is_error);
  if (!select) return fail(in, exit_usage, select.error().text());
  const auto directory = find_queue_directory(in);
  if (!directory) return fail(in, directory.error());
  auto client = Client::to_qmgr(*directory);
  if (!client) return fail(in, client.error());
  const bool by_id = !select->ids.empty();
  proto::Act request;
  request.action = action;
  request.select = std::move(*select);
  request.dry_run = in.has("dry-run");
  if (action == Action::hold) request.reason = in.value("because");
  auto acted = (*client)->order<proto::Acted>(request);
  if (!acted) return fail(in, acted.error());
  if (in.json)
    print(json::of(*acted, verb_of(action), request.dry_run) + "\n");
  else
    print(view(*acted, action, request.dry_run));
  return by_id && acted->matched == 0 ? exit_not_found : exit_ok;
}

template <Action action>
int run(const Invocation& in) {
  return act(in, action);
}

std::vector<Option> options_of(Action action) {
  std::vector<Option> out = {{"dry-run,n", "", "only say what would be done"}};
  if (action == Action::hold) out.push_back({"because", "TEXT", "why, for `why` and the log"});
  out.insert(out.end(), selector_options().begin(), selector_options().end());
  return out;
}

} // namespace

const std::vector<Command>& action_commands() {
  static const std::vector<Command> commands = {
      {"flush", "[ALL | ID...]", "try all deferred mail, or what is selected, now",
       options_of(Action::flush), run<Action::flush>},
      {"retry", "ALL | ID...", "try the selected mail now", options_of(Action::retry),
       run<Action::retry>},
      {"hold", "ALL | ID...", "keep the selected mail back until `release`",
       options_of(Action::hold), run<Action::hold>},
      {"release", "ALL | ID...", "let held mail go", options_of(Action::release),
       run<Action::release>},
      {"requeue", "ALL | ID...", "start the selected mail over: no attempts, routed anew",
       options_of(Action::requeue), run<Action::requeue>},
      {"delete", "ALL | ID...", "remove the selected mail without a report",
       options_of(Action::remove), run<Action::remove>},
  };
  return commands;
}

} // namespace postrider::ctl
