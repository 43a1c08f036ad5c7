// SPDX-License-Identifier: MIT
// What one server or another has taken for the end of a message. Inside of content it is content:
// the end is CR LF '.' CR LF and nothing else (RFC 5321 section 4.5.2).
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace postrider::test {

struct Ending {
  std::string name, bytes;
};
inline void PrintTo(const Ending& ending, std::ostream* out) { *out << ending.name; }

inline const std::vector<Ending> kFalseEndings{
    {"LfDotLf", "\n.\n"},
    {"CrDotCr", "\r.\r"},
    {"CrDotLf", "\r.\n"},
    {"LfDotCr", "\n.\r"},
    {"LfDotCrLf", "\n.\r\n"},
    {"CrLfDotLf", "\r\n.\n"},
    {"CrDotCrLf", "\r.\r\n"},
    {"CrLfDotCr", "\r\n.\r"},
    {"CrLfNulDot", std::string("\r\n\0.\r\n", 6)},
    {"CrLfDotNul", std::string("\r\n.\0\r\n", 6)},
    {"CrLfDotCrCrLf", "\r\n.\r\r\n"},
    {"CrCrLfDotCrCrLf", "\r\r\n.\r\r\n"},
    {"CrNulLfDot", std::string("\r\0\n.\r\n", 6)},
    {"CrLfDotCrNulLf", std::string("\r\n.\r\0\n", 6)},
    {"LfLfDotCrLf", "\n\n.\r\n"},
    {"LfDotDotCrLf", "\n..\r\n"},
    {"TwoDots", "\r\n..\r\n"},
};

} // namespace postrider::test
