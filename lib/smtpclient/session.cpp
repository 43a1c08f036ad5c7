// SPDX-License-Identifier: MIT
#include "smtpclient/session.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "maps/ask.hpp"
#include "net/tcp_stream.hpp"

namespace postrider::smtpclient {
namespace {

const smtp::ReplyParser::Limits& limits_at(smtp::Step step) {
  static constexpr smtp::ReplyParser::Limits kReplies;
  return step == smtp::Step::auth ? smtp::ReplyParser::kChallenges : kReplies;
}

} // namespace

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

// Shorter than this a secret may well be part of an innocent word.
constexpr std::size_t kShortestHidden = 4;
// As much of one is hidden as well: servers cut what they echo.
constexpr std::size_t kHiddenPart = 8;
constexpr std::size_t kMostCompared = 4096;

void Session::hide(std::string_view secret) {
  if (secret.size() >= kShortestHidden) hidden_.emplace_back(secret);
}

void Session::scrub(std::string& text) const {
  const std::string_view in = text;
  std::vector<bool> secret(in.size(), false);
  for (const Secret& hidden : hidden_) {
    const std::string_view whole = hidden.view().substr(0, kMostCompared);
    const std::size_t part = std::min(whole.size(), kHiddenPart);
    for (std::size_t at = 0; at + part <= in.size(); ++at)
      if (whole.find(in.substr(at, part)) != std::string_view::npos)
        std::fill_n(secret.begin() + static_cast<std::ptrdiff_t>(at), part, true);
  }
  std::string out;
  for (std::size_t at = 0; at < in.size(); ++at) {
    if (!secret[at])
      out.push_back(in[at]);
    else if (at == 0 || !secret[at - 1])
      out += "[...]";
  }
  text = std::move(out);
}

// What follows AUTH: a challenge is shown to nobody.
std::string Session::shown_line(std::string line) const {
  if (!hidden_.empty() && line.starts_with('3')) return line.substr(0, 3) + " [...]";
  scrub(line);
  return line;
}

Error Session::malformed(Error error) {
  // It may be what we said ourselves, cut at any place.
  if (!hidden_.empty()) error = Error(error.kind(), "malformed server reply");
  if (transcript_) transcript_->received(error.text());
  return lost(std::move(error));
}

ev::Task<Result<void>> Session::send(ByteView bytes, smtp::Step step, std::string_view shown) {
  if (!stream_) co_return lost(Error(ErrorKind::closed, "connection closed"));
  if (has_input()) co_return lost(Error(ErrorKind::protocol, "reply without a command"));
  if (transcript_) transcript_->sent(shown.empty() ? bytes : shown);
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

smtp::Reply Session::received(smtp::ReplyParser& parser, smtp::Step step) {
  smtp::Reply reply = parser.take();
  if (!hidden_.empty() && reply.code / 100 != 3) { // a challenge must stay as it is
    if (reply.text.size() > smtp::ReplyParser::kMaxStored)
      reply.text.resize(smtp::ReplyParser::kMaxStored);
    scrub(reply.text);
  }
  if (parser.was_cut())
    log::warning(peer_.shown_with_port() + ": response longer than " +
                 std::to_string(limits_at(step).line) + ": " +
                 shown_line(reply.text).substr(0, 30) + "...");
  if (reply.code == 421) broken_ = true;
  return reply;
}

ev::Deadline Session::reply_deadline(smtp::Step step) {
  if (request_deadline_) return *std::exchange(request_deadline_, std::nullopt);
  return loop_.after(options_.timeout(step));
}

ev::Task<Result<smtp::Reply>> Session::read_reply(smtp::Step step) {
  const ev::Deadline deadline = reply_deadline(step);
  if (!tables_.reply_filter.empty()) co_return co_await read_filtered_reply(step, deadline);
  smtp::ReplyParser parser(limits_at(step));
  while (true) {
    ByteView in = stream_->buffered();
    if (!in.empty()) {
      const std::size_t had = in.size();
      Result<bool> complete = parser.feed(in);
      stream_->consume(had - in.size());
      if (!complete) co_return malformed(complete.error());
      if (*complete) {
        smtp::Reply reply = received(parser, step);
        if (transcript_) transcript_->received(shown_line(reply.text));
        co_return reply;
      }
    }
    Result<void> more = co_await stream_->fill(deadline);
    if (!more) co_return lost(more.error());
  }
}

// The same with smtp_reply_filter: each line is looked up, and what is found takes its place before
// anybody asks whether it is a reply at all.
ev::Task<Result<smtp::Reply>> Session::read_filtered_reply(smtp::Step step, ev::Deadline deadline) {
  smtp::ReplyParser parser(limits_at(step));
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
    const std::string shown = shown_line(line);
    if (transcript_) transcript_->received(shown);
    maps::Answer found =
        co_await maps::ask(loop_, tables_.reply_filter, line, maps::Key::whole, deadline);
    if (!found) co_return lost(table_error(found.error(), "reply_filter"));
    if (*found) {
      line = log::printable(**found);
      log::info(peer_.shown_with_port() + ": replacing server reply \"" + shown + "\" with \"" +
                shown_line(line) + "\"");
      if (transcript_) transcript_->replaced(shown_line(line));
      if (line.empty()) continue; // as if it had not come; the reply goes on with the next one
    }
    Result<bool> complete = parser.take_line(line);
    if (!complete) co_return malformed(complete.error());
    if (*complete) co_return received(parser, step);
  }
}

ev::Task<Result<smtp::Reply>> Session::command(std::string_view line, smtp::Step step) {
  const std::string wire = std::string(line) + "\r\n";
  Result<void> sent = co_await send(wire, step);
  if (!sent) co_return sent.error();
  Result<smtp::Reply> reply = co_await read_reply(step);
  co_return std::move(reply);
}

ev::Task<Result<void>> Session::start_tls(ev::Lent<const tls::ClientHandshake> handshake,
                                          ev::Deadline deadline) {
  if (has_input()) co_return lost(Error(ErrorKind::protocol, "data before the handshake of TLS"));
  features_ = smtp::Features();
  request_deadline_.reset();
  std::unique_ptr<net::Stream> below = std::move(stream_);
  Result<std::unique_ptr<tls::TlsStream>> made =
      co_await tls::TlsStream::connect(below, handshake, deadline);
  if (!made) co_return lost(made.error());
  tls_ = made->get();
  stream_ = std::move(*made);
  co_return Result<void>();
}

ev::Task<void> Session::quit() {
  if (broken_) co_return;
  stream_->consume(stream_->buffered().size()); // what came unasked is no reason to be impolite
  Result<void> sent = co_await send("QUIT\r\n", smtp::Step::quit);
  broken_ = true; // whatever it says, the connection is at its end
  if (sent && !options_.skip_quit_response) {
    Result<smtp::Reply> reply = co_await read_reply(smtp::Step::quit);
    if (!reply) co_return;
  }
  if (sent && tls_ != nullptr) stream_->shutdown_write(); // close_notify; nobody waits for theirs
}

bool Session::delays_dot_of(std::int64_t arrival) const {
  if (!delay_dot) return false;
  const std::chrono::microseconds age(to_unix_micros(loop_.clock().wall()) - arrival);
  return age >= options_.pix_threshold;
}

bool Session::may_be_reused() const {
  if (broken_ || single_use || has_input()) return false;
  if (security.plan && !security.plan->policy.reuse && tls_ != nullptr) return false;
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
  return tcp != nullptr && login_key.empty() && is_idle() && check_leads_to(tcp->fd(), peer_).ok();
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
