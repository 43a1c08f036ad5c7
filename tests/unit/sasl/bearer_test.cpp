// SPDX-License-Identifier: MIT
#include "sasl/bearer.hpp"

#include <gtest/gtest.h>

namespace postrider::sasl {
namespace {

std::string shown(const std::optional<Secret>& response) {
  if (!response) return "none";
  std::string out(response->view());
  for (char& c : out)
    if (c == '\x01') c = '^';
  return out;
}

TEST(Bearer, WritesWhatTheStandardsSay) {
  const BearerLogin login{"user@example.com", "vF9dft4qmT", "server.example.com", 587};
  EXPECT_EQ(shown(initial_response(Bearer::oauthbearer, login)),
            "n,a=user@example.com,^host=server.example.com^port=587^auth=Bearer vF9dft4qmT^^");
  EXPECT_EQ(shown(initial_response(Bearer::xoauth2, login)),
            "user=user@example.com^auth=Bearer vF9dft4qmT^^");
  EXPECT_EQ(closing_response(Bearer::oauthbearer), "\x01");
  EXPECT_EQ(closing_response(Bearer::xoauth2), "");
}

TEST(Bearer, EscapesAndRefusesWhatWouldBreakTheFraming) {
  EXPECT_EQ(shown(initial_response(Bearer::oauthbearer, {"a=b,c", "t", "h", 25})),
            "n,a=a=3Db=2Cc,^host=h^port=25^auth=Bearer t^^");
  for (const Bearer one : {Bearer::oauthbearer, Bearer::xoauth2}) {
    EXPECT_FALSE(initial_response(one, {"a\x01"
                                        "b",
                                        "t", "h", 25}));
    EXPECT_FALSE(initial_response(one, {"a", "t\n", "h", 25}));
    EXPECT_FALSE(initial_response(one, {"a", "", "h", 25}));
    EXPECT_FALSE(initial_response(one, {"", "t", "h", 25}));
  }
}

struct Choice {
  std::vector<std::string> offered, security;
  std::string chosen;
};

TEST(Bearer, IsChosenWhereAllowed) {
  const Choice rows[] = {
      {{"PLAIN", "XOAUTH2", "OAUTHBEARER"}, {"noanonymous"}, "OAUTHBEARER"},
      {{"PLAIN", "xoauth2"}, {"noanonymous", "nodictionary"}, "XOAUTH2"},
      {{"PLAIN", "LOGIN"}, {}, ""},
      {{}, {}, ""},
      {{"XOAUTH2"}, {"noplaintext"}, ""},
      {{"XOAUTH2"}, {"noactive"}, ""},
      {{"OAUTHBEARER"}, {"mutual_auth"}, ""},
  };
  for (const Choice& row : rows) {
    const std::optional<Bearer> chosen = choose_bearer(row.offered, row.security);
    EXPECT_EQ(chosen ? to_string(*chosen) : "", row.chosen);
  }
}

} // namespace
} // namespace postrider::sasl
