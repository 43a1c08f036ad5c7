// SPDX-License-Identifier: MIT
#include "submit/submitter.hpp"

#include <algorithm>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/log.hpp"
#include "ipc/channel.hpp"
#include "net/tcp_stream.hpp"
#include "proto/intake.hpp"
#include "queue/journal.hpp"
#include "submit/lease.hpp"

namespace postrider::submit {

namespace {

constexpr Duration kConnectLimit = std::chrono::seconds(10);
constexpr Duration kLongestPause = std::chrono::seconds(2);
constexpr Duration kAskAgain = std::chrono::seconds(1);

} // namespace

Submitter::Submitter(ev::Loop& loop, ev::Offload& offload, FileSystem& fs, Options options)
    : loop_(loop), offload_(offload), fs_(fs), options_(std::move(options)), group_(loop),
      hook_(loop.add_turn_hook([this] { on_turn_end(); })),
      ask_again_(
          loop, [](void* self) { static_cast<Submitter*>(self)->want_segment(); }, this),
      segments_changed_(loop), file_syncs_changed_(loop) {}

Submitter::~Submitter() {
  group_.tear_down();
  loop_.remove_turn_hook(hook_);
  POSTRIDER_CHECK(files_.empty());
  // Syncs still on a pool thread find their lease, but no submitter to tell.
  for (const auto& lease : leases_)
    lease->owner = nullptr;
}

void Submitter::start() { group_.spawn(run(), "connection to qmgr"); }

Result<void> Submitter::may_accept() const {
  if (!channel_) return Error(ErrorKind::closed, "the queue manager is not there");
  if (!knows_queue())
    return Error(ErrorKind::closed, "the queue manager has not said if it takes mail");
  if (!accepting_) return Error(ErrorKind::busy, reason_);
  if (!current_ && !no_room_.empty()) return Error(ErrorKind::busy, no_room_);
  return {};
}

ev::Task<Result<void>> Submitter::wait_for_queue(ev::Deadline deadline) {
  while (!knows_queue()) {
    Result<void> changed = co_await segments_changed_.wait(deadline, "the queue manager");
    if (!changed) co_return changed.error();
  }
  co_return Result<void>();
}

ev::RootTask Submitter::run() {
  Duration pause = options_.retry_pause;
  bool complained = false;
  while (true) {
    const std::uint64_t before = epoch_;
    Result<void> ended = Error(ErrorKind::config, "no socket of qmgr is known");
    for (const std::string& path : options_.sockets) {
      ended = co_await converse(path);
      if (epoch_ != before || ended.error().kind() != ErrorKind::not_found) break;
    }
    const bool in_order = leaving_;
    lost();
    if (epoch_ != before) {
      pause = options_.retry_pause;
      complained = false;
    }
    if (!complained && !in_order) log::warning("no connection to qmgr: " + ended.error().text());
    complained = complained || !in_order;
    Result<void> slept = co_await ev::sleep_for(loop_, pause);
    if (!slept) co_return;
    pause = std::min<Duration>(pause * 2, kLongestPause);
  }
}

// Always ends with an Error.
ev::Task<Result<void>> Submitter::converse(const std::string& path) {
  Result<net::Address> target = net::Address::unix_path(path);
  if (!target) co_return target.error();
  Result<std::unique_ptr<net::TcpStream>> stream =
      co_await net::connect(loop_, *target, loop_.after(kConnectLimit));
  if (!stream) co_return stream.error();
  auto channel = std::make_unique<ipc::Channel>(loop_, (*stream)->release());
  // Who listens: master, which is root or of our user.
  const uid_t uid = channel->peer().uid;
  if (uid != 0 && uid != ::geteuid())
    co_return Error(ErrorKind::refused, path + " belongs to uid " + std::to_string(uid));
  Result<void> hello = co_await ipc::expect_hello(*channel, proto::kQmgrProtocol,
                                                  proto::kQmgrVersion, loop_.after(kConnectLimit));
  if (!hello) co_return hello.error();
  channel_ = std::move(channel);
  ++epoch_;
  proto::Open open;
  open.program = options_.program;
  channel_->send(open);
  want_segment();
  while (true) {
    Result<ipc::Frame> frame = co_await channel_->receive(ev::Deadline::never());
    if (!frame) co_return frame.error();
    Result<void> taken = take(*frame);
    if (!taken) co_return taken.error();
  }
}

// What qmgr says. It is the more trusted side; even so nothing it sends may crash us.
Result<void> Submitter::take(ipc::Frame& frame) {
  switch (frame.type) {
  case proto::QueueState::kType: {
    POSTRIDER_TRY(const auto state, ipc::as<proto::QueueState>(frame));
    state_known_ = true;
    accepting_ = state.accepting;
    reason_ = state.reason.empty() ? "the queue takes no mail now" : state.reason;
    if (accepting_ && !current_ && !wanted_) want_segment();
    segments_changed_.notify_all();
    return {};
  }
  case proto::SegmentLent::kType: {
    POSTRIDER_TRY(const auto lent, ipc::as<proto::SegmentLent>(frame));
    const queue::SegmentInfo& info = lent.info;
    if (info.tag == 0 || info.segment == 0 || info.size <= queue::kSegmentHeader)
      return Error(ErrorKind::protocol, "qmgr lent an impossible segment");
    POSTRIDER_TRY_VOID(ipc::check_file(frame.fds.front(), O_WRONLY));
    wanted_ = false;
    no_room_.clear();
    if (leaving_) return {}; // too late: nothing is written there, and it ends with the connection
    if (current_ && next_) return Error(ErrorKind::protocol, "qmgr lent a segment too many");
    auto lease = std::make_shared<Lease>(*this, info, std::move(frame.fds.front()));
    leases_.push_back(lease);
    (current_ ? next_ : current_) = lease;
    ++counters_.segments;
    segments_changed_.notify_all();
    return {};
  }
  case proto::NoRoom::kType: {
    POSTRIDER_TRY(const auto none, ipc::as<proto::NoRoom>(frame));
    no_room(none.reason.empty() ? "no room in the queue" : none.reason);
    return {};
  }
  case proto::Leaving::kType: {
    leaving_ = true;
    return {}; // take_leave() at the end of the turn
  }
  case proto::FileLent::kType:
  case proto::FileSafe::kType:
  case proto::FileRefused::kType: {
    // The three have one layout.
    POSTRIDER_TRY(const auto about, decode<proto::FileLent>(frame.body));
    if (frame.fds.size() != (frame.type == proto::FileLent::kType ? 1 : 0))
      return Error(ErrorKind::protocol, "qmgr sent descriptors that are not due");
    if (!frame.fds.empty()) POSTRIDER_TRY_VOID(ipc::check_file(frame.fds.front(), O_WRONLY));
    const auto found = files_.find(about.id);
    if (found == files_.end()) {
      if (frame.type != proto::FileLent::kType) return {}; // given up meanwhile
      proto::FileDropped dropped;
      dropped.id = about.id;
      channel_->send(dropped);
      return {};
    }
    FileWait& wait = *found->second;
    if (frame.type == proto::FileRefused::kType) {
      const bool full = wait.stage == FileWait::Stage::asked;
      wait.answer(FileAnswer(Error(full ? ErrorKind::busy : ErrorKind::io, about.reason)));
    } else if (frame.type == proto::FileLent::kType && wait.stage == FileWait::Stage::asked) {
      wait.answer(FileAnswer(std::move(frame.fds.front())));
    } else if (frame.type == proto::FileSafe::kType && wait.stage == FileWait::Stage::written) {
      wait.answer(FileAnswer(Fd()));
    } else {
      return Error(ErrorKind::protocol, "qmgr said something out of turn about a file");
    }
    return {};
  }
  default: return {}; // of a later release; not for us
  }
}

void Submitter::want_segment() {
  if (wanted_ || !channel_ || next_ || leaving_) return;
  wanted_ = true;
  channel_->send(proto::WantSegment());
}

// A3: once nothing is on its way any more, the connection ends, and run() looks for the successor.
void Submitter::take_leave() {
  if (!leaving_ || !channel_) return;
  const auto leases = leases_;
  for (const auto& lease : leases) {
    lease->full = true;
    settle_lease(lease);
  }
  current_.reset();
  next_.reset();
  if (leases_.empty() && files_.empty()) channel_->close();
}

// The frame does not say what there was no room for, so everything that was asked for is refused.
void Submitter::no_room(std::string reason) {
  for (auto& [id, wait] : files_)
    if (wait->stage == FileWait::Stage::asked)
      wait->answer(FileAnswer(Error(ErrorKind::busy, reason)));
  if (!wanted_) return;
  wanted_ = false;
  no_room_ = std::move(reason);
  ask_again_.arm(loop_.after(kAskAgain));
  segments_changed_.notify_all();
}

// The loan ends with the connection: qmgr, or its successor, reads for itself what is durable (A2).
void Submitter::lost() {
  const Error why(ErrorKind::closed, "the connection to qmgr was lost");
  const auto leases = leases_;
  for (const auto& lease : leases)
    give_up(lease, why);
  current_.reset();
  next_.reset();
  channel_.reset();
  wanted_ = false;
  accepting_ = false;
  state_known_ = false;
  leaving_ = false;
  no_room_.clear();
  ask_again_.disarm();
  for (auto& [id, wait] : files_)
    wait->answer(FileAnswer(why));
  segments_changed_.notify_all();
  // Descriptors are let go, else the successor cannot prove that nobody writes there any more.
  // Those with a sync in flight follow when it returns.
  for (const auto& lease : leases)
    settle_lease(lease);
}

// A qmgr that has died closed its end; poll sees that before the loop delivers it.
bool Submitter::qmgr_is_there() const {
  if (!channel_ || !channel_->open()) return false;
  pollfd p{channel_->fd(), POLLRDHUP, 0};
  return ::poll(&p, 1, 0) == 0 || (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) == 0;
}

ev::Task<Result<std::shared_ptr<Submitter::Lease>>>
Submitter::lease_for(std::uint64_t content, ev::Lent<const mail::Envelope> envelope,
                     ev::Deadline deadline) {
  while (true) {
    if (current_ && current_->writer.has_room(content, *envelope)) {
      if (!next_ && current_->is_three_quarters_full()) want_segment();
      co_return current_;
    }
    if (current_) { // full: what is in flight settles, then qmgr gets it back
      const std::shared_ptr<Lease> old = std::move(current_);
      old->full = true;
      current_ = std::move(next_);
      next_.reset();
      settle_lease(old);
      if (current_) continue;
    }
    // Without a connection too: nothing of the message has been written yet, and a new one may
    // come.
    if (!no_room_.empty()) co_return Error(ErrorKind::busy, no_room_);
    want_segment();
    Result<void> changed = co_await segments_changed_.wait(deadline, "a journal segment");
    if (!changed) co_return changed.error();
  }
}

// One sync for everything that came in this turn of the loop.
void Submitter::on_turn_end() {
  for (std::size_t i = 0; i < leases_.size(); ++i)
    if (leases_[i]->writer.needs_sync()) start_sync(leases_[i]);
  take_leave();
}

void Submitter::start_sync(const std::shared_ptr<Lease>& lease) {
  lease->group = lease->writer.begin_group();
  lease->syncing = std::move(lease->gathering);
  lease->gathering.reset();
  lease->overdue.arm(loop_.after(options_.sync_limit));
  struct Shared {
    std::optional<Result<void>> result;
  };
  auto shared = std::make_shared<Shared>();
  const bool accepted = offload_.submit(
      [&fs = fs_, group = lease->group, shared] {
        shared->result.emplace(queue::SegmentWriter::sync_group(fs, group));
      },
      [lease, shared] {
        if (lease->owner) lease->owner->sync_ended(lease, *shared->result);
      });
  if (!accepted) sync_ended(lease, Error(ErrorKind::busy, "too many syncs wait already"));
}

void Submitter::sync_ended(const std::shared_ptr<Lease>& lease, Result<void> result) {
  lease->overdue.disarm();
  // A1: had qmgr died before this record was durable, its successor might have read the segment
  // before the record was in it.
  if (result && (lease->epoch != epoch_ || !qmgr_is_there()))
    result = Error(ErrorKind::closed, "the connection to qmgr was lost");
  const Result<void> committed = lease->writer.finish_group(lease->group, std::move(result));
  const std::shared_ptr<Batch> batch = std::move(lease->syncing);
  lease->syncing.reset();
  if (!committed) {
    if (batch) batch->settle(committed);
    give_up(lease, committed.error());
    settle_lease(lease);
    return;
  }
  // Accepted from here: every record of the batch is durable, and 250 may be said.
  ++counters_.groups;
  proto::Committed said;
  said.loan = lease->writer.info().loan;
  said.records = std::move(batch->records);
  channel_->send(said);
  batch->settle(Result<void>());
  if (lease->writer.needs_sync()) start_sync(lease);
  settle_lease(lease);
}

// Nobody writes into it any more, and whoever waits for it is told to try again.
void Submitter::give_up(const std::shared_ptr<Lease>& lease, const Error& why) {
  if (!lease->dead) {
    lease->dead = true;
    ++counters_.failed_groups;
    if (why.kind() != ErrorKind::closed)
      log::error("journal segment " + std::to_string(lease->writer.info().segment) +
                 " is given up: " + why.text());
  }
  lease->writer.poison();
  lease->overdue.disarm();
  if (lease->syncing) lease->syncing->settle(why);
  if (lease->gathering) lease->gathering->settle(why);
  lease->gathering.reset();
  if (current_ == lease) {
    current_ = std::move(next_);
    next_.reset();
    if (!current_) want_segment();
  }
  if (next_ == lease) next_.reset();
}

// Returns a segment that is full or given up, once nothing of it is in flight.
void Submitter::settle_lease(const std::shared_ptr<Lease>& lease) {
  if (!lease->full && !lease->dead) return;
  if (lease->syncing || lease->gathering) return;
  const auto found = std::find(leases_.begin(), leases_.end(), lease);
  if (found == leases_.end()) return;
  if (channel_ && lease->epoch == epoch_) {
    proto::SegmentDone done;
    done.loan = lease->writer.info().loan;
    done.failed = lease->dead;
    channel_->send(done);
  }
  leases_.erase(std::find(leases_.begin(), leases_.end(), lease));
}

Submitter::Lease::Lease(Submitter& submitter, const queue::SegmentInfo& info, Fd fd)
    : owner(&submitter), epoch(submitter.epoch_), writer(submitter.fs_, info, std::move(fd)),
      overdue(submitter.loop_, on_overdue, this) {}

// A sync that takes this long is not believed when it returns after all.
void Submitter::Lease::on_overdue(void* self) {
  auto* lease = static_cast<Lease*>(self);
  Submitter* owner = lease->owner;
  if (!owner) return;
  for (const std::shared_ptr<Lease>& held : std::vector(owner->leases_))
    if (held.get() == lease)
      owner->give_up(held, Error(ErrorKind::timeout, "a sync takes too long"));
}

} // namespace postrider::submit
