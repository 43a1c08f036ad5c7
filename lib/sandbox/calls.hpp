// SPDX-License-Identifier: MIT
// Lists of system calls, each with what it is for. A profile is made of several. Names are those of
// libseccomp; one that an architecture does not have is left out there.
#pragma once

#include <span>
#include <string_view>

namespace postrider::sandbox {

struct Call {
  const char* name;
  std::string_view reason;
};
using Calls = std::span<const Call>;

// What setsockopt(2) may set. What holds for all who share a listening socket, and after the one
// who set it, is not among it: packet filters, devices, limits on who may connect.
struct SocketOption {
  int level;
  int option;
  std::string_view reason;
};
extern const std::span<const SocketOption> kSocketOptions;

// The process is killed: nothing that runs here ever does this, whatever libraries change.
extern const Calls kNever;
// Any program of the suite: memory, threads, signals, clocks, the loop, descriptors it was given.
extern const Calls kBasic;
// Opening and reading files by path; Landlock says which.
extern const Calls kReadFiles;
// Making, writing and removing files: Landlock says where.
extern const Calls kWriteFiles;
// Making descriptors durable that were handed over.
extern const Calls kSync;
// Child processes of its own, that execute nothing.
extern const Calls kFork;
// What a library that is not ours may do while it answers a question (Cyrus SASL's plug-ins).
extern const Calls kPlugIns;
// Needed by the runtime of a sanitizer; empty in other builds.
extern const Calls kSanitizer;

} // namespace postrider::sandbox
