// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <unistd.h>

#include "ipc/colleagues.hpp"

namespace postrider::ipc {
namespace {

TEST(Colleagues, AreRootOurselvesAndWhoWasNamed) {
  constexpr uid_t kOther = 61001;
  EXPECT_TRUE(is_colleague(0));
  EXPECT_TRUE(is_colleague(::geteuid()));
  EXPECT_FALSE(is_colleague(kOther));
  set_colleagues({kOther});
  EXPECT_TRUE(is_colleague(kOther));
  EXPECT_TRUE(is_colleague(::geteuid()));
  EXPECT_FALSE(is_colleague(kOther + 1));
  EXPECT_FALSE(is_colleague(static_cast<uid_t>(-1))); // credentials that could not be had
  set_colleagues({});
  EXPECT_FALSE(is_colleague(kOther));
}

} // namespace
} // namespace postrider::ipc
