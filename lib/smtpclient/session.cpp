// SPDX-License-Identifier: MIT
#include "smtpclient/session.hpp"

#include "net/tcp_stream.hpp"

namespace postrider::smtpclient {

Session::Session(ev::Loop& loop, std::unique_ptr<net::Stream> stream, const Options& options,
                 Peer peer)
    : loop_(loop), stream_(std::move(stream)), options_(options), peer_(std::move(peer)),
      opened_(loop.now()) {}

ev::Task<Result<void>> Session::send(ByteView bytes, smtp::Step step) {
  if (!stream_->buffered().empty()) {
    broken_ = true;
    co_return Error(ErrorKind::protocol, "reply without a command");
  }
  Result<void> sent = co_await send_more(bytes, step);
  co_return std::move(sent);
}

ev::Task<Result<void>> Session::send_more(ByteView bytes, smtp::Step step) {
  const ev::Deadline deadline = loop_.after(options_.timeout(step));
  Result<void> sent = co_await stream_->write(bytes, deadline);
  if (!sent) broken_ = true;
  co_return std::move(sent);
}

ev::Task<Result<smtp::Reply>> Session::read_reply(smtp::Step step) {
  const ev::Deadline deadline = loop_.after(options_.timeout(step));
  smtp::ReplyParser parser;
  while (true) {
    ByteView in = stream_->buffered();
    if (!in.empty()) {
      const std::size_t had = in.size();
      Result<bool> complete = parser.feed(in);
      stream_->consume(had - in.size());
      if (!complete) {
        broken_ = true;
        co_return complete.error();
      }
      if (*complete) {
        smtp::Reply reply = parser.take();
        if (reply.code == 421) broken_ = true;
        co_return std::move(reply);
      }
    }
    Result<void> more = co_await stream_->fill(deadline);
    if (!more) {
      broken_ = true;
      co_return more.error();
    }
  }
}

ev::Task<Result<smtp::Reply>> Session::command(std::string_view line, smtp::Step step) {
  const std::string wire = std::string(line) + "\r\n";
  Result<void> sent = co_await send(wire, step);
  if (!sent) co_return sent.error();
  Result<smtp::Reply> reply = co_await read_reply(step);
  co_return std::move(reply);
}

ev::Task<void> Session::quit() {
  if (broken_) co_return;
  Result<void> sent = co_await send("QUIT\r\n", smtp::Step::quit);
  if (sent && !options_.skip_quit_response) {
    // Whatever it says, the connection is at its end.
    Result<smtp::Reply> reply = co_await read_reply(smtp::Step::quit);
    broken_ = !reply || reply->code != 0;
  }
  broken_ = true;
}

bool Session::may_be_reused() const {
  if (broken_ || !stream_->buffered().empty()) return false;
  if (options_.reuse_count_limit > 0 && uses_ >= options_.reuse_count_limit) return false;
  return loop_.now() - opened_ < options_.reuse_time_limit;
}

bool Session::is_idle() const {
  if (!may_be_reused()) return false;
  // A closed connection, or a server that says something unasked, shows here.
  const auto* tcp = dynamic_cast<const net::TcpStream*>(stream_.get());
  return tcp == nullptr || tcp->is_quiet();
}

} // namespace postrider::smtpclient
