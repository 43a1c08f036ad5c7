// SPDX-License-Identifier: MIT
#include "net/stream.hpp"

#include <algorithm>

namespace postrider::net {

// An idle conversation keeps no buffer: ten thousand of them must stay cheap.
void Stream::consume(std::size_t count) {
  start_ += std::min(count, input_.size() - start_);
  if (start_ == input_.size()) {
    start_ = 0;
    if (input_.capacity() > 1024)
      std::string().swap(input_);
    else
      input_.clear();
  } else if (start_ > 64 * 1024) {
    input_.erase(0, start_);
    start_ = 0;
  }
}

bool Stream::is_quiet() {
  if (!buffered().empty()) return false;
  const Result<bool> more = fill_now();
  return more && !*more;
}

ev::Task<Result<Stream::Line>> Stream::read_line(std::size_t most, ev::Deadline deadline) {
  std::size_t searched = 0;
  while (true) {
    const ByteView have = buffered();
    const std::size_t end = have.find('\n', searched);
    if (end != ByteView::npos && end <= most) {
      const bool bare = end == 0 || have[end - 1] != '\r';
      Line line(std::string(have.substr(0, bare ? end : end - 1)), bare);
      consume(end + 1);
      co_return std::move(line);
    }
    if (have.size() > most) co_return Error(ErrorKind::limit, "line too long");
    searched = have.size();
    Result<void> more = co_await fill(deadline);
    if (!more) co_return more.error();
  }
}

} // namespace postrider::net
