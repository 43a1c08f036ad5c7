// SPDX-License-Identifier: MIT
#include "smtpclient/agent.hpp"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.hpp"
#include "smtpclient/log_line.hpp"

namespace postrider::smtpclient {
namespace {

constexpr std::uint32_t kMaxSlots = 1 << 20;
constexpr std::size_t kMaxContents = 65536;

double seconds(std::int64_t micros) { return static_cast<double>(micros) / 1e6; }
double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

Error wrong(std::string text) { return Error(ErrorKind::protocol, std::move(text)); }

} // namespace

// The board, mapped. Its size is sealed by qmgr; we look again, because a short file would be a
// SIGBUS later.
struct Agent::Mapping {
  Mapping(std::uint8_t* b, std::uint32_t s) : bytes(b), slots(s) {}
  ~Mapping() { ::munmap(bytes, slots); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  static Result<std::unique_ptr<Mapping>> map(const Fd& fd, std::uint32_t slots) {
    struct stat info {};
    if (slots == 0 || slots > kMaxSlots || ::fstat(fd.get(), &info) != 0 ||
        info.st_size < static_cast<off_t>(slots))
      return wrong("board of a wrong size");
    void* at = ::mmap(nullptr, slots, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (at == MAP_FAILED) return Error::from_errno("map the board", errno);
    return std::make_unique<Mapping>(static_cast<std::uint8_t*>(at), slots);
  }
  std::uint8_t* bytes;
  std::uint32_t slots;
};

Agent::Agent(ev::Loop& loop, ClientSetup& setup, dns::Resolver& resolver, ev::Offload* offload,
             std::string program, std::function<void()> gone)
    : loop_(loop), options_(setup.options), program_(std::move(program)), gone_(std::move(gone)),
      conversation_(loop), deliveries_(loop), goodbyes_(loop), pool_(goodbyes_, options_),
      finder_(loop, resolver, offload, options_),
      engine_{loop, options_, setup.tables, offload, finder_, pool_} {}

Agent::~Agent() { stop(); }

void Agent::stop() {
  conversation_.close();
  deliveries_.close();
  goodbyes_.close();
  conversation_.tear_down();
  deliveries_.tear_down();
  goodbyes_.tear_down();
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
  ready.pid = static_cast<std::uint32_t>(::getpid());
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
  board_.reset();
  channel_.reset();
  pool_.clear();
  if (gone_) gone_();
}

Result<void> Agent::handle(ipc::Frame& frame) {
  switch (frame.type) {
  case proto::Board::kType: {
    POSTRIDER_TRY(const proto::Board board, ipc::as<proto::Board>(frame));
    if (frame.fds.size() != 1 || board_) return wrong("unexpected board");
    POSTRIDER_TRY(board_, Mapping::map(frame.fds[0], board.slots));
    busy_.assign(board.slots, false);
    return {};
  }
  case proto::OpenContent::kType: {
    POSTRIDER_TRY(const proto::OpenContent open, ipc::as<proto::OpenContent>(frame));
    if (frame.fds.size() != 1) return wrong("OpenContent without a descriptor");
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
  deliveries_.spawn(deliver(std::move(job)), label);
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

  Delivery delivery(engine_, request);
  const std::int64_t began = to_unix_micros(loop_.clock().wall());
  co_await delivery.run();

  Delays delays;
  delays.before_queue = seconds(from.active - request.envelope.arrival);
  delays.in_queue = seconds(began - from.active);
  const Timing& timing = delivery.timing();
  delays.connecting = seconds(timing.connected - timing.started);
  delays.sending = seconds(timing.finished - timing.connected);
  const std::string id = queue::Id(from.id).text();
  proto::Delivered answer;
  answer.slot = from.slot;
  for (std::size_t i = 0; i < delivery.outcomes().size(); ++i) {
    const mail::Outcome& outcome = delivery.outcomes()[i];
    const mail::Recipient& recipient = request.envelope.recipients[i];
    log_delivery(id, recipient, outcome, delays, delivery.uses(), options_.log_decimals);
    if ((recipient.notify & mail::notify_success) != 0 &&
        outcome.verdict == mail::Verdict::delivered && !delivery.peer_has_dsn())
      answer.relayed_without_dsn = true;
  }
  answer.outcomes = delivery.outcomes();
  busy_[from.slot] = false;
  channel_->send(answer);
  // The last one of a retiring agent ends the conversation.
  if (retiring_ && deliveries_.size() == 1) {
    channel_->flush();
    channel_->close();
  }
}

void Agent::retire() {
  pool_.clear();
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
