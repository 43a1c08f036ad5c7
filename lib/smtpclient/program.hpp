// SPDX-License-Identifier: MIT
// The whole of smtp and lmtp but their names: one process serves one connection from qmgr at a
// time. Peers of another user than ours, or root, are refused.
#pragma once

#include <string>

#include "smtpclient/options.hpp"

namespace postrider::smtpclient {

// What main() of a client program returns.
int run_program(int argc, char** argv, const std::string& name, Flavor flavor);

} // namespace postrider::smtpclient
