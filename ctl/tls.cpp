// SPDX-License-Identifier: MIT
// tls: what protects mail to a next hop, and every link of the chain of reasons. Asks the tables
// and the DNS itself, as the client would; connects to nobody.
#include <optional>

#include "command.hpp"
#include "dns/self_test.hpp"
#include "ev/group.hpp"
#include "json.hpp"
#include "smtpclient/dane.hpp"
#include "smtpclient/name_service.hpp"
#include "smtpclient/setup.hpp"
#include "smtpclient/tls_client.hpp"
#include "text.hpp"

namespace postrider::ctl {

namespace {

using smtpclient::TlsLevel;
using smtpclient::TlsPlanPtr;

constexpr auto kSelfTestTime = std::chrono::seconds(10);

// What is found out about one server.
struct Finding {
  std::string server; // "mx.example.com[192.0.2.1]:25"; empty: none was found
  std::string asked;  // the level, and where it stands
  std::string level;  // in force; empty: no mail goes
  std::vector<std::string> reasons;
  std::string proves; // what the certificate has to
  std::string server_name;
  std::string trouble;
};

std::string joined(const std::vector<std::string>& words, std::string_view between) {
  std::string out;
  for (const std::string& word : words)
    out += (out.empty() ? "" : std::string(between)) + word;
  return out;
}

std::string proof_of(const tls::Expectation& expected) {
  using Proof = tls::Expectation::Proof;
  switch (expected.proof) {
  case Proof::none: return "nothing";
  case Proof::names:
    return std::string(expected.anchors ? "a chain to a trust anchor" : "a chain to a root") +
           ", and a name: " + joined(expected.names, ", ");
  case Proof::fingerprint:
    return "a " + expected.digest + " fingerprint: " + joined(expected.fingerprints, ", ");
  case Proof::dane:
    return "a TLSA record; for a trust anchor (usage 2) also a name: " +
           joined(expected.names, ", ");
  }
  return {};
}

// The look-ups of one command, as a client process has them.
class Lookup {
 public:
  Lookup(ev::Loop& loop, smtpclient::ClientSetup& setup, dns::Resolver& resolver)
      : loop_(loop), setup_(setup), resolver_(resolver), offload_(loop),
        names_(loop, resolver, setup.tables.dns_reply_filter, setup.options),
        finder_(loop, names_, setup.options.lookup_native ? &offload_ : nullptr, setup.options),
        client_(loop, setup.options, setup.tables, setup.tls, nullptr) {}

  // WAITS.
  ev::Task<void> run(ev::Lent<const std::vector<smtpclient::Nexthop>> hops) {
    if (setup_.options.dnssec)
      dnssec_trouble_ = co_await dns::find_dnssec_trouble(resolver_, setup_.dns.anchors,
                                                          loop_.after(kSelfTestTime));
    for (const smtpclient::Nexthop& hop : *hops)
      co_await look_at(hop);
  }

  const std::vector<Finding>& findings() const { return findings_; }
  const std::string& dnssec_trouble() const { return dnssec_trouble_; }

 private:
  ev::Task<void> look_at(ev::Lent<const smtpclient::Nexthop> hop) {
    const smtpclient::Targets targets = co_await finder_.find(hop);
    if (targets.trouble) {
      Finding finding;
      finding.trouble = targets.trouble->detail;
      findings_.push_back(std::move(finding));
    }
    for (const smtpclient::Endpoint& endpoint : targets.endpoints)
      co_await look_at(hop, endpoint);
  }

  ev::Task<void> look_at(ev::Lent<const smtpclient::Nexthop> hop,
                         ev::Lent<const smtpclient::Endpoint> endpoint) {
    Finding finding;
    finding.server = endpoint->peer().shown_with_port();
    Result<TlsPlanPtr> plan = co_await client_.plan(hop, endpoint->host);
    if (plan) {
      const TlsLevel asked = (*plan)->policy.level;
      finding.asked = std::string(to_string(asked)) + (*plan)->source;
      if (smtpclient::is_dane(asked)) {
        const smtpclient::DaneFacts facts = co_await smtpclient::find_dane_facts(
            loop_, names_, setup_.options, asked, hop, endpoint);
        finding.reasons = dane_reasons(facts, setup_.options.tls);
        const smtpclient::Dane dane = decide_dane(asked, setup_.options.tls, facts);
        if (!dane.why.empty()) finding.reasons.push_back(dane.why);
        plan = client_.with_dane(*plan, dane);
      }
    }
    if (plan) {
      const TlsLevel before = (*plan)->policy.level;
      plan = co_await client_.with_sts(*plan, hop, endpoint->host, nullptr);
      if (plan && (*plan)->policy.level != before)
        finding.reasons.emplace_back("the domain has a policy of MTA-STS (see postrider sts)");
    }
    if (!plan) {
      finding.trouble = plan.error().text();
    } else {
      const smtpclient::TlsPolicy& policy = (*plan)->policy;
      const smtpclient::ServerNames names{hop->name, endpoint->host};
      tls::Expectation expected = expectation_of(policy, setup_.options.tls, names);
      expected.anchors = (*plan)->anchors;
      finding.level = to_string(policy.level);
      finding.proves = proof_of(expected);
      finding.server_name = server_name_of(policy, names);
    }
    findings_.push_back(std::move(finding));
  }

