// SPDX-License-Identifier: MIT
#include "smtpclient/session.hpp"

#include "base/log.hpp"
#include "maps/ask.hpp"
#include "net/tcp_stream.hpp"

namespace postrider::smtpclient {
Session::Session(ev::Loop& loop, std::unique_ptr<net::Stream> stream, const Options& options,
                 Tables& tables, Peer peer)
    : loop_(loop), stream_(std::move(stream)), options_(options), tables_(tables),
      peer_(std::move(peer)), opened_(loop.now()) {
  if (!options_.wants_notice("protocol") && !options_.wants_notice("data")) return;
  transcript_ = std::make_unique<Transcript>(peer_.shown_with_port());
  transcript_->keep();
}

std::unique_ptr<Session> Session::adopt(ev::Loop& loop, Fd fd, const Options& options,
                                        Tables& tables, SessionFacts facts) {
  auto stream = std::make_unique<net::TcpStream>(loop, std::move(fd));
  auto session =
      std::make_unique<Session>(loop, std::move(stream), options, tables, std::move(facts.peer));
  session->features_ = std::move(facts.features);
  session->delay_dot = facts.delay_dot;
  session->uses_ = facts.uses;
  session->opened_ = facts.opened;
  // Shows, before MAIL, in what state it really is.
  session->needs_reset = true;
  return session;
}

void Session::log_conversation() {
  if (!transcript_) transcript_ = std::make_unique<Transcript>(peer_.shown_with_port());
  transcript_->log();
}

void Session::remark(std::string_view what) {
  if (transcript_ && options_.debug_level > 1) transcript_->remark(what);
}

void Session::count_use() {
  ++uses_;
  if (uses_ > 1 && transcript_) transcript_->clear();
}

Error Session::lost(Error error) {
  broken_ = true;
  return error;
}

Error Session::malformed(Error error) {
  if (transcript_) transcript_->received(error.text());
  return lost(std::move(error));
}

ev::Task<Result<void>> Session::send(ByteView bytes, smtp::Step step) {
  if (!stream_->buffered().empty())
    co_return lost(Error(ErrorKind::protocol, "reply without a command"));
  if (transcript_) transcript_->sent(bytes);
  const ev::Deadline deadline = loop_.after(options_.timeout(step));
  if (options_.per_request_deadline) request_deadline_ = deadline;
  Result<void> sent = co_await stream_->write(bytes, deadline);
  if (!sent) co_return lost(sent.error());
  co_return std::move(sent);
}

void Session::begin_content() {
  content_deadline_ = loop_.after(options_.timeout(smtp::Step::body));
}

ev::Task<Result<void>> Session::send_content(ByteView bytes) {
  while (!bytes.empty()) {
    Result<std::size_t> taken = co_await stream_->write_some(bytes, content_deadline_);
    if (!taken) co_return lost(taken.error());
    bytes.remove_prefix(*taken);
    const ev::Deadline full = loop_.after(options_.timeout(smtp::Step::body));
    if (options_.per_request_deadline) {
      const auto earned = std::chrono::milliseconds(*taken * 1000 / options_.min_data_rate);
      content_deadline_ = full.earlier(ev::Deadline::at(content_deadline_.time() + earned));
    } else {
      content_deadline_ = full;
    }
  }
  co_return Result<void>();
}

smtp::Reply Session::received(smtp::ReplyParser& parser) {
  smtp::Reply reply = parser.take();
  if (parser.was_cut())
    log::warning(peer_.shown_with_port() + ": response longer than " +
                 std::to_string(smtp::ReplyParser::kMaxLine) + ": " + reply.text.substr(0, 30) +
                 "...");
  if (reply.code == 421) broken_ = true;
  return reply;
}

ev::Deadline Session::reply_deadline(smtp::Step step) {
  if (request_deadline_) return *std::exchange(request_deadline_, std::nullopt);
  return loop_.after(options_.timeout(step));
}

ev::Task<Result<smtp::Reply>> Session::read_reply(smtp::Step step) {
  const ev::Deadline deadline = reply_deadline(step);
  if (!tables_.reply_filter.empty()) co_return co_await read_filtered_reply(deadline);
  smtp::ReplyParser parser;
  while (true) {
    ByteView in = stream_->buffered();
    if (!in.empty()) {
      const std::size_t had = in.size();
      Result<bool> complete = parser.feed(in);
      stream_->consume(had - in.size());
      if (!complete) co_return malformed(complete.error());
      if (*complete) {
        if (transcript_) transcript_->received(parser.reply().text);
        co_return received(parser);
      }
    }
    Result<void> more = co_await stream_->fill(deadline);
    if (!more) co_return lost(more.error());
  }
}

// The same with smtp_reply_filter: each line is looked up, and what is found takes its place before
// anybody asks whether it is a reply at all.
ev::Task<Result<smtp::Reply>> Session::read_filtered_reply(ev::Deadline deadline) {
  smtp::ReplyParser parser;
  while (true) {
    ByteView in = stream_->buffered();
    const std::size_t had = in.size();
    Result<bool> whole = parser.feed_line(in);
    stream_->consume(had - in.size());
    if (!whole) co_return malformed(whole.error());
    if (!*whole) {
      Result<void> more = co_await stream_->fill(deadline);
      if (!more) co_return lost(more.error());
      continue;
    }
    std::string line = log::printable(parser.line());
    if (transcript_) transcript_->received(parser.line());
    maps::Answer found =
        co_await maps::ask(loop_, tables_.reply_filter, line, maps::Key::whole, deadline);
    if (!found) co_return lost(table_error(found.error(), "reply_filter"));
    if (*found) {
      log::info(peer_.shown_with_port() + ": replacing server reply \"" + line + "\" with \"" +
                **found + "\"");
      line = log::printable(**found);
      if (transcript_) transcript_->replaced(line);
      if (line.empty()) continue; // as if it had not come; the reply goes on with the next one
    }
    Result<bool> complete = parser.take_line(line);
    if (!complete) co_return malformed(complete.error());
    if (*complete) co_return received(parser);
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
  stream_->consume(stream_->buffered().size()); // what came unasked is no reason to be impolite
  Result<void> sent = co_await send("QUIT\r\n", smtp::Step::quit);
  broken_ = true; // whatever it says, the connection is at its end
  if (!sent || options_.skip_quit_response) co_return;
  Result<smtp::Reply> reply = co_await read_reply(smtp::Step::quit);
}

bool Session::delays_dot_of(std::int64_t arrival) const {
  if (!delay_dot) return false;
  const std::chrono::microseconds age(to_unix_micros(loop_.clock().wall()) - arrival);
  return age >= options_.pix_threshold;
}

bool Session::may_be_reused() const {
  if (broken_ || !stream_->buffered().empty()) return false;
  // The limit is one of re-uses: the first message does not count.
  if (options_.reuse_count_limit > 0 && uses_ > options_.reuse_count_limit) return false;
  return loop_.now() - opened_ < options_.reuse_time_limit;
}

bool Session::is_idle() const {
  if (!may_be_reused()) return false;
  // A closed connection, or a server that says something unasked, shows here.
  return stream_->is_quiet();
}

bool Session::may_leave() const {
  const auto* tcp = dynamic_cast<const net::TcpStream*>(stream_.get());
  return tcp != nullptr && !has_login && is_idle() && check_leads_to(tcp->fd(), peer_).ok();
}

SessionFacts Session::facts(std::string key) const {
  SessionFacts facts;
  facts.key = std::move(key);
  facts.peer = peer_;
  facts.features = features_;
  facts.delay_dot = delay_dot;
  facts.uses = uses_;
  facts.opened = opened_;
  return facts;
}

Fd Session::release() {
  broken_ = true;
  return dynamic_cast<net::TcpStream&>(*stream_).release();
}

} // namespace postrider::smtpclient
