// SPDX-License-Identifier: MIT
#include "session.hpp"

#include <algorithm>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "mail/address.hpp"

namespace postrider::smtpd {

namespace {

constexpr std::size_t kLingerBytes = 1U << 20;
constexpr std::size_t kMostLingering = 256; // beyond it who is told to go is not waited for
constexpr std::size_t kFlushAt = 32U << 10;

} // namespace

Session::Session(Shared& shared, std::shared_ptr<const Config> config,
                 std::unique_ptr<net::Stream> stream, Peer peer)
    : shared_(shared), config_(std::move(config)), stream_(std::move(stream)),
      peer_(std::move(peer)), began_(shared.loop.now()) {}

ev::Deadline Session::within_session(Duration patience) const {
  const ev::Deadline one = shared_.loop.after(patience);
  if (config_->session_limit == Duration::zero()) return one;
  return one.earlier(ev::Deadline::at(began_ + config_->session_limit));
}

// --- replies -----------------------------------------------------------------------------------

void Session::reply(int code, std::string_view dsn, std::string_view words) {
  std::string with_footer;
  std::string_view text = words;
  if (code >= 400 && config_->commands && config_->commands->has_footer())
    text = with_footer = refusal_with_footer(code, dsn, words);
  while (true) {
    const std::size_t end = text.find('\n');
    out_.append(std::to_string(code)).push_back(end == text.npos ? ' ' : '-');
    if (!dsn.empty()) out_.append(dsn).push_back(' ');
    out_.append(text.substr(0, end)).append("\r\n");
    if (end == text.npos) return;
    text.remove_prefix(end + 1);
  }
}

void Session::fail(int code, std::string_view dsn, std::string_view text) {
  failed_ = true;
  ++errors_;
  reply(code, dsn, text);
  if (code == 421) end_ = End::error;
}

void Session::reset() {
  transaction_.reset();
  forwarded_ = {};
  if (filters_) filters_->end();
}

void Session::reject_as_told(std::string_view stage, const Answer& answer,
                             std::string_view recipient) {
  reject(stage, answer, recipient);
  if (answer.code < 500) --errors_;
}

bool Session::hidden(std::string_view keyword) const {
  // Success reports of mail that is not ours to report on would be a promise.
  if (shared_.forward != nullptr && keyword == "DSN") return true;
  return std::find(config_->hidden_keywords.begin(), config_->hidden_keywords.end(), keyword) !=
         config_->hidden_keywords.end();
}

// --- the dialogue ------------------------------------------------------------------------------

ev::Task<void> Session::run() {
  if (!peer_.local || log::verbose()) log::info("connect from " + peer_.shown());
  if (config_->tls.wrapper) co_await begin_with_tls();
  if (end_ != End::none) {
    // There is nobody to talk to.
  } else if (early_talk_ && config_->forbid_pipelining) {
    fail(554, "5.5.0", "Error: SMTP protocol synchronization");
    log::info("improper command pipelining after CONNECT from " + peer_.shown());
    end_ = End::error;
  } else {
    bool welcome = true;
    if (!config_->rules->delay_reject) welcome = co_await allow(Stage::client, where_, "");
    denied_ = !welcome;
    if (welcome) co_await meet_filters();
    if (out_.empty()) reply(220, "", config_->banner);
    co_await converse();
  }
  switch (end_) {
  case End::none:
  case End::closed:
    log::info("lost connection after " + std::string(where_) + " from " + peer_.shown());
    break;
  case End::timeout:
    log::info("timeout after " + std::string(where_) + " from " + peer_.shown());
    reply(421, "4.4.2", config_->hostname + " Error: timeout exceeded");
    break;
  case End::quit:
  case End::error: break;
  }
  reset();
  if (!out_.empty()) (void)co_await flush();
  if (end_ == End::error && !dismissed_) // others wait for the place
    co_await linger();
  else if (stream_ && is_secure())
    stream_->shutdown_write(); // so that the client knows that nothing was cut off
  if (!peer_.local || log::verbose())
    log::info("disconnect from " + peer_.shown() + " " + count_.text());
}

ev::Task<void> Session::refuse(const std::string& text) {
  if (config_->tls.wrapper) co_return; // words in the clear would be noise
  out_ = text;
  (void)co_await flush();
  co_await linger();
}

ev::Task<void> Session::converse() {
  while (end_ == End::none) {
    const bool more = co_await next_line();
    if (!more) break;
    failed_ = false;
    if (config_->commands) {
      const bool answered = co_await takes_other_line();
      if (answered) continue;
    }
    const smtp::Command command = smtp::parse_command(line_);
    const CommandRow& row = kCommands[row_of(command.verb)];
    if (command.verb != smtp::Verb::unknown) where_ = row.reply_name;
    failed_ = false;
    const std::size_t reply_at = out_.size();
    // What stands behind a command that must end its group was sent without seeing our reply.
    if (row.ends_group && config_->forbid_pipelining && !stream_->buffered().empty()) {
      fail(503, "5.5.0", "Error: improper use of SMTP command pipelining");
      log::info("improper command pipelining after " + std::string(row.reply_name) + " from " +
                peer_.shown());
      end_ = End::error;
    } else {
      const std::size_t recipients =
          transaction_ ? transaction_->envelope.recipients.size() : std::size_t{0};
      co_await execute(command);
      if (config_->filters) co_await tell_filters(command, reply_at, recipients);
    }
    if (row.junk && ++junk_ > config_->junk_limit && !failed_) ++errors_;
    count_.add(command.verb, !failed_);
    if (end_ != End::none) break;
    if (errors_ >= config_->hard_errors && (failed_ || row.junk)) {
      reply(421, "4.7.0", config_->hostname + " Error: too many errors");
      log::info("too many errors after " + std::string(where_) + " from " + peer_.shown());
      end_ = End::error;
      break;
    }
    if (failed_ && errors_ > config_->soft_errors) co_await punish(reply_at);
    if (out_.size() >= kFlushAt) (void)co_await flush();
  }
}

ev::Task<bool> Session::flush() {
  if (out_.empty()) co_return true;
  const std::string bytes = std::move(out_);
  out_.clear();
  // A client that does not take its replies is not waited for any longer than a silent one.
  Result<void> written = co_await stream_->write(bytes, limit());
  if (written) co_return true;
  if (end_ == End::none)
    end_ = written.error().kind() == ErrorKind::timeout ? End::timeout : End::closed;
  co_return false;
}

ev::Task<bool> Session::fill(ev::Deadline deadline) {
  Result<void> filled = co_await stream_->fill(deadline);
  if (filled) co_return true;
  const ErrorKind kind = filled.error().kind();
  if (shared_.draining || dismissed_) {
    reply(421, "4.3.2",
          config_->hostname + (dismissed_ ? " Error: too many sessions" : " Service is closing"));
    end_ = End::error;
  } else {
    end_ = kind == ErrorKind::timeout ? End::timeout : End::closed;
  }
  co_return false;
}

// One command line into line_. An absolute deadline: a client that sends a byte now and then gains
// nothing by it.
ev::Task<bool> Session::next_line() {
  ev::Deadline deadline = ev::Deadline::never();
  bool waited = false;
  std::size_t searched = 0;
  while (true) {
    const ByteView have = stream_->buffered();
    const std::size_t end = have.substr(0, config_->line_length + 2).find('\n', searched);
    if (end != ByteView::npos) {
      bare_lf_ = end == 0 || have[end - 1] != '\r';
      line_.assign(have.substr(0, bare_lf_ ? end : end - 1));
      stream_->consume(end + 1);
      co_return true;
    }
    if (have.size() > config_->line_length + 1) { // a CR may be there, and its LF come later
      fail(500, "5.5.2", "Error: command line too long");
      log::info("command line too long after " + std::string(where_) + " from " + peer_.shown());
      end_ = End::error;
      co_return false;
    }
    searched = have.size();
    const bool written = co_await flush();
    if (!written) co_return false;
    if (shared_.draining && !transaction_) {
      reply(421, "4.3.2", config_->hostname + " Service is closing");
      end_ = End::error;
      co_return false;
    }
    if (!waited || !config_->whole_deadlines) deadline = limit();
    waited = true;
    const bool filled = co_await fill(deadline);
    if (!filled) co_return false;
  }
}

ev::Task<void> Session::execute(smtp::Command command) {
  if (denied_ && command.verb != smtp::Verb::quit) {
    fail(503, "5.7.0", "Error: access denied for " + peer_.shown());
    co_return;
  }
  const CommandRow& row = kCommands[row_of(command.verb)];
  if (bare_lf_ && config_->bare_newline == smtp::BareNewline::reject && !peer_.bare_newlines_pass) {
    fail(config_->bare_newline_code, "5.5.2", "Error: bare <LF> received");
    log::info("bare <LF> after " + std::string(where_) + " from " + peer_.shown());
    end_ = End::error;
    co_return;
  }
  if (must_start_tls() && !row.before_tls) {
    fail(530, "5.7.0", "Must issue a STARTTLS command first");
    co_return;
  }
  if (!row.takes_arguments && !command.arguments.empty()) {
    fail(501, "5.5.4", "Syntax: " + std::string(row.reply_name));
    co_return;
  }
  switch (command.verb) {
  case smtp::Verb::ehlo:
    co_await learn_mechanisms();
    co_await helo(command.verb, command.arguments);
    co_return;
  case smtp::Verb::helo: co_await helo(command.verb, command.arguments); co_return;
  case smtp::Verb::mail:
    if (shared_.forward == nullptr && !shared_.submitter.knows_queue() && !transaction_)
      co_await wait_for_queue();
    co_await mail(command.arguments);
    co_return;
  case smtp::Verb::rcpt: co_await rcpt(command.arguments); co_return;
  case smtp::Verb::data: co_await data(command.arguments); co_return;
  case smtp::Verb::bdat: co_await bdat(command.arguments); co_return;
  case smtp::Verb::rset: rset(); co_return;
  case smtp::Verb::noop: reply(250, "2.0.0", "Ok"); co_return;
  case smtp::Verb::vrfy: vrfy(command.arguments); co_return;
  case smtp::Verb::quit: quit(); co_return;
  case smtp::Verb::help:
    reply(214, "2.0.0", "Commands: HELO EHLO MAIL RCPT DATA BDAT RSET NOOP VRFY QUIT HELP");
    co_return;
  case smtp::Verb::auth: co_await auth(command.arguments); co_return;
  case smtp::Verb::starttls: co_await starttls(); co_return;
  case smtp::Verb::xclient: co_await xclient(command.arguments); co_return;
  case smtp::Verb::xforward: xforward(command.arguments); co_return;
  case smtp::Verb::lhlo:
  case smtp::Verb::expn:
  case smtp::Verb::etrn:
    fail(502, "5.5.1", "Error: command not implemented");
    count_unimplemented();
    co_return;
  case smtp::Verb::unknown: break;
  }
  if (config_->commands && config_->commands->forbids(first_word(line_))) {
    fail(521, "5.5.2", "Error: this is an SMTP service");
    log::info("non-SMTP command from " + peer_.shown() + ": " + line_.substr(0, 100));
    end_ = End::error;
    co_return;
  }
  if (command.word.empty())
    fail(500, "5.5.2", "Error: bad syntax");
  else
    co_await unknown_command();
  count_unimplemented();
}

// qmgr is starting, or starts again: most often that is over before the client notices.
ev::Task<void> Session::wait_for_queue() {
  const bool written = co_await flush();
  if (!written) co_return;
  Result<void> there =
      co_await shared_.submitter.wait_for_queue(shared_.loop.after(config_->queue_patience));
  if (!there) co_return; // mail() says so
}

// smtpd_error_sleep_time: what came before goes out, the bad news waits.
ev::Task<void> Session::punish(std::size_t reply_at) {
  if (config_->error_sleep == Duration::zero()) co_return;
  std::string late = out_.substr(std::min(reply_at, out_.size()));
  out_.resize(std::min(reply_at, out_.size()));
  const bool written = co_await flush();
  if (!written) co_return;
  Result<void> slept = co_await ev::sleep_for(shared_.loop, config_->error_sleep);
  if (!slept) end_ = End::closed;
  out_ += late;
}

ev::Task<void> Session::linger() {
  stream_->shutdown_write();
  if (shared_.lingering >= kMostLingering) co_return;
  ++shared_.lingering;
  const ev::Deadline deadline = shared_.loop.after(config_->linger);
  std::size_t thrown_away = 0;
  while (thrown_away < kLingerBytes) {
    thrown_away += stream_->buffered().size();
    stream_->consume(stream_->buffered().size());
    Result<void> filled = co_await stream_->fill(deadline);
    if (!filled) break;
  }
  --shared_.lingering;
}

} // namespace postrider::smtpd
