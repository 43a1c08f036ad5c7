// SPDX-License-Identifier: MIT
#include "service.hpp"

#include "notice.hpp"

#include <cstdio>
#include <fcntl.h>
#include <map>
#include <set>
#include <unistd.h>

#include "base/log.hpp"
#include "base/random.hpp"
#include "ipc/channel.hpp"
#include "ipc/colleagues.hpp"

namespace postrider::bounce {

using proto::Report;
using proto::ReportKind;

// One connection of qmgr. Lives until its last report is answered.
struct Service::Conversation {
  Conversation(ev::Loop& loop, daemon::Client c)
      : client(std::move(c)), channel(loop, std::move(client.fd)), makers(loop) {}
  ~Conversation() { makers.tear_down(); }
  daemon::Client client;
  ipc::Channel channel;
  std::map<std::uint64_t, Fd> contents;
  std::set<std::uint32_t> slots; // in use
  ev::Group makers;              // empty before the conversation goes
  bool ended_by_us = false;      // else qmgr is gone: it, or its successor, asks again
  std::uint32_t board = 0;       // number of slots; 0: not told yet
};

namespace {

// An address without a domain is one of ours.
void qualify(std::string& address, std::string_view origin) {
  if (address.find('@') == std::string::npos) address.append("@").append(origin);
}

std::string fresh_token() {
  char text[40];
  std::snprintf(text, sizeof text, "%016llx%016llx",
                static_cast<unsigned long long>(secure_random()),
                static_cast<unsigned long long>(secure_random()));
  return text;
}

} // namespace

Service::Service(ev::Loop& loop, Outbox& outbox, FileSystem& fs, Options options)
    : loop_(loop), outbox_(outbox), fs_(fs), options_(std::move(options)), group_(loop) {}

Service::~Service() { group_.tear_down(); }

void Service::accept(daemon::Client client) {
  auto talk = std::make_shared<Conversation>(loop_, std::move(client));
  const uid_t uid = talk->channel.peer().uid;
  if (!ipc::is_colleague(uid)) {
    log::warning("bounce: refused a client of uid " + std::to_string(uid));
    return;
  }
  conversations_.remove_if([](const auto& c) { return c.expired(); });
  conversations_.push_back(talk);
  group_.spawn(serve(std::move(talk)), "qmgr");
}

ev::RootTask Service::serve(std::shared_ptr<Conversation> talk) {
  ipc::Hello hello;
  hello.protocol = proto::kDeliverProtocol;
  hello.version = proto::kDeliverVersion;
  talk->channel.send(hello);
  proto::Ready ready;
  ready.program = "bounce";
  ready.capacity = kCapacity;
  talk->channel.send(ready);
  if (draining_) talk->channel.send(proto::Retiring());
  for (;;) {
    Result<ipc::Frame> frame = co_await talk->channel.receive(ev::Deadline::never());
    if (!frame) {
      if (frame.error().kind() == ErrorKind::protocol)
        log::warning("bounce: " + frame.error().text());
      break;
    }
    Result<void> taken = take(talk, *frame);
    if (!taken) {
      log::warning("bounce: request refused: " + taken.error().text());
      break;
    }
  }
  // Whoever asked is gone. What is not in the journal yet must not get there: the next qmgr asks
  // again, and there would be two reports. What is there, it finds.
  if (!talk->ended_by_us) talk->makers.cancel();
  talk->channel.close();
  talk->contents.clear();
  Result<void> empty = co_await talk->makers.wait_empty(ev::Deadline::never());
  if (!empty) talk->makers.tear_down();
}

Result<void> Service::take(const std::shared_ptr<Conversation>& talk, ipc::Frame& frame) {
  switch (frame.type) {
  case proto::Board::kType: {
    // Which reports are being made need not survive us: a report is in the queue with the numbers
    // of the recipients it tells of, or it is not. So the board itself is not used.
    POSTRIDER_TRY(const proto::Board board, ipc::as<proto::Board>(frame));
    talk->board = board.slots;
    return {};
  }
  case proto::OpenContent::kType: {
    POSTRIDER_TRY(const proto::OpenContent open, ipc::as<proto::OpenContent>(frame));
    POSTRIDER_TRY_VOID(ipc::check_file(frame.fds.front(), O_RDONLY));
    if (talk->contents.size() >= kMaxContents)
      return Error(ErrorKind::limit, "too many contents are open");
    if (!talk->contents.emplace(open.handle, std::move(frame.fds.front())).second)
      return Error(ErrorKind::protocol, "content opened twice");
    return {};
  }
  case proto::CloseContent::kType: {
    POSTRIDER_TRY(const proto::CloseContent close, ipc::as<proto::CloseContent>(frame));
    talk->contents.erase(close.handle);
    return {};
  }
  case Report::kType: {
    POSTRIDER_TRY(Report report, ipc::as<Report>(frame));
    return begin(talk, std::move(report));
  }
  case proto::Notice::kType: {
    POSTRIDER_TRY(proto::Notice notice, ipc::as<proto::Notice>(frame));
    return begin(talk, std::move(notice));
  }
  default: return Error(ErrorKind::protocol, "frame type " + std::to_string(frame.type));
  }
}

Result<void> Service::claim(Conversation& talk, std::uint32_t slot) {
  if (slot >= talk.board) return Error(ErrorKind::protocol, "a slot beyond the board");
  if (talk.slots.size() >= kCapacity) return Error(ErrorKind::limit, "more than the capacity");
  if (!talk.slots.insert(slot).second) return Error(ErrorKind::protocol, "a slot in use");
  return {};
}

Result<void> Service::begin(const std::shared_ptr<Conversation>& talk, Report report) {
  POSTRIDER_TRY_VOID(claim(*talk, report.slot));
  std::string problem = problem_with(report);
  std::string original;
  if (problem.empty()) {
    qualify(report.send_to, options_.letterhead.origin);
    const auto file = talk->contents.find(report.handle);
    if (file == talk->contents.end()) {
      problem = "content that was not opened";
    } else {
      // At most bounce_size_limit bytes of a file that qmgr has just read: does not wait.
      const Audience audience =
          report.envelope.sender.empty() ? Audience::double_bounce : Audience::sender;
      const std::uint64_t wanted = wanted_of_original(report, options_.letterhead, audience);
      Result<std::string> read = fs_.pread(file->second.get(), wanted, report.content_offset);
      if (!read)
        problem = "the original: " + read.error().text();
      else if (read->size() < wanted)
        problem = "the original is shorter than it should be";
      else
        original = std::move(*read);
    }
  }
  if (!problem.empty()) {
    log::warning(queue::Id(report.id).text() + ": no report made: " + problem);
    talk->slots.erase(report.slot);
    proto::Reported answer;
    answer.slot = report.slot;
    answer.text = std::move(problem);
    talk->channel.send(answer);
    return {};
  }
  ++reports_;
  std::string label = "report on " + queue::Id(report.id).text();
  talk->makers.spawn(make(*talk, std::move(report), std::move(original)), std::move(label));
  return {};
}

Result<void> Service::begin(const std::shared_ptr<Conversation>& talk, proto::Notice notice) {
  POSTRIDER_TRY_VOID(claim(*talk, notice.slot));
  ++reports_;
  std::string label = "notice about " + queue::Id(notice.id).text();
  talk->makers.spawn(tell(*talk, std::move(notice)), std::move(label));
  return {};
}

Circumstances Service::circumstances(Audience audience) {
  Circumstances out;
  out.audience = audience;
  out.now = loop_.clock().wall();
  out.token = fresh_token();
  return out;
}

ev::Task<Result<queue::Id>> Service::send(const Composed& composed, std::string_view phrase,
                                          std::string_view kind, queue::Id original) {
  Result<queue::Id> id = co_await outbox_.submit(composed);
  if (!id) co_return id.error();
  const std::string text = id->text();
  log::event("message-id", text, "message-id=" + composed.envelope.message_id,
             {{"message-id", composed.envelope.message_id}});
  log::event("report", original.text(), std::string(phrase) + ": " + text,
             {{"kind", kind}, {"report", text}});
  co_return *id;
}

ev::RootTask Service::make(Conversation& talk, Report report, std::string original) {
  const queue::Id about(report.id);
  const Audience audience =
      report.envelope.sender.empty() ? Audience::double_bounce : Audience::sender;
  const Circumstances now = circumstances(audience);
  const Composed composed = compose(report, original, options_.letterhead, now);
  const std::string_view kind = kind_name(report.kind);
  Result<queue::Id> id = co_await send(composed, log_phrase(report.kind, audience), kind, about);
  proto::Reported answer;
  answer.slot = report.slot;
  answer.ok = id.ok();
  if (id) {
    answer.report_id = id->number();
  } else {
    answer.text = id.error().text();
    log::warning(about.text() + ": no report made: " + id.error().text());
  }
  talk.slots.erase(report.slot);
  talk.channel.send(answer);

  const std::string& copies_to = report.kind == ReportKind::failed    ? options_.failure_copies_to
                                 : report.kind == ReportKind::delayed ? options_.delay_copies_to
                                                                      : std::string();
  if (id && audience == Audience::sender && !copies_to.empty()) {
    report.send_to = copies_to;
    qualify(report.send_to, options_.letterhead.origin);
    const Circumstances then = circumstances(Audience::postmaster_copy);
    const Composed copy = compose(report, original, options_.letterhead, then);
    const std::string_view phrase = log_phrase(report.kind, Audience::postmaster_copy);
    Result<queue::Id> copied = co_await send(copy, phrase, kind, about);
    if (!copied)
      log::warning(about.text() + ": no copy for the postmaster: " + copied.error().text());
  }
  --reports_;
  close_if_done(talk);
}

// A notice is worth one try and no more.
ev::RootTask Service::tell(Conversation& talk, proto::Notice notice) {
  const queue::Id about(notice.id);
  proto::Reported answer;
  answer.slot = notice.slot;
  answer.ok = true;
  if (!options_.errors_to.empty()) {
    std::string to = options_.errors_to;
    qualify(to, options_.letterhead.origin);
    const Circumstances now = circumstances(Audience::postmaster_copy);
    const Composed composed = compose(notice, to, options_.letterhead, now);
    Result<queue::Id> id = co_await send(composed, "postmaster notice", "notice", about);
    answer.ok = id.ok();
    if (id)
      answer.report_id = id->number();
    else
      answer.text = id.error().text();
  }
  talk.slots.erase(notice.slot);
  talk.channel.send(answer);
  --reports_;
  close_if_done(talk);
}

// When we retire, the connection ends with its last report. A request that crossed Retiring on its
// way is lost by this; qmgr sends it to the next process.
void Service::close_if_done(Conversation& talk) {
  if (draining_ && talk.slots.empty()) {
    talk.ended_by_us = true;
    talk.channel.flush();
    talk.channel.close();
  }
}

void Service::drain(daemon::Drain) {
  const bool first = !draining_;
  draining_ = true;
  for (const std::weak_ptr<Conversation>& weak : conversations_) {
    const std::shared_ptr<Conversation> talk = weak.lock();
    if (!talk) continue;
    if (first) talk->channel.send(proto::Retiring());
    close_if_done(*talk);
  }
}

void Service::stop() {
  group_.close();
  group_.cancel();
}

} // namespace postrider::bounce
