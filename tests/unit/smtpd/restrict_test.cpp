// SPDX-License-Identifier: MIT
// Restrictions as a table: lists, a situation, and what comes of it. Tables are inline:, the DNS is
// scripted, policy services are in policy_service_test.cpp.
#include "restrict.hpp"

#include <algorithm>
#include <gtest/gtest.h>

#include "base/words.hpp"
#include "config.hpp"
#include "support/fake_dns.hpp"
#include "support/run_task.hpp"

namespace postrider::smtpd {
namespace {

constexpr std::string_view kZone = R"(
mx.good.example          A    192.0.2.25
good.example             MX   10 mx.good.example
good.example             NS   ns.good.example
ns.good.example          A    192.0.2.53
null.example             MX   0 .
bare.example             A    192.0.2.80
slow.example             TEMPORARY SERVFAIL
backup.example           MX   10 primary.example
backup.example           MX   20 mx.ours.example
primary.example          A    198.51.100.1
mx.ours.example          A    192.0.2.200
7.2.0.192.bl.example     A    127.0.0.4
7.2.0.192.bl.example     TXT  spam$client
7.2.0.192.wl.example     A    127.0.9.1
7.2.0.192.slow.bl.example TEMPORARY SERVFAIL
8.b.d.0.1.0.0.2.ip6.arpa NXDOMAIN
bad.example.dbl.example  A    127.0.1.2
client.example.dbl.example A  127.0.1.9
)";

class RestrictLists final : public Lists {
 public:
  Result<bool> is_trusted(const Peer&) override { return false; }
  Result<bool> is_ours(const std::string& domain) override {
    if (domain == "trouble.example") return Error(ErrorKind::io, "table trouble");
    return domain == "ours.example" || domain == "relay.example";
  }
  Result<bool> is_final(const std::string& domain) override { return domain == "ours.example"; }
  Result<bool> is_free_of_limits(const Peer&) override { return false; }
  Result<bool> may_send_bare_newlines(const Peer&) override { return false; }
  Result<bool> may_submit(const std::string&) override { return true; }
};

Result<std::shared_ptr<maps::MapList>> open_table(const std::string& spec) {
  auto opened = maps::open_maps(spec, {});
  if (!opened) return opened.error();
  return std::make_shared<maps::MapList>(std::move(*opened));
}

Result<Restrictions> parse(std::string_view text, Subject bare = Subject::recipient,
                           const std::vector<std::string>& classes = {}) {
  WordContext context;
  context.bare = bare;
  context.open_table = &open_table;
  context.is_class = [&](const std::string& name) {
    return std::find(classes.begin(), classes.end(), name) != classes.end();
  };
  return parse_restrictions(*split_words(text), context);
}

class Restrict : public testing::Test {
 protected:
  Restrict() : dns(loop, kZone) {
    rules.lists = std::make_shared<RestrictLists>();
    rules.own_addresses = {"192.0.2.200"};
    peer.name = peer.reverse_name = "client.example";
    peer.name_status = peer.reverse_name_status = dns::NameStatus::ok;
    peer.address = "192.0.2.7";
    at.peer = &peer;
    at.where = "RCPT";
    at.helo = "helo.example";
    at.sender = "from@good.example";
    at.recipient = "to@ours.example";
  }
  // "554 5.7.1 text", or "ok".
  std::string run(Stage stage) {
    const Walk::Log log = [this](std::string_view action, std::string_view text) {
      logged.push_back(std::string(action) + ": " + std::string(text));
    };
    Walk walk(loop, dns, rules, at, effects, log);
    const auto refusal =
        test::run_task<std::optional<smtp::Refusal>>(loop, [&] { return walk.run(stage, doubt); });
    if (!refusal) return "ok";
    return std::to_string(refusal->code) + " " + refusal->dsn + " " + refusal->text;
  }
  std::string recipient(std::string_view list) {
    const auto parsed = parse(list);
    if (!parsed) return parsed.error().text();
    rules.recipient = *parsed;
    doubt.reset();
    return run(Stage::recipient);
  }

