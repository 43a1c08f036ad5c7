// SPDX-License-Identifier: MIT
// What the client's and the server's side of Cyrus SASL share. Included by .cpp files of this
// folder only: its types are Cyrus's.
#pragma once

#include <sasl/sasl.h>
#include <string>
#include <vector>

namespace postrider::sasl {

// Cyrus keeps lists of plug-ins and properties that every connection reads. REQUIRES: before any
// other call of Cyrus, where more than one thread uses it.
void use_mutexes();

// SASL_SEC_... of "noplaintext", "noactive", "nodictionary", "noanonymous", "mutual_auth",
// "forward_secrecy"; other words count for nothing.
unsigned security_flags(const std::vector<std::string>& words);

template <typename Function>
sasl_callback_t callback(unsigned long id, Function* function, const void* context) {
  const auto any = reinterpret_cast<void (*)()>(function); // every kind has arguments of its own
  return {id, reinterpret_cast<int (*)()>(any), const_cast<void*>(context)};
}

} // namespace postrider::sasl
