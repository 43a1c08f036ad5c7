// SPDX-License-Identifier: MIT
#include "smtpclient/authenticate.hpp"

#include <algorithm>

#include "base/ascii.hpp"
#include "base/base64.hpp"
#include "base/log.hpp"
#include "maps/ask.hpp"

namespace postrider::smtpclient {
namespace {

using smtp::Step;

// RFC 4954 section 4: the command with its initial response keeps to the limit of commands.
constexpr std::size_t kMostOfACommand = 512;
constexpr std::size_t kMostOfAChallengeShown = 100;
constexpr Duration kTokenLimit = std::chrono::seconds(65); // tokenmgr answers within 60

Trouble impossible(std::string text) {
  return Trouble{Cause::auth_impossible, Step::auth, {}, "SASL authentication failed" + text};
}

Trouble cannot(const Session& session, std::string_view why) {
  return impossible("; cannot authenticate to server " + session.peer().shown() + ": " +
                    std::string(why));
}

Trouble cannot(const Session& session, const Error& error) {
  switch (error.kind()) {
  case ErrorKind::cancelled:
  case ErrorKind::busy: return trouble_from(error, Step::auth);
  case ErrorKind::timeout: return cannot(session, "a SASL plug-in gave no answer");
  case ErrorKind::closed:
  case ErrorKind::refused:
  case ErrorKind::protocol:
  case ErrorKind::limit:
  case ErrorKind::io:
  case ErrorKind::not_found:
  case ErrorKind::config: break;
  }
  return cannot(session, error.text());
}

// Both sides want to go first.
Trouble too_early(const Session& session, std::string_view mechanism, std::string_view challenge) {
  std::string shown(challenge.substr(0, kMostOfAChallengeShown));
  session.scrub(shown);
  return impossible("; non-empty initial " + std::string(mechanism) + " challenge from server " +
                    session.peer().shown() + ": " + shown);
}

std::string_view challenge_in(const smtp::Reply& reply) {
  return trim(std::string_view(reply.text).substr(std::min<std::size_t>(4, reply.text.size())));
}

// The server may echo what we say; see Session::hide().
class Hiding {
 public:
  Hiding(Session& session, const Secret& secret) : session_(session) {
    session.hide(log::printable(secret.view()));
    session.hide(to_base64(secret.view()));
  }
  ~Hiding() { session_.end_hiding(); }
  Hiding(const Hiding&) = delete;
  Hiding& operator=(const Hiding&) = delete;

