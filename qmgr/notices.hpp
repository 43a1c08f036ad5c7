// SPDX-License-Identifier: MIT
// Hands bounce what the postmaster should read about sessions of agents (notify_classes). Notices
// are a courtesy: held in memory, in bounded number and size, tried once, and lost with the
// process. No message waits for them.
#pragma once

#include <deque>

#include "parts.hpp"
#include "proto/deliver.hpp"

namespace postrider::qmgr {

class Notices {
 public:
  static constexpr std::size_t kMostWaiting = 100;
  static constexpr std::size_t kMostText = 64 << 10;

  explicit Notices(Parts& parts) : parts_(parts) {}
  // What an agent said of the delivery of `id`. REQUIRES: its mail is itself no notice.
  void add(const queue::Id& id, const proto::Delivered& told);
  std::size_t waiting() const { return waiting_.size(); }

 private:
  ev::RootTask run();
  // WAITS until bounce has dealt with all that waits, or says why it does not.
  ev::Task<Result<void>> hand_over();

  Parts& parts_;
  std::deque<proto::Notice> waiting_;
  bool running_ = false;
};

} // namespace postrider::qmgr
