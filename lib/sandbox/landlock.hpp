// SPDX-License-Identifier: MIT
// Landlock: the kernel's list of files and TCP ports that a process may reach (Linux 5.13; ports
// since ABI 4, abstract sockets and signals since ABI 6). Two steps, since what is reached is
// looked up with rights that are gone when the list comes into force.
#pragma once

#include "base/fd.hpp"
#include "base/result.hpp"
#include "sandbox/reach.hpp"

namespace postrider::sandbox {

// 0: this kernel has none, or it is switched off.
int landlock_abi();

class Landlock {
 public:
  // What the kernel can enforce of it.
  static Result<Landlock> prepare(const Reach& reach);
  // For this thread and those that it makes. REQUIRES no_new_privs.
  Result<void> enforce();

  bool closes_files() const { return files_; }
  bool closes_binding() const { return bind_; }
  bool closes_ports() const { return ports_; }
  bool closes_scopes() const { return scopes_; }

 private:
  Fd ruleset_; // empty when there is nothing to enforce
  bool files_ = false;
  bool bind_ = false;
  bool ports_ = false;
  bool scopes_ = false;
};

} // namespace postrider::sandbox
