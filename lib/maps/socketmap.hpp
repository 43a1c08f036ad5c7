// SPDX-License-Identifier: MIT
// socketmap:inet:host:port:name and socketmap:unix:path:name: asks another process over a socket,
// with the protocol of Postfix's socketmap_table(5). Question and answer are one netstring each:
//
//   C: 20:transport a@b.example,       "name key"
//   S: 15:OK smtp:[mx.c.d],            OK text | NOTFOUND | TEMP why | TIMEOUT why | PERM why
//
// Keeps its connections and reconnects once when one has ended. Asks whole keys only. Bounded: the
// answer by kLongestAnswer, connections by kMostConnections, one lookup by kTimeLimit.
// An answer is taken for what it is, text of another process: one line, without zero bytes.
#pragma once

#include <memory>
#include <string>

#include "maps/ask.hpp"
#include "net/asked_server.hpp"

namespace postrider::maps {

class SocketMap final : public WaitingMap {
 public:
  static constexpr std::size_t kLongestAnswer = 100'000;
  static constexpr std::size_t kMostConnections = 20;
  static constexpr Duration kTimeLimit = std::chrono::seconds(100);
  static constexpr Duration kIdleLimit = std::chrono::seconds(10);
  static constexpr Duration kAgeLimit = std::chrono::seconds(100);

  // `name` as behind "socketmap:". Error config: wrong syntax. A host name is resolved here, once;
  // one that is not found makes each lookup an Error. WAITS for that: not for use in a loop.
  static Result<std::unique_ptr<SocketMap>> open(std::string_view name);

  bool takes_parts() const override { return false; }
  ev::Task<Answer> fetch(ev::Loop& loop, std::string_view key, ev::Deadline deadline) override;

 private:
  std::unique_ptr<net::AskedServer> server_;
  std::string name_; // of the table, for the server
};

} // namespace postrider::maps
