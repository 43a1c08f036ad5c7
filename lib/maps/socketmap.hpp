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
#include <optional>
#include <string>
#include <vector>

#include "ev/condition.hpp"
#include "maps/ask.hpp"
#include "net/tcp_stream.hpp"

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
  struct Connection {
    std::unique_ptr<net::TcpStream> stream;
    SteadyTime opened;
    SteadyTime used;
  };
  // What one fetch holds of kMostConnections.
  class Place;

  ev::Task<Result<Connection>> connect(ev::Loop& loop, ev::Deadline deadline);
  std::optional<Connection> take_idle(ev::Loop& loop);
  void keep(ev::Loop& loop, Connection connection);
  void close_idle();
  static void on_timer(void* self) { static_cast<SocketMap*>(self)->close_idle(); }

  std::vector<net::Address> servers_;
  std::string trouble_; // why there is no server
  std::string name_;    // of the table, for the server
  ev::Loop* loop_ = nullptr;
  std::size_t busy_ = 0;
  std::optional<ev::Condition> freed_;
  std::optional<ev::Timer> idle_timer_;
  std::vector<Connection> idle_; // the one used last at the end
};

} // namespace postrider::maps
