// SPDX-License-Identifier: MIT
#include "tls/session_data.hpp"

#include "base/bytes.hpp"
#include "base/crc32c.hpp"

namespace postrider::tls {

namespace {

constexpr std::string_view kMagic = "PRT1";
constexpr std::size_t kHead = kMagic.size() + 4;

std::string conditions(std::string_view priority, std::string_view server_name) {
  std::string text;
  for (const std::string_view word : {priority, server_name}) {
    put_le(text, static_cast<std::uint16_t>(word.size()));
    text += word;
  }
  return text;
}

} // namespace

std::string pack_session(std::string_view priority, std::string_view server_name,
                         std::string_view data) {
  const std::string rest = conditions(priority, server_name) + std::string(data);
  if (data.empty() || rest.size() > kSessionLimit) return {};
  std::string packed(kMagic);
  put_le(packed, crc32c(rest));
  return packed + rest;
}

std::string_view unpack_session(std::string_view session, std::string_view priority,
                                std::string_view server_name) {
  if (!session.starts_with(kMagic) || session.size() < kHead) return {};
  std::string_view rest = session.substr(kHead);
  if (get_le<std::uint32_t>(session.substr(kMagic.size())) != crc32c(rest)) return {};
  const std::string wanted = conditions(priority, server_name);
  if (!rest.starts_with(wanted)) return {};
  rest.remove_prefix(wanted.size());
  return rest;
}

} // namespace postrider::tls
