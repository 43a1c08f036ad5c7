// SPDX-License-Identifier: MIT
// What a token endpoint says.
#include "json.hpp" // of tokenmgr

#include "fuzz/target.hpp"

FUZZ(input) {
  using namespace postrider;
  const auto members = tokenmgr::members_of(input);
  if (!members) return;
  const std::string changed = tokenmgr::with_member(input, "refresh_token", "new\n\"token\"");
  const auto again = tokenmgr::members_of(changed);
  POSTRIDER_CHECK(again && again->at("refresh_token") == "new\n\"token\"", changed);
}
