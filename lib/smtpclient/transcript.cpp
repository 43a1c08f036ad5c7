// SPDX-License-Identifier: MIT
#include "smtpclient/transcript.hpp"

#include "base/ascii.hpp"
#include "base/log.hpp"

namespace postrider::smtpclient {
namespace {

constexpr std::size_t kMostOfALine = 512;

std::string shown(ByteView line) {
  // "AUTH PLAIN AGFiYwBkZWY=": the mechanism may be known, the rest not.
  if (istarts_with(line, "AUTH ")) {
    const std::size_t end = line.find(' ', 5);
    if (end != ByteView::npos) return log::printable(line.substr(0, end)) + " [...]";
  }
  return log::printable(line.substr(0, kMostOfALine));
}

} // namespace

void Transcript::add(std::string line) {
  bytes_ += line.size();
  lines_.push_back(std::move(line));
  while (bytes_ > kMostKept) {
    bytes_ -= lines_.front().size();
    lines_.pop_front();
    ++left_out_;
  }
}

void Transcript::sent(ByteView commands) {
  for (const ByteView line : split(commands, "\r\n")) {
    const std::string text = shown(line);
    if (log_) log::info("> " + peer_ + ": " + text);
    if (keep_) add("Out: " + text);
  }
}

void Transcript::received(ByteView reply) {
  for (const ByteView line : split(reply, "\r\n")) {
    const std::string text = shown(line);
    if (log_) log::info("< " + peer_ + ": " + text);
    if (keep_) add("In:  " + text);
  }
}

void Transcript::replaced(ByteView line) {
  if (keep_) add("Replaced-by: " + shown(line));
}

void Transcript::remark(ByteView what) {
  if (log_) log::info(peer_ + ": " + log::printable(what));
}

void Transcript::clear() {
  lines_.clear();
  bytes_ = left_out_ = 0;
}

std::string Transcript::text() const {
  std::string out;
  if (left_out_ > 0) out = "(" + std::to_string(left_out_) + " lines left out)\n";
  for (const std::string& line : lines_)
    out.append(line).append("\n");
  return out;
}

} // namespace postrider::smtpclient
