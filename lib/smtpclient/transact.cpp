// SPDX-License-Identifier: MIT
#include "smtpclient/transact.hpp"

#include "base/log.hpp"
#include "proto/deliver.hpp"

namespace postrider::smtpclient {
namespace {

using smtp::Step;

constexpr auto kWorking = static_cast<std::uint8_t>(proto::SlotState::working);
constexpr auto kInDoubt = static_cast<std::uint8_t>(proto::SlotState::in_doubt);

// Room in front of a chunk for "BDAT 65538 LAST\r\n", so that both leave in one write.
constexpr std::size_t kChunkHead = 40;
// Chunks that are sent ahead of their replies: 4 MiB, as much as a long and fast line holds.
constexpr std::size_t kMostUnanswered = 64;

} // namespace

Transact::Transact(Session& session, const smtp::Transaction& what, const Content& content,
                   const Rewriting& rewriting, FlightMark mark)
    : session_(session), what_(what), content_(content), mark_(mark),
      judge_(what.recipients->size()) {
  const Options& options = session.options();
  if (session.features().chunking && options.chunking) {
    reader_.emplace(content_, *what_.facts, options, ContentReader::Framing::chunk, rewriting);
    chunked_ = reader_->unchanged();
  }
  if (!chunked_)
    reader_.emplace(content_, *what_.facts, options, ContentReader::Framing::dot, rewriting);
  what_.chunked = chunked_;
}

void Transact::fail(const Error& error, Step step) {
  session_.mark_broken();
  if (!trouble_) trouble_ = trouble_from(error, step);
}

void Transact::enter_doubt() {
  in_doubt_ = true; // duplicate possible from here: the peer may get the end of the content
  mark_.set(kInDoubt);
}

void Transact::leave_doubt() {
  in_doubt_ = false;
  mark_.set(kWorking);
}

ev::Task<void> Transact::run() {
  session_.count_use();
  bool go = co_await envelope();
  if (!go) co_return;
  if (chunked_)
    go = co_await chunks();
  else
    go = co_await data();
  if (!go) co_return;
  if (session_.transcript())
    session_.remark("content of " + std::to_string(what_.facts->size) + " bytes sent");
  co_await final_replies();
}

ev::Task<bool> Transact::envelope() {
  const smtp::Batch batch = smtp::plan_transaction(what_, session_.features());
  session_.needs_reset = true;
  std::size_t sent = 0;
  for (std::size_t i = 0; i < batch.commands.size();) {
    std::size_t last = i;
    while (!batch.commands[last].last_of_group)
      ++last;
    const ByteView group = ByteView(batch.wire).substr(sent, batch.commands[last].end - sent);
    Result<void> written = co_await session_.send(group, batch.commands[i].step);
    if (!written) {
      fail(written.error(), batch.commands[i].step);
      co_return false;
    }
    sent = batch.commands[last].end;
    for (; i <= last; ++i) {
      Result<smtp::Reply> reply = co_await session_.read_reply(batch.commands[i].step);
      if (!reply) {
        fail(reply.error(), batch.commands[i].step);
        co_return false;
      }
      note(batch.commands[i], *reply);
      if (trouble_) co_return false;
    }
    // One group at a time: no DATA when nobody is left to get it.
    if (i < batch.commands.size() && !judge_.any_undecided()) co_return false;
  }
  if (chunked_) co_return judge_.count(smtp::Decision::accepted) > 0;
  if (after_data_ == smtp::Judge::Next::nothing) co_await end_empty();
  co_return after_data_ == smtp::Judge::Next::content;
}

void Transact::note(const smtp::Batch::Command& command, const smtp::Reply& reply) {
  // 2xx to DATA, 3xx to anything else: we do not talk about the same thing any more.
  if (!reply.temporary() && !reply.permanent() && reply.ok() == (command.step == Step::data))
    session_.mark_broken();
  switch (command.step) {
  case Step::xforward:
    // The filter does without; the mail goes its way, unless the server does.
    if (reply.code == 421) trouble_ = trouble_from(reply, command.step);
    if (!reply.ok())
      log::warning("host " + session_.peer().shown_with_port() + " said: " + reply.joined(" ") +
                   " (in reply to XFORWARD command)");
    break;
  case Step::mail: judge_.mail(reply); break;
  case Step::rcpt: judge_.rcpt(command.recipient, reply); break;
  case Step::data: after_data_ = judge_.data(reply); break;
  case Step::lookup:
  case Step::connect:
  case Step::greeting:
  case Step::ehlo:
  case Step::helo:
  case Step::lhlo:
  case Step::starttls:
  case Step::auth:
  case Step::body:
  case Step::end_of_data:
  case Step::bdat:
  case Step::bdat_last:
  case Step::rset:
  case Step::quit: POSTRIDER_UNREACHABLE();
  }
}

// RFC 2920 section 3.1: DATA was pipelined and accepted though no recipient was.
ev::Task<void> Transact::end_empty() {
  Result<void> sent = co_await session_.send(".\r\n", Step::end_of_data);
  if (!sent) co_return;
  Result<smtp::Reply> reply = co_await session_.read_reply(Step::end_of_data);
  // Nobody is told of it: each recipient was refused before.
  session_.needs_reset = !reply || !reply->ok();
}

ev::Task<std::optional<bool>> Transact::next_piece(std::string& wire) {
  Result<bool> last = false;
  if (reader_->may_wait()) {
    const ev::Deadline limit = session_.loop().after(session_.options().timeout(Step::body));
    last = co_await reader_->next(wire, session_.loop(), limit);
  } else {
    last = reader_->next(wire);
  }
  if (last) co_return *last;
  session_.mark_broken();
  trouble_ = reader_->trouble();
  co_return std::nullopt;
}

// What the server says before it has the content can only be that it does not want it.
ev::Task<bool> Transact::said_too_early() {
  if (!session_.has_input()) co_return false;
  fail(Error(ErrorKind::protocol, "reply without a command"), Step::body);
  co_await parting_words(0);
  co_return true;
}

ev::Task<bool> Transact::data() {
  const bool too_early = co_await said_too_early();
  if (too_early) co_return false;
  session_.begin_content();
  std::string wire;
  bool last = false;
  while (!last) {
    wire.clear();
    const std::optional<bool> piece = co_await next_piece(wire);
    if (!piece) co_return false;
    last = *piece;
    if (last && session_.delays_dot_of(what_.envelope->arrival)) {
      // smtp_pix_workarounds: the dot has to come in a packet of its own, and later.
      Result<void> sent = co_await session_.send_content(wire);
      if (sent) sent = co_await ev::sleep_for(session_.loop(), session_.options().pix_delay);
      if (!sent) {
        fail(sent.error(), Step::body);
        co_return false;
      }
      session_.begin_content();
      wire.clear();
    }
    if (last) {
      wire.append(".\r\n");
      enter_doubt();
    }
    Result<void> sent = co_await session_.send_content(wire);
    if (!sent) {
      // Its last byte did not leave, so the server has no whole dot.
      if (last) leave_doubt();
      fail(sent.error(), Step::body);
      co_await parting_words(0);
      co_return false;
    }
  }
  co_return true;
}

ev::Task<bool> Transact::chunks() {
  const bool too_early = co_await said_too_early();
  if (too_early) co_return false;
  session_.begin_content();
  const std::size_t ahead = session_.features().pipelining ? kMostUnanswered : 0;
  std::size_t unanswered = 0;
  std::string wire;
  bool last = false;
  while (!last) {
    wire.assign(kChunkHead, ' ');
    const std::optional<bool> piece = co_await next_piece(wire);
    if (!piece) co_return false;
    last = *piece;
    const std::string head =
        "BDAT " + std::to_string(wire.size() - kChunkHead) + (last ? " LAST\r\n" : "\r\n");
    const std::size_t start = kChunkHead - head.size();
    wire.replace(start, head.size(), head);
    if (session_.transcript()) session_.transcript()->sent(head);
    if (last) enter_doubt();
    Result<void> sent = co_await session_.send_content(ByteView(wire).substr(start));
    if (!sent) {
      if (last) leave_doubt(); // the server waits for the rest of the chunk
      fail(sent.error(), Step::bdat);
      co_await parting_words(unanswered);
      co_return false;
    }
    if (last) break;
    if (++unanswered <= ahead) continue;
    const bool go_on = co_await chunk_replies(1, Step::bdat);
    if (!go_on) co_return false;
    --unanswered;
  }
  co_return co_await chunk_replies(unanswered, Step::bdat_last);
}

// Of chunks that were not the last. `step`: bdat_last when that one is on its way already.
ev::Task<bool> Transact::chunk_replies(std::size_t count, Step step) {
  for (; count > 0; --count) {
    Result<smtp::Reply> reply = co_await session_.read_reply(step);
    if (!reply) {
      fail(reply.error(), step);
      co_return false;
    }
    if (reply->ok()) continue;
    // RFC 3030 section 2: the transaction has failed, whatever is said to the rest of it.
    judge_.content_refused(*reply, Step::bdat);
    session_.mark_broken();
    leave_doubt();
    co_return false;
  }
  co_return true;
}

// A server that wants no more may say why before it hangs up.
ev::Task<void> Transact::parting_words(std::size_t replies_before) {
  if (trouble_->cause != Cause::closed && trouble_->cause != Cause::protocol) co_return;
  for (std::size_t i = 0; i <= replies_before; ++i) {
    Result<smtp::Reply> reply = co_await session_.read_reply(Step::body);
    if (!reply) co_return;
    if (!reply->temporary() && !reply->permanent()) continue; // to an earlier chunk
    judge_.content_refused(*reply, chunked_ ? Step::bdat : Step::end_of_data);
    co_return;
  }
}

ev::Task<void> Transact::final_replies() {
  const bool lmtp = session_.options().flavor == Flavor::lmtp;
  do {
    Result<smtp::Reply> reply = co_await session_.read_reply(last_step());
    if (!reply) {
      fail(reply.error(), last_step());
      co_return;
    }
    if (reply->code / 100 == 3) { // neither yes nor no
      session_.mark_broken();
      trouble_ = trouble_from(*reply, last_step());
      co_return;
    }
    if (lmtp)
      judge_.end_of_data_next(*reply, last_step());
    else
      judge_.end_of_data(*reply, last_step());
  } while (judge_.count(smtp::Decision::accepted) > 0);
  in_doubt_ = false;
  // A mark of a delivered message stays until the slot is used again: should we die before qmgr has
  // read the outcome, it must not take the delivery for one that never happened.
  if (judge_.count(smtp::Decision::delivered) == 0) mark_.set(kWorking);
  session_.needs_reset = false;
}

} // namespace postrider::smtpclient
