// SPDX-License-Identifier: MIT
// What administrators and their tables say about clients: restrictions, and the actions of access
// tables and policy services. The first line is a list of restrictions, the rest an action.
#include "base/words.hpp"
#include "config.hpp"
#include "fuzz/target.hpp"
#include "policy_service.hpp"
#include "restrict.hpp"
#include "support/fake_dns.hpp"
#include "support/run_task.hpp"
#include "unit/smtpd/test_lists.hpp"

namespace postrider::smtpd {
namespace {

constexpr std::string_view kZone = R"(
good.example             MX   10 mx.good.example
mx.good.example          A    192.0.2.25
null.example             MX   0 .
slow.example             TEMPORARY SERVFAIL
7.2.0.192.bl.example     A    127.0.0.4
7.2.0.192.bl.example     TXT  spam$client
)";

// The input's action, whatever is asked.
std::shared_ptr<maps::MapList> table_of(const std::string& action) {
  auto made = maps::open_maps("static:{" + action + "}", {});
  if (!made) return nullptr;
  made->take_empty_answers();
  return std::make_shared<maps::MapList>(std::move(*made));
}

void check_line(std::string_view text) {
  POSTRIDER_CHECK(text.find_first_of(std::string_view("\r\0", 2)) == text.npos, text);
}

} // namespace
} // namespace postrider::smtpd

FUZZ(input) {
  using namespace postrider;
  using namespace postrider::smtpd;
  static ev::Loop loop;
  static test::FakeDns dns(loop, kZone);
  const unsigned options = fuzz::take_byte(input);
  const std::size_t end = std::min(input.find('\n'), input.size());
  const std::string list(input.substr(0, std::min<std::size_t>(end, 500)));
  std::string action(input.substr(std::min(input.size(), end + 1)).substr(0, 2000));
  // A table's value is one logical line.
  for (char& c : action)
    if (c == '\n' || c == '\r' || c == '\0') c = ' ';
  if (const auto parsed = PolicyOptions::parse(action, PolicyOptions()))
    POSTRIDER_CHECK(!parsed->server.empty() && parsed->try_limit > 0);
  // Neither sleeps nor asks anybody.
  for (const std::string_view word : {"sleep", "policy"})
    if (list.find(word) != list.npos || action.find(word) != action.npos) return;
  const auto words = split_words(list);
  if (!words) return;

  WordContext context;
  context.bare = Subject::recipient;
  context.is_class = [](const std::string& name) { return name == "a_class"; };
  context.open_table = [&](const std::string& spec) -> Result<std::shared_ptr<maps::MapList>> {
    auto table = table_of(action);
    if (!table) return Error(ErrorKind::config, spec);
    return table;
  };
  Rules rules;
  rules.lists = std::make_shared<TestLists>();
  rules.own_addresses = {"192.0.2.200"};
  rules.soft_bounce = (options & 1) != 0;
  const auto parsed = parse_restrictions(*words, context);
  if (!parsed) {
    POSTRIDER_CHECK(!parsed.error().text().empty());
    return;
  }
  (void)guard_relay(*parsed, rules.classes);
  rules.client = rules.helo = rules.sender = rules.recipient = rules.data = *parsed;
  rules.end_of_data = *parsed;
  rules.classes["a_class"] = *parsed;

  Peer peer;
  peer.name = peer.reverse_name = "client.example";
  peer.address = "192.0.2.7";
  Situation at;
  at.peer = &peer;
  at.where = "RCPT";
  at.helo = "helo.example";
  at.sender = (options & 2) != 0 ? "" : "from@good.example";
  at.recipient = (options & 4) != 0 ? "a%b@ours.example" : "to@ours.example";
  at.recipients = options >> 5;
  Effects effects;
  Deferral doubt;
  const Walk::Log log = [&](std::string_view act, std::string_view text) {
    POSTRIDER_CHECK(!act.empty());
    (void)log_line(at, act, text);
  };
  for (const Stage stage : {Stage::client, Stage::helo, Stage::sender, Stage::recipient,
                            Stage::data, Stage::end_of_data}) {
    Walk walk(loop, dns, rules, at, effects, log);
    const auto refusal =
        test::run_task<std::optional<smtp::Refusal>>(loop, [&] { return walk.run(stage, doubt); });
    if (!refusal) continue;
    POSTRIDER_CHECK(refusal->code >= 400 && refusal->code <= 599);
    POSTRIDER_CHECK(refusal->dsn.starts_with(refusal->code >= 500 ? '5' : '4'), refusal->dsn);
    check_line(refusal->text);
    POSTRIDER_CHECK(refusal->text.find('\n') == std::string::npos, refusal->text);
  }
  for (const std::string& header : effects.headers)
    check_line(header);
  check_line(effects.redirect);
  for (const std::string& address : effects.bcc)
    check_line(address);
}
