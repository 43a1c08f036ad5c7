// SPDX-License-Identifier: MIT
#include "smtpclient/agent.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.hpp"
#include "mail/address.hpp"
#include "mail/log_line.hpp"
#include "maps/ask.hpp"
#include "smtpclient/status_filter.hpp"

namespace postrider::smtpclient {
namespace {

constexpr std::uint32_t kMaxSlots = 1 << 20;
constexpr std::size_t kMaxContents = 65536;
constexpr Duration kTableTime = std::chrono::seconds(30); // for one answer of the status filter

std::int64_t micros(Duration d) {
  return std::chrono::duration_cast<std::chrono::microseconds>(d).count();
}

// As Postfix does when one agent delegates to another.
void log_passing(const std::string& id, const mail::Envelope& envelope, std::string_view to) {
  const std::string transport(to.substr(0, to.find(':')));
  for (const mail::Recipient& recipient : envelope.recipients)
    log::info(id + ": passing <" + mail::to_external(recipient.address) +
              "> to transport=" + transport);
}

Error wrong(std::string text) { return Error(ErrorKind::protocol, std::move(text)); }

} // namespace

// The board, mapped. Its size is sealed by qmgr; we look again, because a short file would be a
// SIGBUS later.
struct Agent::Mapping {
  Mapping(std::uint8_t* b, std::uint32_t s) : bytes(b), slots(s) {}
  ~Mapping() { ::munmap(bytes, proto::board_size(slots)); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  static Result<std::unique_ptr<Mapping>> map(const Fd& fd, std::uint32_t slots) {
    struct stat info {};
    if (slots == 0 || slots > kMaxSlots || ::fstat(fd.get(), &info) != 0 ||
        info.st_size < static_cast<off_t>(proto::board_size(slots)))
      return wrong("board of a wrong size");
    void* at =
        ::mmap(nullptr, proto::board_size(slots), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (at == MAP_FAILED) return Error::from_errno("map the board", errno);
    return std::make_unique<Mapping>(static_cast<std::uint8_t*>(at), slots);
  }
  std::uint32_t* running() {
    return reinterpret_cast<std::uint32_t*>(bytes + proto::running_at(slots));
  }
  std::uint8_t* bytes;
  std::uint32_t slots;
};

Agent::Agent(ev::Loop& loop, ClientSetup& setup, dns::Resolver& resolver, ev::Offload* offload,
             std::string program, std::function<void()> gone)
    : loop_(loop), options_(setup.options), program_(std::move(program)), gone_(std::move(gone)),
      conversation_(loop), deliveries_(loop),
      client_(loop, setup, resolver, offload, Client::IdleSessions::shared),
      engine_(client_.engine()) {}

Agent::~Agent() { stop(); }

void Agent::stop() {
  conversation_.close();
  deliveries_.close();
  conversation_.tear_down();
  deliveries_.tear_down();
  client_.stop();
  loop_.show_running(nullptr);
}

void Agent::serve(Fd connection) {
  POSTRIDER_CHECK(!channel_);
  channel_ = std::make_unique<ipc::Channel>(loop_, std::move(connection));
  ipc::Hello hello;
  hello.protocol = proto::kDeliverProtocol;
  hello.version = proto::kDeliverVersion;
  channel_->send(hello);
  proto::Ready ready;
  ready.program = program_;
  ready.capacity = static_cast<std::uint32_t>(options_.capacity);
  ready.final_delivery = options_.assume_final;
  channel_->send(ready);
  conversation_.spawn(converse(), "qmgr");
}

ev::RootTask Agent::converse() {
  while (true) {
    Result<ipc::Frame> frame = co_await channel_->receive(ev::Deadline::never());
    if (!frame) {
      if (frame.error().kind() != ErrorKind::closed && frame.error().kind() != ErrorKind::cancelled)
        log::warning("connection from qmgr: " + frame.error().text());
      break;
    }
    Result<void> handled = handle(*frame);
    if (!handled) {
      log::error("connection from qmgr: " + handled.error().text());
      break;
    }
  }
  // Nobody is there to hear the outcomes: what is under way is as good as dead. Whatever was in
  // doubt stands on the board.
  deliveries_.cancel();
  Result<void> empty = co_await deliveries_.wait_empty(ev::Deadline::never());
  if (!empty && deliveries_.size() > 0) co_return; // torn down
  contents_.clear();
  busy_.clear();
  loop_.show_running(nullptr);
  board_.reset();
  channel_.reset();
  client_.pool().clear(leave_);
  if (gone_) gone_();
}

Result<void> Agent::handle(ipc::Frame& frame) {
  switch (frame.type) {
  case proto::Board::kType: {
    POSTRIDER_TRY(const proto::Board board, ipc::as<proto::Board>(frame));
    if (board_) return wrong("unexpected board");
    POSTRIDER_TRY(board_, Mapping::map(frame.fds[0], board.slots));
    loop_.show_running(board_->running());
    busy_.assign(board.slots, false);
    return {};
  }
  case proto::OpenContent::kType: {
    POSTRIDER_TRY(const proto::OpenContent open, ipc::as<proto::OpenContent>(frame));
    POSTRIDER_TRY_VOID(ipc::check_file(frame.fds[0], O_RDONLY));
    if (contents_.size() >= kMaxContents) return wrong("too many open contents");
    contents_[open.handle] = std::make_shared<const Fd>(std::move(frame.fds[0]));
    return {};
  }
  case proto::CloseContent::kType: {
    POSTRIDER_TRY(const proto::CloseContent close, ipc::as<proto::CloseContent>(frame));
    contents_.erase(close.handle);
    return {};
  }
  case proto::Deliver::kType: {
    POSTRIDER_TRY(proto::Deliver request, ipc::as<proto::Deliver>(frame));
    return take(std::move(request));
  }
  default: return wrong("unexpected frame type " + std::to_string(frame.type));
  }
}

Result<void> Agent::take(proto::Deliver request) {
  if (!board_ || request.slot >= board_->slots) return wrong("Deliver with a wrong slot");
  if (busy_[request.slot]) return wrong("Deliver in a slot that is in use");
  if (request.recipient_indices.size() != request.envelope.recipients.size())
    return wrong("Deliver with recipients that do not match");
  POSTRIDER_TRY_VOID(mail::check_clean(request.envelope));
  const auto content = contents_.find(request.handle);
  if (content == contents_.end()) return wrong("Deliver of content that is not open");
  busy_[request.slot] = true;
  const std::string label = queue::Id(request.id).text() + " to " + request.nexthop;
  Job job{std::move(request), content->second};
  const std::uint32_t number = job.request.slot + 1;
  deliveries_.spawn(deliver(std::move(job)), label, number);
  return {};
}

ev::RootTask Agent::deliver(Job job) {
  proto::Deliver& from = job.request;
  Request request;
  request.nexthop = std::move(from.nexthop);
  request.envelope = std::move(from.envelope);
  request.facts = from.facts;
  request.content.fd = job.content->get();
  request.content.offset = from.content_offset;
  request.content.size = from.facts.size;
  request.content.id = queue::Id(from.id);
  request.content.record_offset = from.record_offset;
  request.content.tag = from.tag;
  request.cache_hint = from.cache_hint;
  request.mark = FlightMark(board_->bytes + from.slot);
  request.mark.set(static_cast<std::uint8_t>(proto::SlotState::working));

  request.active = from.active;
  Delivery delivery(engine_, request);
  const std::int64_t began = to_unix_micros(loop_.clock().wall());
  co_await delivery.run();

  mail::Delays delays;
  delays.before_queue = from.active - request.envelope.arrival;
  delays.in_queue = began - from.active;
  const Timing& timing = delivery.timing();
  const bool talked = delivery.uses() > 0; // else all of the time went into getting there
  delays.connecting = micros((talked ? timing.connected : timing.finished) - timing.started);
  delays.sending = talked ? micros(timing.finished - timing.connected) : 0;
  const std::string id = queue::Id(from.id).text(); // a named local: lent to filter()
  proto::Delivered answer;
  answer.slot = from.slot;
  answer.pass_to = delivery.pass_to();
  const bool passed = !answer.pass_to.empty();
  if (passed) log_passing(id, request.envelope, answer.pass_to);
  answer.outcomes = delivery.outcomes();
  if (!passed) co_await filter(id, answer.outcomes);
  for (std::size_t i = 0; !passed && i < answer.outcomes.size(); ++i) {
    const mail::Outcome& outcome = answer.outcomes[i];
    const mail::Recipient& recipient = request.envelope.recipients[i];
    mail::log_delivery(id, recipient, outcome, delays, delivery.uses(), options_.log_style);
    if ((recipient.notify & mail::notify_success) != 0 &&
        outcome.verdict == mail::Verdict::delivered && !delivery.peer_has_dsn())
      answer.relayed_without_dsn = true;
  }
  answer.notice_class = delivery.notice().of_class;
  answer.notice = delivery.notice().text;
  answer.notice_peer = delivery.notice().peer;
  busy_[from.slot] = false;
  channel_->send(answer);
  // The last one of a retiring agent ends the conversation.
  if (retiring_ && deliveries_.size() == 1) {
    channel_->flush();
    channel_->close();
  }
}

// delivery_status_filter. A table that cannot be asked, or an answer that makes no sense, changes
// nothing.
ev::Task<void> Agent::filter(std::string_view id, std::vector<mail::Outcome>& outcomes) {
  maps::MapList& table = engine_.tables.status_filter;
  if (table.empty()) co_return;
  for (mail::Outcome& outcome : outcomes) {
    const std::string key = filter_key(outcome);
    const ev::Deadline deadline = loop_.after(kTableTime);
    const maps::Answer answer = co_await maps::ask(loop_, table, key, maps::Key::whole, deadline);
    if (answer && !*answer) continue;
    Result<mail::Outcome> changed = answer ? filtered(outcome, **answer) : answer.error();
    if (changed)
      outcome = std::move(*changed);
    else if (changed.error().kind() != ErrorKind::cancelled)
      log::warning(std::string(id) + ": delivery_status_filter: " + changed.error().text());
  }
}

void Agent::retire(Pool::Leave leave) {
  leave_ = leave;
  client_.pool().clear(leave);
  if (retiring_) return;
  retiring_ = true;
  if (!channel_) return;
  const proto::Retiring retiring;
  channel_->send(retiring);
  if (deliveries_.empty()) {
    channel_->flush();
    channel_->close();
  }
}

} // namespace postrider::smtpclient
