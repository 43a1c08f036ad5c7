// SPDX-License-Identifier: MIT
#include "smtpclient/greet.hpp"

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "maps/ask.hpp"

namespace postrider::smtpclient {
namespace {

using smtp::Step;

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (const std::string_view word : split(text, ", \t"))
    words.emplace_back(word);
  return words;
}

bool has_word(const std::vector<std::string>& words, std::string_view word) {
  for (const std::string& one : words)
    if (iequals(one, word)) return true;
  return false;
}

// A PIX firewall overwrites the text of the greeting: "220 ******2***0**". An empty one counts too.
bool is_starred_out(const smtp::Reply& greeting) {
  return greeting.text.find_first_not_of("20 *\t\n") == std::string::npos;
}

bool has_esmtp(const smtp::Reply& greeting) {
  const auto words = split(greeting.text, " \t\n-");
  for (const std::string_view word : words)
    if (iequals(word, "ESMTP")) return true;
  return false;
}

Trouble refused(const smtp::Reply& reply, Step step, const Options& options) {
  Trouble trouble = trouble_from(reply, step);
  // smtp_skip_5xx_greeting: a host that wants nobody today is as good as one that is down.
  if (step == Step::greeting && options.skip_5xx_greeting &&
      trouble.cause == Cause::reply_permanent)
    trouble.cause = Cause::reply_temporary;
  return trouble;
}

// The words of a table for this server; else those of the parameter.
ev::Task<Result<std::vector<std::string>>> words_for(Session& session, maps::MapList& table,
                                                     const std::vector<std::string>& otherwise) {
  if (table.empty()) co_return otherwise;
  const ev::Deadline deadline = session.loop().after(session.options().timeout(Step::greeting));
  maps::Answer found =
      co_await maps::ask(session.loop(), table, session.peer().address, maps::Key::whole, deadline);
  if (!found) co_return found.error();
  if (!*found) co_return otherwise;
  co_return words_of(**found);
}

// debug_peer_list names the server, or the next hop.
ev::Task<void> log_if_asked(Session& session, ev::Lent<const Occasion> occasion) {
  maps::MatchList& list = session.tables().debug_peers;
  if (list.empty()) co_return;
  const Peer& peer = session.peer();
  const std::function<Result<bool>()> question = [&]() -> Result<bool> {
    POSTRIDER_TRY(const bool host, list.matches_host(peer.host, peer.address));
    if (host) return true;
    return list.matches_domain(occasion->destination);
  };
  const ev::Deadline deadline = session.loop().after(session.options().timeout(Step::greeting));
  Result<bool> wanted = co_await maps::ask<bool>(session.loop(), question, deadline);
  if (!wanted)
    log::warning("debug_peer_list: " + wanted.error().text());
  else if (*wanted)
    session.log_conversation();
}

// True: ESMTP must not be spoken with it.
ev::Task<Result<bool>> treat_pix(Session& session, ev::Lent<const Occasion> occasion) {
  const Options& options = session.options();
  Result<std::vector<std::string>> words =
      co_await words_for(session, session.tables().pix_workarounds, options.pix_workarounds);
  if (!words) co_return words.error();
  const bool no_esmtp = has_word(*words, "disable_esmtp");
  session.delay_dot = has_word(*words, "delay_dotcrlf");
  std::string enabled;
  if (no_esmtp) enabled += " disable_esmtp";
  if (session.delays_dot_of(occasion->arrival)) enabled += " delay_dotcrlf";
  if (!enabled.empty())
    log::info(occasion->id + ": enabling PIX workarounds:" + enabled + " for " +
              session.peer().shown_with_port());
  co_return no_esmtp;
}

ev::Task<Result<void>> note_features(Session& session, ev::Lent<const smtp::Reply> hello) {
  Result<std::vector<std::string>> discard = co_await words_for(
      session, session.tables().discard_keywords, session.options().discard_keywords);
  if (!discard) co_return discard.error();
  std::string shown;
  for (const std::string& word : *discard)
    if (!iequals(word, "silent-discard")) shown += " " + uppercase(word);
  if (!shown.empty() && !has_word(*discard, "silent-discard"))
    log::info("discarding EHLO keywords:" + shown);
  session.set_features(smtp::parse_features(*hello, *discard));
  co_return Result<void>();
}

std::optional<Trouble> find_loop(const Session& session, const smtp::Reply& hello, Step step,
                                 const Occasion& occasion) {
  const std::string& me = session.options().my_name;
  if (!occasion.detect_loop || !iequals(smtp::first_word(hello), me)) return std::nullopt;
  log::warning("host " + session.peer().shown_with_port() +
               " replied to HELO/EHLO with my own hostname " + me);
  return Trouble{occasion.best_host ? Cause::loop : Cause::loop_elsewhere,
                 step,
                 {},
                 "mail for " + occasion.nexthop + " loops back to myself"};
}

} // namespace

ev::Task<std::optional<Trouble>> greet(Session& session, ev::Lent<const Occasion> occasion) {
  const Options& options = session.options();
  co_await log_if_asked(session, occasion);
  Result<smtp::Reply> greeting = co_await session.read_reply(Step::greeting);
  if (!greeting) co_return trouble_from(greeting.error(), Step::greeting);
  if (!greeting->ok()) co_return refused(*greeting, Step::greeting, options);
  if (occasion->detect_loop && iequals(smtp::first_word(*greeting), options.my_name))
    log::warning("host " + session.peer().shown_with_port() + " greeted me with my own hostname " +
                 options.my_name);

  const bool lmtp = options.flavor == Flavor::lmtp;
  bool ehlo = lmtp || options.always_send_ehlo || has_esmtp(*greeting);
  if (is_starred_out(*greeting)) {
    Result<bool> no_esmtp = co_await treat_pix(session, occasion);
    if (!no_esmtp)
      co_return trouble_from(table_error(no_esmtp.error(), "pix_workaround_maps"), Step::greeting);
    if (*no_esmtp) ehlo = lmtp;
  }
  if (options.never_send_ehlo) ehlo = lmtp;
  co_return co_await say_hello(session, occasion, ehlo);
}

ev::Task<std::optional<Trouble>> say_hello(Session& session, ev::Lent<const Occasion> occasion,
                                           bool ehlo) {
  const Options& options = session.options();
  const bool lmtp = options.flavor == Flavor::lmtp;
  if (ehlo) {
    const Step step = lmtp ? Step::lhlo : Step::ehlo;
    const std::string line = (lmtp ? "LHLO " : "EHLO ") + options.hello_name;
    Result<smtp::Reply> hello = co_await session.command(line, step);
    if (!hello) co_return trouble_from(hello.error(), step);
    if (hello->ok()) {
      std::optional<Trouble> loop = find_loop(session, *hello, step, *occasion);
      if (loop) co_return loop;
      Result<void> noted = co_await note_features(session, *hello);
      if (!noted)
        co_return trouble_from(table_error(noted.error(), "discard_ehlo_keyword_address_maps"),
                               step);
      co_return std::nullopt;
    }
    // A server that knows no EHLO may say so in many ways.
    if (lmtp || session.broken()) co_return refused(*hello, step, options);
  }
  const std::string line = "HELO " + options.hello_name;
  Result<smtp::Reply> hello = co_await session.command(line, Step::helo);
  if (!hello) co_return trouble_from(hello.error(), Step::helo);
  if (!hello->ok()) co_return refused(*hello, Step::helo, options);
  co_return find_loop(session, *hello, Step::helo, *occasion);
}

} // namespace postrider::smtpclient
