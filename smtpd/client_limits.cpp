// SPDX-License-Identifier: MIT
#include "client_limits.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <netinet/in.h>

#include "config/settings.hpp"

namespace postrider::smtpd {

ClientLimits ClientLimits::load(const config::Settings& settings) {
  const auto limit = [](std::int64_t number) { return static_cast<std::uint64_t>(number); };
  ClientLimits limits;
  limits.connections = limit(settings.number("smtpd_client_connection_count_limit"));
  limits.rates = {limit(settings.number("smtpd_client_connection_rate_limit")),
                  limit(settings.number("smtpd_client_message_rate_limit")),
                  limit(settings.number("smtpd_client_recipient_rate_limit")),
                  limit(settings.number("smtpd_client_new_tls_session_rate_limit")),
                  limit(settings.number("smtpd_client_auth_rate_limit"))};
  limits.ipv4_bits = settings.number("smtpd_client_ipv4_prefix_length");
  limits.ipv6_bits = settings.number("smtpd_client_ipv6_prefix_length");
  limits.counter = settings.text("anvil_service_name");
  return limits;
}

bool ClientLimits::any() const {
  return connections != 0 ||
         std::any_of(rates.begin(), rates.end(), [](std::uint64_t rate) { return rate != 0; });
}

std::string ClientLimits::network_of(const std::string& address) const {
  std::array<unsigned char, 16> bytes{};
  const bool is_ipv4 = ::inet_pton(AF_INET, address.c_str(), bytes.data()) == 1;
  if (!is_ipv4 && ::inet_pton(AF_INET6, address.c_str(), bytes.data()) != 1) return address;
  const int family = is_ipv4 ? AF_INET : AF_INET6;
  const std::int64_t all = is_ipv4 ? 32 : 128;
  const std::int64_t bits = is_ipv4 ? ipv4_bits : ipv6_bits;
  if (bits >= all) return address;
  for (std::int64_t i = 0; i < all / 8; ++i) {
    const auto kept = static_cast<unsigned>(std::clamp<std::int64_t>(bits - 8 * i, 0, 8));
    bytes[static_cast<std::size_t>(i)] &= static_cast<unsigned char>(0xff00U >> kept);
  }
  char text[INET6_ADDRSTRLEN];
  ::inet_ntop(family, bytes.data(), text, sizeof text);
  return std::string(text) + "/" + std::to_string(bits);
}

} // namespace postrider::smtpd
