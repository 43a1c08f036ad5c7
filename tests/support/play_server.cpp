// SPDX-License-Identifier: MIT
#include "support/play_server.hpp"

#include <algorithm>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/check.hpp"

namespace postrider::test {

PlayServer::PlayServer(ev::Loop& loop, std::string_view address, std::uint16_t port)
    : loop_(loop), group_(loop), released_(loop) {
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

void PlayServer::go_on() {
  go_on_ = true;
  released_.notify_all();
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

ev::Task<Result<void>> PlayServer::say(net::TcpStream& stream, const std::string& text) {
  const ev::Deadline deadline = loop_.after(std::chrono::seconds(20));
  for (std::size_t at = 0; at < text.size(); at += mode.piece) {
    Result<void> sent = co_await stream.write(ByteView(text).substr(at, mode.piece), deadline);
    if (!sent) co_return sent.error();
  }
  co_return Result<void>();
}

// False: the client went away, or did not keep to the script.
ev::Task<bool> PlayServer::hear(net::TcpStream& stream, const ScriptStep& step) {
  const ev::Deadline deadline = loop_.after(std::chrono::seconds(20));
  std::string message;
  while (true) {
    Result<net::Stream::Line> line = co_await stream.read_line(100000, deadline);
    if (!line) {
      if (problem_.empty()) problem_ = "expected \"" + step.text + "\", got " + line.error().text();
      co_return false;
    }
    if (step.kind == ScriptStep::Kind::expect_data) {
      if (line->text != ".") {
        message += line->text + "\r\n";
        continue;
      }
      messages_.push_back(message);
      co_return true;
    }
    lines_.push_back(line->text);
    const bool chunk = step.kind == ScriptStep::Kind::expect_chunk;
    const std::string wanted = chunk ? "BDAT " : step.text;
    if (!line->text.starts_with(wanted) ||
        (chunk && line->text.ends_with("LAST") == step.text.empty())) {
      if (problem_.empty())
        problem_ = "expected \"" + wanted + step.text + "\", got \"" + line->text + "\"";
      co_return false;
    }
    if (!chunk) co_return true;
    std::size_t left = std::stoul(line->text.substr(5));
    while (left > 0) {
      const std::size_t have = std::min(left, stream.buffered().size());
      stream.consume(have);
      left -= have;
      if (left == 0) break;
      Result<void> more = co_await stream.fill(deadline);
      if (!more) co_return false;
    }
    co_return true;
  }
}

ev::RootTask PlayServer::play(Fd fd, Script script) {
  net::TcpStream stream(loop_, std::move(fd));
  played_ = 0;
  for (std::size_t at = 0; at < script.size() && at < mode.cut; played_ = ++at) {
    const ScriptStep& step = script[at];
    switch (step.kind) {
    case ScriptStep::Kind::send: {
      Result<void> sent = co_await say(stream, step.text);
      if (!sent) co_return;
      // Nobody listens behind a pause: until the other side's kernel has it.
      for (int left = 1; go_on_ && sent && ::ioctl(stream.fd(), SIOCOUTQ, &left) == 0 && left > 0;)
        sent = co_await ev::sleep_for(loop_, std::chrono::milliseconds(1));
      break;
    }
    case ScriptStep::Kind::reset: {
      const linger at_once{1, 0};
      ::setsockopt(stream.fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
      ++finished_;
      co_return;
    }
    case ScriptStep::Kind::close: ++finished_; co_return;
    case ScriptStep::Kind::pause: {
      if (go_on_) break;
      Result<void> over = co_await released_.wait(loop_.after(std::chrono::seconds(20)), "go_on");
      if (!over) co_return;
      break;
    }
    case ScriptStep::Kind::deaf: {
      ++finished_;
      Result<void> over = co_await ev::sleep_for(loop_, std::chrono::seconds(20));
      co_return;
    }
    case ScriptStep::Kind::stall: {
      ++finished_;
      const ev::Deadline deadline = loop_.after(std::chrono::seconds(20));
      Result<void> more;
      while (more)
        more = co_await stream.fill(deadline);
      co_return;
    }
    case ScriptStep::Kind::expect:
    case ScriptStep::Kind::expect_data:
    case ScriptStep::Kind::expect_chunk: {
      const bool heard = co_await hear(stream, step);
      if (!heard) co_return;
    }
    }
  }
  ++finished_;
}

} // namespace postrider::test
