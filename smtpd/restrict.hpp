// SPDX-License-Identifier: MIT
// Who may do what: walks a list of restrictions over facts that the session has found out, in
// Postfix's order and with its words. Asks tables, the DNS and policy services; sends nothing and
// changes nothing: what came out of it is for the session to do.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dns/resolver.hpp"
#include "maps/keys.hpp"
#include "maps/match_list.hpp"
#include "peer.hpp"
#include "restrict_words.hpp"
#include "smtp/command.hpp"

namespace postrider::smtpd {

class Lists;

// When a list is looked at. The order is that of a session.
enum class Stage : std::uint8_t { client, helo, sender, recipient, data, end_of_data };

// Reply codes; the first digit decides, the enhanced code follows it.
struct Codes {
  int relay_denied = 554; // relay_domains_reject_code
  int access_reject = 554;
  int access_defer = 450;
  int reject = 554;
  int defer = 450;
  int dns_list = 554;
  int invalid_hostname = 501;
  int non_fqdn = 504;
  int unknown_client = 450;
  int unknown_hostname = 450;
  int unknown_address = 450;
  int plaintext = 450;
  int multi_recipient_bounce = 550;
};

// What main.cf says. One per (re)load; immutable, but for the tables.
struct Rules {
  Restrictions client, helo, sender, relay, recipient, data, end_of_data;
  ClassLists classes;
  bool delay_reject = true;
  bool reject_unlisted_recipient = false;
  bool reject_unlisted_sender = false;
  bool soft_bounce = false;

  // *_tempfail_action = defer: at once, instead of when the rest would permit.
  bool defer_unknown_helo = false;
  bool defer_unknown_address = false;
  Codes codes;
  std::string null_key = "<>";
  std::string delimiters;     // recipient_delimiter
  bool parents_match = false; // smtpd_access_maps in parent_domain_matches_subdomains
  std::string dns_list_reply; // default_rbl_reply; empty: the built-in one
  std::shared_ptr<maps::MapList> dns_list_replies;
  std::shared_ptr<maps::MapList> client_certificates; // relay_clientcerts
  std::shared_ptr<maps::MapList> sender_logins;       // smtpd_sender_login_maps
  std::shared_ptr<maps::MatchList> mx_backup_networks;
  std::shared_ptr<maps::MatchList> logged_permits;
  std::vector<std::string> own_addresses;   // of inet_interfaces
  std::vector<std::string> proxy_addresses; // proxy_interfaces
  Duration dns_limit = std::chrono::seconds(30);
  std::shared_ptr<Lists> lists;
  // What to answer for an address of a domain of ours that no table lists; nullopt: it is listed.
  // A question for maps::ask(). Empty: every address counts as listed.
  std::function<Result<std::optional<smtp::Refusal>>(const std::string& address, bool is_sender)>
      unlisted;

  // Whether a walk of this stage could find anything.
  bool asks(Stage stage) const;
};

// The facts. Owner: the session; they stay as they are during a walk.
struct Situation {
  const Peer* peer = nullptr;
  std::string where = "CONNECT"; // "EHLO", "RCPT": for the log and policy services
  std::string protocol = "SMTP";
  std::string helo;                     // empty: none yet
  std::optional<std::string> sender;    // once MAIL was given
  std::optional<std::string> recipient; // of RCPT; the only one later
  std::size_t recipients = 0;           // accepted so far
  std::uint64_t size = 0;               // as announced; at the end of data as received
  std::string sasl_sender;              // MAIL AUTH=
  std::string instance;                 // the same for all questions about one message
  std::string server_address, server_port;
};

// What tables and policy services ask for besides yes and no. It adds up over a transaction.
struct Effects {
  std::string hold; // why; empty: no
  bool discard = false;
  std::string redirect; // empty: no
  std::string filter;   // "transport:nexthop"; empty: no
  std::vector<std::string> bcc;
  std::vector<std::string> headers; // to stand in front
};

// Mail that may not be accepted without knowing more: the first reason counts.
using Deferral = std::optional<smtp::Refusal>;

class Walk {
 public:
  // One line of the log: "warn", "hold", "reject_warning" ... and what is behind "from client: ".
  using Log = std::function<void(std::string_view action, std::string_view text)>;

  // All of these outlive it.
  Walk(ev::Loop& loop, dns::Resolver& resolver, const Rules& rules, const Situation& situation,
       Effects& effects, const Log& log)
      : loop_(loop), resolver_(resolver), rules_(rules), at_(situation), effects_(effects),
        log_(log) {}

  // WAITS. What to answer; nullopt: nothing against it. `doubt` (defer_if_permit) comes from the
  // stage before and is passed on to the next one; from Stage::recipient on it is settled here.
  ev::Task<std::optional<smtp::Refusal>> run(Stage stage, Deferral& doubt);

