// SPDX-License-Identifier: MIT
#include "smtpclient/open.hpp"

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "net/tcp_stream.hpp"

namespace postrider::smtpclient {
namespace {

Trouble refused_greeting(const smtp::Reply& reply, smtp::Step step, const Options& options) {
  Trouble trouble = trouble_from(reply, step);
  // smtp_skip_5xx_greeting: a host that wants nobody today is as good as one that is down.
  if (step == smtp::Step::greeting && options.skip_5xx_greeting &&
      trouble.cause == Cause::reply_permanent)
    trouble.cause = Cause::reply_temporary;
  return trouble;
}

Trouble loops_back(const Session& session, smtp::Step step) {
  return Trouble{
      Cause::loop, step, {}, "mail for " + session.peer().host + " loops back to myself"};
}

} // namespace

ev::Task<std::optional<Trouble>> greet(Session& session, bool detect_loop) {
  using smtp::Step;
  const Options& options = session.options();
  Result<smtp::Reply> greeting = co_await session.read_reply(Step::greeting);
  if (!greeting) co_return trouble_from(greeting.error(), Step::greeting);
  if (greeting->code != 220) {
    // RFC 5321 section 3.1: 554 is a proper greeting too, and QUIT the proper answer.
    const bool polite = !session.broken();
    Trouble trouble = refused_greeting(*greeting, Step::greeting, options);
    if (polite) co_await session.quit();
    co_return trouble;
  }

  const bool lmtp = options.flavor == Flavor::lmtp;
  const bool says_esmtp = greeting->text.find("ESMTP") != std::string::npos;
  const bool ehlo = lmtp || (!options.never_send_ehlo && (options.always_send_ehlo || says_esmtp));
  if (ehlo) {
    const Step step = lmtp ? Step::lhlo : Step::ehlo;
    const std::string line = (lmtp ? "LHLO " : "EHLO ") + options.hello_name;
    Result<smtp::Reply> hello = co_await session.command(line, step);
    if (!hello) co_return trouble_from(hello.error(), step);
    if (hello->ok()) {
      if (detect_loop && iequals(smtp::first_word(*hello), options.my_name))
        co_return loops_back(session, step);
      session.set_features(smtp::parse_features(*hello, options.discard_keywords));
      co_return std::nullopt;
    }
    // Only a permanent refusal means "what is EHLO?".
    if (lmtp || !hello->permanent()) co_return refused_greeting(*hello, step, options);
  }
  const std::string line = "HELO " + options.hello_name;
  Result<smtp::Reply> hello = co_await session.command(line, Step::helo);
  if (!hello) co_return trouble_from(hello.error(), Step::helo);
  if (!hello->ok()) co_return refused_greeting(*hello, Step::helo, options);
  if (detect_loop && iequals(smtp::first_word(*hello), options.my_name))
    co_return loops_back(session, Step::helo);
  co_return std::nullopt;
}

ev::Task<Opened> open_session(ev::Loop& loop, const Options& options,
                              ev::Lent<const Endpoint> endpoint, bool detect_loop) {
  Opened opened;
  const auto limit = options.timeout(smtp::Step::connect);
  const ev::Deadline deadline = limit.count() > 0 ? loop.after(limit) : ev::Deadline::never();
  const int family = endpoint->address.family();
  const net::Address source = family == AF_INET    ? options.bind4
                              : family == AF_INET6 ? options.bind6
                                                   : net::Address();
  Result<std::unique_ptr<net::TcpStream>> stream =
      co_await net::connect(loop, endpoint->address, source, deadline);
  const bool cannot_bind =
      !stream && source.family() != 0 && stream.error().text().starts_with("bind ");
  if (cannot_bind && !options.bind_enforce) {
    log::warning(stream.error().text());
    const net::Address any;
    stream = co_await net::connect(loop, endpoint->address, any, deadline);
  }
  if (!stream) {
    Trouble trouble = trouble_from(stream.error(), smtp::Step::connect);
    // "connect: Connection refused": the reader knows already what we did.
    if (trouble.detail.starts_with("connect: ")) trouble.detail.erase(0, 9);
    opened.trouble = std::move(trouble);
    co_return opened;
  }
  auto session = std::make_unique<Session>(loop, std::move(*stream), options, endpoint->peer());
  std::optional<Trouble> trouble = co_await greet(*session, detect_loop);
  if (trouble)
    opened.trouble = std::move(trouble);
  else
    opened.session = std::move(session);
  co_return opened;
}

} // namespace postrider::smtpclient
