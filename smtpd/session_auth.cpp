// SPDX-License-Identifier: MIT
// AUTH (RFC 4954): the dialogue between the client and saslmgr, which decides.
#include <algorithm>

#include "base/ascii.hpp"
#include "base/base64.hpp"
#include "base/log.hpp"
#include "maps/ask.hpp"
#include "said_login.hpp"
#include "service/sasl_manager.hpp"
#include "session.hpp"

namespace postrider::smtpd {

namespace {

// No mechanism asks this often.
constexpr int kMostChallenges = 20;
// Of a line that is too long: then the session ends.
constexpr std::size_t kMostDropped = 1U << 20;
// Of what a client says, in a log line.
constexpr std::size_t kMostLogged = 100;

// What the client said is a secret, whatever becomes of it.
class Wiped {
 public:
  explicit Wiped(std::string& text) : text_(text) {}
  ~Wiped() { wipe(text_); }
  Wiped(const Wiped&) = delete;
  Wiped& operator=(const Wiped&) = delete;

 private:
  std::string& text_;
};

std::optional<Secret> decoded(std::string_view base64) {
  std::optional<std::string> bytes = from_base64(base64);
  if (!bytes) return std::nullopt;
  const Wiped wiped(*bytes);
  return Secret(*bytes);
}

} // namespace

bool Session::has_auth() const {
  return config_->auth.enabled && shared_.sasl != nullptr && !peer_.local && !hidden("AUTH");
}

// The next server asks for it as well.
bool Session::keeps_password() const {
  return shared_.forward != nullptr && shared_.forward->rules().auth == forward::Auth::forward;
}

proto::LoginFacts Session::login_facts() const {
  const AuthConfig& auth = config_->auth;
  const bool tls = !peer_.tls.protocol.empty();
  proto::LoginFacts facts;
  facts.service = auth.service;
  facts.hostname = config_->hostname;
  facts.realm = auth.realm;
  facts.client = peer_.address;
  facts.server = peer_.server_address;
  facts.security = tls ? auth.tls_security : auth.security;
  const std::string& subject = peer_.tls.subject;
  if (peer_.tls.trusted && subject.size() <= proto::kLongestLoginText &&
      log::printable(subject) == subject)
    facts.external = subject;
  return facts;
}

// At each EHLO: TLS changes the answer.
ev::Task<void> Session::learn_mechanisms() {
  mechanisms_.clear();
  offers_auth_ = false;
  if (!has_auth() || (config_->auth.only_tls && peer_.tls.protocol.empty())) co_return;
  const proto::LoginFacts facts = login_facts();
  Result<std::vector<std::string>> known = co_await shared_.sasl->mechanisms(facts);
  if (!known) co_return;
  const std::function<Result<std::vector<std::string>>()> filter = [&] {
    return config_->auth.allowed(*known);
  };
  Result<std::vector<std::string>> allowed =
      co_await maps::ask<std::vector<std::string>>(shared_.loop, filter, limit());
  const std::function<Result<bool>()> question = [&] { return config_->auth.is_offered_to(peer_); };
  Result<bool> offered = co_await maps::ask<bool>(shared_.loop, question, limit());
  if (!allowed || !offered) {
    log::warning((allowed ? offered.error() : allowed.error()).text() + "; AUTH is not offered");
    co_return;
  }
  mechanisms_ = std::move(*allowed);
  offers_auth_ = *offered && !mechanisms_.empty();
}

std::vector<std::string> Session::auth_keywords() const {
  if (!offers_auth_) return {};
  std::string names;
  for (const std::string& name : mechanisms_)
    names.append(names.empty() ? "" : " ").append(name);
  if (config_->auth.old_clients) return {"AUTH " + names, "AUTH=" + names};
  return {"AUTH " + names};
}

// The client's answer to a challenge into line_. A line beyond the limit is read to its end and
// dropped. An absolute deadline, as for commands.
ev::Task<Session::Response> Session::next_response() {
  const bool written = co_await flush();
  if (!written) co_return Response::none;
  const std::size_t most = config_->auth.response_limit;
  const ev::Deadline deadline = limit();
  wipe(line_);
  line_.reserve(most + 1); // no copies are left behind where it grows
  std::size_t dropped = 0;
  while (true) {
    const ByteView have = stream_->buffered();
    const std::size_t end = have.find('\n');
    const ByteView piece = have.substr(0, end);
    if (dropped > 0 || line_.size() + piece.size() > most + 1)
      dropped += piece.size() + 1;
    else
      line_.append(piece);
    stream_->consume(end == ByteView::npos ? piece.size() : end + 1);
    if (end != ByteView::npos) {
      if (!line_.empty() && line_.back() == '\r') line_.pop_back();
      co_return dropped > 0 || line_.size() > most ? Response::too_long : Response::line;
    }
    if (dropped > kMostDropped) {
      fail(500, "5.5.6", "SASL response limit exceeded");
      end_ = End::error;
      co_return Response::none;
    }
    const bool filled = co_await fill(deadline);
    if (!filled) co_return Response::none;
  }
}

void Session::log_login(std::string_view mechanism, std::string_view reason,
                        std::string_view username) {
  const std::string name =
      username.empty() ? "(unavailable)" : std::string(username.substr(0, kMostLogged));
  log::warning(peer_.shown() + ": SASL " + std::string(mechanism) +
               " authentication failed: " + std::string(reason) + ", sasl_username=" + name);
}

ev::Task<void> Session::auth(std::string_view arguments) {
  const Wiped wiped(line_); // `arguments` are in it
  const bool within = co_await within_rate(proto::ClientEvent::auth);
  if (!within) co_return fail(450, "4.7.1", "Error: too many AUTH commands from " + peer_.address);
  if (helo_.empty()) co_return fail(503, "5.5.1", "Error: send HELO/EHLO first");
  if (!has_auth()) co_return fail(503, "5.5.1", "Error: authentication not enabled");
  if (transaction_) co_return fail(503, "5.5.1", "Error: MAIL transaction in progress");
  if (config_->auth.only_tls && peer_.tls.protocol.empty())
    co_return fail(504, "5.5.4", "Encryption required for requested authentication mechanism");
  if (has_logged_in_) co_return fail(503, "5.5.1", "Error: already authenticated");
  const std::vector<std::string_view> words = split(arguments, " \t");
  if (words.empty() || words.size() > 2) co_return fail(501, "5.5.4", "Syntax: AUTH mechanism");

  const std::string mechanism = uppercase(words[0].substr(0, kMostLogged));
  if (mechanisms_.empty()) co_await learn_mechanisms();
  if (mechanisms_.empty()) {
    log_login(mechanism, "no mechanisms", "");
    co_return fail(454, "4.7.0", "Temporary authentication failure: no mechanism available");
  }
  if (std::find(mechanisms_.begin(), mechanisms_.end(), mechanism) == mechanisms_.end()) {
    log_login(mechanism, "no mechanism available", "");
    co_return fail(535, "5.7.8", "Error: authentication failed: no mechanism available");
  }
  std::optional<Secret> initial;
  if (words.size() == 2 && words[1] == "=")
    initial.emplace();
  else if (words.size() == 2) {
    initial = decoded(words[1]);
    if (!initial) {
      log_login(mechanism, "malformed initial response", "");
      co_return fail(501, "5.5.2", "Error: authentication failed: malformed initial response");
    }
  }
  const bool written = co_await flush();
  if (!written) co_return;
  co_await log_in(mechanism, initial);
}

ev::Task<void> Session::log_in(const std::string& mechanism, std::optional<Secret>& initial) {
  const proto::LoginFacts facts = login_facts();
  service::SaslManager& sasl = *shared_.sasl;
  SaidLogin said(keeps_password() ? mechanism : "");
  if (initial) said.add(initial->view());
  service::LoginStep step = co_await sasl.begin(facts, mechanism, initial);
  initial.reset();
  for (int challenges = 0; step.stage == proto::LoginStage::challenge; ++challenges) {
    reply(334, "", to_base64(step.challenge.view()));
    const Response response = co_await next_response();
    const bool last = challenges == kMostChallenges;
    std::optional<Secret> answer;
    if (response == Response::line) answer = decoded(line_);
    if (!answer || last) {
      sasl.cancel(step.login);
      co_return give_up(mechanism, response);
    }
    wipe(line_);
    said.add(answer->view());
    step = co_await sasl.step(step.login, *answer);
  }
  if (step.stage == proto::LoginStage::done) {
    has_logged_in_ = true;
    if (mechanism != "ANONYMOUS") { // which is nobody, and may do what nobody may
      peer_.login.method = mechanism;
      peer_.login.user = step.username;
    }
    if (said.complete()) {
      peer_.login.said_user = std::move(said.user);
      peer_.login.said_password = std::move(said.password);
    }
    reply(235, "2.7.0", "Authentication successful");
    co_return;
  }
  log_login(mechanism, step.reason, step.username);
  if (step.stage == proto::LoginStage::failed)
    co_return fail(454, "4.7.0", "Temporary authentication failure: " + step.reason);
  if (config_->auth.failure_delay > Duration::zero()) {
    Result<void> slept = co_await ev::sleep_for(shared_.loop, config_->auth.failure_delay);
    if (!slept) {
      end_ = End::closed;
      co_return;
    }
  }
  fail(535, "5.7.8", "Error: authentication failed: " + step.reason);
}

// A dialogue that ends before its time.
void Session::give_up(std::string_view mechanism, Response response) {
  if (response == Response::none) return; // the session is over
  if (response == Response::too_long) {
    log::warning(peer_.shown() + ": request longer than " +
                 std::to_string(config_->auth.response_limit));
    return fail(500, "5.5.6", "SASL response limit exceeded");
  }
  if (line_ == "*") {
    log::warning(peer_.shown() + ": SASL " + std::string(mechanism) + " authentication aborted");
    return fail(501, "5.7.0", "Authentication aborted");
  }
  log_login(mechanism, "malformed response", "");
  fail(501, "5.5.2", "Error: authentication failed: malformed response");
}

} // namespace postrider::smtpd
