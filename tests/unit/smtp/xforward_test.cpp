// SPDX-License-Identifier: MIT
#include "smtp/xforward.hpp"

#include <string>
#include <vector>

#include <gmock/gmock.h>

namespace postrider::smtp {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

mail::Envelope from_client() {
  mail::Envelope e;
  e.client_name = "mx.example";
  e.client_address = "192.0.2.7";
  e.client_port = "4711";
  e.protocol = "ESMTP";
  e.helo = "[a b]";
  return e;
}
Features announcing(const std::string& attributes) {
  Features f;
  f.xforward = attributes;
  return f;
}
const std::string kAll = "NAME ADDR PROTO HELO SOURCE PORT IDENT";

TEST(Xforward, TwoCommandsInTheOrderOfPostfix) {
  const mail::Envelope e = from_client();
  EXPECT_THAT(xforward_commands({&e, "4QId"}, announcing(kAll)),
              ElementsAre("XFORWARD NAME=mx.example ADDR=192.0.2.7 PORT=4711\r\n",
                          "XFORWARD PROTO=ESMTP HELO=[a+20b] IDENT=4QId SOURCE=REMOTE\r\n"));
  EXPECT_THAT(xforward_commands({&e, "4QId", true}, announcing("source addr")),
              ElementsAre("XFORWARD ADDR=192.0.2.7\r\n", "XFORWARD SOURCE=LOCAL\r\n"));
  EXPECT_THAT(xforward_commands({&e, "4QId"}, announcing("")), IsEmpty());
}

TEST(Xforward, WhatIsNotKnownIsNotSaid) {
  mail::Envelope e;
  e.client_name = "unknown";
  EXPECT_THAT(xforward_commands({&e, "4QId"}, announcing("NAME ADDR PORT PROTO HELO")), IsEmpty());
}

// Nobody can smuggle an attribute or a command in, and no line is too long for the other side.
TEST(Xforward, HostileNamesStayInTheirAttribute) {
  mail::Envelope e = from_client();
  e.helo = "x ADDR=10.0.0.1\r\nRSET" + std::string(200, '\xff');
  e.protocol = std::string(100, '=');
  const auto lines = xforward_commands({&e, "4QId"}, announcing(kAll));
  for (const std::string& line : lines) {
    EXPECT_EQ(line.find('\r'), line.size() - 2);
    EXPECT_EQ(line.find("ADDR=10"), std::string::npos);
  }
  EXPECT_EQ(lines.size(), 4U); // PROTO, HELO and the rest do not fit into one
}

} // namespace
} // namespace postrider::smtp
