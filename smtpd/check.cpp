// SPDX-License-Identifier: MIT
#include "check.hpp"

#include <cerrno>
#include <unistd.h>

#include "base/log.hpp"
#include "config.hpp"
#include "config/settings.hpp"
#include "forward/setup.hpp"
#include "service.hpp"

namespace postrider::smtpd {

namespace {

// Trouble at which a start would go on without TLS.
Result<void> check_certificates(const TlsConfig& tls) {
  if (!tls.trouble) return {};
  if (tls.trouble->saved_errno() == EACCES && ::geteuid() != 0) {
    log::warning(tls.trouble->text() +
                 "; run this check as root to look at what only root may read");
    return {};
  }
  return Error(ErrorKind::config,
               tls.trouble->text() + (tls.wrapper ? "; until then all clients are turned away"
                                                  : "; until then STARTTLS is answered with 454"));
}

} // namespace

Result<void> check(const config::Settings& settings) {
  POSTRIDER_TRY(TlsConfig tls, load_tls(settings));
  POSTRIDER_TRY_VOID(check_certificates(tls));
  POSTRIDER_TRY_VOID(load_config(settings, std::move(tls)));
  POSTRIDER_TRY_VOID(Service::name_servers(settings));
  POSTRIDER_TRY_VOID(forward::Setup::load(settings, "smtpd"));
  return {};
}

} // namespace postrider::smtpd
