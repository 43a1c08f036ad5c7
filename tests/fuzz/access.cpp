// SPDX-License-Identifier: MIT
// What administrators and their tables say about clients: restrictions, and the actions of access
// tables and policy services. The first line is a list of restrictions, the second says HELO,
// sender and recipient ("-": none yet, "<>": the empty one), the rest is an action.
#include "base/ascii.hpp"
#include "base/words.hpp"
#include "config.hpp"
#include "fuzz/input_server.hpp"
#include "policy_service.hpp"
#include "restrict.hpp"
#include "support/fake_dns.hpp"
#include "support/run_task.hpp"
#include "unit/smtpd/test_lists.hpp"

namespace postrider::smtpd {
namespace {

enum Option : unsigned {
  soft = 1,   // soft_bounce
  known = 2,  // a client with a name, a certificate and a login
  broken = 4, // tables of main.cf fail
  strict = 8, // nobody is listed, and what is not known is put off at once
  form = 16,  // the action is default_rbl_reply
};            // three more bits: recipients so far

constexpr std::string_view kZone = R"(
good.example             MX   10 mx.good.example
good.example             NS   ns.good.example
mx.good.example          A    192.0.2.25
ns.good.example          A    192.0.2.53
backup.example           MX   10 mx.good.example
backup.example           MX   20 mx.ours.example
mx.ours.example          A    192.0.2.200
numeric.example          MX   10 192.0.2.26
lost.example             MX   10 slow.example
client.example           A    192.0.2.7
client.example           NS   ns.good.example
null.example             MX   0 .
slow.example             TEMPORARY SERVFAIL
7.2.0.192.bl.example     A    127.0.0.4
7.2.0.192.bl.example     TXT  spam$client
7.2.0.192.slow.bl.example TEMPORARY SERVFAIL
7.2.0.192.wl.example     A    127.0.0.1
good.example.bl.example  A    127.0.0.2
helo.example.bl.example  A    127.0.0.2
client.example.bl.example A   127.0.0.2
client.example.wl.example A   127.0.0.2
)";

// The input's action, whatever is asked.
std::shared_ptr<maps::MapList> table_of(const std::string& action) {
  auto made = maps::open_maps("static:{" + action + "}", {});
  if (!made) return nullptr;
  made->take_empty_answers();
  return std::make_shared<maps::MapList>(std::move(*made));
}

std::shared_ptr<maps::MapList> table_or_trouble(unsigned options, const std::string& spec) {
  return std::make_shared<maps::MapList>(
      *maps::open_maps((options & broken) != 0 ? "fail:x" : spec, {}));
}

Peer make_client(unsigned options) {
  Peer peer;
  peer.address = "192.0.2.7";
  if ((options & known) == 0) {
    peer.name_status = dns::NameStatus::temporary;
    peer.reverse_name_status =
        (options & strict) != 0 ? dns::NameStatus::temporary : dns::NameStatus::not_found;
    return peer;
  }
  peer.name = peer.reverse_name = "client.example";
  peer.name_status = peer.reverse_name_status = dns::NameStatus::ok;
  peer.tls.protocol = "TLSv1.3";
  peer.tls.has_certificate = true;
  peer.tls.trusted = (options & strict) != 0;
  peer.tls.fingerprint = "AA:BB";
  peer.tls.key_fingerprint = "CC:DD";
  peer.login.method = "PLAIN";
  peer.login.user = "joe";
  peer.trusted = (options & strict) != 0;
  return peer;
}

// "-": not said yet.
std::optional<std::string> said(const std::vector<std::string_view>& words, std::size_t i,
                                std::string_view otherwise) {
  const std::string_view word = i < words.size() ? words[i] : otherwise;
  if (word == "-") return std::nullopt;
  return word == "<>" ? std::string() : std::string(word);
}

// The rest of a line, which is taken off.
std::string_view take_line(ByteView& input) {
  const std::size_t end = std::min(input.find('\n'), input.size());
  const ByteView line = input.substr(0, end);
  input.remove_prefix(std::min(input.size(), end + 1));
  return line.substr(0, 500);
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
  static fuzz::InputServer server(loop);
  const unsigned options = fuzz::take_byte(input);
  const std::string list(take_line(input));
  const std::vector<std::string_view> names = split(take_line(input), " ");
  std::string action(input.substr(0, 2000));
  // A table's value is one logical line.
  for (char& c : action)
    if (c == '\n' || c == '\r' || c == '\0') c = ' ';
  if (const auto parsed = PolicyOptions::parse(action, PolicyOptions()))
    POSTRIDER_CHECK(!parsed->server.empty() && parsed->try_limit > 0);
  for (const std::string& text : {lowercase(list), lowercase(action)})
    if (text.find("sleep") != text.npos && text.find("sleep 0") == text.npos) return;
  const auto words = split_words(list);
  if (!words) return;

  WordContext context;
  context.bare = (options & strict) != 0 ? Subject::none : Subject::recipient;
  context.is_class = [](const std::string& name) { return name == "a_class"; };
  context.open_table = [&](const std::string& spec) -> Result<std::shared_ptr<maps::MapList>> {
    auto table = (options & broken) != 0 ? table_or_trouble(options, "") : table_of(action);
    if (!table) return Error(ErrorKind::config, spec);
    return table;
  };
  server.pieces = {"action=" + action + "\n\n"};
  context.open_service = [&](const std::string&) {
    PolicyOptions service;
    service.server = "unix:" + server.path();
    service.try_limit = 1;
    return PolicyService::open(service);
  };
  Rules rules;
  rules.lists = std::make_shared<TestLists>();
  rules.own_addresses = {"192.0.2.200"};
  rules.soft_bounce = (options & soft) != 0;
  rules.reject_unlisted_sender = rules.reject_unlisted_recipient = (options & strict) != 0;
  rules.defer_unknown_helo = rules.defer_unknown_address = (options & strict) != 0;
  if ((options & form) != 0) rules.dns_list_reply = action;
  rules.dns_list_replies =
      table_or_trouble(options, "inline:{{bl.example=$rbl_code 4.7.1 $rbl_class [$rbl_what] by "
                                "$rbl_domain${rbl_reason?; $rbl_reason} for $client $client_name "
                                "$client_address $helo_name $sender $sender_name $sender_domain "
                                "$recipient $recipient_name $recipient_domain $other}}");
  rules.client_certificates = table_or_trouble(options, "inline:{CC:DD=x}");
  rules.sender_logins = table_or_trouble(options, "inline:{{from@good.example=joe, ann}}");
  rules.logged_permits =
      std::make_shared<maps::MatchList>(*maps::MatchList::open("static:all", {}, {}));
  rules.mx_backup_networks =
      std::make_shared<maps::MatchList>(*maps::MatchList::open("192.0.2.0/24", {}, {}));
  rules.unlisted = [options](const std::string& address,
                             bool) -> Result<std::optional<smtp::Refusal>> {
    if ((options & broken) != 0) return Error(ErrorKind::io, "tables fail");
    if ((options & strict) == 0) return std::optional<smtp::Refusal>();
    return std::optional(smtp::Refusal{550, "5.1.1", "<" + address + ">: unknown"});
  };
  const auto parsed = parse_restrictions(*words, context);
  if (!parsed) {
    POSTRIDER_CHECK(!parsed.error().text().empty());
    return;
  }
  (void)guard_relay(*parsed, rules.classes);
  rules.client = rules.helo = rules.sender = rules.recipient = rules.data = *parsed;
  rules.end_of_data = *parsed;
  rules.classes["a_class"] = *parsed;

  const Peer peer = make_client(options);
  Situation at;
  at.peer = &peer;
  at.where = "RCPT";
  at.helo = said(names, 0, "helo.example").value_or("");
  at.sender = said(names, 1, "from@good.example");
  at.recipient = said(names, 2, "to@ours.example");
  at.recipients = options >> 5;
  Effects effects;
  Deferral doubt;
  const Walk::Log log = [&](std::string_view act, std::string_view text) {
    POSTRIDER_CHECK(!act.empty());
    (void)log_line(at, act, text);
  };
  for (const Stage stage : {Stage::client, Stage::helo, Stage::sender, Stage::recipient,
                            Stage::data, Stage::end_of_data}) {
    POSTRIDER_CHECK(rules.asks(stage) || parsed->empty());
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
  rules = Rules(); // with its connections
  dns.forget_asked();
  server.settle();
}
