// SPDX-License-Identifier: MIT
#pragma once

#include "proto/tlsrpt.hpp"

namespace postrider::tlsrpt {

inline proto::TlsEvent success(const std::string& domain) {
  proto::TlsEvent event;
  event.domain = event.policy.domain = domain;
  return event;
}

inline proto::TlsEvent failure(const std::string& domain, const std::string& reason = "why",
                               proto::TlsResult result = proto::TlsResult::validation_failure) {
  proto::TlsEvent event = success(domain);
  event.result = result;
  event.mx_host = "mx." + domain;
  event.mx_address = "192.0.2.1";
  event.sending_address = "192.0.2.9";
  event.reason = reason;
  return event;
}

} // namespace postrider::tlsrpt
