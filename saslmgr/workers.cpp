// SPDX-License-Identifier: MIT
#include "workers.hpp"

#include <algorithm>
#include <csignal>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.hpp"

namespace postrider::saslmgr {
namespace {

// Nothing of what saslmgr has open, and nothing of how it takes signals.
[[noreturn]] void become_worker(Fd socket, pid_t parent, const WorkerSetup& setup) {
  constexpr int kSocket = 3;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(0);
  const int raw = socket.release();
  if (raw != kSocket && ::dup2(raw, kSocket) < 0) ::_exit(1);
  if (::close_range(kSocket + 1, ~0U, 0) != 0) ::_exit(1);
  for (int signal = 1; signal < NSIG; ++signal)
    if (signal != SIGPIPE && signal != SIGSYS) ::signal(signal, SIG_DFL); // SIGSYS: lib/sandbox
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  work(Fd(kSocket), setup);
}

class Waiting {
 public:
  explicit Waiting(std::size_t& count) : count_(count) { ++count_; }
  ~Waiting() { --count_; }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  std::size_t& count_;
};

Error all_busy() { return Error(ErrorKind::busy, "too many logins at a time"); }

} // namespace

WorkerProcess::~WorkerProcess() {
  if (pid <= 0) return;
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0); // killed: does not take long
}

Workers::Make Workers::forking(ev::Loop& loop, WorkerSetup setup) {
  return [&loop, setup = std::move(setup)]() -> Result<std::shared_ptr<WorkerProcess>> {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
      return Error::from_errno("socketpair", errno);
    Fd ours(ends[0]);
    Fd theirs(ends[1]);
    log::flush();
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) return Error::from_errno("fork", errno);
    if (pid == 0) become_worker(std::move(theirs), parent, setup);
    return std::make_shared<WorkerProcess>(loop, std::move(ours), pid);
  };
}

Workers::Workers(ev::Loop& loop, Make make, WorkerLimits limits)
    : loop_(loop), make_(std::move(make)), limits_(limits), freed_(loop), changed_(loop),
      group_(loop) {
  group_.spawn(trim(), "idle workers");
}

Workers::Lease::Lease(Workers& pool, std::shared_ptr<WorkerProcess> worker)
    : pool_(&pool), worker_(std::move(worker)) {
  worker_->busy = true;
  worker_->since = pool.loop_.now();
}

Workers::Lease::~Lease() {
  if (worker_) pool_->give_back(worker_, well_);
}

void Workers::give_back(const std::shared_ptr<WorkerProcess>& worker, bool well) {
  worker->busy = false;
  worker->since = loop_.now();
  if (!well || (++worker->used >= limits_.uses && worker->logins == 0)) {
    worker->gone = true;
    if (!well) worker->channel.close();
    all_.remove(worker);
  }
  freed_.notify_one();
  changed_.notify_all();
}

// A free one, an additional one, or none.
Result<std::shared_ptr<WorkerProcess>> Workers::find() {
  for (const auto& worker : all_)
    if (!worker->busy && worker->used < limits_.uses) return worker;
  if (all_.size() >= limits_.most) return std::shared_ptr<WorkerProcess>();
  POSTRIDER_TRY(auto made, make_());
  all_.push_back(made);
  return made;
}

bool Workers::stuck() const {
  const SteadyTime now = loop_.now();
  return std::all_of(all_.begin(), all_.end(), [&](const auto& worker) {
    return worker->busy && now - worker->since >= limits_.patience;
  });
}

ev::Task<Result<Workers::Lease>> Workers::any() {
  const ev::Deadline deadline = loop_.after(limits_.patience);
  while (true) {
    Result<std::shared_ptr<WorkerProcess>> found = find();
    if (!found) {
      log::warning("no further SASL worker: " + found.error().text());
      co_return found.error();
    }
    if (*found) co_return Lease(*this, std::move(*found));
    if (waiting_ >= limits_.waiting || stuck()) co_return all_busy();
    const Waiting waiting(waiting_);
    Result<void> woken = co_await freed_.wait(deadline, "a SASL worker");
    if (!woken) co_return all_busy();
  }
}

ev::Task<Result<Workers::Lease>> Workers::again(std::shared_ptr<WorkerProcess>& worker) {
  const ev::Deadline deadline = loop_.after(limits_.answer);
  while (worker->busy && !worker->gone) {
    Result<void> woken = co_await changed_.wait(deadline, "a SASL worker that is busy");
    if (!woken) co_return all_busy();
  }
  if (worker->gone) co_return Error(ErrorKind::closed, "the login was lost");
  co_return Lease(*this, worker);
}

ev::RootTask Workers::trim() {
  while (true) {
    Result<void> slept = co_await ev::sleep_for(loop_, limits_.idle);
    if (!slept) co_return;
    const SteadyTime now = loop_.now();
    for (auto it = all_.begin(); it != all_.end() && all_.size() > 1;) {
      WorkerProcess& worker = **it;
      const bool useless = !worker.busy && worker.logins == 0 && now - worker.since >= limits_.idle;
      if (useless) worker.gone = true;
      it = useless ? all_.erase(it) : std::next(it);
    }
  }
}

} // namespace postrider::saslmgr
