// SPDX-License-Identifier: MIT
// STARTTLS (RFC 3207), and TLS from the first byte.
#include "base/log.hpp"
#include "session.hpp"
#include "tls/verify.hpp"

namespace postrider::smtpd {

namespace {

// "Trusted TLS connection established from mx.example[192.0.2.1] to sni.example: TLSv1.3 with ..."
std::string summary(const Peer& peer, const tls::Facts& facts) {
  const PeerTls& tls = peer.tls;
  std::string text = !tls.has_certificate ? "Anonymous" : tls.trusted ? "Trusted" : "Untrusted";
  text += std::string(" TLS connection ") + (facts.resumed ? "reused" : "established") + " from " +
          peer.shown();
  if (!facts.server_name.empty()) text += " to " + facts.server_name;
  return text + ": " + tls::to_string(facts);
}

// A session is resumed only by the service it was begun with, under the same rules.
std::string ticket_context(const std::string& service, const TlsConfig& config) {
  return service + '\n' + config.priority + '\n' + (config.ask_certificate ? "asks" : "") +
         (config.wrapper ? " wrapper" : "");
}

} // namespace

bool Session::offers_tls() const {
  return config_->tls.level != TlsLevel::none && !is_secure() && !hidden("STARTTLS");
}

bool Session::must_start_tls() const {
  return config_->tls.level == TlsLevel::encrypt && !is_secure();
}

ev::Task<void> Session::starttls() {
  if (is_secure()) co_return fail(554, "5.5.1", "Error: TLS already active");
  if (!offers_tls()) co_return fail(502, "5.5.1", "Error: command not implemented");
  if (!config_->tls.certificates)
    co_return fail(454, "4.7.0", "TLS not available due to local problem");
  const bool may = co_await may_begin_tls("STARTTLS");
  if (!may) co_return fail(454, "4.7.0", "Error: too many new TLS sessions from " + peer_.shown());
  reply(220, "2.0.0", "Ready to start TLS");
  const bool written = co_await flush();
  if (!written) co_return;
  const bool secure = co_await shake_hands();
  if (!secure) co_return;
  // Section 4.2: what the client said in the clear may have been said by somebody else.
  reset();
  helo_.clear();
  esmtp_ = false;
  mechanisms_.clear();
  offers_auth_ = false;
  has_logged_in_ = false;
  peer_.login = {};
}

// smtpd_tls_wrappermode. A client that says more before it is greeted talks out of turn here, too.
ev::Task<void> Session::begin_with_tls() {
  if (!config_->tls.certificates) {
    log::warning("TLS not available due to local problem: " + peer_.shown() + " is turned away");
    end_ = End::error;
    co_return;
  }
  const bool may = co_await may_begin_tls("TLS service");
  if (!may) {
    end_ = End::error;
    co_return;
  }
  const bool secure = co_await shake_hands();
  if (!secure) co_return;
  const Result<bool> early = stream_->fill_now();
  early_talk_ = early && *early;
}

ev::Task<bool> Session::shake_hands() {
  const TlsConfig& config = config_->tls;
  tls::ServerHandshake handshake;
  handshake.credentials = config.certificates->own();
  handshake.priority = config.priority;
  handshake.ask_certificate = config.ask_certificate;
  handshake.named = [certificates = config.certificates](std::string_view name) {
    return certificates->of(name);
  };
  if (shared_.tickets != nullptr && config.session_life > Duration::zero()) {
    handshake.ticket_keys = co_await shared_.tickets->get();
    handshake.ticket_context = ticket_context(shared_.service, config);
    handshake.session_life = std::chrono::duration_cast<std::chrono::seconds>(config.session_life);
  }
  if (config.loglevel >= 2) log::info("setting up TLS connection from " + peer_.shown());
  const ev::Deadline deadline = within_session(config.handshake_limit);
  Result<std::unique_ptr<tls::TlsStream>> accepted =
      co_await tls::TlsStream::accept(stream_, handshake, deadline);
  if (!accepted) {
    log::info("SSL_accept error from " + peer_.shown() + ": " + accepted.error().text());
    end_ = End::closed; // the stream went with the handshake
    (void)co_await within_rate(proto::ClientEvent::tls_session);
    co_return false;
  }
  note_tls(**accepted, *handshake.credentials);
  const bool resumed = (*accepted)->facts().resumed;
  stream_ = std::move(*accepted);
  if (!resumed) {
    const bool within = co_await within_rate(proto::ClientEvent::tls_session);
    if (!within) {
      fail(421, "4.7.0",
           config_->hostname + " Error: too many new TLS sessions from " + peer_.shown());
      co_return false;
    }
  }
  if (!config.require_certificate || peer_.tls.trusted) co_return true;
  log::info("NOQUEUE: abort: TLS from " + peer_.shown() + ": " +
            (peer_.tls.has_certificate ? "Client certificate not trusted"
                                       : "No client certificate presented"));
  end_ = End::error;
  co_return false;
}

void Session::note_tls(const tls::TlsStream& stream, const tls::Credentials& credentials) {
  const TlsConfig& config = config_->tls;
  const tls::Facts& facts = stream.facts();
  PeerTls& tls = peer_.tls;
  tls = {};
  tls.protocol = facts.protocol;
  tls.cipher = facts.cipher;
  tls.bits = facts.bits;
  tls.algorithm_bits = facts.algorithm_bits;
  tls.details = facts.details;
  tls.asked_certificate = config.ask_certificate;
  const std::vector<std::string> chain = stream.chain();
  std::string distrust;
  if (!chain.empty()) {
    tls::Expectation expectation;
    expectation.depth = config.verify_depth;
    expectation.of_client = true;
    const tls::Verdict verdict =
        tls::verify(chain, expectation, credentials, shared_.loop.clock().wall());
    const tls::CertificateNames names = tls::names_of(chain.front());
    tls.has_certificate = true;
    tls.trusted = verdict.trusted;
    tls.subject = names.subject;
    tls.issuer = names.issuer;
    if (auto print = tls::certificate_fingerprint(chain.front(), config.digest))
      tls.fingerprint = std::move(*print);
    if (auto print = tls::public_key_fingerprint(chain.front(), config.digest))
      tls.key_fingerprint = std::move(*print);
    distrust = verdict.reason;
  }
  if (config.loglevel >= 1 && !distrust.empty())
    log::info("certificate verification failed for " + peer_.shown() + ": " + distrust);
  if (config.loglevel >= 2 && tls.has_certificate)
    log::info(peer_.shown() + ": subject_CN=" + tls.subject + ", issuer=" + tls.issuer +
              ", fingerprint=" + tls.fingerprint + ", pkey_fingerprint=" + tls.key_fingerprint);
  if (config.loglevel >= 1) log::info(summary(peer_, facts));
}

} // namespace postrider::smtpd
