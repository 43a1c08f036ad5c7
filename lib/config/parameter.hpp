// SPDX-License-Identifier: MIT
// The parameters of main.cf as a table. parameters.def names each of them once; the settings,
// `postrider conf` and the man page postrider.cf(5) come from it. Pure data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

namespace postrider::config {

enum class Type {
  text,
  words,  // separated by white space or commas; {} groups
  flag,   // yes or no
  time,   // a number with ms, s, m, h, d or w
  number, // decimal
  size,   // bytes; a k, m or g may follow
  choice, // one of `choices`
};

enum class Status {
  live,
  alias,     // the value goes to `about`, which names the parameter that replaces it
  obsolete,  // accepted with a warning, no effect
  missing,   // Postfix has it, this version has not: accepted with a warning, no effect
  unsafe,    // as missing, but only `choices` are accepted
  read_only, // set by the program; may be used as $name
};

struct Parameter {
  std::string_view name;
  Type type;
  std::string_view initial; // the default, may use $other
  std::int64_t least;       // milliseconds for a time
  std::int64_t most;
  char unit;                // of a time without one: s, m, h, d or w
  std::string_view choices; // "a|b|c"
  std::string_view owners;  // the programs that read it
  std::string_view about;
  Status status = Status::live;
};

inline constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();

inline constexpr Parameter kParameters[] = {
#define TEXT(name, initial, owners, about)                                                         \
  {#name, Type::text, initial, 0, kNoLimit, 0, "", owners, about},
#define WORDS(name, initial, owners, about)                                                        \
  {#name, Type::words, initial, 0, kNoLimit, 0, "", owners, about},
#define FLAG(name, initial, owners, about)                                                         \
  {#name, Type::flag, initial, 0, kNoLimit, 0, "", owners, about},
#define TIME(name, initial, unit, least, owners, about)                                            \
  {#name, Type::time, initial, least, kNoLimit, unit, "", owners, about},
#define NUMBER(name, initial, least, most, owners, about)                                          \
  {#name, Type::number, initial, least, most, 0, "", owners, about},
#define SIZE(name, initial, least, most, owners, about)                                            \
  {#name, Type::size, initial, least, most, 0, "", owners, about},
#define CHOICE(name, initial, choices, owners, about)                                              \
  {#name, Type::choice, initial, 0, kNoLimit, 0, choices, owners, about},
#define READ_ONLY(name, owners, about)                                                             \
  {#name, Type::text, "", 0, kNoLimit, 0, "", owners, about, Status::read_only},
#define ALIAS(name, target) {#name, Type::text, "", 0, kNoLimit, 0, "", "", #target, Status::alias},
#define OBSOLETE(name, why) {#name, Type::text, "", 0, kNoLimit, 0, "", "", why, Status::obsolete},
#define UNSAFE(name, harmless, why)                                                                \
  {#name, Type::text, "", 0, kNoLimit, 0, harmless, "", why, Status::unsafe},
#define MISSING(name) {#name, Type::text, "", 0, kNoLimit, 0, "", "", "", Status::missing},
#include "config/parameters.def"
#undef TEXT
#undef WORDS
#undef FLAG
#undef TIME
#undef NUMBER
#undef SIZE
#undef CHOICE
#undef READ_ONLY
#undef ALIAS
#undef OBSOLETE
#undef UNSAFE
#undef MISSING
};

inline constexpr std::size_t kParameterCount = std::size(kParameters);
inline constexpr std::size_t kNoParameter = static_cast<std::size_t>(-1);

// Linear, for constant expressions; at run time use find_parameter().
constexpr std::size_t index_of(std::string_view name) {
  for (std::size_t i = 0; i < kParameterCount; ++i)
    if (kParameters[i].name == name) return i;
  return kNoParameter;
}

const Parameter* find_parameter(std::string_view name);

// "<transport>_<suffix>" may be set for every transport of master.cf; what stands for it when it
// is not.
struct TransportSuffix {
  std::string_view suffix;
  std::string_view fallback;
};
std::span<const TransportSuffix> transport_suffixes();

// The known name that looks most like `name`; empty when none is near.
std::string_view nearest_parameter(std::string_view name);

std::string_view to_string(Type type);

} // namespace postrider::config
