// SPDX-License-Identifier: MIT
#include "qmgr.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "ipc/colleagues.hpp"
#include "queue/layout.hpp"

namespace postrider::qmgr {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMostConnections = 64; // of one process
constexpr Duration kPartingLimit = 5s;       // for mail that writers are taking at the end

void log_recovery(const queue::RecoverySummary& summary) {
  for (const std::string& alarm : summary.alarms)
    log::error(alarm);
  log::info("queue recovered: " + std::to_string(summary.segment_messages) +
            " messages in the journal, " + std::to_string(summary.file_messages) + " of " +
            std::to_string(summary.files_seen) + " message files looked at, " +
            std::to_string(summary.torn_records) + " torn records, " +
            std::to_string(summary.damaged_records + summary.damaged_files) + " damaged");
}

// When the ledger was, in unix microseconds: it hears of every attempt. 0: there is none.
std::int64_t last_written(FileSystem& fs, const queue::Layout& layout) {
  std::int64_t last = 0;
  for (const unsigned which : {0U, 1U})
    if (const auto stat = fs.stat(layout.ledger(which))) last = std::max(last, stat->mtime_micros);
  return last;
}

} // namespace

// One connection, as long as it says what it wants.
class Guest {
 public:
  Guest(std::map<pid_t, std::size_t>& all, pid_t pid) : all_(all), pid_(pid) {
    count_ = ++all_[pid_];
  }
  ~Guest() {
    if (--all_[pid_] == 0) all_.erase(pid_);
  }
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;
  std::size_t count() const { return count_; }

 private:
  std::map<pid_t, std::size_t>& all_;
  pid_t pid_;
  std::size_t count_ = 0;
};

Core::Core(ev::Loop& loop, Params params, Surroundings around)
    : loop_(loop), params_(std::move(params)), around_(std::move(around)), tasks_(loop),
      clients_(loop), writers_(loop),
      tick_(
          loop, [](void* self) { static_cast<Core*>(self)->tick(); }, this),
      soon_(
          loop, [](void*) {}, nullptr),
      parting_(
          loop, [](void* self) { static_cast<Core*>(self)->writers_.cancel(); }, this) {}

Result<std::unique_ptr<Core>> Core::open(ev::Loop& loop, ev::Offload& offload, FileSystem& fs,
                                         queue::Options options, Params params,
                                         Surroundings around) {
  std::unique_ptr<Core> core(new Core(loop, std::move(params), std::move(around)));
  std::vector<queue::Arrived> found;
  const std::int64_t last_work = last_written(fs, queue::Layout(options.directory));
  POSTRIDER_TRY(core->queue_,
                queue::Queue::open(fs, loop.clock(), std::move(options),
                                   [&](queue::Arrived&& one) { found.push_back(std::move(one)); }));
  log_recovery(core->queue_->recovered());
  core->parts_ = std::make_unique<Parts>(Parts{.loop = loop,
                                               .offload = offload,
                                               .fs = fs,
                                               .queue = *core->queue_,
                                               .params = core->params_,
                                               .around = core->around_,
                                               .tasks = core->tasks_});
  Parts& parts = *core->parts_;
  if (const std::int64_t away = parts.keeper.begin(last_work, parts.wall()); away > 0)
    log::warning("nobody has worked on this queue for " +
                 std::to_string((away + Timekeeper::kMostAbsence) / Timekeeper::kMostAbsence) +
                 " days, if the clock is right; of these one counts as age of the mail in it");
  core->dispatch_ = std::make_unique<Dispatch>(parts);
  core->finish_ = std::make_unique<Finish>(parts);
  core->store_ = std::make_unique<Store>(parts);
  core->intake_ = std::make_unique<Intake>(parts);
  core->control_ = std::make_unique<Control>(parts);
  parts.dispatch = core->dispatch_.get();
  parts.finish = core->finish_.get();
  parts.store = core->store_.get();
  parts.intake = core->intake_.get();
  core->queue_->judge_reports([raw = core.get()](std::uint64_t loan, const mail::Envelope& report) {
    return raw->intake_->judge_report(loan, report);
  });
  for (queue::Arrived& one : found) {
    const bool loaded = !one.state.place.in_segment();
    parts.intake->admit(std::move(one), loaded);
  }
  // The hook may add hooks (new channels): it reads its capture once.
  core->hook_ = loop.add_turn_hook([raw = core.get()] { raw->turn_end(); });
  core->tick_.arm(loop.after(0ms));
  return core;
}

Core::~Core() {
  if (!stopped_ && parts_ != nullptr) finish_stop();
}

void Core::turn_end() {
  if (stopped_) return;
  intake_->turn_end();
  store_->turn_end();
  if (parts_->stopping)
    part_with_writers();
  else if (intake_->has_more())
    soon_.arm(loop_.after(0ms));
  log::flush();
}

