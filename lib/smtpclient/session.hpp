// SPDX-License-Identifier: MIT
// An open connection to a server that has been greeted: features, limits, and the one way to talk.
// Replies are counted against commands: what comes without having been asked for ends the session.
// One task at a time. Nothing here decides about mail.
//
// Time limits. A command has its step's limit to be written, and a whole reply the limit to arrive,
// however many lines it has; with smtp_per_request_deadline both share one limit. Content has its
// limit anew whenever some of it was taken, or, with smtp_per_request_deadline, one limit that
// smtp_min_data_rate makes longer with each byte taken.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.hpp"
#include "net/stream.hpp"
#include "smtp/ehlo.hpp"
#include "smtp/reply.hpp"
#include "smtp/steps.hpp"
#include "smtpclient/failure.hpp"
#include "smtpclient/options.hpp"
#include "smtpclient/session_facts.hpp"
#include "smtpclient/tables.hpp"
#include "smtpclient/tls_client.hpp"
#include "smtpclient/transcript.hpp"
#include "tls/stream.hpp"

namespace postrider::smtpclient {

class Session {
 public:
  // Options and tables must outlive it.
  Session(ev::Loop& loop, std::unique_ptr<net::Stream> stream, const Options& options,
          Tables& tables, Peer peer);
  // One that another process has opened and used. REQUIRES: check_leads_to() likes the descriptor.
  static std::unique_ptr<Session> adopt(ev::Loop& loop, Fd fd, const Options& options,
                                        Tables& tables, SessionFacts facts);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // WAITS until the kernel has the bytes. Error protocol when something unasked lies in the buffer.
  // `shown` is what a transcript has of it; empty: the bytes themselves.
  ev::Task<Result<void>> send(ByteView bytes, smtp::Step step, std::string_view shown = {});
  // Message content, after begin_content(). When it fails, the last of the bytes was not taken.
  ev::Task<Result<void>> send_content(ByteView bytes);
  void begin_content();
  // WAITS for the next reply. 421 marks the session as ended.
  ev::Task<Result<smtp::Reply>> read_reply(smtp::Step step);
  // From now on, until end_hiding(), no text of a reply has `secret` in it, should the server echo
  // what we say, and no transcript shows a challenge.
  void hide(std::string_view secret);
  void end_hiding() { hidden_.clear(); }
  // Puts "[...]" in place of what is hidden.
  void scrub(std::string& text) const;
  // One command line without CRLF, one reply. `line` must be a named object or a literal.
  ev::Task<Result<smtp::Reply>> command(std::string_view line, smtp::Step step);
  // TLS from here on. What the server has said before is forgotten. WAITS for the handshake; after
  // an Error nothing can be said any more. Error protocol also when something unasked came already.
  ev::Task<Result<void>> start_tls(ev::Lent<const tls::ClientHandshake> handshake,
                                   ev::Deadline deadline);
  tls::TlsStream* tls() { return tls_; } // null: clear text
  Security security;
  bool single_use = false; // not for a further message
  // QUIT; waits for the reply unless smtp_skip_quit_response. With TLS, says that this is the end.
  ev::Task<void> quit();

  const smtp::Features& features() const { return features_; }
  void set_features(smtp::Features features) { features_ = std::move(features); }
  const Peer& peer() const { return peer_; }
  ev::Loop& loop() { return loop_; }
  const Options& options() const { return options_; }
  Tables& tables() { return tables_; }
  // Of this connection; null when nobody wants it.
  Transcript* transcript() { return transcript_.get(); }
  void log_conversation();
  // For debug_peer_level 2 and up: what is no command and no reply.
  void remark(std::string_view what);

  // The server has said something that nobody has read.
  bool has_input() const { return stream_ && !stream_->buffered().empty(); }
  // Nothing may be sent any more (peer gone, 421, out of step).
  void mark_broken() { broken_ = true; }
  bool broken() const { return broken_; }
  // What protects it against others who read and write on the way.
  struct Protection {
    bool tls = false;
    bool verified = false;           // and the server is the one we mean
    bool client_certificate = false; // and it knows by it who we are
  };
  Protection protection;
  std::string own_address; // from where; only where reports on TLS want it
  // Who we are to the server: sessions with another key must not be used in its place, and one that
  // has a key stays in the process that knows the password.
  std::string login_key;
  bool logged_in = false;
  // A transaction was begun and not finished: RSET before the next.
  bool needs_reset = false;
  // smtp_pix_workarounds: messages of a certain age wait before the final dot.
  bool delay_dot = false;
  bool delays_dot_of(std::int64_t arrival) const; // unix time, microseconds

  // Transactions so far, and whether another may begin. is_idle() makes one system call.
  std::size_t uses() const { return uses_; }
  void count_use();
  bool may_be_reused() const;
  bool is_idle() const;

  // Whether it may go to another process: idle, over TCP, in the clear, without a login.
  bool may_leave() const;
  // `key`: as in SessionFacts.
  SessionFacts facts(std::string key) const;
  // The connection; the session is at its end. REQUIRES may_leave().
  Fd release();

 private:
  ev::Task<Result<smtp::Reply>> read_filtered_reply(smtp::Step step, ev::Deadline deadline);
  smtp::Reply received(smtp::ReplyParser& parser, smtp::Step step);
  std::string shown_line(std::string line) const;
  Error lost(Error error);
  Error malformed(Error error);
  ev::Deadline reply_deadline(smtp::Step step);

  ev::Loop& loop_;
  std::unique_ptr<net::Stream> stream_; // null: a handshake failed
  tls::TlsStream* tls_ = nullptr;       // stream_, when that is one
  const Options& options_;
  Tables& tables_;
  Peer peer_;
  smtp::Features features_;
  std::unique_ptr<Transcript> transcript_;
  std::vector<Secret> hidden_;
  std::optional<ev::Deadline> request_deadline_; // smtp_per_request_deadline: of the command sent
  ev::Deadline content_deadline_ = ev::Deadline::never();
  SteadyTime opened_;
  std::size_t uses_ = 0;
  bool broken_ = false;
};

} // namespace postrider::smtpclient