 private:
  Session& session_;
};

} // namespace

const std::vector<std::string>& Authenticator::security_for(const Session& session) const {
  const SaslOptions& sasl = options_.sasl;
  if (!session.protection.tls) return sasl.security;
  return session.protection.verified ? sasl.verified_security : sasl.tls_security;
}

// Offered, and allowed by smtp_sasl_mechanism_filter and the login.
ev::Task<Result<std::vector<std::string>>> Authenticator::usable_mechanisms(Session& session,
                                                                            const LoginPtr& login) {
  const std::vector<std::string>& only = login->mechanisms;
  std::vector<std::string> usable;
  for (const std::string_view name : split(*session.features().auth, " ")) {
    if (usable.size() == sasl::Client::kMostMechanisms) break;
    if (!only.empty() && std::find(only.begin(), only.end(), name) == only.end()) continue;
    if (!tables_.sasl_mechanisms.empty()) {
      const std::function<Result<bool>()> question = [&] {
        return tables_.sasl_mechanisms.matches_domain(name);
      };
      Result<bool> allowed = co_await maps::ask<bool>(loop_, question, deadline());
      if (!allowed) co_return table_error(allowed.error(), "sasl_mechanism_filter");
      if (!*allowed) continue;
    }
    usable.emplace_back(name);
  }
  const std::string& offered = *session.features().auth;
  if (usable.empty() && offered.empty())
    log::warning(session.peer().shown() + " offered null AUTH mechanism list");
  else if (usable.empty())
    log::warning(session.peer().shown() + " offered no supported AUTH mechanisms: '" + offered +
                 "'");
  co_return usable;
}

ev::Task<std::optional<Trouble>> Authenticator::log_in(Session& session, const LoginPtr& login) {
  if (!session.features().auth && login->mechanisms.empty())
    co_return std::nullopt; // as Postfix: it takes mail without
  if (!session.features().auth) co_return cannot(session, "it does not offer AUTH");
  Result<std::vector<std::string>> mechanisms = co_await usable_mechanisms(session, login);
  if (!mechanisms) co_return trouble_from(mechanisms.error(), Step::auth);
  if (mechanisms->empty())
    co_return impossible(": server " + session.peer().shown() +
                         " offered no compatible authentication mechanisms for this type of "
                         "connection security");
  std::optional<Trouble> trouble;
  if (login->token.empty())
    trouble = co_await log_in_with_password(session, login, *mechanisms);
  else
    trouble = co_await log_in_with_token(session, login, *mechanisms);
  session.logged_in = !trouble;
  co_return trouble;
}

ev::Task<std::optional<Trouble>>
Authenticator::log_in_with_password(Session& session, const LoginPtr& login,
                                    const std::vector<std::string>& mechanisms) {
  const std::string& host = session.peer().host;
  const std::string key = AuthMemory::key(host, login->user, login->password.view());
  const std::optional<smtp::Reply> refused = co_await recall_refusal(key);
  if (refused) {
    Trouble trouble = refusal(*refused);
    trouble.detail =
        "SASL [CACHED] authentication failed; server " + host + " said: " + refused->joined(" ");
    co_return trouble;
  }
  if (plugins_hang()) co_return cannot(session, "SASL plug-ins do not come back");
  std::optional<Trouble> trouble = co_await converse(session, login, login->password, mechanisms);
  if (trouble && trouble->reply.code == 535) remember_refusal(key, trouble->reply);
  co_return trouble;
}

// A token may have been taken back before its time: the source is asked for another one, once.
ev::Task<std::optional<Trouble>>
Authenticator::log_in_with_token(Session& session, const LoginPtr& login,
                                 const std::vector<std::string>& mechanisms) {
  if (tokens_ == nullptr) co_return cannot(session, "there is no token service");
  Secret refused;
  std::optional<Trouble> trouble;
  for (int i = 0; i < 2; ++i) {
    const ev::Deadline limit = loop_.after(kTokenLimit).earlier(deadline());
    Result<Secret> token = co_await tokens_->token(login->token, refused.view(), limit);
    if (!token && trouble) co_return trouble;
    if (!token && token.error().kind() == ErrorKind::cancelled)
      co_return trouble_from(token.error(), Step::auth);
    if (!token) {
      const std::string why = "token " + login->token + ": " + token.error().text();
      log::warning(session.peer().shown() + ": no login: " + why);
      co_return cannot(session, why);
    }
    if (i > 0 && *token == refused) co_return trouble;
    trouble = co_await converse(session, login, *token, mechanisms);
    if (!trouble || trouble->reply.code != 535 || session.broken()) co_return trouble;
    refused = std::move(*token);
  }
  co_return trouble;
}

bool Authenticator::plugins_hang() {
  std::erase_if(hung_, [](const std::weak_ptr<const void>& call) { return call.expired(); });
  return hung_.size() >= kPluginThreads;
}

ev::Task<std::optional<smtp::Reply>> Authenticator::recall_refusal(const std::string& key) {
  if (options_.sasl.failure_cache.empty()) co_return std::nullopt;
  std::optional<smtp::Reply> own = memory_.find(key, loop_.now());
  if (own || tokens_ == nullptr) co_return own;
  const std::optional<std::string> text = co_await tokens_->refusal(key);
  if (!text) co_return std::nullopt;
  smtp::ReplyParser parser;
  const std::string lines = *text + "\n";
  ByteView in = lines;
  const Result<bool> complete = parser.feed(in);
  if (!complete || !*complete || parser.reply().code != 535) co_return std::nullopt;
  co_return parser.take();
}

void Authenticator::remember_refusal(const std::string& key, const smtp::Reply& reply) {
  if (options_.sasl.failure_cache.empty()) return;
  const std::chrono::milliseconds time = options_.sasl.failure_time;
  memory_.refused(key, reply, loop_.now() + time);
  if (tokens_ != nullptr)
    tokens_->tell_refusal(key, reply.text, std::chrono::duration_cast<std::chrono::seconds>(time));
}

ev::Task<std::optional<Trouble>>
Authenticator::converse(Session& session, const LoginPtr& login, const Secret& secret,
                        const std::vector<std::string>& mechanisms) {
  const Hiding hiding(session, secret);
  sasl::Dialogue dialogue;
  dialogue.service = options_.flavor == Flavor::lmtp ? "lmtp" : "smtp";
  dialogue.server = session.peer().host;
  dialogue.port = session.peer().port;
  dialogue.mechanisms = mechanisms;
  dialogue.security = security_for(session);
  dialogue.client_certificate = session.protection.client_certificate;
  dialogue.identity.user = login->user;
  dialogue.identity.password = secret;
  dialogue.identity.has_token = !login->token.empty();
  if (options_.sasl.send_authzid) dialogue.identity.authorize_as = login->user;
  sasl::Client client(offload_, std::move(dialogue));
  Result<sasl::Client::Begun> begun = co_await client.begin(deadline());
  if (!begun) {
    if (begun.error().kind() == ErrorKind::timeout) hung_.push_back(client.hung());
    co_return cannot(session, begun.error());
  }

  std::string line = "AUTH " + begun->mechanism;
  std::string shown = line;
  std::optional<Secret> held;
  if (begun->initial) {
    std::string coded = to_base64(begun->initial->view());
    session.hide(coded);
    if (line.size() + 1 + coded.size() + 2 <= kMostOfACommand) {
      line.append(" ").append(coded.empty() ? "=" : coded);
      shown += " [...]";
    } else {
      held = std::move(begun->initial); // waits for an empty challenge
    }
    wipe(coded);
  }
  Result<void> sent = co_await say(session, line, shown);
  if (!sent) co_return trouble_from(sent.error(), Step::auth);

  for (int round = 0;; ++round) {
    Result<smtp::Reply> reply = co_await session.read_reply(Step::auth);
    if (!reply) co_return trouble_from(reply.error(), Step::auth);
    if (reply->ok()) {
      Result<void> proven = client.finish();
      if (!proven) co_return cannot(session, proven.error());
      co_return std::nullopt;
    }
    if (reply->code / 100 != 3) co_return refusal(*reply);
    const std::string_view challenge = challenge_in(*reply);
    std::optional<Trouble> trouble;
    if (round == kMostRounds)
      trouble = impossible("; authentication protocol loop with server " + session.peer().shown());
    else if (held && !challenge.empty())
      trouble = too_early(session, begun->mechanism, challenge);
    if (!trouble && !held) {
      Result<Secret> response = co_await respond(session, client, challenge);
      if (response)
        held = std::move(*response);
      else
        trouble = cannot(session, response.error());
    }
    if (trouble) {
      co_await cancel(session);
      co_return trouble;
    }
    std::string coded = to_base64(held->view());
    held.reset();
    session.hide(coded);
    sent = co_await say(session, coded, "[...]");
    if (!sent) co_return trouble_from(sent.error(), Step::auth);
  }
}

ev::Task<Result<Secret>> Authenticator::respond(Session& session, sasl::Client& client,
                                                std::string_view challenge) {
  const std::optional<std::string> said = from_base64(challenge);
  if (!said) co_return Error(ErrorKind::protocol, "malformed challenge");
  Result<Secret> response = co_await client.respond(*said, deadline());
  if (!response && response.error().kind() == ErrorKind::timeout) hung_.push_back(client.hung());
  // RFC 7628 section 3.2.2: why the token is no good. The refusal itself comes behind it.
  if (response && !client.explanation().empty()) {
    std::string why = client.explanation();
    session.scrub(why);
    log::warning(session.peer().shown() + " about the token: " + why);
  }
  co_return response;
}

// Wipes the line.
ev::Task<Result<void>> Authenticator::say(Session& session, std::string& line,
                                          std::string_view shown) {
  Secret wire(line + "\r\n");
  wipe(line);
  Result<void> sent = co_await session.send(wire.view(), Step::auth, shown);
  co_return sent;
}

// RFC 4954 section 4: the server is told that nothing follows, and says 501.
ev::Task<void> Authenticator::cancel(Session& session) {
  Result<smtp::Reply> reply = co_await session.command("*", Step::auth);
}

Trouble Authenticator::refusal(const smtp::Reply& reply) const {
  Trouble trouble = trouble_from(reply, Step::auth);
  if (trouble.cause == Cause::reply_permanent && options_.sasl.soft_bounce)
    trouble.cause = Cause::auth_refused;
  return trouble;
}

} // namespace postrider::smtpclient
