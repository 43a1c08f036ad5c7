// SPDX-License-Identifier: MIT
#include "smtpclient/transact.hpp"

#include "proto/deliver.hpp"

namespace postrider::smtpclient {
namespace {

using smtp::Step;

constexpr auto kWorking = static_cast<std::uint8_t>(proto::SlotState::working);
constexpr auto kInDoubt = static_cast<std::uint8_t>(proto::SlotState::in_doubt);

} // namespace

Transact::Transact(Session& session, const smtp::Transaction& what, const Content& content,
                   const Rewriting& rewriting, FlightMark mark)
    : session_(session), what_(what), content_(content), rewriting_(rewriting), mark_(mark),
      judge_(what.recipients->size()) {}

void Transact::fail(const Error& error, Step step) {
  session_.mark_broken();
  if (!trouble_) trouble_ = trouble_from(error, step);
}

ev::Task<void> Transact::run() {
  session_.count_use();
  const bool go = co_await envelope();
  if (!go) co_return;
  const bool sent = co_await content();
  if (!sent) co_return;
  co_await final_replies();
}

ev::Task<bool> Transact::envelope() {
  const smtp::Batch batch = smtp::plan_transaction(what_, session_.features());
  session_.needs_reset = true;
  auto next = smtp::Judge::Next::stop;
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
      const smtp::Batch::Command& command = batch.commands[i];
      Result<smtp::Reply> reply = co_await session_.read_reply(command.step);
      if (!reply) {
        fail(reply.error(), command.step);
        co_return false;
      }
      if (command.step == Step::mail)
        judge_.mail(*reply);
      else if (command.step == Step::rcpt)
        judge_.rcpt(command.recipient, *reply);
      else
        next = judge_.data(*reply);
    }
    // One group at a time: no DATA when nobody is left to get it.
    if (i < batch.commands.size() && !judge_.any_undecided()) co_return false;
  }
  if (next == smtp::Judge::Next::nothing) co_await end_empty();
  co_return next == smtp::Judge::Next::content;
}

// RFC 2920 section 3.1: DATA was pipelined and accepted though no recipient was.
ev::Task<void> Transact::end_empty() {
  Result<void> sent = co_await session_.send(".\r\n", Step::end_of_data);
  if (!sent) co_return;
  Result<smtp::Reply> reply = co_await session_.read_reply(Step::end_of_data);
  // Nobody is told of it: each recipient was refused before.
  session_.needs_reset = !reply || !reply->ok();
}

ev::Task<bool> Transact::content() {
  ContentReader reader(content_, *what_.facts, session_.options(), ContentReader::Framing::dot,
                       rewriting_);
  session_.begin_content();
  std::string wire;
  bool last = false;
  while (!last) {
    wire.clear();
    Result<bool> more = false;
    if (reader.may_wait()) {
      const ev::Deadline limit = session_.loop().after(session_.options().timeout(Step::body));
      more = co_await reader.next(wire, session_.loop(), limit);
    } else {
      more = reader.next(wire);
    }
    if (!more) {
      session_.mark_broken();
      trouble_ = reader.trouble();
      co_return false;
    }
    last = *more;
    Step step = Step::body;
    if (last) {
      wire.append(".\r\n");
      step = Step::end_of_data;
      in_doubt_ = true; // duplicate possible from here: the peer may get the dot
      mark_.set(kInDoubt);
    }
    Result<void> sent = co_await session_.send_content(wire);
    if (!sent) {
      fail(sent.error(), step);
      co_return false;
    }
  }
  co_return true;
}

ev::Task<void> Transact::final_replies() {
  const bool lmtp = session_.options().flavor == Flavor::lmtp;
  do {
    Result<smtp::Reply> reply = co_await session_.read_reply(Step::end_of_data);
    if (!reply) {
      fail(reply.error(), Step::end_of_data);
      co_return;
    }
    if (lmtp)
      judge_.end_of_data_next(*reply);
    else
      judge_.end_of_data(*reply);
  } while (judge_.count(smtp::Decision::accepted) > 0);
  in_doubt_ = false;
  // A mark of a delivered message stays until the slot is used again: should we die before qmgr has
  // read the outcome, it must not take the delivery for one that never happened.
  if (judge_.count(smtp::Decision::delivered) == 0) mark_.set(kWorking);
  session_.needs_reset = false;
}

} // namespace postrider::smtpclient