void Core::tick() {
  if (stopped_) return;
  tick_.arm(loop_.after(1s));
  for (const std::string& alarm : queue_->take_alarms())
    log::error(alarm);
  intake_->tick();
  dispatch_->look_at_agents();
  const SteadyTime now = loop_.now();
  if (now < next_sweep_) return;
  next_sweep_ = now + 60s;
  dispatch_->sweep();
}

void Core::converse(Fd fd, std::shared_ptr<void> keep) {
  clients_.spawn(serve(std::move(fd), std::move(keep)), "client of qmgr");
}

ev::RootTask Core::serve(Fd fd, std::shared_ptr<void> keep) {
  ipc::Limits limits;
  limits.frame = 8U << 20;
  const pid_t pid = ipc::peer_credentials(fd.get()).pid;
  const auto guest = std::make_shared<Guest>(guests_, pid);
  if (guest->count() > kMostConnections) {
    if (guest->count() == kMostConnections + 1) {
      log::warning("process " + std::to_string(pid) + " is sent away: too many connections");
      parts_->misbehaves(pid);
    }
    co_return;
  }
  auto connection = std::make_unique<ipc::Channel>(loop_, std::move(fd), limits);
  ipc::Channel& channel = *connection;
  ipc::Hello hello;
  hello.protocol = proto::kQmgrProtocol;
  hello.version = proto::kQmgrVersion;
  channel.send(hello);
  Result<ipc::Frame> frame = co_await channel.receive(loop_.after(10s));
  if (!frame) co_return; // connected and left, as wake-ups do
  Result<proto::Open> open = ipc::as<proto::Open>(*frame);
  if (!open) {
    log::warning("process " + std::to_string(pid) + ", client of qmgr: " + open.error().text());
    if (is_breach(open.error())) parts_->misbehaves(pid);
    co_return;
  }
  switch (open->role) {
  case proto::Role::intake: {
    const std::uint32_t uid = channel.peer().uid;
    if (!ipc::is_colleague(uid)) {
      log::warning("intake refused to user " + std::to_string(uid));
      co_return;
    }
    writers_.spawn(serve_writer(std::move(connection), open->program, std::move(keep), guest),
                   "writer");
    co_return;
  }
  case proto::Role::control: co_await control_->serve(channel); co_return;
  case proto::Role::trigger: co_await control_->serve_trigger(channel); co_return;
  }
}

ev::RootTask Core::serve_writer(std::unique_ptr<ipc::Channel> channel, std::string program,
                                std::shared_ptr<void> keep, std::shared_ptr<void> guest) {
  (void)keep;
  (void)guest;
  co_await intake_->serve(*channel, program);
}

// --- the end -----------------------------------------------------------------------------------

void Core::begin_stop() {
  if (parts_->stopping) return;
  parts_->stopping = true;
  clients_.close();
  clients_.cancel();
  dispatch_->stop();
}

// What a writer is taking at this moment becomes durable in any case: were the writer cut off, it
// would have to send its client away with mail that is delivered all the same. Last of all, because
// deliveries may end in a report, whose maker is a writer.
void Core::part_with_writers() {
  if (writers_.closed() || dispatch_->in_flight() > 0) return;
  writers_.close();
  intake_->dismiss_writers();
  parting_.arm(loop_.after(kPartingLimit));
}

bool Core::may_stop() const {
  return stopped_ || (dispatch_->in_flight() == 0 && store_->jobs() == 0 && !intake_->loading() &&
                      clients_.empty() && writers_.empty());
}

void Core::finish_stop() {
  if (stopped_) return;
  begin_stop();
  writers_.close();
  writers_.cancel();
  const SteadyTime limit = loop_.now() + 5s;
  dispatch_->close_agents();
  tasks_.cancel();
  const auto has_clients = [this] { return !clients_.empty() || !writers_.empty(); };
  while ((!tasks_.empty() || has_clients() || store_->jobs() > 0 || intake_->loading()) &&
         loop_.now() < limit) {
    tick_.arm(loop_.after(20ms)); // so that a turn of the loop ends
    loop_.turn(true);
  }
  const bool in_order = tasks_.empty() && !has_clients() && store_->jobs() == 0;
  stopped_ = true;
  tick_.disarm();
  parting_.disarm();
  loop_.remove_turn_hook(hook_);
  if (in_order) {
    if (auto closed = queue_->close(); !closed)
      log::error("the queue is not closed in order: " + closed.error().text());
  } else {
    log::warning("the queue is not closed in order: work on the disk takes too long");
    if (auto synced = queue_->sync_now(); !synced)
      log::error("the ledger is not durable: " + synced.error().text());
    tasks_.tear_down();
    clients_.tear_down();
    writers_.tear_down();
  }
}

} // namespace postrider::qmgr
