// SPDX-License-Identifier: MIT
#include "smtpclient/starttls.hpp"

#include "base/log.hpp"
#include "tls/verify.hpp"

namespace postrider::smtpclient {
namespace {

using smtp::Step;

Trouble trouble(Cause cause, std::string text) {
  return Trouble{cause, Step::starttls, {}, std::move(text)};
}

// Opens the TLS of one session.
class Handshake {
 public:
  // All must outlive run().
  Handshake(Session& session, TlsClient& tls, const Occasion& occasion)
      : session_(session), tls_(tls), occasion_(occasion),
        plan_(*occasion.plan), names_{occasion.destination, session.peer().host} {}

  ev::Task<std::optional<Trouble>> run() {
    const TlsOptions& options = tls_.options();
    tls::ClientHandshake handshake;
    credentials_ = co_await tls_.credentials();
    handshake.credentials = credentials_;
    handshake.priority = plan_.priority;
    handshake.server_name = server_name_of(plan_.policy, names_);
    session_.security.session_key = session_key(handshake.server_name);
    handshake.session = co_await tls_.manager().take_session(session_.security.session_key);
    if (options.loglevel > 2) handshake.trace = shown();
    handshake.trace_data = options.loglevel > 3;
    remark(2, "setting up TLS connection to " + shown());
    remark(2, shown() + ": TLS cipher list \"" + plan_.priority + "\"");
    const bool offered = !handshake.session.empty();
    const bool injected = session_.has_input(); // S2; start_tls() refuses it
    if (offered) remark(2, shown() + ": a session to resume was found");
    const ev::Deadline deadline = session_.loop().after(session_.options().timeout(Step::starttls));
    Result<void> done = co_await session_.start_tls(handshake, deadline);
    if (!done && done.error().kind() != ErrorKind::cancelled)
      note(proto::TlsResult::validation_failure, done.error().text());
    if (!done && injected) co_return trouble_from(done.error(), Step::starttls);
    if (!done) co_return failed(done.error());
    const tls::Facts& facts = session_.tls()->facts();
    note(proto::TlsResult::success, "");
    if (facts.resumed) remark(2, shown() + ": Reusing old session");
    judge();
    session_.security.attempt->resumed = facts.resumed;
    if (options.loglevel > 0)
      log::info(std::string(word()) + " TLS connection established to " + shown() + ": " +
                session_.security.tls);
    co_return verdict();
  }

 private:
  std::string shown() const { return session_.peer().shown_with_port(); }
  TlsLevel level() const { return plan_.policy.level; }

  void remark(int level, const std::string& text) const {
    if (tls_.options().loglevel >= level) log::info(text);
  }

  void note(proto::TlsResult result, std::string reason) {
    session_.security.attempt.emplace();
    session_.security.attempt->result = result;
    session_.security.attempt->reason = std::move(reason);
  }

  // Everything that makes two servers, what is asked of them, or who we are to them different: a
  // server knows us in a resumed session by the certificate of the first. Whatever is found is
  // judged anew, so nothing here decides about trust.
  std::string session_key(const std::string& server_name) const {
    const Peer& peer = session_.peer();
    std::string key = session_.options().service_name;
    for (const std::string& part : {peer.host, peer.address, std::to_string(peer.port), server_name,
                                    plan_.priority, plan_.policy.digest, credentials_->digest()})
      key += "\n" + part;
    return key;
  }

  Trouble failed(const Error& error) const {
    if (error.kind() == ErrorKind::cancelled) return trouble_from(error, Step::starttls);
    log::info("SSL_connect error to " + shown() + ": " + error.text());
    return trouble(Cause::tls_failed, "Cannot start TLS: handshake failure");
  }

