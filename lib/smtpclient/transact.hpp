// SPDX-License-Identifier: MIT
// One mail transaction on an open session. Every recipient gets exactly one verdict, from a reply
// or from the trouble that ended it. The one dangerous interval, from the final dot to its reply,
// is marked where qmgr can see it even after our death.
//
// The content goes by DATA, or by BDAT (RFC 3030) to servers that offer CHUNKING when it needs no
// change. Then the last chunk is what the final dot is else.
//
//   X1  in_doubt() holds only between the final dot and its last reply
//   X2  content is sent only after its record was found to be the one asked for, or the connection
//       ends without the final dot
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "smtp/batch.hpp"
#include "smtp/judge.hpp"
#include "smtpclient/content_reader.hpp"
#include "smtpclient/session.hpp"

namespace postrider::smtpclient {

// One byte of the board that we share with qmgr (lib/proto/deliver.hpp). May be unset.
class FlightMark {
 public:
  FlightMark() = default;
  explicit FlightMark(std::uint8_t* byte) : byte_(byte) {}
  void set(std::uint8_t value) {
    if (byte_) std::atomic_ref<std::uint8_t>(*byte_).store(value, std::memory_order_release);
  }

 private:
  std::uint8_t* byte_ = nullptr;
};

class Transact {
 public:
  // REQUIRES smtp::find_obstacle() was none. What they refer to must outlive run().
  Transact(Session& session, const smtp::Transaction& what, const Content& content,
           const Rewriting& rewriting, FlightMark mark);

  // WAITS until every recipient is decided or the connection is of no more use.
  ev::Task<void> run();

  const smtp::Judge& judge() const { return judge_; }
  // What ended it, when not every recipient was decided by a reply: holds for the undecided.
  const std::optional<Trouble>& trouble() const { return trouble_; }
  bool in_doubt() const { return in_doubt_; }
  // Nothing but MAIL and what went with it was sent, and no reply to it came.
  bool failed_before_mail() const { return trouble_ && trouble_->step <= smtp::Step::mail; }

 private:
  ev::Task<bool> envelope(); // true: the content may follow
  ev::Task<bool> data();     // true: all sent, dot included
  ev::Task<bool> chunks();   // true: all sent, and all but the last chunk accepted
  ev::Task<bool> chunk_replies(std::size_t count, smtp::Step step);
  ev::Task<void> final_replies();
  ev::Task<void> end_empty();
  ev::Task<bool> said_too_early();
  ev::Task<void> parting_words(std::size_t replies_before);
  // The next piece of the content, behind what `wire` holds: whether it is the last one; nullopt
  // after a failure.
  ev::Task<std::optional<bool>> next_piece(std::string& wire);
  void note(const smtp::Batch::Command& command, const smtp::Reply& reply);
  void enter_doubt();
  void leave_doubt();
  void fail(const Error& error, smtp::Step step);
  smtp::Step last_step() const {
    return chunked_ ? smtp::Step::bdat_last : smtp::Step::end_of_data;
  }

  Session& session_;
  smtp::Transaction what_;
  const Content& content_;
  FlightMark mark_;
  smtp::Judge judge_;
  smtp::Judge::Next after_data_ = smtp::Judge::Next::stop;
  std::optional<ContentReader> reader_;
  std::optional<Trouble> trouble_;
  bool chunked_ = false;
  bool in_doubt_ = false;
};

} // namespace postrider::smtpclient
