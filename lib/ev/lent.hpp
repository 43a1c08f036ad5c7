// SPDX-License-Identifier: MIT
// Lent<T>: how a plain aggregate is passed to a Task (C2). It binds to a named object only, because
// g++ 12 copies a braced temporary bytewise in a statement with co_await and destroys it twice.
#pragma once

namespace postrider::ev {

template <typename T>
class Lent {
 public:
  Lent(T& object) : object_(&object) {} // NOLINT: implicit on purpose
  Lent(const T&& object) = delete;
  T& operator*() const { return *object_; }
  T* operator->() const { return object_; }

 private:
  T* object_;
};

} // namespace postrider::ev
