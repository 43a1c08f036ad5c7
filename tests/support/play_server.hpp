// SPDX-License-Identifier: MIT
// A server on a loopback socket that plays one Script per connection, in the order in which the
// connections come. Everything happens on the test's loop.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "ev/condition.hpp"
#include "ev/group.hpp"
#include "net/tcp_stream.hpp"
#include "support/script.hpp"

namespace postrider::test {

class PlayServer {
 public:
  // Port 0: one that the kernel chooses.
  PlayServer(ev::Loop& loop, std::string_view address, std::uint16_t port = 0);
  ~PlayServer();

  void then(Script script) { scripts_.push_back(std::move(script)); }
  // Scripts go on behind their pause(), those that get there later as well.
  void go_on();
  // How all scripts are played: bytes per write, and steps after which the connection is closed.
  ScriptStream::Mode mode;
  std::uint16_t port() const { return port_; }
  std::size_t connections() const { return connections_; }
  std::size_t finished() const { return finished_; } // scripts played to their end
  std::size_t played() const { return played_; }     // steps, of the last connection
  const std::string& problem() const { return problem_; }
  const std::vector<std::string>& lines() const { return lines_; } // all that clients said
  const std::vector<std::string>& messages() const { return messages_; }

 private:
  void accept_all();
  ev::RootTask play(Fd fd, Script script);
  ev::Task<Result<void>> say(net::TcpStream& stream, const std::string& text);
  ev::Task<bool> hear(net::TcpStream& stream, const ScriptStep& step);

  ev::Loop& loop_;
  ev::Group group_;
  Fd listener_;
  std::unique_ptr<ev::FdWatch> watch_;
  std::deque<Script> scripts_;
  ev::Condition released_;
  bool go_on_ = false;
  std::uint16_t port_ = 0;
  std::size_t connections_ = 0;
  std::size_t finished_ = 0;
  std::size_t played_ = 0;
  std::string problem_;
  std::vector<std::string> lines_;
  std::vector<std::string> messages_;
};

} // namespace postrider::test