  ev::Loop& loop_;
  smtpclient::ClientSetup& setup_;
  dns::Resolver& resolver_;
  ev::Offload offload_;
  smtpclient::NameService names_;
  smtpclient::TargetFinder finder_;
  smtpclient::TlsClient client_;
  std::vector<Finding> findings_;
  std::string dnssec_trouble_;
};

ev::RootTask run_lookup(Lookup& lookup, const std::vector<smtpclient::Nexthop>& hops, bool& done) {
  co_await lookup.run(hops);
  done = true;
}

void print_text(const std::string& nexthop, const Lookup& lookup) {
  if (!lookup.dnssec_trouble().empty())
    complain("warning: DANE cannot work here: " + shown(lookup.dnssec_trouble()));
  for (const Finding& f : lookup.findings()) {
    std::string out = shown(f.server.empty() ? nexthop : f.server) + ":\n";
    const auto line = [&](std::string_view name, const std::string& value) {
      if (value.empty()) return;
      out += "  " + std::string(name) + std::string(14 - name.size(), ' ') + shown(value) + "\n";
    };
    line("asked", f.asked);
    for (const std::string& reason : f.reasons)
      line("because", reason);
    line("level", f.level);
    line("to be proved", f.level == "none" ? "" : f.proves);
    line("server name", f.server_name);
    line("no mail goes", f.trouble);
    print(out);
  }
}

void print_json(const Lookup& lookup) {
  std::vector<json::Members> rows;
  for (const Finding& f : lookup.findings())
    rows.push_back({{"server", f.server},
                    {"asked", f.asked},
                    {"reasons", joined(f.reasons, "\n")},
                    {"level", f.level},
                    {"proof", f.proves},
                    {"server_name", f.server_name},
                    {"trouble", f.trouble},
                    {"dnssec_trouble", lookup.dnssec_trouble()}});
  print(json::of_objects(rows));
}

int run_tls(const Invocation& in) {
  if (in.words().size() != 1)
    return fail(in, exit_usage, "tls: name one domain or next hop, as in transport tables");
  const Result<config::Settings> settings = load_settings(in);
  if (!settings) return fail(in, settings.error());
  auto setup = smtpclient::ClientSetup::load(*settings, in.has("lmtp") ? smtpclient::Flavor::lmtp
                                                                       : smtpclient::Flavor::smtp);
  if (!setup) return fail(in, setup.error());
  const auto hops = smtpclient::parse_nexthops(in.words().front(), setup->options);
  if (!hops) return fail(in, exit_usage, "tls: " + hops.error().text());
  ev::Loop loop;
  auto resolver = dns::UnboundResolver::create(loop, setup->dns);
  if (!resolver) return fail(in, resolver.error());
  Lookup lookup(loop, *setup, **resolver);
  bool done = false;
  ev::Group group(loop);
  group.spawn(run_lookup(lookup, *hops, done), "look-ups");
  while (!done)
    loop.turn(true);
  while (!group.empty())
    loop.turn(false);
  if (in.json)
    print_json(lookup);
  else
    print_text(in.words().front(), lookup);
  for (const Finding& f : lookup.findings())
    if (f.trouble.empty()) return exit_ok;
  return exit_failed;
}

} // namespace

const Command& tls_command() {
  static const Command command = {"tls",
                                  "NEXTHOP",
                                  "what protects mail to a domain, and why",
                                  {{"lmtp", "", "as the lmtp client has it"}},
                                  run_tls};
  return command;
}

} // namespace postrider::ctl
