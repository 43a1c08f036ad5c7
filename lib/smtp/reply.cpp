// SPDX-License-Identifier: MIT
#include "smtp/reply.hpp"

#include <cstring>

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
  while (!in.empty()) {
    const void* found = std::memchr(in.data(), '\n', in.size());
    const std::size_t length =
        found ? static_cast<std::size_t>(static_cast<const char*>(found) - in.data()) : in.size();
    if (line_.size() + length > kMaxLine) return Error(ErrorKind::limit, "reply line too long");
    if (!found) {
      line_.append(in);
      in = {};
      return false;
    }
    ByteView text = in.substr(0, length);
    in.remove_prefix(length + 1);
    if (!line_.empty()) text = line_.append(text);
    Result<bool> complete = line(text);
    line_.clear();
    if (!complete) return complete;
    if (*complete) return true;
  }
  return false;
}

Result<bool> ReplyParser::line(ByteView text) {
  if (complete_) {
    reply_ = {};
    lines_ = bytes_ = 0;
    complete_ = false;
  }
  bytes_ += text.size() + 1;
  if (++lines_ > kMaxLines || bytes_ > kMaxBytes) return Error(ErrorKind::limit, "reply too long");
  if (!text.empty() && text.back() == '\r') text.remove_suffix(1);

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
  if (reply_.text.size() + text.size() < kMaxStored) {
    if (lines_ > 1) reply_.text.push_back('\n');
    reply_.text += log::printable(text);
  }
  if (text.size() > 3 && text[3] == '-') return false;
  complete_ = true;
  if (!reply_.dsn.empty() && reply_.dsn[0] != text[0]) reply_.dsn.clear();
  return true;
}

} // namespace postrider::smtp
