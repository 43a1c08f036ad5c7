// SPDX-License-Identifier: MIT
// qmgr, wired: the queue, intake, dispatch, finish, store and control on one loop. Core needs no
// master and no configuration file, so tests run it as it is; Service (service.cpp) puts it into
// the skeleton of all workers.
#pragma once

#include <map>
#include <memory>

#include "control.hpp"
#include "dispatch.hpp"
#include "finish.hpp"
#include "intake.hpp"
#include "parts.hpp"
#include "store.hpp"

namespace postrider::qmgr {

class Core {
 public:
  // Opens the queue directory (Error busy: another qmgr has it) and takes what is in it. Blocks.
  static Result<std::unique_ptr<Core>> open(ev::Loop& loop, ev::Offload& offload, FileSystem& fs,
                                            queue::Options options, Params params,
                                            Surroundings around);
  ~Core();

  // One client of the service socket: intake, control or trigger. `keep` lives as long as the
  // conversation.
  void converse(Fd fd, std::shared_ptr<void> keep = nullptr);
  void flush() { control_->flush({}); }

  // Begins nothing more. Deliveries under way may end, then writers have a moment for the mail that
  // they are taking; then finish_stop() writes everything down.
  void begin_stop();
  bool may_stop() const;
  // REQUIRES may_stop(), or that there is no more time. Blocks.
  void finish_stop();

  Parts& parts() { return *parts_; }
  Params& params() { return params_; }
  Surroundings& surroundings() { return around_; }

 private:
  Core(ev::Loop& loop, Params params, Surroundings around);
  ev::RootTask serve(Fd fd, std::shared_ptr<void> keep);
  void turn_end();
  void tick();
  ev::RootTask serve_writer(std::unique_ptr<ipc::Channel> channel, std::string program,
                            std::shared_ptr<void> keep, std::shared_ptr<void> guest);
  void part_with_writers();

  ev::Loop& loop_;
  Params params_;
  Surroundings around_;
  std::unique_ptr<queue::Queue> queue_;
  std::map<pid_t, std::size_t> guests_; // connections by process
  ev::Group tasks_;
  ev::Group clients_;
  ev::Group writers_;
  std::unique_ptr<Parts> parts_;
  std::unique_ptr<Dispatch> dispatch_;
  std::unique_ptr<Finish> finish_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Intake> intake_;
  std::unique_ptr<Control> control_;
  ev::Timer tick_;
  ev::Timer soon_;    // the loop must not sleep yet
  ev::Timer parting_; // writers that have not left by then are cut off
  SteadyTime next_sweep_{};
  std::size_t hook_ = 0;
  bool stopped_ = false;
};

} // namespace postrider::qmgr