  // Where nothing is to be proved, trust is a word in the log.
  void judge() {
    Security& security = session_.security;
    const tls::Facts& facts = session_.tls()->facts();
    security.tls = tls::to_string(facts);
    tls::Expectation expected = expectation_of(plan_.policy, tls_.options(), names_);
    expected.anchors = plan_.anchors;
    proves_ = expected.proof != tls::Expectation::Proof::none;
    session_.protection.tls = true;
    session_.protection.client_certificate = credentials_->has_certificate();
    if (!plan_.sts_testing.empty()) test_sts();
    if (!proves_ && tls_.options().loglevel == 0) return;
    const std::vector<std::string> chain = session_.tls()->chain();
    anonymous_ = chain.empty();
    const tls::Verdict found =
        tls::verify(chain, expected, *credentials_, session_.loop().clock().wall());
    if (proves_) security.attempt = attempt_of(found, expected.proof);
    security.trusted = found.trusted;
    security.verified = proves_ && found.verified;
    session_.protection.verified = security.verified;
    if (!chain.empty() && tls_.options().loglevel > 1) log_fingerprints(chain.front());
    const bool wanted = proves_ ? found.verified : found.trusted;
    if (!wanted && !anonymous_ && (proves_ || tls_.options().loglevel > 1))
      log::info("certificate verification failed for " + shown() + ": " + found.reason);
    if (security.verified && !found.matched.empty())
      remark(2, shown() + ": Matched " + found.matched);
  }

  void test_sts() {
    tls::Expectation expected;
    expected.proof = tls::Expectation::Proof::names;
    expected.names = {session_.peer().host};
    const tls::Verdict found = tls::verify(session_.tls()->chain(), expected, *credentials_,
                                           session_.loop().clock().wall());
    session_.security.attempt = attempt_of(found, expected.proof);
    if (!found.verified)
      log::warning("MTA-STS policy of " + plan_.sts_testing +
                   " (mode testing) would not let mail go to " + shown() + ": " + found.reason);
  }

  void log_fingerprints(const std::string& certificate) const {
    const std::string& digest = tls_.options().fingerprint_digest;
    const auto print = tls::certificate_fingerprint(certificate, digest);
    const auto key = tls::public_key_fingerprint(certificate, digest);
    log::info(shown() + ": fingerprint=" + (print ? *print : print.error().text()) +
              ", pkey_fingerprint=" + (key ? *key : key.error().text()));
  }

  std::string_view word() const {
    const Security& security = session_.security;
    return anonymous_          ? "Anonymous"
           : security.verified ? "Verified"
           : security.trusted  ? "Trusted"
                               : "Untrusted";
  }

  std::optional<Trouble> verdict() const {
    const Security& security = session_.security;
    if (!proves_ || security.verified) return std::nullopt;
    const bool by_roots = level() != TlsLevel::fingerprint;
    return trouble(Cause::tls_untrusted, by_roots && !security.trusted
                                             ? "Server certificate not trusted"
                                             : "Server certificate not verified");
  }

