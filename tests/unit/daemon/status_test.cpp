// SPDX-License-Identifier: MIT
#include "daemon/status.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "daemon/inherit.hpp"
#include "daemon/jail.hpp"

namespace postrider::daemon {
namespace {

using proto::ChildState;
using testing::ElementsAre;

class StatusTest : public testing::Test {
 protected:
  StatusTest() {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    read = Fd(ends[0]);
    write = Fd(ends[1]);
  }
  std::vector<ChildState> states() {
    std::vector<ChildState> out;
    char bytes[proto::kStatusRecordSize];
    while (::read(read.get(), bytes, sizeof bytes) == static_cast<ssize_t>(sizeof bytes)) {
      const auto record = proto::from_bytes({bytes, sizeof bytes});
      if (!record) {
        ADD_FAILURE() << "a record of no known state";
        break;
      }
      EXPECT_EQ(record->pid, static_cast<std::uint32_t>(::getpid()));
      EXPECT_EQ(record->generation, 9u);
      out.push_back(record->state);
    }
    return out;
  }
  Fd read, write;
};

TEST_F(StatusTest, BusyAndFreeOnlyWhenTheyChange) {
  StatusReporter status(std::move(write), 9);
  for (const ChildState state : {ChildState::ready, ChildState::free, ChildState::busy,
                                 ChildState::busy, ChildState::free, ChildState::leaving})
    status.say(state);
  EXPECT_THAT(states(), ElementsAre(ChildState::ready, ChildState::busy, ChildState::free,
                                    ChildState::leaving));
}

TEST_F(StatusTest, WhatDidNotFitComesLater) {
  const int pipe = write.get();
  StatusReporter status(std::move(write), 9);
  const std::string page(4096, '\0');
  std::size_t filled = 0;
  for (ssize_t n; (n = ::write(pipe, page.data(), page.size())) > 0;)
    filled += static_cast<std::size_t>(n);
  status.say(ChildState::busy);
  status.say(ChildState::free);
  std::string junk(filled, '\0');
  ASSERT_EQ(::read(read.get(), junk.data(), junk.size()), static_cast<ssize_t>(filled));
  status.beat();
  status.beat();
  EXPECT_THAT(states(), ElementsAre(ChildState::free, ChildState::alive));
}

TEST(StatusRecord, SurvivesTheWire) {
  const proto::StatusRecord record{.pid = 0x01020304,
                                   .generation = 0xfffffffe,
                                   .state = ChildState::leaving,
                                   .jail = 0x1234,
                                   .clients = 77};
  const auto bytes = proto::to_bytes(record);
  EXPECT_EQ(proto::from_bytes({bytes.data(), bytes.size()}), record);
}

TEST(StatusRecord, UnknownStateIsNoRecord) {
  auto bytes = proto::to_bytes({});
  for (int state = static_cast<int>(highest(ChildState{})) + 1; state < 256; ++state) {
    bytes[8] = static_cast<char>(state);
    EXPECT_EQ(proto::from_bytes({bytes.data(), bytes.size()}), std::nullopt);
  }
}

TEST(Inherited, ByHandThereIsNothing) {
  ::unsetenv(proto::kGenerationVariable);
  const auto inherited = take_inherited();
  ASSERT_TRUE(inherited.ok());
  EXPECT_FALSE(inherited->from_master);
  EXPECT_TRUE(inherited->listeners.empty());
}

TEST(Inherited, NonsenseInTheEnvironmentIsRefused) {
  for (const char* listeners : {"", "-1", "1x", "100000"}) {
    ::setenv(proto::kGenerationVariable, "1", 1);
    ::setenv(proto::kListenersVariable, listeners, 1);
    EXPECT_FALSE(take_inherited().ok()) << listeners;
  }
  ::unsetenv(proto::kGenerationVariable);
  ::unsetenv(proto::kListenersVariable);
}

TEST(JailText, NamesEachBit) {
  EXPECT_EQ(describe_jail(proto::kJailOwnUser | proto::kJailCapabilities | proto::kJailFiles),
            "own_user, no_capabilities, files");
  EXPECT_EQ(describe_jail(proto::kJailBind | proto::kJailPorts | proto::kJailScopes |
                          proto::kJailNeverCalls | proto::kJailCalls),
            "bind, ports, scopes, killing_calls, listed_calls");
  EXPECT_EQ(describe_jail(0), "none");
  EXPECT_EQ(describe_jail(proto::kJailLimits | proto::kJailNoNewPrivileges),
            "limits, no_new_privs");
}

} // namespace
} // namespace postrider::daemon
