// SPDX-License-Identifier: MIT
// How a program of the suite describes itself to daemon::run, and what it gets in return.
// One Service and one Context per process; both live in run(). Nothing here waits.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "config/settings.hpp"
#include "ev/loop.hpp"
#include "ev/offload.hpp"

namespace postrider::daemon {

class Context;
struct Ucspi;

// One accepted connection. As long as it lives it counts as a client: the process does not retire
// while it is there. Move it into the session that it belongs to.
class Client {
 public:
  Client() = default;
  Client(Context& context, Fd fd, std::size_t listener);
  Client(Client&& other) noexcept
      : fd(std::move(other.fd)), listener(other.listener),
        context_(std::exchange(other.context_, nullptr)) {}
  Client& operator=(Client&& other) noexcept;
  ~Client() { release(); }

  // Tells master that process `pid`, which is at the other end, misbehaves (Context::accuse).
  void accuse(pid_t pid) const;

  Fd fd;                    // non-blocking, close-on-exec
  std::size_t listener = 0; // which listening socket it came from

 private:
  void release();
  Context* context_ = nullptr;
};

enum class Drain {
  retire,   // a successor takes over; there is time to finish well
  stop,     // the suite stops: end soon, begin nothing
  orphaned, // master is gone: as stop, and sooner
};

class Service {
 public:
  virtual ~Service() = default;
  virtual void accept(Client client) = 0;
  // Accepting has ended; begin nothing new and let go of clients. Called again when a more urgent
  // reason comes. The process ends once no Client lives and pending() is 0, or at the limit.
  virtual void drain(Drain reason) = 0;
  // Work besides clients that should end before the process does.
  virtual std::size_t pending() const { return 0; }
  // The last call before destruction, while the loop still exists.
  virtual void stop() {}
  // A new configuration, already validated. True: applied in place. False: replace this process.
  virtual bool reload(const config::Settings&) { return false; }
};

enum class Lifetime {
  worker,   // retires when idle for max_idle, or after max_idle * max_use of service
  resident, // stays
};

struct Needs {
  Lifetime lifetime = Lifetime::worker;
  // Clients that the process holds at one time; at the limit it is busy and accepts no more.
  // 0: as many as descriptors allow; the Service says when a sibling would help
  // (Context::set_busy).
  std::size_t clients = 0;
  std::size_t offload_threads = 2;
  // Keeps the further groups that its user is a member of: for the sockets of other software.
  bool groups = false;
};

struct Program {
  std::string_view name;
  std::string_view sandbox = {}; // of which program, where it is not its own (tests)
  Needs needs = {};
  bool takes_words = false; // of its own, behind the options
  // Opens what needs privilege, before the jail; may be empty.
  std::function<Result<void>(Context&)> open = {};
  std::function<Result<std::unique_ptr<Service>>(Context&)> start;
  // What --check looks at besides main.cf's own rules; may be empty. Warnings are logged.
  std::function<Result<void>(const config::Settings&)> check = {};
};

class Context {
 public:
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // REQUIRES: from `start` on (a loop does not survive the steps before it).
  ev::Loop& loop();
  // Made at first use.
  ev::Offload& offload();
  Clock& clock();
  const config::Settings& settings() const;
  std::string program_name() const;
  const std::string& service_name() const; // first column of master.cf; the program's without it
  const std::string& service_type() const; // "inet" or "unix"
  const std::vector<std::string>& words() const; // as in master.cf: "flags=DRX"
  // Local addresses of the listening sockets: "127.0.0.1:2525", "[::1]:25", or a path.
  const std::vector<std::string>& listeners() const;
  // One client, on descriptors 0 and 1, and what the environment says of it; null under a master.
  const Ucspi* stdio() const;
  bool draining() const;
  std::size_t clients() const;

  // A busy process would welcome a sibling. For Needs::clients == 0 only.
  void set_busy(bool busy);
  // Stops and resumes accepting, for a service that must hold clients back for a while.
  void pause_accepting(bool paused);
  // Tells master that a process of the suite broke the rules of a conversation. Of what speaks with
  // strangers master believes nothing; others it lets kill (proto/child_status.hpp).
  void accuse(pid_t pid);
  // Ends the process well, as if retired (for a service that has become useless).
  void retire();

 private:
  friend class Runner;
  friend class Client;
  explicit Context(class Runner& runner) : runner_(runner) {}
  class Runner& runner_;
};

} // namespace postrider::daemon
