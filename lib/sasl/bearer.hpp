// SPDX-License-Identifier: MIT
// The two mechanisms that show an OAuth 2.0 token: OAUTHBEARER (RFC 7628), and XOAUTH2, which came
// before it and is what some providers have to this day. Pure.
//
//   C: AUTH OAUTHBEARER n,a=user@example.com,^Ahost=mx.example.com^Aport=587^Aauth=Bearer tok^A^A
//   S: 235                            or 334 {"status":"invalid_token",...}
//   C:                                   ^A           (XOAUTH2: an empty line)
//   S:                                   535
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.hpp"

namespace postrider::sasl {

enum class Bearer { oauthbearer, xoauth2 };

std::string_view to_string(Bearer mechanism);

// The better one that is offered and that `security` allows: a token is as good as a password to
// who reads it, but not to be guessed (noplaintext, noactive and mutual_auth forbid both).
std::optional<Bearer> choose_bearer(const std::vector<std::string>& offered,
                                    const std::vector<std::string>& security);

struct BearerLogin {
  std::string_view user, token;
  std::string_view host;
  std::uint16_t port = 0;
};

// nullopt: the user or the token has a byte that cannot be in it.
std::optional<Secret> initial_response(Bearer mechanism, const BearerLogin& login);
// To a challenge, which says that the token was refused.
std::string_view closing_response(Bearer mechanism);

} // namespace postrider::sasl
