// SPDX-License-Identifier: MIT
// qmgr as a worker of master: parameters from the configuration, agents found through the sockets
// below the queue directory, clients from the service socket.
#pragma once

#include <memory>

#include "daemon/program.hpp"

namespace postrider::qmgr {

Result<std::unique_ptr<daemon::Service>> create_service(daemon::Context& context);

} // namespace postrider::qmgr
