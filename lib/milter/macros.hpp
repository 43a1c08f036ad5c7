// SPDX-License-Identifier: MIT
// Macros: facts with names ("j" is our host name, "{client_addr}" the client's address) that go to
// a filter in front of a command. Which ones is said by milter_connect_macros and its sisters, or
// by the filter itself when it asks for others. Names are kept without their braces.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postrider::milter {

// Numbered as the protocol does; `unknown` has no number there.
enum class Stage : std::uint8_t {
  connect,
  helo,
  mail,
  rcpt,
  data,
  end_of_data,
  end_of_header,
  unknown,
};
inline constexpr std::size_t kStages = 8;

using MacroNames = std::array<std::vector<std::string>, kStages>;

// Where values come from: the session.
class Macros {
 public:
  virtual ~Macros() = default;
  // Nothing: the macro is not sent.
  virtual std::optional<std::string> value(std::string_view name) const = 0;
};

// "j {daemon_name}, i" -> j, daemon_name, i.
std::vector<std::string> parse_macro_names(std::string_view text);

// The data of a macro packet without the command's code: names and values. Empty: none has a value.
std::string macro_data(const std::vector<std::string>& names, const Macros& source,
                       const std::map<std::string, std::string>& defaults);

} // namespace postrider::milter
