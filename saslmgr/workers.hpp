// SPDX-License-Identifier: MIT
// The worker processes of saslmgr: made when one is needed, one task for each at a time, killed
// when it does not answer in time. There are `most` at the utmost; who finds all of them busy waits
// a moment for one, in a line that has an end, and not at all while none of them gets anything
// done: a backend that hangs costs nobody more than that.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <sys/types.h>

#include "ev/group.hpp"
#include "ipc/channel.hpp"
#include "worker.hpp"

namespace postrider::saslmgr {

struct WorkerLimits {
  std::size_t most = 32;
  std::size_t waiting = 4096;                  // that stand in line
  Duration patience = std::chrono::seconds(2); // in line; or of a worker without any answer
  Duration answer = std::chrono::seconds(20);  // for one step
  Duration idle = std::chrono::seconds(60);    // before one goes; the last one stays
  std::uint64_t uses = 1000;                   // logins before one is replaced: plug-ins leak
};

class WorkerProcess {
 public:
  WorkerProcess(ev::Loop& loop, Fd socket, pid_t process)
      : channel(loop, std::move(socket)), pid(process) {}
  ~WorkerProcess(); // kills it
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  ipc::Channel channel;
  const pid_t pid;
  bool busy = false;
  bool gone = false;  // it is in the pool no more
  SteadyTime since{}; // busy or idle
  std::uint64_t used = 0;
  std::size_t logins = 0; // that wait for their clients
};

class Workers {
 public:
  // Makes the process at the other end of `socket`; from here on work() runs there. A seam for
  // tests.
  using Make = std::function<Result<std::shared_ptr<WorkerProcess>>()>;
  Workers(ev::Loop& loop, Make make, WorkerLimits limits);
  // By fork().
  static Make forking(ev::Loop& loop, WorkerSetup setup);

  // One worker, for one question. A lease that ends without well() costs the worker its life: it
  // may be in the middle of anything.
  class Lease {
   public:
    Lease(Workers& pool, std::shared_ptr<WorkerProcess> worker);
    Lease(Lease&&) = default;
    ~Lease();
    const std::shared_ptr<WorkerProcess>& worker() const { return worker_; }
    void well() { well_ = true; }

   private:
    Workers* pool_;
    std::shared_ptr<WorkerProcess> worker_;
    bool well_ = false;
  };
  // WAITS. Error busy: there is none to be had.
  ev::Task<Result<Lease>> any();
  // This one, which holds a login. Error closed: it is no more.
  ev::Task<Result<Lease>> again(std::shared_ptr<WorkerProcess>& worker);

  void stop() { group_.tear_down(); }
  std::size_t size() const { return all_.size(); }
  const WorkerLimits& limits() const { return limits_; }

 private:
  Result<std::shared_ptr<WorkerProcess>> find();
  bool stuck() const;
  void give_back(const std::shared_ptr<WorkerProcess>& worker, bool well);
  ev::RootTask trim();

  ev::Loop& loop_;
  Make make_;
  WorkerLimits limits_;
  std::list<std::shared_ptr<WorkerProcess>> all_;
  std::size_t waiting_ = 0;
  ev::Condition freed_;   // for one of those that stand in line
  ev::Condition changed_; // for all that want a certain worker
  ev::Group group_;
};

} // namespace postrider::saslmgr
