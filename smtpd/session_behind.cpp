// SPDX-License-Identifier: MIT
// What servers in front of us say of the client: XCLIENT, after which the session is that of
// another client, and XFORWARD, which is for the log and for the next server.
#include "base/log.hpp"
#include "behind.hpp"
#include "maps/ask.hpp"
#include "session.hpp"

namespace postrider::smtpd {

namespace {

const smtp::Refusal kInTransaction{503, "5.5.1", "Error: MAIL transaction in progress"};
const smtp::Refusal kNotAuthorized{550, "5.7.0", "Error: insufficient authorization"};

} // namespace

// Where the session stands after a greeting: nothing is known yet of what the client calls itself.
// Who it is was judged by whoever speaks for it, and is judged here by our own lists.
ev::Task<void> Session::xclient(std::string_view arguments) {
  if (transaction_) co_return fail(kInTransaction);
  if (!peer_.may_xclient) {
    log::info("XCLIENT refused from " + peer_.shown());
    co_return fail(kNotAuthorized);
  }
  ClientChange change;
  change.peer = peer_;
  if (const auto refused = take_xclient(arguments, change)) co_return fail(*refused);
  if (!config_->auth.enabled) change.peer.login = {}; // nobody logs in here, as in Postfix
  const std::function<Result<Peer>()> question = [&] { return judge(*config_, change.peer); };
  Result<Peer> judged = co_await maps::ask<Peer>(shared_.loop, question, limit());
  if (!judged) {
    log::warning("XCLIENT from " + peer_.shown() + ": " + judged.error().text());
    co_return fail(451, "4.3.0", "Error: temporary lookup failure");
  }
  judged->may_xforward = peer_.may_xforward; // as in Postfix: the connection is still the server's
  std::string refusal;
  if (shared_.clients != nullptr) refusal = co_await shared_.clients->change(peer_, *judged);
  log::info("XCLIENT from " + peer_.shown() + ": client is " + judged->shown());
  peer_ = std::move(*judged);
  has_logged_in_ = !peer_.login.method.empty();
  reset();
  helo_ = std::move(change.helo);
  esmtp_ = change.esmtp;
  if (!refusal.empty()) {
    out_ += refusal;
    end_ = End::error;
    co_return;
  }
  doubts_ = {};
  early_ = {};
  if (!config_->rules->delay_reject) {
    const bool welcome = co_await allow(Stage::client, where_, "");
    denied_ = !welcome;
    if (denied_) co_return;
  }
  reply(220, "", config_->banner);
}

void Session::xforward(std::string_view arguments) {
  if (transaction_) return fail(kInTransaction);
  if (!peer_.may_xforward) {
    log::info("XFORWARD refused from " + peer_.shown());
    return fail(kNotAuthorized);
  }
  if (const auto refused = take_xforward(arguments, forwarded_)) return fail(*refused);
  reply(250, "2.0.0", "Ok");
}

} // namespace postrider::smtpd