  ev::Loop loop;
  test::FakeDns dns;
  Rules rules;
  Peer peer;
  Situation at;
  Effects effects;
  Deferral doubt;
  std::vector<std::string> logged;
};

struct Row {
  std::string_view list, answer;
};

// Each list for the same mail: from@good.example to to@ours.example, from
// client.example[192.0.2.7], a stranger.
TEST_F(Restrict, WordsForAStranger) {
  const std::string to = "<to@ours.example>: Recipient address rejected: ";
  const Row rows[] = {
      {"", "ok"},
      {"permit_mynetworks, reject", "554 5.7.1 TO Access denied"},
      {"permit, reject", "ok"},
      {"reject", "554 5.7.1 TO Access denied"},
      {"defer", "450 4.3.2 TO Try again later"},
      {"permit_auth_destination, reject", "ok"},
      {"reject_unauth_destination", "ok"},
      {"permit_sasl_authenticated, permit_tls_all_clientcerts, permit_inet_interfaces, reject",
       "554 5.7.1 TO Access denied"},
      {"reject_plaintext_session", "450 4.7.1 Session encryption is required"},
      {"warn_if_reject reject", "ok"},
      {"warn_if_reject reject, defer", "450 4.3.2 TO Try again later"},
      {"defer_if_permit", "450 4.7.0 TO defer_if_permit requested"},
      {"defer_if_permit, permit", "450 4.7.0 TO defer_if_permit requested"},
      {"defer_if_permit, reject", "554 5.7.1 TO Access denied"},
      {"defer_if_reject", "ok"},
      {"defer_if_reject, reject", "450 4.7.0 TO defer_if_reject requested"},
      {"defer_if_reject, defer", "450 4.3.2 TO Try again later"},
      {"defer_if_permit, defer_if_reject, reject", "450 4.7.0 TO defer_if_permit requested"},
      {"reject_non_fqdn_helo_hostname, reject_invalid_helo_hostname", "ok"},
      {"reject_unknown_helo_hostname",
       "450 4.7.1 <helo.example>: Helo command rejected: Host not found"},
      {"reject_unknown_sender_domain, reject_non_fqdn_sender, reject_non_fqdn_recipient", "ok"},
      {"reject_unknown_client_hostname, reject_unknown_reverse_client_hostname", "ok"},
      {"reject_unlisted_recipient, reject_unauth_pipelining, sleep 0", "ok"},
      {"check_recipient_access inline:{ours.example=REJECT}", "554 5.7.1 TO Access denied"},
      {"inline:{ours.example=REJECT}", "554 5.7.1 TO Access denied"},
      {"check_client_access inline:{192.0.2=REJECT}",
       "554 5.7.1 <client.example[192.0.2.7]>: Client host rejected: Access denied"},
      {"check_client_access inline:{192.0.2.7=OK, 192.0.2=REJECT}, reject", "ok"},
      {"check_client_access inline:{client.example=DUNNO, 192.0.2=REJECT}", "ok"},
      {"check_client_access cidr:{{192.0.2.0/24 REJECT}}",
       "554 5.7.1 <client.example[192.0.2.7]>: Client host rejected: Access denied"},
      {"check_helo_access inline:{.example=REJECT}",
       "554 5.7.1 <helo.example>: Helo command rejected: Access denied"},
      {"check_helo_access inline:{example=REJECT}", "ok"},
      {"check_sender_access inline:{from@=DEFER}",
       "450 4.7.1 <from@good.example>: Sender address rejected: Access denied"},
      {"check_reverse_client_hostname_access inline:{client.example=REJECT}",
       "554 5.7.1 <client.example>: Unverified Client host rejected: Access denied"},
      {"check_reverse_client_hostname_access inline:{client.example=OK}",
       "451 4.3.5 Server configuration error"},
      {"check_sender_mx_access inline:{192.0.2=REJECT}",
       "554 5.7.1 <from@good.example>: Sender address rejected: Access denied"},
      {"check_sender_mx_access inline:{mx.good.example=REJECT}",
       "554 5.7.1 <from@good.example>: Sender address rejected: Access denied"},
      {"check_sender_ns_access cidr:{{192.0.2.53/32 REJECT}}",
       "554 5.7.1 <from@good.example>: Sender address rejected: Access denied"},
      {"check_sender_a_access cidr:{{192.0.2.0/24 REJECT}}", "ok"},
      {"check_sender_mx_access inline:{192.0.2=OK}", "451 4.3.5 Server configuration error"},
      {"check_recipient_access fail:x", "451 4.3.5 TO Server configuration error"},
      {"reject_rbl_client bl.example",
       "554 5.7.1 Service unavailable; Client host [192.0.2.7] blocked using bl.example; "
       "spam$client"},
      {"reject_rbl_client bl.example=127.0.0.[2;4..8]",
       "554 5.7.1 Service unavailable; Client host [192.0.2.7] blocked using bl.example; "
       "spam$client"},
      {"reject_rbl_client bl.example=127.0.0.[5..8]", "ok"},
      {"reject_rbl_client slow.bl.example", "ok"},
      {"reject_rhsbl_client dbl.example",
       "554 5.7.1 Service unavailable; Client host [client.example] blocked using dbl.example"},
      {"reject_rhsbl_sender dbl.example", "ok"},
      {"permit_dnswl_client wl.example, reject", "ok"},
      {"permit_dnswl_client slow.bl.example, reject",
       "450 4.7.1 <192.0.2.7>: Client host rejected: Service unavailable"},
      {"permit_mx_backup, reject", "ok"},
      {"reject_multi_recipient_bounce", "ok"},
  };
  for (const Row& row : rows) {
    std::string expected(row.answer);
    if (const std::size_t mark = expected.find("TO "); mark != std::string::npos)
      expected.replace(mark, 3, to);
    effects = {};
    EXPECT_EQ(recipient(row.list), expected) << row.list;
  }
}

TEST_F(Restrict, FormsOfHelo) {
  struct Helo {
    std::string_view name, invalid, non_fqdn;
  };
  const std::string name = "501 5.5.2 <NAME>: Helo command rejected: Invalid name";
  const std::string fqdn = "504 5.5.2 <NAME>: Helo command rejected: need fully-qualified hostname";
  const std::string address = "501 5.5.2 <NAME>: Helo command rejected: invalid ip address";
  const Helo rows[] = {
      {"a.example", "ok", "ok"},           {"a.example.", "ok", "ok"},
      {"localhost", "ok", fqdn},           {"a..example", name, fqdn},
      {"a.example..", name, fqdn},         {"-a.example", name, fqdn},
      {"192.0.2.1", "ok", fqdn},           {"[192.0.2.1]", "ok", "ok"},
      {"[192.0.2.300]", address, address}, {"[IPv6:2001:db8::1]", "ok", "ok"},
  };
  for (const Helo& row : rows) {
    at.helo = row.name;
    const auto expected = [&](std::string_view text) {
      std::string out(text);
      if (const std::size_t mark = out.find("NAME"); mark != std::string::npos)
        out.replace(mark, 4, row.name);
      return out;
    };
    EXPECT_EQ(recipient("reject_invalid_helo_hostname"), expected(row.invalid));
    EXPECT_EQ(recipient("reject_non_fqdn_helo_hostname"), expected(row.non_fqdn));
  }
}

TEST_F(Restrict, DomainsThatAreNotThere) {
  struct Domain {
    std::string_view address, sender, recipient;
  };
  const Domain rows[] = {
      {"u@good.example", "ok", "ok"},
      {"u@bare.example", "ok", "ok"},
      {"u@ours.example", "ok", "ok"}, // ours: not asked
      {"u@gone.example", "450 4.1.8 <u@gone.example>: Sender address rejected: Domain not found",
       "450 4.1.2 <u@gone.example>: Recipient address rejected: Domain not found"},
      {"u@slow.example", "450 4.1.8 <u@slow.example>: Sender address rejected: Domain not found",
       "450 4.1.2 <u@slow.example>: Recipient address rejected: Domain not found"},
      {"u@null.example",
       "550 5.7.27 <u@null.example>: Sender address rejected: Domain null.example does not accept "
       "mail (nullMX)",
       "556 5.1.10 <u@null.example>: Recipient address rejected: Domain null.example does not "
       "accept mail (nullMX)"},
      {"u@[192.0.2.1]", "ok", "ok"},
  };
  for (const Domain& row : rows) {
    at.sender = at.recipient = row.address;
    EXPECT_EQ(recipient("reject_unknown_sender_domain"), row.sender);
    EXPECT_EQ(recipient("reject_unknown_recipient_domain"), row.recipient);
  }
  // A name server in trouble: what refuses for good wins.
  at.sender = "u@slow.example";
  at.recipient = "u@far.example";
  EXPECT_EQ(recipient("reject_unknown_sender_domain, reject_unauth_destination"),
            "554 5.7.1 <u@far.example>: Relay access denied");
  rules.defer_unknown_address = true;
  EXPECT_EQ(recipient("reject_unknown_sender_domain, reject_unauth_destination"),
            "450 4.1.8 <u@slow.example>: Sender address rejected: Domain not found");
}

TEST_F(Restrict, RelayIsForDomainsOfOurs) {
  struct Address {
    std::string_view address, reject, defer;
  };
  const std::string denied = "554 5.7.1 <ADDR>: Relay access denied";
  const std::string waits = "454 4.7.1 <ADDR>: Relay access denied";
  const Address rows[] = {
      {"u@ours.example", "ok", "ok"},
      {"u@relay.example", "ok", "ok"},
      {"postmaster", "ok", "ok"},
      {"u@far.example", denied, waits},
      {"u%far.example@ours.example", denied, waits},
      {"far!u@ours.example", denied, waits},
      {"u@trouble.example", "451 4.3.0 <ADDR>: Temporary lookup failure",
       "451 4.3.0 <ADDR>: Temporary lookup failure"},
  };
  for (const Address& row : rows) {
    at.recipient = row.address;
    const auto expected = [&](std::string_view text) {
      std::string out(text);
      if (const std::size_t mark = out.find("ADDR"); mark != std::string::npos)
        out.replace(mark, 4, row.address);
      return out;
    };
    EXPECT_EQ(recipient("reject_unauth_destination"), expected(row.reject));
    EXPECT_EQ(recipient("defer_unauth_destination"), expected(row.defer));
  }
  // No table and no list in the DNS opens the relay for such an address.
  at.recipient = "far!u@ours.example";
  EXPECT_EQ(recipient("check_recipient_access inline:{ours.example=OK}, "
                      "permit_dnswl_client wl.example, reject_unauth_destination"),
            "554 5.7.1 <far!u@ours.example>: Relay access denied");
}

TEST_F(Restrict, BackupMx) {
  at.recipient = "u@backup.example";
  EXPECT_EQ(recipient("permit_mx_backup, reject_unauth_destination"), "ok");
  rules.mx_backup_networks = std::make_shared<maps::MatchList>(
      std::move(*maps::MatchList::open("203.0.113.0/24", {}, {})));
  EXPECT_EQ(recipient("permit_mx_backup, reject_unauth_destination"),
            "554 5.7.1 <u@backup.example>: Relay access denied");
  rules.mx_backup_networks = std::make_shared<maps::MatchList>(
      std::move(*maps::MatchList::open("198.51.100.0/24", {}, {})));
  EXPECT_EQ(recipient("permit_mx_backup, reject_unauth_destination"), "ok");
  at.recipient = "u@good.example"; // we are no MX of it
  EXPECT_EQ(recipient("permit_mx_backup, reject_unauth_destination"),
            "554 5.7.1 <u@good.example>: Relay access denied");
  at.recipient = "u@slow.example"; // perhaps
  EXPECT_EQ(recipient("permit_mx_backup, reject_unauth_destination").substr(0, 10), "450 4.4.4 ");
}

TEST_F(Restrict, ActionsOfAccessTables) {
  const std::string to = "<to@ours.example>: Recipient address rejected: ";
  const Row rows[] = {
      {"OK", "ok"},
      {"RELAY", "ok"},
      {"12345678", "ok"},
      {"DUNNO", "554 5.7.1 TO Access denied"}, // the rest of the list
      {"REJECT", "554 5.7.1 TO Access denied"},
      {"reject go away", "554 5.7.1 TO go away"},
      {"REJECT 5.1.1 go away", "554 5.1.1 TO go away"},
      {"DEFER later", "450 4.7.1 TO later"},
      {"550 no", "550 5.7.1 TO no"},
      {"450", "ok"},
      {"450 5.1.8 x", "450 4.1.2 TO x"},
      {"451 4.3.5 trouble", "451 4.3.5 TO trouble"},
      {"521 5.3.2 closed", "521 5.3.2 TO closed"},
      {"DEFER_IF_PERMIT x", "554 5.7.1 TO Access denied"},
      {"DEFER_IF_REJECT x", "450 4.7.1 TO x"},
      {"permit_mynetworks, defer", "450 4.3.2 TO Try again later"},
      {"reject_unauth_destination, permit", "ok"},
      {"DISCARD", "ok"},
      {"no_such_word", "451 4.3.5 Server configuration error"},
      {"check_client_access inline:{}", "451 4.3.5 Server configuration error"},
  };
  for (const Row& row : rows) {
    std::string expected(row.answer);
    if (const std::size_t mark = expected.find("TO "); mark != std::string::npos)
      expected.replace(mark, 3, to);
    effects = {};
    const std::string list =
        "check_recipient_access inline:{{to@ours.example = " + std::string(row.list) + "}}, reject";
    EXPECT_EQ(recipient(list), expected) << row.list;
  }
}

TEST_F(Restrict, EffectsOfAccessTables) {
  const auto with = [&](std::string_view action) {
    effects = {};
    logged.clear();
    return recipient("check_recipient_access inline:{{ours.example = " + std::string(action) +
                     "}}");
  };
  EXPECT_EQ(with("HOLD look at it"), "ok");
  EXPECT_EQ(effects.hold, "look at it");
  EXPECT_EQ(logged,
            std::vector<std::string>{"hold: <to@ours.example>: Recipient address look at it"});
  EXPECT_EQ(with("REDIRECT other@far.example"), "ok");
  EXPECT_EQ(effects.redirect, "other@far.example");
  EXPECT_EQ(logged.at(0),
            "redirect: <to@ours.example>: Recipient address triggers REDIRECT other@far.example");
  EXPECT_EQ(with("REDIRECT nobody"), "ok");
  EXPECT_EQ(effects.redirect, "");
  EXPECT_EQ(with("BCC copy@far.example"), "ok");
  EXPECT_EQ(effects.bcc, std::vector<std::string>{"copy@far.example"});
  EXPECT_EQ(with("PREPEND X-Seen: yes"), "ok");
  EXPECT_EQ(effects.headers, std::vector<std::string>{"X-Seen: yes"});
  EXPECT_EQ(with("PREPEND no header"), "ok");
  EXPECT_TRUE(effects.headers.empty());
  EXPECT_EQ(with("DISCARD"), "ok");
  EXPECT_TRUE(effects.discard);
  EXPECT_EQ(with("FILTER smtp:x"), "ok"); // a warning
  EXPECT_EQ(with("WARN hm"), "ok");
  EXPECT_EQ(logged, std::vector<std::string>{"warn: hm"});
  EXPECT_EQ(with("INFO hm"), "ok");
  EXPECT_EQ(logged, std::vector<std::string>{"info: hm"});
}

TEST_F(Restrict, KeysOfAddresses) {
  rules.delimiters = "+";
  at.recipient = "user+ext@sub.ours.example";
  for (const std::string_view key : {"user+ext@sub.ours.example", "user@sub.ours.example",
                                     "sub.ours.example", ".ours.example", "user+ext@", "user@"})
    EXPECT_EQ(recipient("inline:{" + std::string(key) + "=DEFER}").substr(0, 3), "450") << key;
  for (const std::string_view key : {"ours.example", "user", "ext@sub.ours.example"})
    EXPECT_EQ(recipient("inline:{" + std::string(key) + "=DEFER}"), "ok") << key;
  rules.parents_match = true;
  EXPECT_EQ(recipient("inline:{ours.example=DEFER}").substr(0, 3), "450");
  EXPECT_EQ(recipient("inline:{.ours.example=DEFER}"), "ok");
  at.sender = "";
  EXPECT_EQ(recipient("check_sender_access inline:{<>=DEFER}").substr(0, 3), "450");
  rules.null_key = "nobody";
  EXPECT_EQ(recipient("check_sender_access inline:{nobody=DEFER}").substr(0, 3), "450");
}

TEST_F(Restrict, KeysOfAddressesOfHosts) {
  peer.name = "unknown";
  peer.address = "2001:db8:1::7";
  for (const std::string_view key : {"2001:db8:1::7", "2001:db8:1", "2001:db8", "2001"})
    EXPECT_EQ(
        recipient("check_client_access inline:{{" + std::string(key) + " = DEFER}}").substr(0, 3),
        "450")
        << key;
  EXPECT_EQ(recipient("check_client_access inline:{{200 = DEFER}}"), "ok");
}

// What one list permits, another one may refuse; a doubt goes from stage to stage.
TEST_F(Restrict, StagesFollowEachOther) {
  rules.client = *parse("permit");
  rules.sender = *parse("defer_if_permit", Subject::sender);
  rules.relay = *parse("permit");
  EXPECT_EQ(run(Stage::client), "ok");
  EXPECT_EQ(run(Stage::sender), "ok");
  ASSERT_TRUE(doubt);
  EXPECT_EQ(run(Stage::recipient),
            "450 4.7.0 <from@good.example>: Sender address rejected: defer_if_permit requested");
  rules.recipient = *parse("reject");
  EXPECT_EQ(run(Stage::recipient),
            "554 5.7.1 <to@ours.example>: Recipient address rejected: Access denied");
  rules.data = *parse("reject");
  rules.end_of_data = *parse("defer");
  doubt.reset();
  EXPECT_EQ(run(Stage::data), "554 5.7.1 <DATA>: Data command rejected: Access denied");
  EXPECT_EQ(run(Stage::end_of_data),
            "450 4.3.2 <END-OF-MESSAGE>: End-of-data rejected: Try again later");
}

TEST_F(Restrict, ClassesAreLists) {
  rules.classes["strict"] = *parse("warn_if_reject reject, defer");
  rules.classes["again"] = *parse("again", Subject::none, {"again"});
  const std::vector<std::string> names{"strict", "again"};
  rules.recipient = *parse("strict", Subject::recipient, names);
  EXPECT_EQ(run(Stage::recipient).substr(0, 9), "450 4.3.2");
  EXPECT_EQ(recipient("inline:{ours.example=strict}").substr(0, 9), "450 4.3.2");
  rules.recipient = *parse("again", Subject::recipient, names);
  EXPECT_EQ(run(Stage::recipient), "451 4.3.5 Server configuration error");
}

// shows: smtpd_sender_login_maps
TEST_F(Restrict, OwnersOfSenders) {
  rules.sender_logins = *open_table("inline:{{from@good.example = anna, bert}}");
  const std::string owned = "553 5.7.1 <from@good.example>: Sender address rejected: not owned by "
                            "user carl";
  const std::string anonymous =
      "553 5.7.1 <from@good.example>: Sender address rejected: not logged in";
  struct Login {
    std::string_view user, all, known, authenticated, unauthenticated;
  };
  const Login rows[] = {
      {"", anonymous, anonymous, "ok", anonymous},
      {"Anna", "ok", "ok", "ok", "ok"},
      {"carl", owned, owned, owned, "ok"},
  };
  for (const Login& row : rows) {
    peer.login.user = row.user;
    peer.login.method = row.user.empty() ? "" : "PLAIN";
    EXPECT_EQ(recipient("reject_sender_login_mismatch"), row.all);
    EXPECT_EQ(recipient("reject_known_sender_login_mismatch"), row.known);
    EXPECT_EQ(recipient("reject_authenticated_sender_login_mismatch"), row.authenticated);
    EXPECT_EQ(recipient("reject_unauthenticated_sender_login_mismatch"), row.unauthenticated);
  }
  at.sender = "free@good.example";
  EXPECT_EQ(recipient("reject_sender_login_mismatch").substr(0, 9), "553 5.7.1");
  EXPECT_EQ(recipient("reject_known_sender_login_mismatch"), "ok");
}

TEST_F(Restrict, FactsOfTheClient) {
  peer.login.method = "PLAIN";
  EXPECT_EQ(recipient("permit_sasl_authenticated, reject"), "ok");
  peer.login.user = "anna";
  EXPECT_EQ(recipient("check_sasl_access inline:{anna=REJECT}"),
            "554 5.7.1 <anna>: SASL login name rejected: Access denied");
  peer.trusted = true;
  EXPECT_EQ(recipient("permit_mynetworks, reject"), "ok");
  peer.tls.protocol = "TLSv1.3";
  EXPECT_EQ(recipient("reject_plaintext_session"), "ok");
  peer.tls.has_certificate = true;
  peer.tls.fingerprint = "AA:BB";
  peer.tls.key_fingerprint = "CC:DD";
  EXPECT_EQ(recipient("permit_tls_all_clientcerts, reject").substr(0, 3), "554");
  peer.tls.trusted = true;
  EXPECT_EQ(recipient("permit_tls_all_clientcerts, reject"), "ok");
  rules.client_certificates = *open_table("inline:{{CC:DD = anna}}");
  EXPECT_EQ(recipient("permit_tls_clientcerts, reject"), "ok");
  EXPECT_EQ(recipient("check_ccert_access inline:{{AA:BB = REJECT}}").substr(0, 3), "554");
  EXPECT_EQ(recipient("check_ccert_access {inline:{{CC:DD = REJECT}}, "
                      "{search_order = cert_fingerprint}}"),
            "ok");
  peer.name_status = dns::NameStatus::forged;
  EXPECT_EQ(recipient("reject_unknown_client_hostname"),
            "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.7]");
  rules.codes.unknown_client = 550;
  EXPECT_EQ(recipient("reject_unknown_client_hostname").substr(0, 10), "550 5.7.25");
  peer.name_status = dns::NameStatus::temporary;
  EXPECT_EQ(recipient("reject_unknown_client_hostname").substr(0, 10), "450 4.7.25");
  at.sender = "";
  at.recipients = 1;
  EXPECT_EQ(recipient("reject_multi_recipient_bounce"),
            "550 5.5.3 <to@ours.example>: Recipient address rejected: Multi-recipient bounce");
}

TEST_F(Restrict, RepliesOfDnsLists) {
  rules.dns_list_reply = "$rbl_code 5.7.9 $client_address is on $rbl_domain${rbl_reason?: "
                         "$rbl_reason}, $sender_domain";
  EXPECT_EQ(recipient("reject_rbl_client bl.example"),
            "554 5.7.9 192.0.2.7 is on bl.example: spam$client, good.example");
  rules.dns_list_replies = *open_table("inline:{{bl.example = 550 go to $$ $rbl_what}}");
  EXPECT_EQ(recipient("reject_rbl_client bl.example"), "550 5.7.1 go to $ 192.0.2.7");
}

TEST_F(Restrict, PermissionsAreLogged) {
  rules.logged_permits = std::make_shared<maps::MatchList>(
      std::move(*maps::MatchList::open("permit_auth_destination, ok", {}, {})));
  EXPECT_EQ(recipient("permit_auth_destination"), "ok");
  EXPECT_EQ(recipient("inline:{to@ours.example=OK}"), "ok");
  EXPECT_EQ(recipient("permit"), "ok");
  EXPECT_EQ(logged,
            (std::vector<std::string>{
                "permit: action=permit_auth_destination for Recipient address=to@ours.example",
                "permit: action=OK for Recipient address=to@ours.example from "
                "inline:{to@ours.example=OK}"}));
}

TEST(RestrictWords, ParseAndGuard) {
  struct Words {
    std::string_view words;
    bool guards;
    std::string_view error; // a part of it
  };
  const Words rows[] = {
      {"permit_mynetworks, Reject_Unauth_Destination", true, ""},
      {"permit_mynetworks permit_sasl_authenticated defer_unauth_destination", true, ""},
      {"permit_mynetworks, permit, reject", false, ""},
      {"permit_mynetworks", false, ""},
      {"", false, ""},
      {"permit_auth_destination, defer", true, ""},
      {"warn_if_reject reject_unauth_destination", false, ""},
      {"warn_if_reject reject_unauth_destination, reject", true, ""},
      {"check_recipient_access", false, "needs something behind it"},
      {"reject_rbl_client, reject", false, "needs something behind it"},
      {"reject_unauth_destinatio", false, "did you mean reject_unauth_destination?"},
      {"reject_unverified_recipient", false, "not in this version"},
      {"check_client_access nosuchtype:x", false, "nosuchtype"},
      {"sleep much", false, "number of seconds"},
      {"reject_rbl_client bl.example=1.2.3", false, "1.2.3"},
      {"reject_rbl_client bl.example=127.0.0.[9..2]", false, "[9..2]"},
  };
  for (const Words& row : rows) {
    const auto list = parse(row.words);
    ASSERT_EQ(list.ok(), row.error.empty()) << row.words;
    if (list)
      EXPECT_EQ(guard_relay(*list, {}), row.guards) << row.words;
    else
      EXPECT_NE(list.error().text().find(row.error), std::string::npos) << list.error().text();
  }
  EXPECT_FALSE(parse("inline:{a=OK}", Subject::none).ok());
  ClassLists classes;
  classes["guard"] = *parse("reject_unauth_destination");
  classes["loop"] = *parse("loop", Subject::none, {"loop"});
  EXPECT_TRUE(guard_relay(*parse("guard", Subject::none, {"guard"}), classes));
  EXPECT_FALSE(guard_relay(*parse("loop", Subject::none, {"loop"}), classes));
}

TEST(DnsListText, StringsOfOneRecord) {
  EXPECT_EQ(text_of_txt(std::string_view("\3abc\2de", 7)), "abcde");
  EXPECT_EQ(text_of_txt(std::string_view("\011abc", 4)), "abc"); // cut
  EXPECT_EQ(reversed_address("192.0.2.1"), "1.2.0.192");
  EXPECT_EQ(reversed_address("2001:db8::1").size(), 63U);
  EXPECT_EQ(reversed_address("2001:db8::1").substr(0, 6), "1.0.0.");
  EXPECT_EQ(reversed_address("nobody"), "");
}

} // namespace
} // namespace postrider::smtpd
