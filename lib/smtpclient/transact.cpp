// SPDX-License-Identifier: MIT
#include "smtpclient/transact.hpp"

#include <algorithm>
#include <cerrno>
#include <unistd.h>

#include "proto/deliver.hpp"
#include "smtp/dot.hpp"

namespace postrider::smtpclient {
namespace {

using smtp::Step;

constexpr std::size_t kPiece = 64 << 10; // content read and written at a time

constexpr auto kWorking = static_cast<std::uint8_t>(proto::SlotState::working);
constexpr auto kInDoubt = static_cast<std::uint8_t>(proto::SlotState::in_doubt);

} // namespace

Transact::Transact(Session& session, const smtp::Transaction& what, const Content& content,
                   FlightMark mark)
    : session_(session), what_(what), content_(content), mark_(mark),
      judge_(what.recipients->size()),
      check_(content.id, queue::Place{.tag = content.tag, .offset = content.record_offset}) {}

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

Result<void> Transact::read_piece(std::string& out, std::uint64_t from, std::size_t count) {
  const std::size_t had = out.size();
  out.resize(had + count);
  std::size_t done = 0;
  while (done < count) {
    const ssize_t got = ::pread(content_.fd, out.data() + had + done, count - done,
                                static_cast<off_t>(content_.offset + from + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error::from_errno("read message content", errno);
    if (got == 0) return Error(ErrorKind::io, "message content is shorter than its record says");
    done += static_cast<std::size_t>(got);
  }
  check_.feed(ByteView(out).substr(had));
  return {};
}

ev::Task<bool> Transact::content() {
  const mail::ContentFacts& facts = *what_.facts;
  const std::size_t limit = session_.options().line_length_limit;
  const bool fold = limit > 0 && facts.longest_line > limit;
  const bool as_it_is = !fold && !facts.needs_dot_stuffing;
  smtp::LineFolder folder(limit);
  bool at_line_start = true;
  std::string piece;
  std::string encoded;
  std::uint64_t from = 0;
  bool last = false;
  while (!last) {
    const auto count =
        static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, content_.size - from));
    piece.clear();
    if (from == 0) piece.reserve(count + 8);
    Result<void> read = read_piece(piece, from, count);
    from += count;
    last = from == content_.size;
    // X2: the bytes sent so far, and those to be sent, are the message's, or the dot is not sent.
    if (read && last) read = check_.confirm(real_file_system(), content_.fd);
    if (!read) {
      session_.mark_broken();
      const bool changed = read.error().kind() == ErrorKind::protocol;
      trouble_ = Trouble{changed ? Cause::content_changed : Cause::content_unreadable,
                         Step::body,
                         {},
                         read.error().text()};
      co_return false;
    }
    std::string* wire = &piece;
    if (!as_it_is) {
      encoded.clear();
      if (fold)
        folder.append(encoded, piece);
      else
        smtp::append_stuffed(encoded, piece, at_line_start);
      wire = &encoded;
    }
    Step step = Step::body;
    if (last) {
      if (!facts.ends_with_newline) wire->append("\r\n");
      wire->append(".\r\n");
      step = Step::end_of_data;
      in_doubt_ = true; // duplicate possible from here: the peer may get the dot
      mark_.set(kInDoubt);
    }
    Result<void> sent = co_await session_.send_more(*wire, step);
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
