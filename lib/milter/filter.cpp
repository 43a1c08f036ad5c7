// SPDX-License-Identifier: MIT
#include "milter/filter.hpp"

#include <algorithm>
#include <cstring>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "net/tcp_stream.hpp"

namespace postrider::milter {

namespace {

// How a filter leaves a command out of the dialogue, or unanswered, and which macros go with it.
struct CommandRow {
  Command command;
  std::uint32_t left_out; // Step bits
  std::uint32_t mute;
  std::optional<Stage> stage;
  std::uint32_t since; // version of the protocol
};
constexpr CommandRow kCommands[] = {
    {Command::connect, no_connect, mute_connect, Stage::connect, 2},
    {Command::helo, no_helo, mute_helo, Stage::helo, 2},
    {Command::mail, no_mail, mute_mail, Stage::mail, 2},
    {Command::rcpt, no_rcpt, mute_rcpt, Stage::rcpt, 2},
    {Command::data, no_data, mute_data, Stage::data, 4},
    {Command::unknown, no_unknown, mute_unknown, Stage::unknown, 3},
    {Command::header, no_header, mute_header, std::nullopt, 2},
    {Command::end_of_header, no_end_of_header, mute_end_of_header, Stage::end_of_header, 2},
    {Command::body, no_body, mute_body, std::nullopt, 2},
    {Command::end_of_body, 0, 0, Stage::end_of_data, 2},
};

const CommandRow& row_of(Command command) {
  for (const CommandRow& row : kCommands)
    if (row.command == command) return row;
  POSTRIDER_UNREACHABLE();
}

bool of_session(Command command) { return command == Command::connect || command == Command::helo; }

bool of_content(Command command) {
  return command == Command::header || command == Command::end_of_header ||
         command == Command::body || command == Command::end_of_body;
}

std::string words_of(std::string_view address, std::string_view options) {
  std::string data;
  put_string(data, address);
  for (std::string_view word : split(options, " \t"))
    put_string(data, word);
  return data;
}

} // namespace

Event connect_event(std::string_view name, const net::Address& address) {
  std::string data;
  put_string(data, name);
  if (!address.is_ip()) {
    data += 'U';
    return Event(Command::connect, std::move(data));
  }
  data += address.family() == AF_INET6 && address.text().find(':') != std::string::npos ? '6' : '4';
  data.push_back(static_cast<char>(address.port() >> 8));
  data.push_back(static_cast<char>(address.port()));
  put_string(data, address.text());
  return Event(Command::connect, std::move(data));
}

Event helo_event(std::string_view name) {
  std::string data;
  put_string(data, name);
  return Event(Command::helo, std::move(data));
}

Event mail_event(std::string_view address, std::string_view options) {
  return Event(Command::mail, words_of(address, options));
}

Event rcpt_event(std::string_view address, std::string_view options) {
  return Event(Command::rcpt, words_of(address, options));
}

Event unknown_event(std::string_view line) {
  std::string data;
  put_string(data, line);
  return Event(Command::unknown, std::move(data));
}

ev::Task<Result<std::unique_ptr<net::Stream>>>
Dialer::dial(ev::Loop& loop, ev::Lent<const FilterOptions> filter, ev::Deadline deadline) {
  Error problem(ErrorKind::not_found, filter->trouble);
  for (const net::Address& address : filter->addresses) {
    Result<std::unique_ptr<net::TcpStream>> made = co_await net::connect(loop, address, deadline);
    if (made) co_return std::unique_ptr<net::Stream>(std::move(*made));
    problem = made.error();
  }
  co_return problem;
}

Filter::Filter(ev::Loop& loop, Dialer& dialer, const FilterOptions& options, const FilterSet& set,
               std::uint64_t most_body)
    : loop_(loop), dialer_(dialer), options_(options), set_(set), most_body_(most_body) {}

// --- the connection ----------------------------------------------------------------------------

ev::Task<Result<void>> Filter::open() {
  const ev::Deadline deadline = loop_.after(options_.connect_timeout);
  Result<std::unique_ptr<net::Stream>> dialed = co_await dialer_.dial(loop_, options_, deadline);
  if (!dialed) { // in Postfix's words
    const Error& why = dialed.error();
    const std::string text = why.saved_errno() != 0 ? std::strerror(why.saved_errno()) : why.text();
    co_return Error(why.kind(), "connect to Milter service " + options_.name + ": " + text);
  }
  stream_ = std::move(*dialed);
  std::string out;
  put_packet(out, Command::negotiate, offer(options_.version));
  const ev::Deadline limit = loop_.after(options_.command_timeout);
  Result<void> written = co_await stream_->write(out, limit);
  const std::string where = "milter " + options_.name + ": initial handshake";
  if (!written) co_return written.error().in(where);
  Result<Packet> packet = co_await read_packet(*stream_, limit);
  if (!packet) co_return packet.error().in(where);
  Result<Agreement> agreement = parse_agreement(*packet, options_.version);
  if (!agreement) co_return agreement.error().in(where);
  agreement_ = std::move(*agreement);
  for (const Agreement::MacroList& list : agreement_.macros)
    if (list.stage < static_cast<std::uint32_t>(Stage::unknown))
      wanted_macros_[list.stage] = parse_macro_names(list.names);
  co_return Result<void>();
}

Verdict Filter::broken(const Error& error) {
  if (error.kind() != ErrorKind::cancelled) log::warning(error.text());
  stream_.reset();
  standing_ = verdict_of(options_.default_action);
  // What a filter cannot mean is a mistake of whoever set it up.
  if (error.kind() == ErrorKind::config && options_.default_action != DefaultAction::accept)
    standing_ = Verdict(451, "4.3.5", "Server configuration problem - try again later");
  return *standing_;
}

void Filter::send_now(Command command) {
  if (!stream_) return;
  std::string out;
  put_packet(out, command, {});
  const Result<std::size_t> sent = stream_->write_now(out);
  if (sent && *sent == out.size()) return;
  stream_.reset();
  standing_ = verdict_of(options_.default_action);
}

void Filter::abort() {
  if (in_message_) send_now(Command::abort);
  in_message_ = false;
  passes_message_ = false;
}

void Filter::quit() {
  if (!stream_) return;
  send_now(Command::quit);
  stream_.reset();
}

// --- one command -------------------------------------------------------------------------------

bool Filter::wants(Command command) const {
  const CommandRow& row = row_of(command);
  return (agreement_.steps & row.left_out) == 0 && agreement_.version >= row.since &&
         options_.version >= row.since;
}

bool Filter::answers(Command command) const {
  return (agreement_.steps & row_of(command).mute) == 0;
}

ev::Task<Verdict> Filter::tell(const Event& happened, const Macros& macros) {
  if (happened.command == Command::connect) {
    Result<void> opened = co_await open();
    if (!opened) co_return broken(opened.error());
  }
  if (happened.refused && (agreement_.steps & rejected_rcpt) == 0) co_return Verdict();
  if (happened.command == Command::mail) in_message_ = true;
  Verdict verdict = co_await event(happened.command, happened.data, macros);
  co_return verdict;
}

// Macros go out although the filter leaves the command out: they may be meant for a later one.
ev::Task<Verdict> Filter::event(Command command, ByteView data, const Macros& macros) {
  if (standing_) co_return *standing_;
  if (passes_message_ && !of_session(command)) co_return Verdict();
  POSTRIDER_CHECK(stream_ != nullptr);
  const CommandRow& row = row_of(command);
  std::string out;
  if (row.stage) {
    const auto stage = static_cast<std::size_t>(*row.stage);
    const std::string values =
        macro_data(wanted_macros_[stage] ? *wanted_macros_[stage] : set_.macros[stage], macros,
                   set_.macro_defaults);
    if (!values.empty())
      put_packet(out, Command::macros, std::string(1, static_cast<char>(command)) + values);
  }
  const bool told = wants(command);
  if (told) put_packet(out, command, data);
  if (out.empty()) co_return Verdict();
  const ev::Deadline deadline =
      loop_.after(of_content(command) ? options_.content_timeout : options_.command_timeout);
  Result<void> written = co_await stream_->write(out, deadline);
  const auto trouble = [&](const Error& error) {
    return error.in("milter " + options_.name + ": " + std::string(to_string(command)));
  };
  if (!written) co_return broken(trouble(written.error()));
  if (!told || !answers(command)) co_return Verdict();
  Result<Verdict> said = co_await answer(command, deadline);
  if (!said) co_return broken(trouble(said.error()));
  co_return *said;
}

// Up to the packet that decides; at the end of the message, with the changes in front of it.
ev::Task<Result<Verdict>> Filter::answer(Command command, ev::Deadline deadline) {
  const bool last = command == Command::end_of_body;
  const ev::Deadline longest = loop_.after(kLongestWait);
  while (true) {
    Result<Packet> packet = co_await read_packet(*stream_, deadline.earlier(longest));
    if (!packet) co_return packet.error();
    switch (packet->code) {
    case 'c': co_return judge(command, Verdict());
    case 'a': passes_message_ = true; co_return judge(command, Verdict());
    case 'd':
      if (of_session(command)) co_return Error(ErrorKind::protocol, "discard without a message");
      passes_message_ = true;
      co_return judge(command, Verdict(Verdict::Kind::discard));
    case 'r': co_return judge(command, command_rejected());
    case 't': co_return judge(command, service_unavailable());
    case 'y': {
      const std::string text = packet->data.substr(0, packet->data.find('\0'));
      const auto refusal = parse_reply(text);
      if (!refusal) co_return Error(ErrorKind::config, "malformed reply: " + log::printable(text));
      co_return judge(command, Verdict(refusal->code, refusal->dsn, refusal->text));
    }
    case 'f':
    case '4': {
      const Verdict closing = closing_connection();
      standing_ = closing;
      co_return judge(command, closing);
    }
    case 's': skips_ = true; co_return judge(command, Verdict());
    case 'p':
      deadline =
          loop_.after(of_content(command) ? options_.content_timeout : options_.command_timeout);
      break;
    default:
      if (!last)
        co_return Error(ErrorKind::protocol,
                        "unexpected answer " + log::printable(std::string(1, packet->code)));
      if (Result<void> taken = take_edit(*packet); !taken) co_return taken.error();
    }
  }
}

// What a verdict does to the rest of the session.
Verdict Filter::judge(Command command, Verdict verdict) {
  const bool for_good =
      of_session(command) && (passes_message_ || verdict.kind == Verdict::Kind::refuse);
  if (for_good) standing_ = verdict;
  if (standing_) quit();
  return verdict;
}

// --- the message -------------------------------------------------------------------------------

ev::Task<Verdict> Filter::message(Draft& draft, const Macros& macros) {
  if (standing_) co_return *standing_;
  utf8_ = draft.envelope().smtputf8 ? mail::Utf8::yes : mail::Utf8::no;
  edits_.clear();
  edit_bytes_ = 0;
  new_body_.reset();
  hold_ = false;
  Verdict verdict = co_await header(draft, macros);
  if (verdict.goes_on() && !finished())
    verdict = co_await event(Command::end_of_header, ByteView(), macros);
  if (verdict.goes_on() && !finished()) verdict = co_await body(draft, macros);
  if (verdict.goes_on() && !finished()) {
    verdict = co_await event(Command::end_of_body, ByteView(), macros);
    if (!standing_ && verdict.goes_on()) apply(draft);
    if (!standing_ && verdict.goes_on() && hold_) verdict = Verdict(Verdict::Kind::hold);
  }
  in_message_ = false;
  passes_message_ = false;
  co_return verdict;
}

ev::Task<Verdict> Filter::header(Draft& draft, const Macros& macros) {
  skips_ = false;
  for (std::size_t i = 0; i < draft.field_count() && wants(Command::header) && !skips_; ++i) {
    const HeaderField& field = draft.field(i);
    std::string_view value = field.value;
    if ((agreement_.steps & leading_space) == 0 && value.starts_with(' ')) value.remove_prefix(1);
    std::string data;
    put_string(data, field.name);
    std::string lines; // divided by LF, as libmilter's users expect it
    for (const char c : value)
      if (c != '\r') lines += c;
    put_string(data, lines);
    Verdict verdict = co_await event(Command::header, data, macros);
    if (!verdict.goes_on() || finished()) co_return verdict;
  }
  co_return Verdict();
}

ev::Task<Verdict> Filter::body(Draft& draft, const Macros& macros) {
  skips_ = false;
  std::uint64_t offset = 0;
  while (wants(Command::body) && !skips_) {
    const Result<ByteView> piece = draft.read_body(offset, kChunk);
    if (!piece) co_return broken(piece.error().in("milter " + options_.name));
    if (piece->empty()) break;
    offset += piece->size();
    Verdict verdict = co_await event(Command::body, *piece, macros);
    if (!verdict.goes_on() || finished()) co_return verdict;
  }
  co_return Verdict();
}

Result<void> Filter::take_edit(const Packet& packet) {
  if (packet.code == 'q') {
    hold_ = true;
    return {};
  }
  if (packet.code == 'b') {
    if (!new_body_) new_body_.emplace();
    if (most_body_ != 0 &&
        packet.data.size() > most_body_ - std::min(most_body_, new_body_->size()))
      return Error(ErrorKind::limit, "the new body is too large");
    return new_body_->append(packet.data);
  }
  if (!is_edit(packet.code))
    return Error(ErrorKind::protocol,
                 "unexpected answer " + log::printable(std::string(1, packet.code)));
  edit_bytes_ += packet.data.size();
  if (edits_.size() >= kMostEdits || edit_bytes_ > kMostEditBytes)
    return Error(ErrorKind::limit, "too many changes");
  POSTRIDER_TRY(Edit edit, parse_edit(packet, agreement_.steps, utf8_));
  edits_.push_back(std::move(edit));
  return {};
}

void Filter::apply(Draft& draft) {
  for (Edit& edit : edits_)
    draft.apply(std::move(edit));
  edits_.clear();
  if (new_body_) draft.replace_body(std::move(*new_body_));
  new_body_.reset();
}

} // namespace postrider::milter
