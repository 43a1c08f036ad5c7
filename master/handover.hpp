// SPDX-License-Identifier: MIT
// What one master leaves to the program that takes its place in the same process (`postrider
// upgrade`): listening sockets, so that no client finds a closed door, and the children, which
// serve their clients to the end. Descriptors go through execve(2); what they are stands in a
// memory file whose number is in the environment. Both sides may be of different versions: the text
// is of fields, and unknown ones are passed over.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "base/fields.hpp"
#include "base/result.hpp"
#include "net/address.hpp"

namespace postrider::master {

inline constexpr const char* kHandoverVariable = "POSTRIDER_HANDOVER";

struct HandedChild {
  std::uint32_t pid = 0;
  std::uint32_t generation = 0; // what its status records say
  std::int32_t status = -1;     // read end of its pipe
  std::string service;          // key
  bool operator==(const HandedChild&) const = default;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("pid", s.pid);
    v("generation", s.generation);
    v("status", s.status);
    v("service", s.service);
  }
};

struct Handover {
  std::uint32_t generation = 0;
  std::int32_t lifeline_read = -1;
  std::int32_t lifeline_write = -1;
  std::vector<std::int32_t> listeners; // who they are is asked of the kernel
  std::vector<HandedChild> children;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("generation", s.generation);
    v("lifeline_read", s.lifeline_read);
    v("lifeline_write", s.lifeline_write);
    v.optional("listeners", s.listeners);
    v.optional("children", s.children);
  }
};

// Replaces this process by `program`, which gets what `handover` names. Returns only when that
// failed, and then everything is as before.
Error become(const std::string& program, const std::vector<std::string>& arguments,
             const Handover& handover);

// Runs the program to its end. Error: it cannot be run, fails, or takes longer than `limit`.
Result<void> try_out(const std::string& program, const std::vector<std::string>& arguments,
                     Duration limit);

// The other side. Owns the descriptors; those that nobody takes are closed.
class Inheritance {
 public:
  // Nothing when this process was not left anything. The variable is gone afterwards. Error
  // protocol: what is there makes no sense.
  static Result<std::optional<Inheritance>> take();

  std::uint32_t generation() const { return told_.generation; }
  Fd take_lifeline_read() { return std::move(lifeline_read_); }
  Fd take_lifeline_write() { return std::move(lifeline_write_); }
  // The socket that listens there; invalid: there is none.
  Fd take_listener(const net::Address& address);
  struct Child {
    pid_t pid;
    std::uint32_t generation;
    Fd status;
    std::string service;
  };
  std::vector<Child> take_children() { return std::move(children_); }
  // Nobody listens there any more: closes sockets that are left, and takes their paths away.
  void close_listeners();

 private:
  Handover told_;
  Fd lifeline_read_;
  Fd lifeline_write_;
  std::vector<Fd> listeners_;
  std::vector<Child> children_;
};

} // namespace postrider::master
