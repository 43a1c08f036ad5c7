// SPDX-License-Identifier: MIT
#include "forward/transfer.hpp"

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "maps/ask.hpp"
#include "smtp/xforward.hpp"
#include "smtpclient/generic.hpp"
#include "smtpclient/rewriter.hpp"

namespace postrider::forward {
namespace {

using smtp::Step;
using smtpclient::Cause;
using smtpclient::Trouble;

constexpr std::string_view kTryAgain = "Error: the next mail server is not available, try again";

// The server's words without code and enhanced code, which are said again in front of each line.
std::string words_of(const smtp::Reply& reply) {
  std::string words;
  for (std::string_view line : split(reply.text, "\n")) {
    line = line.substr(std::min<std::size_t>(4, line.size()));
    if (!reply.dsn.empty() && line.starts_with(reply.dsn)) line.remove_prefix(reply.dsn.size());
    if (!words.empty()) words.push_back('\n');
    words += trim(line);
  }
  return words.empty() ? "(no text)" : words;
}

// 421 is about that connection and not about the client's; what is neither yes nor no is no yes.
Answer answer_of(const smtp::Reply& reply) {
  if (reply.ok() || reply.permanent() || (reply.temporary() && reply.code != 421))
    return {reply.code, reply.status(), words_of(reply)};
  const std::string dsn = reply.code == 421 ? reply.status() : "4.5.0";
  return {451, dsn, words_of(reply)};
}

Answer answer_of(const Trouble& trouble, const smtpclient::Peer& peer) {
  if (trouble.reply.code != 0) return answer_of(trouble.reply);
  const mail::Outcome outcome = smtpclient::to_outcome(trouble, peer);
  if (outcome.verdict != mail::Verdict::bounced) return {451, outcome.dsn, std::string(kTryAgain)};
  return {550, outcome.dsn, trouble.detail};
}

} // namespace

Transfer::Transfer(Servers& servers, const Targets& targets, const mail::Envelope& envelope,
                   Asking asking)
    : servers_(servers), targets_(targets), envelope_(envelope), asking_(std::move(asking)) {
  what_.envelope = &sent_;
  what_.recipients = &nobody_;
  what_.facts = &facts_;
  began_ = connected_ = ended_ = servers.loop().now();
}

Transfer::~Transfer() {
  if (connection_) servers_.give_back(std::move(connection_), stage_ == Stage::content); // F4
}

bool Transfer::is_lmtp() const { return connection_ && connection_->kind == Kind::lmtp; }

// Says why in the log; the details are nothing for strangers.
Answer Transfer::give_up(const Trouble& trouble) {
  log::info(asking_.id + ": " + smtpclient::to_outcome(trouble, peer_).text);
  return answer_of(trouble, peer_);
}

ev::Task<Result<smtp::Reply>> Transfer::command(const std::string& line, Step step) {
  Result<void> sent = co_await session().send(line, step);
  if (!sent) co_return sent.error();
  co_return co_await session().read_reply(step);
}

ev::Task<std::optional<Answer>> Transfer::open() {
  connection_.reset();
  Reached reached = co_await servers_.reach(targets_, asking_);
  if (!reached.connection) {
    // Whatever it says against us, it says nothing of the mail.
    const mail::Outcome why = smtpclient::to_outcome(reached.trouble, reached.peer);
    const bool lasting = why.verdict == mail::Verdict::bounced;
    co_return Answer{451, lasting ? "4.3.0" : why.dsn, std::string(kTryAgain)};
  }
  connection_ = std::move(reached.connection);
  peer_ = session().peer();
  connected_ = servers_.loop().now();
  what_.quote_addresses = engine().options.quote_addresses;
  what_.dummy_auth = session().logged_in && engine().options.sasl.dummy_mail_auth;
  co_return std::nullopt;
}

std::optional<Answer> Transfer::obstacle_to(const std::vector<mail::Recipient>& recipients) {
  smtp::Transaction asked = what_;
  asked.recipients = &recipients;
  switch (smtp::find_obstacle(asked, session().features())) {
  case smtp::Obstacle::none: return std::nullopt;
  case smtp::Obstacle::too_large:
    return Answer{552, "5.3.4", "Message size exceeds the limit of the next mail server"};
  case smtp::Obstacle::needs_smtputf8:
    return Answer{550, "5.6.7", "SMTPUTF8 is required, but the next mail server lacks it"};
  }
  POSTRIDER_UNREACHABLE();
}

// XFORWARD. A server that does not like it does without.
ev::Task<std::optional<Trouble>> Transfer::introduce() {
  const smtpclient::Options& options = engine().options;
  if (!options.send_xforward) co_return std::nullopt;
  const auto client = net::Address::parse_ip(envelope_.client_address, 0);
  const bool local = client ? options.is_own(*client) : envelope_.local_submission;
  const smtp::Origin origin{&envelope_, asking_.id, local};
  const std::vector<std::string> lines = smtp::xforward_commands(origin, session().features());
  for (const std::string& line : lines) {
    Result<smtp::Reply> reply = co_await command(line, Step::xforward);
    if (!reply) co_return smtpclient::trouble_from(reply.error(), Step::xforward);
    if (reply->ok()) continue;
    if (reply->code == 421) co_return smtpclient::trouble_from(*reply, Step::xforward);
    log::warning("host " + peer_.shown_with_port() + " said: " + reply->joined(" ") +
                 " (in reply to XFORWARD command)");
  }
  co_return std::nullopt;
}

struct Transfer::Ahead {
  Ahead(const std::vector<mail::Recipient>& r, std::vector<Answer>& a)
      : recipients(r), answers(a) {}
  const std::vector<mail::Recipient>& recipients;
  std::vector<Answer>& answers;
  std::vector<std::size_t> said; // of these, in the group of MAIL
};

ev::Task<Answer> Transfer::mail(ev::Lent<const mail::ContentFacts> facts, bool size_known) {
  facts_ = *facts;
  what_.converted = !size_known;
  std::vector<Answer> none;
  Ahead nobody(nobody_, none);
  co_return co_await begin(nobody);
}

ev::Task<Answer> Transfer::mail_to_all(ev::Lent<const mail::ContentFacts> facts,
                                       const std::vector<mail::Recipient>& recipients,
                                       std::vector<Answer>& answers) {
  facts_ = *facts;
  what_.converted = false;
  Ahead all(recipients, answers);
  Answer answer = co_await begin(all);
  if (!is_yes(answer) || !answers.empty()) co_return answer;
  for (const mail::Recipient& recipient : recipients) {
    Answer one = co_await rcpt(recipient);
    answers.push_back(std::move(one));
  }
  co_return answer;
}

// Each may try again: an idle connection may be at its end, and then nothing has happened yet.
ev::Task<Answer> Transfer::begin(Ahead& ahead) {
  sent_ = envelope_;
  sent_.recipients.clear();
  bool mapped = false;
  while (true) {
    std::optional<Answer> none = co_await open();
    if (none) co_return *none;
    if (!mapped) {
      Result<void> done = co_await map_address(sent_.sender);
      if (!done) co_return give_up(smtpclient::trouble_from(done.error(), Step::mail));
      mapped = true;
    }
    const bool reused = connection_->reused;
    const std::optional<Answer> obstacle = obstacle_to(nobody_);
    if (obstacle) co_return *obstacle;
    session().count_use();
    uses_ = session().uses();
    std::optional<Trouble> trouble = co_await introduce();
    if (!trouble) {
      std::string lines = smtp::mail_command(what_, session().features());
      ahead.said.clear();
      ahead.answers.clear();
      if (session().features().pipelining) ahead.answers.resize(ahead.recipients.size());
      for (std::size_t i = 0; i < ahead.answers.size(); ++i) {
        std::optional<Answer> unsaid = co_await add_rcpt(ahead.recipients[i], lines);
        if (unsaid)
          ahead.answers[i] = std::move(*unsaid);
        else
          ahead.said.push_back(i);
      }
      session().needs_reset = true;
      Result<smtp::Reply> reply = co_await command(lines, Step::mail);
      const bool taken = reply && reply->ok();
      if (reply) co_await hear(ahead, taken);
      if (taken) {
        stage_ = Stage::envelope;
        co_return answer_of(*reply);
      }
      trouble = reply ? smtpclient::trouble_from(*reply, Step::mail)
                      : smtpclient::trouble_from(reply.error(), Step::mail);
    }
    if (trouble->cause == Cause::reply_odd) session().mark_broken();
    if (!reused || !session().broken() || trouble->cause == Cause::cancelled)
      co_return give_up(*trouble);
  }
}

// The replies to RCPT behind that to MAIL. They come whatever that one was, and count only when it
// was a yes.
ev::Task<void> Transfer::hear(Ahead& ahead, bool counts) {
  for (const std::size_t i : ahead.said) {
    if (session().broken()) {
      ahead.answers[i] = {451, "4.4.2", std::string(kTryAgain)};
      continue;
    }
    Result<smtp::Reply> reply = co_await session().read_reply(Step::rcpt);
    if (counts) ahead.answers[i] = take_rcpt(ahead.recipients[i], reply);
  }
}

// Adds the command for it, or says why it cannot be said.
ev::Task<std::optional<Answer>> Transfer::add_rcpt(ev::Lent<const mail::Recipient> recipient,
                                                   std::string& lines) {
  mail::Recipient wanted = *recipient;
  if (!engine().tables.generic.empty()) {
    wanted.orcpt = smtp::original_recipient(wanted);
    Result<void> mapped = co_await map_address(wanted.address);
    if (!mapped) co_return give_up(smtpclient::trouble_from(mapped.error(), Step::rcpt));
  }
  const std::vector<mail::Recipient> one{wanted};
  std::optional<Answer> obstacle = obstacle_to(one);
  if (!obstacle) lines += smtp::rcpt_command(wanted, what_, session().features());
  co_return obstacle;
}

Answer Transfer::take_rcpt(const mail::Recipient& recipient, const Result<smtp::Reply>& reply) {
  if (!reply) return give_up(smtpclient::trouble_from(reply.error(), Step::rcpt));
  if (reply->ok()) {
    passed_.emplace_back();
    passed_.back().recipient = recipient;
  } else if (!reply->temporary() && !reply->permanent()) {
    session().mark_broken();
  }
  return answer_of(*reply);
}

ev::Task<Answer> Transfer::rcpt(ev::Lent<const mail::Recipient> recipient) {
  if (session().broken()) co_return Answer{451, "4.4.2", std::string(kTryAgain)};
  std::string line;
  std::optional<Answer> unsaid = co_await add_rcpt(recipient, line);
  if (unsaid) co_return *unsaid;
  const Result<smtp::Reply> reply = co_await command(line, Step::rcpt);
  co_return take_rcpt(*recipient, reply);
}

ev::Task<Answer> Transfer::data() {
  if (session().broken()) co_return Answer{451, "4.4.2", std::string(kTryAgain)};
  const std::string line = "DATA\r\n";
  Result<smtp::Reply> reply = co_await command(line, Step::data);
  if (!reply) co_return give_up(smtpclient::trouble_from(reply.error(), Step::data));
  if (reply->code != 354) {
    // 2xx and another 3xx: we do not talk about the same thing any more.
    if (!reply->temporary() && !reply->permanent()) session().mark_broken();
    if (!reply->ok()) co_return answer_of(*reply);
    co_return Answer{451, "4.5.0", words_of(*reply)};
  }
  stage_ = Stage::content;
  const smtpclient::Options& options = engine().options;
  folder_.emplace(options.line_length_limit, smtp::Framing::dot);
  if (smtpclient::rewrites_content(engine().tables)) rewriting_.tables = &engine().tables;
  rewriting_.to_seven_bit =
      options.convert_to_7bit && facts_.has_8bit && !session().features().eight_bit_mime;
  if (rewriting_.tables != nullptr || rewriting_.to_seven_bit)
    pipeline_.emplace(rewriting_, options, asking_.id, *folder_);
  co_return Answer{354, "", "End data with <CR><LF>.<CR><LF>"};
}

// A server that wants no more may say why before it hangs up.
ev::Task<void> Transfer::hear_parting_words() {
  if (trouble_->cause != Cause::closed && trouble_->cause != Cause::protocol) co_return;
  Result<smtp::Reply> reply = co_await session().read_reply(Step::body);
  if (reply && (reply->temporary() || reply->permanent()))
    trouble_ = smtpclient::trouble_from(*reply, Step::end_of_data);
}

ev::Task<void> Transfer::send(bool last) {
  if (pipeline_) {
    const ev::Deadline limit = servers_.loop().after(engine().options.timeout(Step::body));
    if (pipeline_->may_wait()) co_await pipeline_->get_answers(servers_.loop(), limit);
    trouble_ = pipeline_->find_trouble(last);
    if (trouble_) co_return;
  }
  if (last) wire_ += ".\r\n";
  session().begin_content(); // a slow client costs the server no time
  Result<void> sent = co_await session().send_content(wire_);
  wire_.clear();
  if (sent) co_return;
  session().mark_broken();
  trouble_ = smtpclient::trouble_from(sent.error(), Step::body);
  co_await hear_parting_words();
}

ev::Task<void> Transfer::content(ByteView bytes) {
  if (trouble_ || bytes.empty()) co_return;
  ends_with_newline_ = bytes.ends_with('\n');
  if (pipeline_)
    pipeline_->feed(bytes, false, wire_);
  else
    folder_->append(wire_, bytes);
  co_await send(false);
}

ev::Task<void> Transfer::finish() {
  if (!trouble_) {
    if (pipeline_)
      pipeline_->feed("", true, wire_);
    else if (!ends_with_newline_)
      folder_->append(wire_, "\r\n");
    co_await send(true); // duplicate possible from here: the server may have got the dot
  }
  // One reply for all of them, or one for each (RFC 2033 section 4.2).
  for (std::size_t i = 0; i < passed_.size() && !trouble_;) {
    Result<smtp::Reply> reply = co_await session().read_reply(Step::end_of_data);
    if (!reply) {
      trouble_ = smtpclient::trouble_from(reply.error(), Step::end_of_data);
      break;
    }
    const std::size_t end = is_lmtp() ? i + 1 : passed_.size();
    for (; i < end; ++i)
      settle(passed_[i], *reply);
  }
  if (trouble_) log::info(asking_.id + ": " + smtpclient::to_outcome(*trouble_, peer_).text);
  for (Passed& passed : passed_) {
    if (passed.outcome.dsn.empty()) {
      passed.answer = answer_of(*trouble_, peer_);
      passed.outcome = smtpclient::to_outcome(*trouble_, peer_);
    }
    passed.outcome.tls = session().security.tls;
    if (engine().options.tls.log_feature_status)
      passed.outcome.tls_status = session().security.status;
  }
  ended_ = servers_.loop().now();
  if (trouble_) {
    session().mark_broken();
    co_return; // F4: the stage stays
  }
  stage_ = Stage::ended;
  session().needs_reset = false;
  if (session().tls() != nullptr) engine().tls.remember(peer_, session().security);
}

void Transfer::settle(Passed& passed, const smtp::Reply& reply) {
  passed.answer = answer_of(reply);
  if (reply.ok()) {
    passed.outcome = smtpclient::delivered(reply, peer_);
    return;
  }
  const Trouble trouble = smtpclient::trouble_from(reply, Step::end_of_data);
  if (trouble.cause == Cause::reply_odd) session().mark_broken();
  passed.outcome = smtpclient::to_outcome(trouble, peer_);
}

void Transfer::log() const {
  const auto micros = [](Duration d) {
    return std::chrono::duration_cast<std::chrono::microseconds>(d).count();
  };
  mail::Delays delays;
  delays.before_queue =
      to_unix_micros(servers_.loop().clock().wall()) - envelope_.arrival - micros(ended_ - began_);
  delays.connecting = micros(connected_ - began_);
  delays.sending = micros(ended_ - connected_);
  for (const Passed& passed : passed_)
    mail::log_delivery(asking_.id, passed.recipient, passed.outcome, delays, uses_,
                       connection_->client->engine().options.log_style);
}

ev::Task<Result<void>> Transfer::map_address(std::string& address) {
  if (engine().tables.generic.empty()) co_return Result<void>();
  const smtpclient::Generic generic(engine().tables, engine().options);
  const std::function<maps::Answer()> question = [&] { return generic.map(address); };
  const ev::Deadline limit = servers_.loop().after(engine().options.timeout(Step::mail));
  maps::Answer found =
      co_await maps::ask<std::optional<std::string>>(servers_.loop(), question, limit);
  if (!found) co_return smtpclient::table_error(found.error(), asking_.id);
  if (*found) address = std::move(**found);
  co_return Result<void>();
}

} // namespace postrider::forward
