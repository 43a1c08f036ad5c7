// SPDX-License-Identifier: MIT
#include "agent.hpp"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.hpp"
#include "dispatch.hpp"

namespace postrider::qmgr {

// --- the board ---------------------------------------------------------------------------------

Result<std::unique_ptr<Board>> Board::create(std::uint32_t slots) {
  Fd fd(::memfd_create("flight-board", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return Error::from_errno("memfd_create", errno);
  const std::size_t size = proto::board_size(slots);
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0)
    return Error::from_errno("size of the flight board", errno);
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return Error::from_errno("seals of the flight board", errno);
  void* bytes = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (bytes == MAP_FAILED) return Error::from_errno("mmap of the flight board", errno);
  return std::unique_ptr<Board>(
      new Board(std::move(fd), static_cast<unsigned char*>(bytes), slots));
}

Board::~Board() { ::munmap(bytes_, proto::board_size(slots_)); }

std::optional<std::uint32_t> Board::running() const {
  const auto* place = reinterpret_cast<const std::uint32_t*>(bytes_ + proto::running_at(slots_));
  const std::uint32_t number = __atomic_load_n(place, __ATOMIC_ACQUIRE);
  if (number == 0 || number > slots_) return std::nullopt;
  return number - 1;
}

proto::SlotState Board::at(std::uint32_t slot) const {
  const unsigned char value = __atomic_load_n(bytes_ + slot, __ATOMIC_ACQUIRE);
  // Anything but the known small values means a delivery that may have happened.
  if (value == static_cast<unsigned char>(proto::SlotState::idle)) return proto::SlotState::idle;
  if (value == static_cast<unsigned char>(proto::SlotState::working))
    return proto::SlotState::working;
  return proto::SlotState::in_doubt;
}

void Board::clear(std::uint32_t slot) { __atomic_store_n(bytes_ + slot, 0, __ATOMIC_RELEASE); }

// --- the conversation --------------------------------------------------------------------------

Agent::Agent(Parts& parts, Transport& transport, Fd fd)
    : parts_(parts), transport_(transport), channel_(parts.loop, std::move(fd)) {}

Agent::~Agent() {
  for (auto& [key, content] : contents_)
    parts_.queue.close_content(content.place);
}

ev::Task<Result<void>> Agent::greet() {
  // An agent that is still starting accepts late: harmless, others serve meanwhile.
  const ev::Deadline deadline = parts_.loop.after(parts_.params.ipc_limit);
  Result<void> hello = co_await ipc::expect_hello(channel_, proto::kDeliverProtocol,
                                                  proto::kDeliverVersion, deadline);
  if (!hello) co_return hello.error();
  Result<ipc::Frame> frame = co_await channel_.receive(deadline);
  if (!frame) co_return frame.error();
  Result<proto::Ready> ready = ipc::as<proto::Ready>(*frame);
  if (!ready) co_return ready.error();
  if (ready->capacity == 0) co_return Error(ErrorKind::protocol, "agent without capacity");
  final_ = ready->final_delivery;
  capacity_ = std::min(ready->capacity, kMostSlots);
  Result<std::unique_ptr<Board>> board = Board::create(capacity_);
  if (!board) co_return board.error();
  board_ = std::move(*board);
  Result<Fd> shared = board_->share();
  if (!shared) co_return shared.error();
  proto::Board announcement;
  announcement.slots = capacity_;
  channel_.send(announcement, std::move(*shared));
  slots_.resize(capacity_);
  free_.reserve(capacity_);
  for (std::uint32_t slot = capacity_; slot-- > 0;)
    free_.push_back(slot);
  ready_ = true;
  co_return Result<void>();
}

ev::Task<Error> Agent::listen() {
  while (true) {
    Result<ipc::Frame> frame = co_await channel_.receive(ev::Deadline::never());
    if (given_up_) co_return Error(ErrorKind::limit, "agent keeps a delivery longer than it may");
    if (!frame) co_return frame.error();
    Result<void> taken = take(*frame);
    if (!taken) co_return taken.error();
    if (!channel_.has_frame()) parts_.dispatch->pump();
    if (retiring_ && in_flight_ == 0) co_return Error(ErrorKind::closed, "agent has retired");
  }
}

Result<void> Agent::take(ipc::Frame& frame) {
  switch (frame.type) {
  case proto::Delivered::kType: {
    POSTRIDER_TRY(const proto::Delivered message, ipc::as<proto::Delivered>(frame));
    return take_delivered(message);
  }
  case proto::Reported::kType: {
    POSTRIDER_TRY(const proto::Reported message, ipc::as<proto::Reported>(frame));
    return take_reported(message);
  }
  case proto::Retiring::kType:
    if (auto read = ipc::as<proto::Retiring>(frame); !read) return read.error();
    retiring_ = true;
    parts_.dispatch->agent_retires(*this);
    return {};
  default:
    return Error(ErrorKind::protocol, "agent sent a frame of type " + std::to_string(frame.type));
  }
}

Result<Agent::Slot> Agent::give_back(std::uint32_t number) {
  if (number >= slots_.size() || slots_[number].entry == nullptr)
    return Error(ErrorKind::protocol, "agent answered for a delivery that it does not have");
  Slot slot = slots_[number];
  slots_[number] = Slot();
  board_->clear(number);
  free_.push_back(number);
  --in_flight_;
  release(slot.content);
  slot.entry->agent = nullptr;
  return slot;
}

Result<void> Agent::take_delivered(const proto::Delivered& message) {
  if (message.slot >= slots_.size() || slots_[message.slot].entry == nullptr ||
      slots_[message.slot].entry->errand != Errand::deliver)
    return Error(ErrorKind::protocol, "agent answered for a delivery that it does not have");
  if (message.pass_to.empty() &&
      message.outcomes.size() != slots_[message.slot].entry->recipients.size())
    return Error(ErrorKind::protocol, "agent answered for other recipients than it was given");
  POSTRIDER_TRY(const Slot slot, give_back(message.slot));
  parts_.dispatch->delivered(*slot.entry, *this, message);
  return {};
}

Result<void> Agent::take_reported(const proto::Reported& message) {
  if (message.slot >= slots_.size() || slots_[message.slot].entry == nullptr ||
      slots_[message.slot].entry->errand == Errand::deliver)
    return Error(ErrorKind::protocol, "agent answered for a report that it does not have");
  POSTRIDER_TRY(const Slot slot, give_back(message.slot));
  parts_.dispatch->reported(*slot.entry, message);
  return {};
}

bool Agent::is_stuck(Duration limit) const {
  const SteadyTime now = parts_.loop.now();
  return std::any_of(slots_.begin(), slots_.end(), [&](const Slot& slot) {
    return slot.entry != nullptr && now - slot.since >= limit;
  });
}

void Agent::give_up() {
  given_up_ = true;
  channel_.close();
}

std::vector<Agent::Left> Agent::take_left() {
  std::vector<Left> left;
  for (std::uint32_t number = 0; number < slots_.size(); ++number) {
    Slot& slot = slots_[number];
    if (slot.entry == nullptr) continue;
    slot.entry->agent = nullptr;
    left.push_back({slot.entry, board_->at(number), board_->running() == number});
    slot = Slot();
  }
  in_flight_ = 0;
  ready_ = false;
  free_.clear();
  return left;
}

// --- contents ----------------------------------------------------------------------------------

std::uint64_t Agent::key_of(const Message& message) {
  // A generation tag is random; an id never has its upper bits set like one, and if the two should
  // meet nevertheless, open_content() compares the place.
  return message.state.place.in_segment() ? message.state.place.tag : message.id().number();
}

Result<Agent::Content*> Agent::open_content(const Message& message) {
  const std::uint64_t key = key_of(message);
  const queue::Place& place = message.state.place;
  const auto found = contents_.find(key);
  if (found != contents_.end()) {
    if (found->second.place.segment == place.segment && found->second.place.tag == place.tag)
      return &found->second;
    if (found->second.uses > 0) return Error(ErrorKind::busy, "two contents with one key");
    drop_content(key);
  }
  const queue::Folder folder =
      parts_.queue.folder_of(message.id()).value_or(queue::Folder::incoming);
  POSTRIDER_TRY(Fd fd, parts_.queue.open_content(place, message.id(), folder));
  Content& content = contents_[key];
  content.key = key;
  content.handle = next_handle_++;
  content.place = place;
  proto::OpenContent announcement;
  announcement.handle = content.handle;
  channel_.send(announcement, std::move(fd));
  return &content;
}

void Agent::release(Content* content) {
  if (--content->uses > 0) return;
  const queue::Place& place = content->place;
  if (place.in_segment()) {
    // Kept open while new mail still arrives in it.
    const auto* segment = parts_.queue.pool().find(place.segment);
    if (segment != nullptr && segment->info.tag == place.tag && segment->lent) return;
  }
  drop_content(content->key);
}

void Agent::drop_content(std::uint64_t key) {
  const auto found = contents_.find(key);
  proto::CloseContent announcement;
  announcement.handle = found->second.handle;
  channel_.send(announcement);
  parts_.queue.close_content(found->second.place);
  contents_.erase(found);
}

void Agent::close_idle_contents() {
  std::vector<std::uint64_t> idle;
  for (const auto& [key, content] : contents_) {
    if (content.uses > 0 || !content.place.in_segment()) continue;
    const auto* segment = parts_.queue.pool().find(content.place.segment);
    if (segment == nullptr || segment->info.tag != content.place.tag || !segment->lent)
      idle.push_back(key);
  }
  for (const std::uint64_t key : idle)
    drop_content(key);
}

// --- requests ----------------------------------------------------------------------------------

namespace {

// The envelope with only the recipients of the entry. The common case, all of them, moves instead
// of copying; give_back() undoes that.
class LentEnvelope {
 public:
  LentEnvelope(Message& message, const Entry& entry, mail::Envelope& out)
      : message_(message), out_(out), moved_(covers_all(message, entry)) {
    if (moved_) {
      out_ = std::move(message.state.envelope);
      return;
    }
    mail::Envelope& from = message.state.envelope;
    std::vector<mail::Recipient> all;
    all.swap(from.recipients);
    out_ = from; // without the list
    from.recipients.swap(all);
    out_.recipients.reserve(entry.recipients.size());
    for (const std::uint32_t index : entry.recipients)
      out_.recipients.push_back(from.recipients[index]);
  }
  ~LentEnvelope() {
    if (moved_) message_.state.envelope = std::move(out_);
  }
  LentEnvelope(const LentEnvelope&) = delete;
  LentEnvelope& operator=(const LentEnvelope&) = delete;

 private:
  static bool covers_all(const Message& message, const Entry& entry) {
    if (entry.recipients.size() != message.state.recipients.size()) return false;
    for (std::uint32_t i = 0; i < entry.recipients.size(); ++i)
      if (entry.recipients[i] != i) return false;
    return true;
  }
  Message& message_;
  mail::Envelope& out_;
  bool moved_;
};

} // namespace

Result<void> Agent::send(Entry& entry, bool cache_hint) {
  Message& message = *entry.message;
  POSTRIDER_TRY(Content* const content, open_content(message));
  const std::uint32_t slot = free_.back();
  free_.pop_back();
  ++in_flight_;
  ++content->uses;
  slots_[slot].entry = &entry;
  slots_[slot].content = content;
  slots_[slot].since = parts_.loop.now();
  entry.agent = this;
  if (entry.errand == Errand::deliver) {
    proto::Deliver request;
    request.slot = slot;
    request.id = message.id().number();
    request.transport = transport_.name;
    request.nexthop = entry.destination->nexthop;
    request.handle = content->handle;
    request.record_offset = message.state.place.offset;
    request.content_offset = message.state.content_offset;
    request.tag = message.state.place.tag;
    request.active = message.entered;
    request.dispatched = parts_.wall();
    request.cache_hint = cache_hint;
    request.recipient_indices = entry.recipients;
    request.facts = message.state.facts;
    const LentEnvelope lent(message, entry, request.envelope);
    channel_.send(request);
    return {};
  }
  proto::Report request;
  request.slot = slot;
  request.kind = entry.errand == Errand::report_failed    ? proto::ReportKind::failed
                 : entry.errand == Errand::report_delayed ? proto::ReportKind::delayed
                                                          : proto::ReportKind::success;
  request.id = message.id().number();
  request.send_to = entry.send_to;
  request.handle = content->handle;
  request.content_offset = message.state.content_offset;
  request.recipient_indices = entry.recipients;
  request.facts = message.state.facts;
  const RetryLimits& retry = parts_.params.retry;
  request.expires =
      message.state.envelope.arrival +
      (message.state.envelope.sender.empty() ? retry.bounce_lifetime : retry.lifetime);
  for (const std::uint32_t index : entry.recipients) {
    const queue::RecipientState& state = message.state.recipients[index];
    request.outcomes.push_back(state.last);
    request.final_delivery = request.final_delivery || state.final_delivery;
    if (state.next_try > 0 && (request.next_try == 0 || state.next_try < request.next_try))
      request.next_try = state.next_try;
  }
  const LentEnvelope lent(message, entry, request.envelope);
  channel_.send(request);
  return {};
}

} // namespace postrider::qmgr
