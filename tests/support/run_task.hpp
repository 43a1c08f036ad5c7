// SPDX-License-Identifier: MIT
// Runs one Task on a Loop until it is done, for tests. The task's body is given as a function so
// that the RootTask makes the Task itself.
#pragma once

#include <functional>
#include <optional>

#include "ev/group.hpp"

namespace postrider::test {

// REQUIRES: `make` returns a Task; it is called once. Panics after `turns` turns without an end.
template <typename T>
T run_task(ev::Loop& loop, std::function<ev::Task<T>()> make) {
  struct Runner {
    static ev::RootTask run(std::function<ev::Task<T>()> f, std::optional<T>& out) {
      T value = co_await f();
      out.emplace(std::move(value));
    }
  };
  std::optional<T> out;
  ev::Group group(loop);
  group.spawn(Runner::run(std::move(make), out), "test");
  while (!out)
    loop.turn(true);
  while (!group.empty())
    loop.turn(false);
  return std::move(*out);
}

} // namespace postrider::test
