// SPDX-License-Identifier: MIT
#include "smtp/dot.hpp"

#include <cstring>
#include <utility>

#include "base/check.hpp"

namespace postrider::smtp {
namespace {

// Whether `bytes` hold a CR or a NUL: eight at a time, because each byte of each message passes.
bool has_cr_or_nul(ByteView bytes) {
  constexpr std::uint64_t kOnes = 0x0101010101010101ULL;
  constexpr std::uint64_t kHighs = 0x8080808080808080ULL;
  const auto any_zero = [](std::uint64_t w) { return (w - kOnes) & ~w & kHighs; };
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes.data() + i, 8);
    if ((any_zero(word) | any_zero(word ^ (kOnes * '\r'))) != 0) return true;
  }
  for (; i < bytes.size(); ++i)
    if (bytes[i] == '\r' || bytes[i] == '\0') return true;
  return false;
}

std::size_t plain_bytes(ByteView bytes) {
  std::size_t i = 0;
  while (i < bytes.size() && bytes[i] != '\r' && bytes[i] != '\n' && bytes[i] != '\0')
    ++i;
  return i;
}

} // namespace

void append_stuffed(std::string& out, ByteView content, bool& at_line_start) {
  if (content.empty()) return;
  if (at_line_start && content.front() == '.') out.push_back('.');
  std::size_t from = 0;
  for (;;) {
    const std::size_t found = content.find("\n.", from);
    if (found == ByteView::npos) break;
    out.append(content.substr(from, found + 2 - from));
    out.push_back('.');
    from = found + 2;
  }
  out.append(content.substr(from));
  at_line_start = content.back() == '\n';
}

// A limit of 1 leaves no room behind the space.
LineFolder::LineFolder(std::size_t limit, Framing framing)
    : limit_(limit == 1 ? 2 : limit), dots_(framing == Framing::dot) {}
LineFolder::LineFolder(std::size_t limit) : LineFolder(limit, Framing::dot) {}

void LineFolder::append(std::string& out, ByteView content) {
  while (!content.empty()) {
    if (length_ == 0 && !cr_) {
      content.remove_prefix(whole_lines(out, content));
      if (content.empty()) return;
    }
    // To the end of this line.
    bool ended = false;
    while (!content.empty() && !ended) {
      const char c = content.front();
      const bool held = std::exchange(cr_, c == '\r');
      if (held && c != '\n') put(out, " ");
      if (c == '\n') {
        out.append("\r\n");
        length_ = 0;
        ended = true;
      } else if (c == '\0') {
        put(out, " ");
      } else if (c != '\r') {
        const std::size_t plain = plain_bytes(content);
        put(out, content.substr(0, plain));
        content.remove_prefix(plain);
        continue;
      }
      content.remove_prefix(1);
    }
  }
}

// The lines at the front that go out as they are, but for their dots. Returns how much that was.
std::size_t LineFolder::whole_lines(std::string& out, ByteView content) {
  std::size_t done = 0;
  for (;;) {
    const std::size_t end = content.find('\n', done);
    if (end == ByteView::npos || end == done || content[end - 1] != '\r') return done;
    const ByteView line = content.substr(done, end - 1 - done);
    if ((limit_ > 0 && line.size() > limit_) || has_cr_or_nul(line)) return done;
    if (dots_ && !line.empty() && line.front() == '.') out.push_back('.');
    out.append(content.substr(done, end + 1 - done));
    done = end + 1;
  }
}

void LineFolder::put(std::string& out, ByteView part) {
  if (part.empty()) return;
  if (dots_ && length_ == 0 && part.front() == '.') out.push_back('.');
  while (limit_ > 0 && length_ + part.size() > limit_) {
    const std::size_t fits = limit_ - length_;
    out.append(part.substr(0, fits)).append("\r\n ");
    part.remove_prefix(fits);
    length_ = 1;
    folded_ = true;
  }
  out.append(part);
  length_ += part.size();
}

DataDecoder::Fed DataDecoder::feed(ByteView in, std::string& out) {
  POSTRIDER_CHECK(state_ != State::ended);
  const std::size_t had = out.size();
  std::size_t at = 0;
  while (at < in.size() && state_ != State::ended) {
    if (state_ == State::line_start || state_ == State::in_line) {
      at += whole_lines(in.substr(at), out);
      if (at == in.size()) break;
    }
    // To the end of this line: asking whole_lines() again for each byte would be quadratic.
    do {
      if (state_ == State::in_line) {
        const std::size_t plain = plain_bytes(in.substr(at));
        out.append(in.substr(at, plain));
        at += plain;
        if (at == in.size()) break;
      }
      one(in[at++], out);
    } while (at < in.size() && state_ != State::line_start && state_ != State::ended);
  }
  scanner_.feed(ByteView(out).substr(had));
  return {at, state_ == State::ended};
}

// Copies the lines at the front that need no thought, and returns how many bytes that were.
std::size_t DataDecoder::whole_lines(ByteView in, std::string& out) {
  std::size_t done = 0;
  bool fresh = state_ == State::line_start;
  while (done < in.size()) {
    if (fresh && framing_ == Framing::dot && in[done] == '.') break;
    const void* found = std::memchr(in.data() + done, '\n', in.size() - done);
    if (!found) break;
    const auto end = static_cast<std::size_t>(static_cast<const char*>(found) - in.data());
    if (end == done || in[end - 1] != '\r') break;
    if (has_cr_or_nul(in.substr(done, end - 1 - done))) break;
    done = end + 1;
    fresh = true;
  }
  out.append(in.substr(0, done));
  if (done > 0) state_ = State::line_start;
  return done;
}

void DataDecoder::one(char c, std::string& out) {
  // First what was held back.
  switch (state_) {
  case State::cr:
    if (c == '\n') {
      out.append("\r\n");
      state_ = State::line_start;
      return;
    }
    ++stray_;
    out.push_back(' ');
    state_ = State::in_line;
    break;
  case State::dot_cr:
    if (c == '\n') {
      state_ = State::ended;
      return;
    }
    ++stray_;
    out.push_back(' ');
    state_ = State::in_line;
    break;
  case State::dot:
    if (c == '\r') {
      state_ = State::dot_cr;
      return;
    }
    state_ = State::in_line;
    break;
  case State::line_start:
  case State::after_lf:
    if (c == '.' && framing_ == Framing::dot) {
      state_ = state_ == State::line_start ? State::dot : State::in_line;
      return;
    }
    state_ = State::in_line;
    break;
  case State::in_line: break;
  case State::ended: POSTRIDER_UNREACHABLE();
  }
  // Then this byte, in the middle of a line.
  switch (c) {
  case '\r': state_ = State::cr; break;
  case '\n':
    ++stray_;
    out.append("\r\n");
    state_ = State::after_lf;
    break;
  case '\0':
    ++stray_;
    out.push_back(' ');
    break;
  default: out.push_back(c);
  }
}

void DataDecoder::finish(std::string& out) {
  POSTRIDER_CHECK(framing_ == Framing::chunk && state_ != State::ended);
  const std::size_t had = out.size();
  if (state_ == State::cr) {
    ++stray_;
    out.push_back(' ');
  }
  state_ = State::ended;
  scanner_.feed(ByteView(out).substr(had));
}

} // namespace postrider::smtp
