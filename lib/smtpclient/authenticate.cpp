// SPDX-License-Identifier: MIT
#include "smtpclient/authenticate.hpp"

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
  Hiding(Session& session, const Login& login) : session_(session) {
    const std::string_view password = login.password.view();
    session.hide(log::printable(password));
    session.hide(to_base64(password));
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

// Offered, and allowed by smtp_sasl_mechanism_filter.
ev::Task<Result<std::vector<std::string>>> Authenticator::usable_mechanisms(Session& session) {
  std::vector<std::string> usable;
  for (const std::string_view name : split(*session.features().auth, " ")) {
    if (usable.size() == sasl::Client::kMostMechanisms) break;
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
  if (!session.features().auth) co_return std::nullopt; // as Postfix: it takes mail without
  Result<std::vector<std::string>> mechanisms = co_await usable_mechanisms(session);
  if (!mechanisms) co_return trouble_from(mechanisms.error(), Step::auth);
  if (mechanisms->empty())
    co_return impossible(": server " + session.peer().shown() +
                         " offered no compatible authentication mechanisms for this type of "
                         "connection security");
  const bool remembers = !options_.sasl.failure_cache.empty();
  const std::string key = AuthMemory::key(session.peer().host, login->key);
  if (remembers) {
    const std::optional<smtp::Reply> refused = memory_.find(key, loop_.now());
    if (refused) {
      Trouble trouble = refusal(*refused);
      trouble.detail = "SASL [CACHED] authentication failed; server " + session.peer().host +
                       " said: " + refused->joined(" ");
      co_return trouble;
    }
  }
  const Hiding hiding(session, *login);
  std::optional<Trouble> trouble = co_await converse(session, login, *mechanisms);
  if (trouble && trouble->reply.code == 535 && remembers)
    memory_.refused(key, trouble->reply, loop_.now() + options_.sasl.failure_time);
  session.logged_in = !trouble;
  co_return trouble;
}

ev::Task<std::optional<Trouble>>
Authenticator::converse(Session& session, const LoginPtr& login,
                        const std::vector<std::string>& mechanisms) {
  sasl::Dialogue dialogue;
  dialogue.service = options_.flavor == Flavor::lmtp ? "lmtp" : "smtp";
  dialogue.server = session.peer().host;
  dialogue.port = session.peer().port;
  dialogue.mechanisms = mechanisms;
  dialogue.security = security_for(session);
  dialogue.client_certificate = session.protection.client_certificate;
  dialogue.identity.user = login->user;
  dialogue.identity.password = login->password;
  if (options_.sasl.send_authzid) dialogue.identity.authorize_as = login->user;
  sasl::Client client(offload_, std::move(dialogue));
  Result<sasl::Client::Begun> begun = co_await client.begin(deadline());
  if (!begun) co_return cannot(session, begun.error());

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
