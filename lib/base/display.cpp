// SPDX-License-Identifier: MIT
#include "base/display.hpp"

namespace postrider {

bool is_control_character(std::string_view character) {
  const auto first = static_cast<unsigned char>(character.front());
  const auto last = static_cast<unsigned char>(character.back());
  if (character.size() == 1) return first < 0x20 || first == 0x7f;
  if (character.size() == 2) return first == 0xc2 && last < 0xa0;
  if (character.starts_with("\xe2\x80")) return last >= 0xa8 && last <= 0xae;
  return character.starts_with("\xe2\x81") && last >= 0xa6 && last <= 0xa9;
}

} // namespace postrider
