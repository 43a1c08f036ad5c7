// SPDX-License-Identifier: MIT
#include "mail/header.hpp"

#include <string>

#include <gtest/gtest.h>

#include "mail/received.hpp"

namespace postrider::mail {
namespace {

ContentScanner scanned(std::string_view content, std::size_t piece) {
  ContentScanner scanner;
  for (std::size_t at = 0; at < content.size(); at += piece)
    scanner.feed(content.substr(at, piece));
  return scanner;
}

TEST(ContentScanning, FindsHeadersInAnyPieces) {
  const std::string_view content =
      "From: a\r\nDATE : x\r\nreceived: 1\r\nReceived: 2\r\n\tReceived: folded\r\n"
      "Message-ID: <m@x> \r\nmessage-id: <second@x>\r\n\r\nReceived: body\r\nlast";
  for (std::size_t piece = 1; piece <= content.size(); ++piece) {
    const ContentScanner s = scanned(content, piece);
    EXPECT_TRUE(s.has_from() && s.has_date() && s.has_message_id());
    EXPECT_EQ(s.message_id(), "<m@x>");
    EXPECT_EQ(s.facts().hops, 2);
    EXPECT_EQ(s.facts().header_size, header_length(content));
    EXPECT_EQ(s.facts().size, content.size());
    EXPECT_EQ(s.facts().longest_line, 22U);
    EXPECT_FALSE(s.facts().ends_with_newline);
    EXPECT_FALSE(s.in_header());
  }
}

TEST(ContentScanning, BodyOnlyAndEmpty) {
  EXPECT_EQ(scanned("\r\nbody\r\n", 100).facts().header_size, 2U);
  EXPECT_EQ(header_length("\r\nbody\r\n"), 2U);
  const ContentScanner empty = scanned("", 1);
  EXPECT_TRUE(empty.in_header());
  EXPECT_TRUE(empty.facts().ends_with_newline);
}

TEST(ContentScanning, EightBitInBodyIsNotInHeader) {
  const ContentScanner s = scanned("Subject: x\r\n\r\n\xc3\xa9\r\n", 3);
  EXPECT_TRUE(s.facts().has_8bit);
  EXPECT_FALSE(s.facts().utf8_headers);
}

TEST(ContentScanning, AMegabyteHeaderLineIsOneBoundedLine) {
  const std::string content = "Message-ID: <" + std::string(1 << 20, 'x') + ">\r\n\r\n";
  const ContentScanner s = scanned(content, 4096);
  EXPECT_LE(s.message_id().size(), 1000U);
  EXPECT_EQ(s.facts().longest_line, content.size() - 4);
}

TEST(ReceivedHeader, OfANetworkClient) {
  const std::string line = received_header({.helo = "h(e)lo\r\nX: y",
                                            .client_name = "c.example",
                                            .client_address = "2001:db8::1",
                                            .by = "mx.example",
                                            .protocol = "ESMTP",
                                            .id = "ID",
                                            .recipient = "a b@c",
                                            .when = from_unix_micros(0)});
  EXPECT_TRUE(line.starts_with("Received: from h?e?lo??X:?y (c.example [IPv6:2001:db8::1])\r\n"
                               "\tby mx.example (Postrider) with ESMTP id ID\r\n"
                               "\tfor <\"a?b\"@c>; "))
      << line;
  EXPECT_TRUE(line.ends_with("\r\n"));
}

TEST(ReceivedHeader, OfAClientThatDidNotGreet) {
  const auto line = [](std::string_view name) {
    return received_header({.client_name = name,
                            .client_address = "192.0.2.1",
                            .by = "mx.example",
                            .protocol = "SMTP",
                            .id = "ID",
                            .when = from_unix_micros(0)});
  };
  EXPECT_TRUE(
      line("c.example").starts_with("Received: from c.example (c.example [192.0.2.1])\r\n"));
  EXPECT_TRUE(line("").starts_with("Received: from unknown (unknown [192.0.2.1])\r\n"));
}

TEST(ReceivedHeader, OfALocalSubmitter) {
  const std::string line =
      received_header({.by = "mx.example", .id = "ID", .uid = 1000, .when = from_unix_micros(0)});
  EXPECT_TRUE(
      line.starts_with("Received: by mx.example (Postrider, from userid 1000)\r\n\tid ID; "))
      << line;
}

} // namespace
} // namespace postrider::mail
