// SPDX-License-Identifier: MIT
#include "support/script.hpp"

#include <algorithm>

namespace postrider::test {

bool ScriptStream::take_line() {
  const std::size_t end = from_client_.find("\r\n");
  if (end == std::string::npos) return false;
  const std::string line = from_client_.substr(0, end);
  from_client_.erase(0, end + 2);
  if (!line.starts_with(script_[at_].text) && problem_.empty())
    problem_ = "expected \"" + script_[at_].text + "\", got \"" + line + "\"";
  return true;
}

bool ScriptStream::take_data() {
  std::size_t end = 0;
  std::size_t taken = 3;
  if (!from_client_.starts_with(".\r\n")) {
    end = from_client_.find("\r\n.\r\n");
    if (end == std::string::npos) return false;
    end += 2;
  }
  data_ = from_client_.substr(0, end);
  from_client_.erase(0, end + taken);
  return true;
}

bool ScriptStream::take_chunk() {
  const std::size_t end = from_client_.find("\r\n");
  if (end == std::string::npos) return false;
  const std::string line = from_client_.substr(0, end);
  const std::string& last = script_[at_].text;
  const bool right = line.starts_with("BDAT ") && line.ends_with("LAST") == !last.empty();
  if (!right && problem_.empty()) problem_ = "expected BDAT " + last + ", got \"" + line + "\"";
  const std::size_t size = right ? std::stoul(line.substr(5)) : 0;
  if (from_client_.size() < end + 2 + size) return false;
  data_ += from_client_.substr(end + 2, size);
  from_client_.erase(0, end + 2 + size);
  return true;
}

ScriptStream::State ScriptStream::play() {
  while (to_client_.empty()) {
    if (closed_ || at_ >= mode_.cut || at_ >= script_.size()) {
      closed_ = true;
      return State::closed;
    }
    const ScriptStep& step = script_[at_];
    switch (step.kind) {
    case ScriptStep::Kind::expect:
      if (!take_line()) return State::blocked;
      break;
    case ScriptStep::Kind::expect_data:
      if (!take_data()) return State::blocked;
      break;
    case ScriptStep::Kind::expect_chunk:
      if (!take_chunk()) return State::blocked;
      break;
    case ScriptStep::Kind::send: to_client_ = step.text; break;
    case ScriptStep::Kind::close: closed_ = true; break;
    case ScriptStep::Kind::reset:
    case ScriptStep::Kind::pause:
    case ScriptStep::Kind::stall:
    case ScriptStep::Kind::deaf: return State::blocked;
    }
    if (on_step) on_step(step);
    ++at_;
  }
  return State::more;
}

bool ScriptStream::passes(ev::Deadline deadline) {
  if (mode_.clock == nullptr) return true;
  mode_.clock->advance(mode_.pace);
  return mode_.clock->steady() < deadline.time();
}

Result<bool> ScriptStream::fill_now() {
  switch (play()) {
  case State::blocked: return false;
  case State::closed: return Error(ErrorKind::closed, "connection closed by peer");
  case State::more: break;
  }
  const std::size_t count = std::min(mode_.piece, to_client_.size());
  received(ByteView(to_client_).substr(0, count));
  to_client_.erase(0, count);
  return true;
}

ev::Task<Result<void>> ScriptStream::fill(ev::Deadline deadline) {
  if (!passes(deadline)) co_return Error(ErrorKind::timeout, "time limit exceeded");
  const Result<bool> some = fill_now();
  if (!some) co_return some.error();
  if (!*some) co_return Error(ErrorKind::timeout, "time limit exceeded");
  co_return Result<void>();
}

ev::Task<Result<void>> ScriptStream::write(ByteView bytes, ev::Deadline deadline) {
  if (!passes(deadline)) co_return Error(ErrorKind::timeout, "time limit exceeded");
  if (closed_ || at_ >= mode_.cut) co_return Error(ErrorKind::closed, "connection closed by peer");
  from_client_.append(bytes);
  co_return Result<void>();
}

ev::Task<Result<std::size_t>> ScriptStream::write_some(ByteView bytes, ev::Deadline deadline) {
  const ByteView some = bytes.substr(0, mode_.piece);
  Result<void> written = co_await write(some, deadline);
  if (!written) co_return written.error();
  co_return some.size();
}

} // namespace postrider::test
