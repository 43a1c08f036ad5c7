// SPDX-License-Identifier: MIT
#include "mail/envelope.hpp"

#include <type_traits>

namespace postrider::mail {

namespace {

// Visits all that an envelope holds, so that a new field is looked at as well.
class Cleanness {
 public:
  std::string_view dirty; // the first field that is not clean; empty: all are

  template <typename T>
  void operator()(std::string_view name, const T& value) {
    if constexpr (std::is_same_v<T, std::string>) {
      if (dirty.empty() && value.find_first_of(std::string_view("\r\n\0", 3)) != value.npos)
        dirty = name;
    } else if constexpr (std::is_same_v<T, std::vector<Recipient>>) {
      for (const Recipient& one : value)
        Recipient::fields(*this, one);
    } else if constexpr (std::is_class_v<T> && !std::is_same_v<T, std::vector<std::uint32_t>>) {
      T::fields(*this, value);
    }
  }
  template <typename T>
  void optional(std::string_view name, const T& value) {
    (*this)(name, value);
  }
};

} // namespace

Result<void> check_clean(const Envelope& envelope) {
  if (envelope.recipients.empty()) return Error(ErrorKind::protocol, "no recipient");
  Cleanness seen;
  Envelope::fields(seen, envelope);
  if (seen.dirty.empty()) return {};
  return Error(ErrorKind::protocol, std::string(seen.dirty) + " holds CR, LF or NUL");
}

} // namespace postrider::mail
