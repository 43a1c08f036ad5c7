// SPDX-License-Identifier: MIT
#include "restrict.hpp"

#include <algorithm>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "config.hpp"
#include "ev/wait.hpp"
#include "mail/address.hpp"

namespace postrider::smtpd {

namespace {

// Lists within lists: classes that name each other, tables that name classes.
constexpr int kDeepest = 100;
// A reply is one line (RFC 5321 section 4.5.3.1.5).
constexpr std::size_t kLongestText = 500;

std::string_view class_of(Subject subject) {
  switch (subject) {
  case Subject::client: return "Client host";
  case Subject::reverse_client: return "Unverified Client host";
  case Subject::helo: return "Helo command";
  case Subject::sender: return "Sender address";
  case Subject::recipient: return "Recipient address";
  case Subject::ccert: return "Client certificate";
  case Subject::sasl: return "SASL login name";
  case Subject::none: break;
  }
  return "";
}

smtp::Refusal consistent(int code, std::string_view dsn, std::string_view text) {
  smtp::Refusal refusal{code, std::string(dsn), log::printable(text.substr(0, kLongestText))};
  refusal.dsn.front() = static_cast<char>('0' + code / 100);
  return refusal;
}

} // namespace

bool has_routing(std::string_view address) {
  return mail::local_part(address).find_first_of("%!@") != std::string_view::npos;
}

std::string log_line(const Situation& at, std::string_view action, std::string_view text) {
  std::string line = std::string(action) + ": " + at.where + " from " + at.peer->shown() + ": " +
                     std::string(text) + ";";
  if (at.sender) line += " from=<" + mail::to_external(*at.sender) + ">";
  if (at.recipient) line += " to=<" + mail::to_external(*at.recipient) + ">";
  line += " proto=" + at.protocol;
  if (!at.helo.empty()) line += " helo=<" + at.helo + ">";
  if (!at.peer->login.user.empty()) line += " sasl_username=<" + at.peer->login.user + ">";
  return line;
}

std::string Walk::said(const View& view, std::string_view what) const {
  return "<" + view.name + ">: " + std::string(view.cls) + std::string(what);
}

// The name of a subject, where there is one.
std::optional<std::string> Walk::name_of(Subject subject) const {
  const auto known = [](const std::string& text) {
    return text.empty() ? std::nullopt : std::optional<std::string>(text);
  };
  switch (subject) {
  case Subject::client: return at_.peer->name;
  case Subject::reverse_client: return at_.peer->reverse_name;
  case Subject::helo: return known(at_.helo);
  case Subject::sender: return at_.sender;
  case Subject::recipient: return at_.recipient;
  case Subject::sasl: return known(at_.peer->login.user);
  case Subject::ccert:
  case Subject::none: break;
  }
  return std::nullopt;
}

Walk::View Walk::view_of(Subject subject) const {
  std::string name = name_of(subject).value_or("");
  if (subject == Subject::client || subject == Subject::ccert) name = at_.peer->shown();
  if (subject == Subject::sender || subject == Subject::recipient) name = mail::to_external(name);
  return {std::move(name), class_of(subject)};
}

Walk::View Walk::view_of(Stage stage) const {
  switch (stage) {
  case Stage::client: return view_of(Subject::client);
  case Stage::helo: return view_of(Subject::helo);
  case Stage::sender: return view_of(Subject::sender);
  case Stage::recipient: return view_of(Subject::recipient);
  case Stage::data: return {"DATA", "Data command"};
  case Stage::end_of_data: return {"END-OF-MESSAGE", "End-of-data"};
  }
  POSTRIDER_UNREACHABLE();
}

// --- verdicts ----------------------------------------------------------------------------------

Walk::Verdict Walk::permit(std::string_view action, const View& view, std::string_view from) {
  if (rules_.logged_permits) {
    const Result<bool> wanted = rules_.logged_permits->matches_domain(action);
    if (wanted && *wanted) {
      std::string text =
          "action=" + std::string(action) + " for " + std::string(view.cls) + "=" + view.name;
      if (!from.empty()) text += " from " + std::string(from);
      log_("permit", text);
    }
  }
  return Verdict::ok;
}

Walk::Verdict Walk::reject(int code, std::string_view dsn, std::string text) {
  const smtp::Refusal refusal = consistent(code, dsn, text);
  if (warn_ != 0) {
    log_("reject_warning", std::to_string(refusal.code) + " " + refusal.dsn + " " + refusal.text);
    return Verdict::dunno;
  }
  // What was not found out before might have permitted it.
  refusal_ = defer_if_reject_ && code >= 500 ? *defer_if_reject_ : refusal;
  return Verdict::reject;
}

Walk::Verdict Walk::trouble(int code, std::string_view dsn, std::string text) {
  refusal_ = consistent(code, dsn, text);
  over_ = true;
  return Verdict::reject;
}

Walk::Verdict Walk::misconfigured(std::string_view what) {
  log::warning(what);
  return trouble(451, "4.3.5", "Server configuration error");
}

// For *_tempfail_action. The first reason counts.
Walk::Verdict Walk::doubt(bool at_once, int code, std::string_view dsn, std::string text) {
  if (at_once || warn_ != 0) return reject(code, dsn, std::move(text));
  if (!defer_if_permit_) defer_if_permit_ = consistent(code, dsn, text);
  return Verdict::dunno;
}

// The same the other way round: what was not found out might have permitted it.
Walk::Verdict Walk::doubt_refusal(int code, std::string_view dsn, std::string text) {
  if (!defer_if_reject_) defer_if_reject_ = consistent(code, dsn, text);
  return Verdict::dunno;
}

// --- the walk ----------------------------------------------------------------------------------

bool Rules::asks(Stage stage) const {
  switch (stage) {
  case Stage::client: return !client.empty();
  case Stage::helo: return !helo.empty();
  case Stage::sender: return !sender.empty() || reject_unlisted_sender;
  case Stage::recipient: return !relay.empty() || !recipient.empty() || reject_unlisted_recipient;
  case Stage::data: return !data.empty();
  case Stage::end_of_data: return !end_of_data.empty();
  }
  return true;
}

ev::Task<std::optional<smtp::Refusal>> Walk::run(Stage stage, Deferral& carried) {
  stage_ = stage;
  defer_if_permit_ = carried;
  const View view = view_of(stage);
  Verdict verdict = Verdict::dunno;
  const Restrictions* lists[2] = {nullptr, nullptr};
  switch (stage) {
  case Stage::client: lists[0] = &rules_.client; break;
  case Stage::helo: lists[0] = &rules_.helo; break;
  case Stage::sender: lists[0] = &rules_.sender; break;
  case Stage::recipient:
    lists[0] = &rules_.relay; // permit in one does not skip the other
    lists[1] = &rules_.recipient;
    break;
  case Stage::data: lists[0] = &rules_.data; break;
  case Stage::end_of_data: lists[0] = &rules_.end_of_data; break;
  }
  for (const Restrictions* one : lists) {
    if (one == nullptr || verdict == Verdict::reject) continue;
    verdict = co_await list(*one, view);
  }
  warn_ = 0;
  const bool settles = stage >= Stage::recipient;
  if (verdict != Verdict::reject && settles && defer_if_permit_ && !effects_.discard) {
    verdict = reject(defer_if_permit_->code, defer_if_permit_->dsn, defer_if_permit_->text);
  }
  const bool sender = stage == Stage::sender && rules_.reject_unlisted_sender;
  const bool recipient = stage == Stage::recipient && rules_.reject_unlisted_recipient;
  const Subject listed = sender ? Subject::sender : Subject::recipient;
  if (verdict != Verdict::reject && (sender || recipient) && !listed_ && !effects_.discard)
    verdict = co_await unlisted(listed);
  carried = defer_if_permit_;
  if (verdict == Verdict::reject) co_return refusal_;
  co_return std::nullopt;
}

ev::Task<Walk::Verdict> Walk::list(const Restrictions& list, const View& view) {
  if (depth_ >= kDeepest) co_return misconfigured("restriction lists name each other without end");
  ++depth_;
  Verdict verdict = Verdict::dunno;
  for (const Restriction& one : list) {
    if (effects_.discard) break;
    if (one.row->word == Word::warn_if_reject) {
      if (warn_ == 0) warn_ = depth_;
      continue;
    }
    const std::optional<Verdict> at_once = simple(one, view);
    if (at_once) verdict = *at_once;
    if (!at_once) verdict = co_await step(one, view);
    if (warn_ >= depth_) warn_ = 0;
    if (verdict != Verdict::dunno || over_) break;
    // Whatever the rest says, the answer is one of the two deferrals.
    if (defer_if_permit_ && defer_if_reject_) break;
  }
  --depth_;
  co_return verdict;
}

// What needs neither table nor network; nullopt: not of these.
std::optional<Walk::Verdict> Walk::simple(const Restriction& one, const View& view) {
  const Codes& codes = rules_.codes;
  const Peer& peer = *at_.peer;
  const auto is = [&](Word word) { return one.row->word == word; };
  const auto permit_if = [&](bool yes) {
    return yes ? permit(one.row->name, view) : Verdict::dunno;
  };
  if (is(Word::permit)) return permit(one.row->name, view);
  if (is(Word::reject))
    return reject(codes.reject, "5.7.1", said(view, " rejected: Access denied"));
  if (is(Word::defer))
    return reject(codes.defer, "4.3.2", said(view, " rejected: Try again later"));
  if (is(Word::defer_if_permit))
    return doubt(false, 450, "4.7.0", said(view, " rejected: defer_if_permit requested"));
  if (is(Word::defer_if_reject))
    return doubt_refusal(450, "4.7.0", said(view, " rejected: defer_if_reject requested"));
  if (is(Word::permit_mynetworks)) return permit_if(peer.trusted);
  if (is(Word::permit_inet_interfaces)) {
    const auto& own = rules_.own_addresses;
    return permit_if(peer.local || std::find(own.begin(), own.end(), peer.address) != own.end());
  }
  if (is(Word::permit_sasl_authenticated)) return permit_if(!peer.login.method.empty());
  if (is(Word::permit_tls_all_clientcerts))
    return permit_if(peer.tls.has_certificate && peer.tls.trusted);
  if (is(Word::reject_plaintext_session)) {
    if (!peer.tls.protocol.empty()) return Verdict::dunno;
    return reject(codes.plaintext, "4.7.1", "Session encryption is required");
  }
  // Covered: smtpd_forbid_unauth_pipelining ends such a session before any list is looked at.
  if (is(Word::reject_unauth_pipelining)) return Verdict::dunno;
  if (is(Word::reject_unknown_client_hostname) ||
      is(Word::reject_unknown_reverse_client_hostname)) {
    const bool forward = is(Word::reject_unknown_client_hostname);
    const dns::NameStatus status = forward ? peer.name_status : peer.reverse_name_status;
    if (status == dns::NameStatus::ok) return Verdict::dunno;
    return reject(status == dns::NameStatus::temporary ? 450 : codes.unknown_client, "4.7.25",
                  std::string("Client host rejected: cannot find your ") +
                      (forward ? "hostname" : "reverse hostname") + ", [" + peer.address + "]");
  }
  if (is(Word::reject_invalid_helo_hostname) || is(Word::reject_non_fqdn_helo_hostname))
    return helo_form(one.row->word);
  if (is(Word::reject_non_fqdn_address)) return address_form(one.row->subject);
  if (is(Word::reject_multi_recipient_bounce)) {
    const std::size_t all = at_.recipients + (stage_ == Stage::recipient ? 1 : 0);
    if (!at_.sender || !at_.sender->empty() || all < 2) return Verdict::dunno;
    return reject(codes.multi_recipient_bounce, "5.5.3",
                  said(view, " rejected: Multi-recipient bounce"));
  }
  return std::nullopt;
}

ev::Task<Walk::Verdict> Walk::step(ev::Lent<const Restriction> one, const View& view) {
  switch (one->row->word) {
  case Word::restriction_class: {
    const auto found = rules_.classes.find(one->argument);
    if (found == rules_.classes.end())
      co_return misconfigured("no restriction class " + one->argument);
    co_return co_await list(found->second, view);
  }
  case Word::sleep: {
    Result<void> slept = co_await ev::sleep_for(loop_, one->pause);
    if (!slept) co_return trouble(421, "4.3.2", "Service is closing");
    co_return Verdict::dunno;
  }
  case Word::permit_auth_destination:
  case Word::reject_unauth_destination:
  case Word::defer_unauth_destination: co_return co_await authorise(one->row->word, view);
  case Word::permit_mx_backup: co_return co_await mx_backup(view);
  case Word::permit_tls_clientcerts: co_return co_await client_certificate(view);
  case Word::reject_unknown_helo_hostname: co_return co_await unknown_helo();
  case Word::reject_unknown_domain: co_return co_await unknown_domain(one->row->subject);
  case Word::reject_unlisted: co_return co_await unlisted(one->row->subject);
  case Word::reject_sender_login_mismatch:
  case Word::reject_known_sender_login_mismatch:
  case Word::reject_authenticated_sender_login_mismatch:
  case Word::reject_unauthenticated_sender_login_mismatch:
    co_return co_await login_mismatch(one->row->word);
  case Word::check_access: co_return co_await access(one);
  case Word::check_policy_service: co_return co_await policy_service(one, view);
  case Word::reject_rbl_client:
  case Word::permit_dnswl_client: co_return co_await dns_list_client(one);
  case Word::reject_rhsbl:
  case Word::permit_rhswl_client: co_return co_await dns_list_domain(one);
  case Word::permit:
  case Word::reject:
  case Word::defer:
  case Word::warn_if_reject:
  case Word::defer_if_permit:
  case Word::defer_if_reject:
  case Word::permit_mynetworks:
  case Word::permit_inet_interfaces:
  case Word::permit_sasl_authenticated:
  case Word::permit_tls_all_clientcerts:
  case Word::reject_unauth_pipelining:
  case Word::reject_plaintext_session:
  case Word::reject_unknown_client_hostname:
  case Word::reject_unknown_reverse_client_hostname:
  case Word::reject_invalid_helo_hostname:
  case Word::reject_non_fqdn_helo_hostname:
  case Word::reject_non_fqdn_address:
  case Word::reject_multi_recipient_bounce:
  case Word::not_here: break; // simple() knows them
  }
  co_return Verdict::dunno;
}

} // namespace postrider::smtpd
