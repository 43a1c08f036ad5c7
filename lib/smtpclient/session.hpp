// SPDX-License-Identifier: MIT
// An open connection to a server that has been greeted: features, limits, and the one way to talk.
// Replies are counted against commands: what comes without having been asked for ends the session.
// One task at a time. Nothing here decides about mail.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "net/stream.hpp"
#include "smtp/ehlo.hpp"
#include "smtp/reply.hpp"
#include "smtp/steps.hpp"
#include "smtpclient/failure.hpp"
#include "smtpclient/options.hpp"

namespace postrider::smtpclient {

class Session {
 public:
  Session(ev::Loop& loop, std::unique_ptr<net::Stream> stream, const Options& options, Peer peer);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // WAITS until the kernel has the bytes. Error protocol when something unasked lies in the buffer.
  ev::Task<Result<void>> send(ByteView bytes, smtp::Step step);
  // The same for bytes in the middle of a transaction.
  ev::Task<Result<void>> send_more(ByteView bytes, smtp::Step step);
  // WAITS for the next reply; the whole reply has the step's time. 421 marks the session as ended.
  ev::Task<Result<smtp::Reply>> read_reply(smtp::Step step);
  // One command line without CRLF, one reply. `line` must be a named object or a literal.
  ev::Task<Result<smtp::Reply>> command(std::string_view line, smtp::Step step);
  // QUIT; waits for the reply unless smtp_skip_quit_response.
  ev::Task<void> quit();

  const smtp::Features& features() const { return features_; }
  void set_features(smtp::Features features) { features_ = std::move(features); }
  const Peer& peer() const { return peer_; }
  ev::Loop& loop() { return loop_; }
  const Options& options() const { return options_; }

  // Nothing may be sent any more (peer gone, 421, out of step).
  void mark_broken() { broken_ = true; }
  bool broken() const { return broken_; }
  // A transaction was begun and not finished: RSET before the next.
  bool needs_reset = false;

  // Transactions so far, and whether another may begin. is_idle() makes one system call.
  std::size_t uses() const { return uses_; }
  void count_use() { ++uses_; }
  bool may_be_reused() const;
  bool is_idle() const;

 private:
  ev::Loop& loop_;
  std::unique_ptr<net::Stream> stream_;
  const Options& options_;
  Peer peer_;
  smtp::Features features_;
  SteadyTime opened_;
  std::size_t uses_ = 0;
  bool broken_ = false;
};

} // namespace postrider::smtpclient
