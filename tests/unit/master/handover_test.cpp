// SPDX-License-Identifier: MIT
#include "handover.hpp"

#include <cstdlib>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "net/tcp_stream.hpp"

namespace postrider::master {
namespace {

Result<std::optional<Inheritance>> take(const std::string& variable) {
  ::setenv(kHandoverVariable, variable.c_str(), 1);
  auto taken = Inheritance::take();
  EXPECT_EQ(std::getenv(kHandoverVariable), nullptr) << "children must not see it";
  return taken;
}

// A memory file with this text, as a number; it belongs to whoever takes it.
std::string file_of(const std::string& text) {
  const int fd = ::memfd_create("test", 0);
  EXPECT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  return std::to_string(fd);
}

TEST(InheritanceTest, MostMastersHaveNone) {
  ::unsetenv(kHandoverVariable);
  const auto taken = Inheritance::take();
  ASSERT_TRUE(taken);
  EXPECT_FALSE(taken->has_value());
}

TEST(InheritanceTest, NonsenseIsRefused) {
  for (const std::string& variable :
       {std::string(""), std::string("x"), std::string("-1"), std::string("99999"),
        std::string("18446744073709551617"), std::string("0"), file_of(""), file_of("rubbish")})
    EXPECT_FALSE(take(variable)) << variable;
  Handover without_lifeline;
  std::string text;
  encode_to(text, without_lifeline);
  EXPECT_FALSE(take(file_of(text)));
}

TEST(InheritanceTest, BringsSocketsAndChildren) {
  const auto place = net::Address::parse_ip("127.0.0.1", 0);
  auto listener = net::listen(*place, {});
  ASSERT_TRUE(listener);
  const net::Address address = net::Address::local_of(listener->get());
  const int socket = listener->release();
  int lifeline[2];
  int status[2];
  ASSERT_EQ(::pipe(lifeline), 0);
  ASSERT_EQ(::pipe(status), 0);
  Handover told;
  told.generation = 7;
  told.lifeline_read = lifeline[0];
  told.lifeline_write = lifeline[1];
  told.listeners = {socket, 99999};
  told.children = {{.pid = 4711, .generation = 7, .status = status[0], .service = "smtp unix"},
                   {.pid = 4712, .generation = 6, .status = 99998, .service = "gone"}};
  std::string text;
  encode_to(text, told);
  auto taken = take(file_of(text));
  ASSERT_TRUE(taken) << taken.error().text();
  Inheritance& got = **taken;
  EXPECT_EQ(got.generation(), 7u);
  EXPECT_FALSE(got.take_listener(*net::Address::parse_ip("127.0.0.1", 1)));
  const Fd there = got.take_listener(address);
  EXPECT_EQ(there.get(), socket);
  EXPECT_NE(::fcntl(there.get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_FALSE(got.take_listener(address)) << "once";
  const auto children = got.take_children();
  ASSERT_EQ(children.size(), 1u) << "a child of whom nothing can be heard is none of ours";
  EXPECT_EQ(children[0].pid, 4711);
  EXPECT_EQ(children[0].service, "smtp unix");
  ::close(status[1]);
}

} // namespace
} // namespace postrider::master
