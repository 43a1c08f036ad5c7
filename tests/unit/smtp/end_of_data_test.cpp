// SPDX-License-Identifier: MIT
// Each short string of the bytes that matter for the end of content, against a reader that is
// written down another way: as a search, and then line by line.
#include <functional>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "smtp/dot.hpp"

namespace postrider::smtp {
namespace {

constexpr std::size_t kLongest = 7;

void for_each_string(const std::function<void(const std::string&)>& use) {
  constexpr std::string_view kBytes("\r\n.\0x", 5);
  std::string bytes;
  const std::function<void()> extend = [&] {
    use(bytes);
    if (bytes.size() == kLongest) return;
    for (const char c : kBytes) {
      bytes.push_back(c);
      extend();
      bytes.pop_back();
    }
  };
  extend();
}

// What the message is when `wire` stands behind DATA, and what is left behind its end.
struct Read {
  std::string content, rest;
  bool operator==(const Read&) const = default;
};
Read expected(const std::string& wire) {
  const std::string all = "\r\n" + wire;
  const std::size_t end = all.find("\r\n.\r\n");
  Read read;
  read.rest = all.substr(end + 5);
  // With the line end in front of the dot, which is its own; without the one that we put there.
  std::string_view message = std::string_view(all).substr(0, end + 2).substr(2);
  while (!message.empty()) {
    std::string_view line = message.substr(0, message.find('\n'));
    message.remove_prefix(line.size() + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (!line.empty() && line.front() == '.') line.remove_prefix(1);
    for (const char c : line)
      read.content.push_back(c == '\r' || c == '\0' ? ' ' : c);
    read.content += "\r\n";
  }
  return read;
}

Read decoded(std::string_view wire, std::size_t piece) {
  DataDecoder decoder;
  Read read;
  while (!decoder.ended() && !wire.empty())
    wire.remove_prefix(decoder.feed(wire.substr(0, piece), read.content).consumed);
  EXPECT_TRUE(decoder.ended());
  read.rest = wire;
  return read;
}

TEST(EveryShortString, EndsWhereTheStandardSays) {
  std::size_t tried = 0;
  for_each_string([&tried](const std::string& bytes) {
    const std::string wire = bytes + "\r\n.\r\nNEXT";
    const Read wanted = expected(wire);
    for (const std::size_t piece : {std::size_t{1}, std::size_t{2}, std::size_t{3}, wire.size()})
      ASSERT_EQ(decoded(wire, piece), wanted) << testing::PrintToString(bytes) << piece;
    ++tried;
  });
  EXPECT_EQ(tried, 97'656U); // 5^0 + ... + 5^7
}

// The way out is looked at by itself: whatever a file holds, what is sent has line ends that are
// whole and one end, also for a reader that takes any CR or LF for a line end.
TEST(EveryShortString, IsSentWithOneEnd) {
  for_each_string([](const std::string& bytes) {
    for (const std::size_t limit : {std::size_t{0}, std::size_t{3}})
      for (const std::size_t piece : {std::size_t{1}, std::size_t{2}, kLongest}) {
        LineFolder folder(limit);
        std::string wire;
        for (std::size_t at = 0; at < bytes.size(); at += piece)
          folder.append(wire, ByteView(bytes).substr(at, piece));
        folder.append(wire, "\r\n");
        wire += ".\r\n";
        std::size_t ends = 0;
        for (std::size_t i = 0; i < wire.size(); ++i) {
          ASSERT_NE(wire[i], '\0');
          ASSERT_TRUE(wire[i] != '\n' || (i > 0 && wire[i - 1] == '\r'));
          ASSERT_TRUE(wire[i] != '\r' || wire[i + 1] == '\n');
          if (wire[i] == '.' && (i == 0 || wire[i - 1] == '\n') && wire[i + 1] == '\r') ++ends;
        }
        ASSERT_EQ(ends, 1U) << testing::PrintToString(bytes);
        ASSERT_EQ(decoded(wire, wire.size()), expected(wire));
      }
  });
}

// What was received is what is sent, but for the dots.
TEST(EveryShortString, RoundTrips) {
  for_each_string([](const std::string& bytes) {
    const std::string content = expected(bytes + "\r\n.\r\n").content;
    std::string wire;
    bool at_line_start = true;
    append_stuffed(wire, content, at_line_start);
    LineFolder folder(0);
    std::string folded;
    folder.append(folded, content);
    ASSERT_EQ(wire, folded);
    ASSERT_EQ(decoded(wire + ".\r\n", 4).content, content);
  });
}

} // namespace
} // namespace postrider::smtp
