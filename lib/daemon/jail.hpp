// SPDX-License-Identifier: MIT
// What a worker gives up before it reads its first byte of input, in this order: resource limits,
// root directory, capabilities, user and groups, the right to gain privileges, being dumpable, and
// what the sandbox of its program closes (lib/sandbox). Fails closed: a step that was asked for,
// and that the kernel has, is taken or is an Error, and the worker does not start.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.hpp"
#include "sandbox/sandbox.hpp"

namespace postrider::daemon {

struct Jail {
  bool change_user = false;   // no effect unless the process is root's
  bool change_root = false;   // the same
  bool all_groups = false;    // of the user, besides those of the suite
  sandbox::Identity identity; // for change_user
  std::string root_directory;
};

// The bits of proto/child_status.hpp that were reached.
Result<std::uint16_t> enter_jail(const Jail& jail, sandbox::Sandbox& sandbox);

// "limits, user, no_new_privs": for the log and for status.
std::string describe_jail(std::uint16_t bits);

// Raises the soft limit of descriptors to the hard one; root also raises the hard one to at least
// `wanted`, as far as the kernel lets. Returns the limit now in force.
std::uint64_t raise_descriptor_limit(std::uint64_t wanted);

} // namespace postrider::daemon
