// SPDX-License-Identifier: MIT
#include "smtp/reply.hpp"

#include <utility>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "mail/status.hpp"

namespace postrider::smtp {

std::string Reply::status() const { return dsn.empty() ? mail::status_of_code(code) : dsn; }

std::string Reply::joined(std::string_view between) const {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (c == '\n')
      out.append(between);
    else
      out.push_back(c);
  }
  return out;
}

Result<bool> ReplyParser::feed(ByteView& in) {
  while (true) {
    POSTRIDER_TRY(const bool whole, feed_line(in));
    if (!whole) return false;
    POSTRIDER_TRY(const bool complete, take_line(line_));
    if (complete) return true;
  }
}

Result<bool> ReplyParser::feed_line(ByteView& in) {
  if (in.empty()) return false;
  if (std::exchange(complete_, false)) {
    reply_ = {};
    lines_ = bytes_ = 0;
    cut_ = false;
  }
  if (std::exchange(line_complete_, false)) line_.clear();
  const std::size_t end = in.find('\n');
  const ByteView text = in.substr(0, end);
  in.remove_prefix(end == ByteView::npos ? in.size() : end + 1);
  bytes_ += text.size() + 1;
  if (end != ByteView::npos) ++lines_;
  if (bytes_ > kMaxBytes || lines_ > kMaxLines) return Error(ErrorKind::limit, "reply too long");
  const std::size_t room = limits_.line - line_.size();
  if (text.size() > room) cut_ = true;
  line_.append(text.substr(0, room));
  if (end == ByteView::npos) return false;
  line_complete_ = true;
  while (!line_.empty() && line_.back() == '\r')
    line_.pop_back();
  return true;
}

Result<bool> ReplyParser::take_line(ByteView text) {
  const bool has_code = text.size() >= 3 && text[0] >= '2' && text[0] <= '5' && is_digit(text[1]) &&
                        is_digit(text[2]);
  if (!has_code || (text.size() > 3 && text[3] != ' ' && text[3] != '-'))
    return Error(ErrorKind::protocol,
                 "malformed server reply: " + log::printable(text.substr(0, 100)));
  reply_.code = (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
  if (text.size() > 4) {
    const auto status = mail::leading_status(text.substr(4));
    if (!status.empty()) reply_.dsn = status;
  }
  if (reply_.text.size() + text.size() < limits_.stored) {
    if (!reply_.text.empty()) reply_.text.push_back('\n');
    reply_.text += log::printable(text);
  }
  if (text.size() > 3 && text[3] == '-') return false;
  complete_ = true;
  if (!reply_.dsn.empty() && reply_.dsn[0] != text[0]) reply_.dsn.clear();
  return true;
}

} // namespace postrider::smtp
