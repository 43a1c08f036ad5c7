// SPDX-License-Identifier: MIT
// master.cf.
#include "config/master_cf.hpp"
#include "fuzz/target.hpp"

FUZZ(input) {
  using namespace postrider;
  const config::MasterCf file = config::parse_master_cf(input);
  for (const config::ServiceEntry& service : file.services) {
    POSTRIDER_CHECK(!service.name.empty() && !service.command.empty() && service.line > 0);
    POSTRIDER_CHECK(service.command.find('/') == std::string::npos, service.command);
    POSTRIDER_CHECK(service.wakeup.count() >= 0);
    if (service.type == config::ServiceType::inet)
      POSTRIDER_CHECK(!service.listen.port.empty());
    else
      POSTRIDER_CHECK(service.socket_path().find("..") == std::string::npos ||
                          service.name.find('/') == std::string::npos,
                      service.name);
  }
}
