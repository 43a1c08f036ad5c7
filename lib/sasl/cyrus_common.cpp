// SPDX-License-Identifier: MIT
#include "sasl/cyrus_common.hpp"

#include <mutex>
#include <string_view>

namespace postrider::sasl {
namespace {

void* new_mutex() { return new std::mutex; }
int lock_mutex(void* mutex) {
  static_cast<std::mutex*>(mutex)->lock();
  return SASL_OK;
}
int unlock_mutex(void* mutex) {
  static_cast<std::mutex*>(mutex)->unlock();
  return SASL_OK;
}
void free_mutex(void* mutex) { delete static_cast<std::mutex*>(mutex); }

} // namespace

void use_mutexes() { sasl_set_mutex(new_mutex, lock_mutex, unlock_mutex, free_mutex); }

unsigned security_flags(const std::vector<std::string>& words) {
  constexpr struct {
    std::string_view word;
    unsigned flag;
  } kFlags[] = {
      {"noplaintext", SASL_SEC_NOPLAINTEXT},   {"noactive", SASL_SEC_NOACTIVE},
      {"nodictionary", SASL_SEC_NODICTIONARY}, {"noanonymous", SASL_SEC_NOANONYMOUS},
      {"mutual_auth", SASL_SEC_MUTUAL_AUTH},   {"forward_secrecy", SASL_SEC_FORWARD_SECRECY},
  };
  unsigned flags = 0;
  for (const std::string& word : words)
    for (const auto& row : kFlags)
      if (word == row.word) flags |= row.flag;
  return flags;
}

} // namespace postrider::sasl
