// SPDX-License-Identifier: MIT
// DATA and BDAT: everything between an accepted envelope and the reply that promises delivery.
#include <algorithm>

#include "addresses.hpp"
#include "base/log.hpp"
#include "envelope_sink.hpp"
#include "filter_sink.hpp"
#include "header_sink.hpp"
#include "session.hpp"

namespace postrider::smtpd {

namespace {

// How much of a chunk that nobody wants is read before the connection is cut instead.
constexpr std::uint64_t kPatience = 32U << 20;

} // namespace

// Content buys its time by arriving.
ev::Deadline Session::content_deadline(SteadyTime began, std::uint64_t bytes) const {
  const ev::Deadline one = limit();
  if (!config_->whole_deadlines || config_->data_rate == 0) return one;
  const auto earned = std::chrono::seconds(bytes / static_cast<std::uint64_t>(config_->data_rate));
  return one.earlier(ev::Deadline::at(began + config_->timeout + earned));
}

std::optional<smtp::Refusal> Session::content_refusal() const {
  switch (transaction_->intake->trouble()) {
  case Intake::Trouble::none: return std::nullopt;
  case Intake::Trouble::too_big: return smtp::Refusal{552, "5.3.4", "Error: message file too big"};
  case Intake::Trouble::too_many_hops: return smtp::Refusal{554, "5.4.0", "Error: too many hops"};
  case Intake::Trouble::bare_newline:
    return smtp::Refusal{config_->bare_newline_code,
                         config_->bare_newline_code >= 500 ? "5.5.2" : "4.5.2",
                         "Error: bare <LF> received"};
  case Intake::Trouble::queue: {
    const bool full =
        transaction_->intake->error() && transaction_->intake->error()->kind() == ErrorKind::busy;
    if (full) return smtp::Refusal{452, "4.3.1", "Insufficient system storage"};
    return smtp::Refusal{451, "4.3.0", "Error: queue file write error"};
  }
  }
  POSTRIDER_UNREACHABLE();
}

// Where the content goes: past the filters to the next server, or into the queue. Filters see the
// header as it is rewritten for the queue, and the envelope as it came; the order is that of
// Postfix.
OpenSink Session::sink_of(Transaction& transaction) {
  const OpenQueue open_queue = [this](const mail::Envelope& envelope,
                                      const submit::MakeHead& make_head) -> std::unique_ptr<Sink> {
    if (!config_->addresses || !config_->addresses->rewriter().rewrites_envelopes())
      return std::make_unique<QueueSink>(shared_.submitter, envelope, make_head);
    return std::make_unique<EnvelopeSink>(shared_.loop, shared_.submitter,
                                          config_->addresses->rewriter(), envelope, make_head);
  };
  OpenSink open = [this, &transaction,
                   open_queue](const submit::MakeHead& make_head) -> std::unique_ptr<Sink> {
    if (!transaction.forward || transaction.forward->is_for_queue())
      return open_queue(transaction.envelope, make_head);
    return transaction.forward->sink(make_head,
                                     {config_->rules->asks(Stage::end_of_data), open_queue});
  };
  if (filters_)
    open = [this, &transaction, open](const submit::MakeHead& make_head) {
      return std::make_unique<FilterSink>(*filters_, transaction.envelope, open, make_head);
    };
  const bool is_for_queue = !transaction.forward || transaction.forward->is_for_queue();
  Addresses* addresses = is_for_queue ? config_->addresses.get() : nullptr;
  if (addresses == nullptr || !addresses->may_rewrite_headers(peer_)) return open;
  return [this, addresses, open](const submit::MakeHead& make_head) {
    return std::make_unique<HeaderSink>(shared_.loop, *addresses, peer_, open, make_head);
  };
}

// Checks what has to be there; false when the command was refused. WAITS for the next server.
ev::Task<bool> Session::begin_content(smtp::Framing framing) {
  if (!transaction_) {
    fail(503, "5.5.1", "Error: need MAIL command");
    co_return false;
  }
  if (transaction_->envelope.recipients.empty()) {
    fail(554, "5.5.1", "Error: no valid recipients");
    co_return false;
  }
  if (transaction_->intake) co_return true;
  const bool wanted = co_await filters_want_data();
  if (!wanted) co_return false;
  apply_effects();
  if (transaction_->forward) {
    const Answer go = co_await transaction_->forward->data();
    if (go.code != 354) {
      reject_as_told("DATA", go, {});
      reset();
      co_return false;
    }
  }
  const smtp::BareNewline bare =
      peer_.bare_newlines_pass ? smtp::BareNewline::normalize : config_->bare_newline;
  transaction_->intake.emplace(sink_of(*transaction_), *config_, peer_, transaction_->envelope,
                               shared_.loop.clock(), bare, framing);
  transaction_->intake->put_in_front(transaction_->effects.headers);
  co_return true;
}

ev::Task<void> Session::data(std::string_view) {
  if (transaction_ && transaction_->chunking) {
    reset();
    fail(503, "5.5.1", "Error: DATA after BDAT");
    co_return;
  }
  if (transaction_ && !transaction_->envelope.recipients.empty()) {
    const bool allowed = co_await allow(Stage::data, "DATA", "");
    if (!allowed) co_return;
  }
  const bool begun = co_await begin_content(smtp::Framing::dot);
  if (!begun) co_return;
  reply(354, "", "End data with <CR><LF>.<CR><LF>");
  const bool asked = co_await flush();
  if (!asked) co_return;
  Intake& intake = *transaction_->intake;
  const SteadyTime began = shared_.loop.now();
  std::uint64_t received = 0;
  while (true) {
    if (stream_->buffered().empty()) {
      const bool more = co_await fill(content_deadline(began, received));
      if (!more) co_return; // a cut message is no message
    }
    const smtp::DataDecoder::Fed fed = intake.feed(stream_->buffered());
    stream_->consume(fed.consumed);
    received += fed.consumed;
    if (fed.ended) break;
    if (intake.wants_relief()) co_await intake.relieve();
    if (intake.is_hopeless()) {
      reject("DATA content", *content_refusal(), {});
      end_ = End::error;
      co_return;
    }
  }
  where_ = "END-OF-MESSAGE";
  co_await end_content();
}

// Reads and forgets what belongs to a chunk that is refused; false: the session is over.
ev::Task<bool> Session::skip(std::uint64_t count) {
  const SteadyTime began = shared_.loop.now();
  std::uint64_t skipped = 0;
  while (skipped < count) {
    const std::uint64_t here = std::min<std::uint64_t>(stream_->buffered().size(), count - skipped);
    stream_->consume(here);
    skipped += here;
    if (skipped == count) break;
    const bool written = co_await flush();
    if (!written) co_return false;
    const bool more = co_await fill(content_deadline(began, skipped));
    if (!more) co_return false;
  }
  co_return true;
}

ev::Task<void> Session::bdat(std::string_view arguments) {
  smtp::BdatCommand chunk;
  if (const auto wrong = smtp::parse_bdat(arguments, chunk)) {
    reset();
    fail(*wrong);
    co_return;
  }
  const std::uint64_t limit = config_->message_size;
  const std::uint64_t so_far =
      transaction_ && transaction_->intake ? transaction_->intake->size() : 0;
  const bool too_big = limit != 0 && (chunk.size > limit || so_far > limit - chunk.size);
  if (too_big && chunk.size > kPatience) {
    reject("BDAT", {552, "5.3.4", "Error: message file too big"}, {});
    end_ = End::error;
    co_return;
  }
  const std::size_t reply_at = out_.size();
  bool begun = true;
  if (transaction_ && !transaction_->chunking && !transaction_->envelope.recipients.empty())
    begun = co_await allow(Stage::data, "BDAT", "");
  if (begun) begun = co_await begin_content(smtp::Framing::chunk);
  if (!begun) {
    reset();
    if (chunk.size > kPatience) {
      end_ = End::error;
      co_return;
    }
    // The octets come whatever we think of them (RFC 3030 section 2); the reply comes after them.
    const std::string late = out_.substr(reply_at);
    out_.resize(reply_at);
    const bool in_step = co_await skip(chunk.size);
    if (in_step) out_ += late;
    co_return;
  }
  transaction_->chunking = true;
  Intake& intake = *transaction_->intake;
  const SteadyTime began = shared_.loop.now();
  std::uint64_t left = chunk.size;
  while (left > 0) {
    if (stream_->buffered().empty()) {
      const bool written = co_await flush();
      if (!written) co_return;
      const bool more = co_await fill(content_deadline(began, chunk.size - left));
      if (!more) co_return;
    }
    const ByteView here = stream_->buffered().substr(0, left);
    const std::size_t length = here.size();
    (void)intake.feed(here);
    stream_->consume(length);
    left -= length;
    if (intake.wants_relief()) co_await intake.relieve();
  }
  if (chunk.last) {
    where_ = "END-OF-MESSAGE";
    co_await end_content();
    co_return;
  }
  if (const auto refusal = content_refusal()) {
    reject("BDAT", *refusal, {});
    reset();
    co_return;
  }
  reply(250, "2.0.0", "Ok: " + std::to_string(chunk.size) + " bytes");
}

// The moment that counts. 250 goes out only behind a successful commit (I2).
ev::Task<void> Session::end_content() {
  Intake& intake = *transaction_->intake;
  if (intake.trouble() == Intake::Trouble::none) {
    const bool allowed = co_await allow(Stage::end_of_data, "END-OF-MESSAGE", "");
    if (!allowed) {
      reset();
      co_return;
    }
    if (transaction_->effects.discard) { // says nothing of a promise: nobody expects this mail
      reply(250, "2.0.0", "Ok: discarded");
      junk_ = 0;
      reset();
      co_return;
    }
    apply_effects();
  }
  committing_ = true;
  Result<Answer> answer = co_await intake.commit();
  committing_ = false;
  if (answer && answer->code < 400) {
    reply(answer->code, answer->dsn, answer->text);
    junk_ = 0;
    reset();
    co_return;
  }
  if (answer) {
    if (filters_ && filters_->refused())
      fail(*answer); // it is in the log already
    else
      reject_as_told("END-OF-MESSAGE", *answer, {});
    reset();
    co_return;
  }
  const smtp::Refusal refusal =
      content_refusal().value_or(smtp::Refusal{451, "4.3.0", "Error: queue file write error"});
  const bool ours = intake.trouble() == Intake::Trouble::queue;
  const bool bare = intake.trouble() == Intake::Trouble::bare_newline;
  if (ours)
    log::warning("a message from " + peer_.shown() + " is put off: " + answer.error().text());
  reject("END-OF-MESSAGE", refusal, {});
  if (ours) --errors_;
  reset();
  if (bare) end_ = End::error;
}

} // namespace postrider::smtpd
