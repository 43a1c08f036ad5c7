// SPDX-License-Identifier: MIT
#include "sasl/bearer.hpp"

#include <algorithm>

#include "base/ascii.hpp"

namespace postrider::sasl {
namespace {

bool has(const std::vector<std::string>& words, std::string_view word) {
  return std::any_of(words.begin(), words.end(),
                     [&](const std::string& one) { return iequals(one, word); });
}

// RFC 5801 section 4: "," and "=" are escaped in the name.
std::string saslname(std::string_view user) {
  std::string out;
  for (const char c : user) {
    if (c == ',')
      out += "=2C";
    else if (c == '=')
      out += "=3D";
    else
      out.push_back(c);
  }
  return out;
}

bool is_clean(std::string_view text) {
  return !text.empty() && std::none_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
}

} // namespace

std::string_view to_string(Bearer mechanism) {
  return mechanism == Bearer::oauthbearer ? "OAUTHBEARER" : "XOAUTH2";
}

std::optional<Bearer> choose_bearer(const std::vector<std::string>& offered,
                                    const std::vector<std::string>& security) {
  for (const std::string_view forbids : {"noplaintext", "noactive", "mutual_auth"})
    if (has(security, forbids)) return std::nullopt;
  for (const Bearer one : {Bearer::oauthbearer, Bearer::xoauth2})
    if (has(offered, to_string(one))) return one;
  return std::nullopt;
}

std::optional<Secret> initial_response(Bearer mechanism, const BearerLogin& login) {
  if (!is_clean(login.user) || !is_clean(login.token)) return std::nullopt;
  std::string text;
  // In one piece, so that no copy of the token stays where the string grew.
  text.reserve(3 * login.user.size() + login.token.size() + login.host.size() + 100);
  if (mechanism == Bearer::oauthbearer) {
    text.append("n,a=").append(saslname(login.user)).append(",\x01");
    text.append("host=").append(login.host).append("\x01");
    text.append("port=").append(std::to_string(login.port)).append("\x01");
  } else {
    text.append("user=").append(login.user).append("\x01");
  }
  text.append("auth=Bearer ").append(login.token).append("\x01\x01");
  Secret response(text);
  wipe(text);
  return response;
}

std::string_view closing_response(Bearer mechanism) {
  return mechanism == Bearer::oauthbearer ? std::string_view("\x01", 1) : std::string_view();
}

} // namespace postrider::sasl
