// SPDX-License-Identifier: MIT
// outcomes: prints the table by which the clients decide what becomes of mail.
#include "command.hpp"
#include "json.hpp"
#include "smtpclient/outcome_table.hpp"
#include "text.hpp"

namespace postrider::ctl {

namespace {

int run_outcomes(const Invocation& in) {
  if (!in.words().empty()) return fail(in, exit_usage, "outcomes takes no words");
  const auto lines = smtpclient::outcome_table();
  if (in.json) {
    std::vector<json::Members> rows;
    for (const smtpclient::TableLine& line : lines)
      rows.push_back({{"step", std::string(line.step)},
                      {"failure", std::string(line.failure)},
                      {"outcome", std::string(line.outcome)},
                      {"dsn", std::string(line.dsn)},
                      {"next", std::string(line.next)},
                      {"scope", std::string(line.scope)},
                      {"meaning", std::string(line.meaning)}});
    print(json::of_objects(rows));
    return exit_ok;
  }
  Table table({"STEP", "FAILURE", "OUTCOME", "CODE", "THEN", "SCOPE", "MEANING"});
  const auto cell = [](std::string_view text) { return text.empty() ? "-" : std::string(text); };
  for (const smtpclient::TableLine& line : lines)
    table.add({cell(line.step), cell(line.failure), cell(line.outcome), cell(line.dsn),
               cell(line.next), cell(line.scope), cell(line.meaning)});
  print(table.text());
  print(
      "\nA server's own enhanced code is used where its class is that of the outcome. \"next host\""
      "\nholds while hosts and sessions are left (smtp_mx_address_limit, smtp_mx_session_limit). A"
      "\n5xx greeting counts as 4xx with smtp_skip_5xx_greeting = yes. A session from the cache "
      "that"
      "\nfails before MAIL is accepted is no attempt: another one is used.\n");
  return exit_ok;
}

} // namespace

const std::vector<Command>& reference_commands() {
  static const std::vector<Command> commands = {
      {"outcomes", "", "what becomes of mail for each failure at each step", {}, run_outcomes},
      tls_command(),
  };
  return commands;
}

} // namespace postrider::ctl
