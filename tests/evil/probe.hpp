// SPDX-License-Identifier: MIT
// Makes the attempts of the table: each in a child process, which enters the sandbox of the worker
// in the way of every worker (daemon::run) and is then as free as that one, or dies of it.
#pragma once

#include <string>

#include "attempts.hpp"

namespace postrider::evil {

struct Order {
  int argc = 0;
  char** argv = nullptr;
  std::string role;
  Target target;
  int report = -1; // where results are written, one line each
};

// Writes "attempt ROLE NAME SEEN CAUSE" for each: denied, done, hung; or "right" for what the
// program may do. With `outside`, the same without the sandbox, under the role "outside".
void make_attempts(const Order& order, bool outside);

// A line at once, as a whole.
void write_line(int fd, const std::string& line);

} // namespace postrider::evil