  Session& session_;
  TlsClient& tls_;
  const Occasion& occasion_;
  const TlsPlan& plan_;
  std::shared_ptr<const tls::Credentials> credentials_; // of this handshake
  ServerNames names_;
  bool proves_ = false;
  bool anonymous_ = false;
};

// What the log says of a session whose policy is fulfilled, or cannot be.
void decide_status(Session& session, const TlsPolicy& policy, std::string_view sign) {
  Security& security = session.security;
  const std::string_view level = policy.half_dane ? "half-dane" : to_string(policy.level);
  const std::string asked = policy.asked.empty() ? std::string(level) : policy.asked;
  const std::string_view reached = sign.empty() && session.tls() == nullptr ? "none" : level;
  security.status = std::string(sign) + asked;
  if (reached != asked && sign.empty()) security.status += ":" + std::string(reached);
}

ev::Task<std::optional<Trouble>> give_up_or_go_on(Session& session, TlsClient& tls,
                                                  std::string_view what) {
  const std::string downgrade = co_await tls.find_downgrade(session.peer(), what);
  if (downgrade.empty()) co_return std::nullopt;
  co_return trouble(Cause::tls_downgraded, downgrade);
}

// Nothing, when the server has said yes to STARTTLS or may do without; else why not.
ev::Task<std::optional<Trouble>> ask_for_tls(Session& session, TlsClient& tls,
                                             ev::Lent<const TlsPolicy> policy, bool& agreed) {
  const bool mandatory = is_mandatory(policy->level);
  const std::string shown = session.peer().shown();
  TlsAttempt none;
  none.result = proto::TlsResult::starttls_not_supported;
  if (!session.features().starttls) {
    session.security.attempt = none;
    if (mandatory)
      co_return trouble(Cause::tls_required,
                        "TLS is required, but was not offered by host " + shown);
    co_return co_await give_up_or_go_on(session, tls, "does not offer it");
  }
  Result<smtp::Reply> reply = co_await session.command("STARTTLS", Step::starttls);
  if (!reply) co_return trouble_from(reply.error(), Step::starttls);
  if (reply->ok()) {
    agreed = true;
    co_return std::nullopt;
  }
  if (!session.broken()) { // 421
    none.reason = reply->joined(" ");
    session.security.attempt = none;
  }
  if (mandatory) {
    Trouble refused =
        trouble(Cause::tls_required, "TLS is required, but host " + shown +
                                         " refused to start TLS: " + reply->joined(" "));
    refused.reply = std::move(*reply);
    co_return refused;
  }
  if (session.broken()) co_return trouble_from(*reply, Step::starttls); // 421
  const std::string what = "refuses to start it: " + reply->joined(" ");
  co_return co_await give_up_or_go_on(session, tls, what);
}

ev::Task<std::optional<Trouble>> shake_hands(Session& session, TlsClient& tls,
                                             ev::Lent<const Occasion> occasion) {
  const TlsPolicy& policy = occasion->plan->policy;
  Handshake handshake(session, tls, *occasion);
  std::optional<Trouble> failed = co_await handshake.run();
  if (!failed) {
    decide_status(session, policy, "");
    co_return std::nullopt;
  }
  if (failed->cause == Cause::tls_untrusted) decide_status(session, policy, "!");
  if (failed->cause != Cause::tls_failed || policy.level != TlsLevel::may) co_return failed;
  std::optional<Trouble> downgraded =
      co_await give_up_or_go_on(session, tls, "its handshake fails");
  co_return downgraded ? downgraded : failed;
}

} // namespace

void describe_clear(Session& session, const TlsPlanPtr& plan) {
  session.security.plan = plan;
  decide_status(session, plan->policy, "");
}

ev::Task<std::optional<Trouble>> greet_securely(Session& session, TlsClient& tls,
                                                ev::Lent<const Occasion> occasion) {
  session.security.plan = occasion->plan;
  // In the clear only because of the age of one message.
  session.single_use = occasion->plan == tls.plaintext();
  const TlsPolicy& policy = session.security.plan->policy;
  session.security.status =
      (policy.asked.empty() ? std::string(to_string(policy.level)) : policy.asked) + "?";
  std::optional<Trouble> failed;
  if (policy.wrapper && policy.level != TlsLevel::none) {
    failed = co_await shake_hands(session, tls, occasion);
    if (!failed) failed = co_await greet(session, occasion);
    co_return failed;
  }
  failed = co_await greet(session, occasion);
  if (failed) co_return failed;
  if (policy.level == TlsLevel::none) {
    if (session.features().starttls && tls.options().note_offers)
      log::info("Host offered STARTTLS: [" + session.peer().host + "]");
    decide_status(session, policy, "");
    co_return std::nullopt;
  }
  bool agreed = false;
  failed = co_await ask_for_tls(session, tls, policy, agreed);
  if (failed) {
    if (failed->cause == Cause::tls_required) decide_status(session, policy, "!");
    co_return failed;
  }
  if (!agreed) {
    const std::string& testing = occasion->plan->sts_testing;
    if (!testing.empty())
      log::warning("MTA-STS policy of " + testing + " (mode testing) would not let mail go to " +
                   session.peer().shown_with_port() + ": no TLS");
    decide_status(session, policy, "");
    co_return std::nullopt;
  }
  failed = co_await shake_hands(session, tls, occasion);
  if (!failed) failed = co_await say_hello(session, occasion, true);
  co_return failed;
}

} // namespace postrider::smtpclient
