// SPDX-License-Identifier: MIT
// AskedServer: a server of the administrator's that answers questions (socketmap tables, policy
// services). Each connection carries one question at a time and is kept for the next one; there are
// at most so many. Owned by who asks; one loop.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ev/condition.hpp"
#include "net/tcp_stream.hpp"

namespace postrider::net {

class AskedServer {
 public:
  struct Limits {
    std::size_t connections = 20;
    Duration idle = std::chrono::seconds(10); // a connection that is not used
    Duration age = std::chrono::seconds(100); // of a connection that is used again
    std::int64_t questions = 0;               // over one connection; 0: no limit
  };
  struct Connection {
    std::unique_ptr<TcpStream> stream;
    SteadyTime opened{}, used{};
    std::int64_t questions = 0; // that were answered
    Connection() {}
  };
  // What one question holds of Limits::connections.
  class Place {
   public:
    explicit Place(AskedServer& server) : server_(&server) { ++server_->busy_; }
    Place(Place&& other) noexcept : server_(std::exchange(other.server_, nullptr)) {}
    Place& operator=(Place&&) = delete;
    ~Place();

   private:
    AskedServer* server_;
  };

  // "inet:host:port" or "unix:path". A host name is looked up here, once, and that BLOCKS: not in a
  // loop that serves. One that is not found makes each connect() fail. Error config: wrong syntax.
  static Result<std::unique_ptr<AskedServer>> open(std::string_view address, const Limits& limits);
  explicit AskedServer(const Limits& limits) : limits_(limits) {}

  // WAITS until there is one. REQUIRES: the same loop each time.
  ev::Task<Result<Place>> place(ev::Loop& loop, ev::Deadline deadline);
  // One that was used before; the server may have closed it meanwhile.
  std::optional<Connection> take_idle();
  // A new one. WAITS.
  ev::Task<Result<Connection>> connect(ev::Loop& loop, ev::Deadline deadline);
  // Its question was answered; it is kept for the next one, if it is still good. REQUIRES a Place.
  void keep(Connection connection);
  void forget_idle() { idle_.clear(); }

 private:
  void use(ev::Loop& loop);
  void close_idle();

  Limits limits_;
  std::vector<Address> addresses_;
  std::string trouble_; // why there is none
  ev::Loop* loop_ = nullptr;
  std::size_t busy_ = 0;
  std::optional<ev::Condition> freed_;
  std::optional<ev::Timer> idle_timer_;
  std::vector<Connection> idle_; // the one used last at the end
};

} // namespace postrider::net
