// SPDX-License-Identifier: MIT
#include "support/play_server.hpp"

#include <sys/socket.h>

#include "base/check.hpp"

namespace postrider::test {

PlayServer::PlayServer(ev::Loop& loop, std::string_view address, std::uint16_t port)
    : loop_(loop), group_(loop) {
  auto listener = net::listen(net::Address::parse_ip(address, port).value(), {});
  POSTRIDER_CHECK(listener.ok(), listener.error().text());
  listener_ = std::move(*listener);
  port_ = net::Address::local_of(listener_.get()).port();
  watch_ = std::make_unique<ev::FdWatch>(
      loop_, listener_.get(),
      [](void* self, bool, bool) { static_cast<PlayServer*>(self)->accept_all(); }, this);
}

PlayServer::~PlayServer() {
  watch_.reset();
  group_.close();
  group_.tear_down();
}

void PlayServer::accept_all() {
  while (true) {
    Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) return;
    ++connections_;
    Script script;
    if (scripts_.empty()) {
      problem_ = "a connection that no script is for";
    } else {
      script = std::move(scripts_.front());
      scripts_.pop_front();
    }
    group_.spawn(play(std::move(fd), std::move(script)), "server");
  }
}

ev::RootTask PlayServer::play(Fd fd, Script script) {
  net::TcpStream stream(loop_, std::move(fd));
  const ev::Deadline deadline = loop_.after(std::chrono::seconds(20));
  for (const ScriptStep& step : script) {
    if (step.kind == ScriptStep::Kind::send) {
      Result<void> sent = co_await stream.write(step.text, deadline);
      if (!sent) co_return;
    } else if (step.kind == ScriptStep::Kind::close) {
      ++finished_;
      co_return;
    } else if (step.kind == ScriptStep::Kind::stall) {
      ++finished_;
      Result<void> more;
      while (more)
        more = co_await stream.fill(deadline);
      co_return;
    } else {
      std::string message;
      while (true) {
        Result<net::Stream::Line> line = co_await stream.read_line(100000, deadline);
        if (!line) {
          if (problem_.empty())
            problem_ = "expected \"" + step.text + "\", got " + line.error().text();
          co_return;
        }
        if (step.kind == ScriptStep::Kind::expect) {
          lines_.push_back(line->text);
          if (!line->text.starts_with(step.text) && problem_.empty())
            problem_ = "expected \"" + step.text + "\", got \"" + line->text + "\"";
          break;
        }
        if (line->text == ".") {
          messages_.push_back(message);
          break;
        }
        message += line->text + "\r\n";
      }
    }
  }
  ++finished_;
}

} // namespace postrider::test