 private:
  enum class Verdict { dunno, ok, reject };
  // "<name>: class rejected: ...": what a reply is about.
  struct View {
    std::string name;
    std::string_view cls;
    View(std::string n, std::string_view c) : name(std::move(n)), cls(c) {}
  };
  View view_of(Stage stage) const;

  // --- the walk (restrict.cpp)
  ev::Task<Verdict> list(const Restrictions& list, const View& view);
  ev::Task<Verdict> step(ev::Lent<const Restriction> one, const View& view);
  std::optional<Verdict> simple(const Restriction& one, const View& view);
  Verdict permit(std::string_view action, const View& view, std::string_view from = {});
  Verdict reject(int code, std::string_view dsn, std::string text);
  // As reject, but a warning does not do: something here is out of order.
  Verdict trouble(int code, std::string_view dsn, std::string text);
  Verdict misconfigured(std::string_view what);
  Verdict doubt(bool at_once, int code, std::string_view dsn, std::string text);
  Verdict doubt_refusal(int code, std::string_view dsn, std::string text);
  std::string said(const View& view, std::string_view what) const;
  std::optional<std::string> name_of(Subject subject) const;
  View view_of(Subject subject) const;

  // --- names and addresses (restrict_names.cpp)
  ev::Task<Verdict> authorise(Word word, const View& view);
  ev::Task<Result<bool>> is_final(const std::string& address, bool relay_too);
  ev::Task<Verdict> mx_backup(const View& view);
  ev::Task<Verdict> unknown_helo();
  ev::Task<Verdict> unknown_domain(Subject subject);
  ev::Task<Verdict> unlisted(Subject subject);
  ev::Task<Verdict> login_mismatch(Word word);
  ev::Task<Verdict> client_certificate(const View& view);
  Verdict helo_form(Word word);
  Verdict address_form(Subject subject);

  // --- the DNS (restrict_dns.cpp)
  ev::Task<dns::Answer> query(const std::string& name, dns::Type type);
  // A and AAAA.
  struct Hosts {
    dns::Status status = dns::Status::temporary;
    std::vector<std::string> addresses;
    Hosts() {}
  };
  ev::Task<Hosts> addresses_of(const std::string& name);
  ev::Task<Verdict> dns_list_client(ev::Lent<const Restriction> one);
  ev::Task<Verdict> dns_list_domain(ev::Lent<const Restriction> one);
  ev::Task<Verdict> dns_list_verdict(ev::Lent<const Restriction> one, const std::string& query,
                                     const std::string& what, const View& about);
  ev::Task<Result<std::string>> dns_list_form(const std::string& list);
  Result<std::string> dns_list_reply(const std::string& form, const std::string& list,
                                     const std::string& what, std::string_view cls,
                                     const std::string& reason);

  // --- access tables (restrict_access.cpp)
  ev::Task<Verdict> access(ev::Lent<const Restriction> one);
  ev::Task<Verdict> server_access(ev::Lent<const Restriction> one, const std::string& name);
  ev::Task<Verdict> look_up(ev::Lent<const Restriction> one,
                            const std::vector<maps::SearchKey>& keys, const View& view,
                            bool& found);
  ev::Task<Verdict> act(const std::string& table, const std::string& action, const View& view);
  ev::Task<Verdict> act_as_list(const std::string& table, const std::string& action,
                                const View& view);
  std::vector<maps::SearchKey> domain_keys(std::string_view domain, bool whole) const;
  std::vector<maps::SearchKey> host_keys(const std::string& name, const std::string& address) const;
  ev::Task<Verdict> policy_service(ev::Lent<const Restriction> one, const View& view);

  ev::Loop& loop_;
  dns::Resolver& resolver_;
  const Rules& rules_;
  const Situation& at_;
  Effects& effects_;
  const Log& log_;
  Stage stage_ = Stage::client;
  int depth_ = 0;
  int warn_ = 0;        // the depth at which warn_if_reject was said; 0: nowhere
  bool over_ = false;   // trouble, or DISCARD: nothing further is looked at
  bool listed_ = false; // reject_unlisted_* was looked at
  Deferral defer_if_permit_, defer_if_reject_;
  smtp::Refusal refusal_;
};

// "a%b@c", "a!b@c", "a@b"@c: a local part in which some systems see a further destination. From
// strangers that is no mail for us, whatever its domain.
bool has_routing(std::string_view address);

// The text after "NOQUEUE: ": "reject: RCPT from name[address]: text; from=<> to=<> proto=
// helo=<>".
std::string log_line(const Situation& at, std::string_view action, std::string_view text);

} // namespace postrider::smtpd
