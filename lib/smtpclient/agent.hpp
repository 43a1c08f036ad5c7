// SPDX-License-Identifier: MIT
// A delivery agent: the other end of lib/proto/deliver.hpp. Serves one connection from qmgr, runs
// each request as a task of its own, and reports one outcome per recipient. What qmgr sends is
// checked like everything from another process; a wrong frame ends the connection, not the agent.
//
//   A1  every Deliver taken is answered by exactly one Delivered, or the connection ends
//   A2  a content descriptor stays open while a delivery reads it, whatever is said meanwhile
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "ipc/channel.hpp"
#include "proto/deliver.hpp"
#include "smtpclient/client.hpp"

namespace postrider::smtpclient {

class Agent {
 public:
  // `program` is the word in Ready. `gone` is called when qmgr's connection has ended and every
  // delivery with it. The setup and the resolver must outlive the agent. `offload` may be null when
  // the options do not ask for native look-ups.
  Agent(ev::Loop& loop, ClientSetup& setup, dns::Resolver& resolver, ev::Offload* offload,
        std::string program, std::function<void()> gone);
  ~Agent();

  // REQUIRES: no connection is being served.
  void serve(Fd connection);
  bool serving() const { return channel_ != nullptr; }
  // Takes no more work; the connection ends when what is under way is done. `leave`: what becomes
  // of idle sessions.
  void retire(Pool::Leave leave);
  // Deliveries, and sessions on their way to another process.
  std::size_t in_flight() const { return deliveries_.size() + client_.handing_over(); }
  std::size_t idle_sessions() const { return engine_.pool.idle(); }
  // Before destruction.
  void stop();

 private:
  struct Mapping;
  struct Job {
    proto::Deliver request;
    std::shared_ptr<const Fd> content;
  };
  ev::RootTask converse();
  ev::RootTask deliver(Job job);
  ev::Task<void> filter(std::string_view id, std::vector<mail::Outcome>& outcomes);
  Result<void> handle(ipc::Frame& frame);
  Result<void> take(proto::Deliver request);

  ev::Loop& loop_;
  const Options& options_;
  std::string program_;
  std::function<void()> gone_;
  ev::Group conversation_;
  ev::Group deliveries_;
  Client client_;
  const Engine& engine_;
  std::unique_ptr<ipc::Channel> channel_;
  std::unique_ptr<Mapping> board_;
  std::vector<bool> busy_; // by slot
  std::unordered_map<std::uint64_t, std::shared_ptr<const Fd>> contents_;
  bool retiring_ = false;
  Pool::Leave leave_ = Pool::Leave::hand_over;
};

} // namespace postrider::smtpclient
