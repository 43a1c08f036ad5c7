// SPDX-License-Identifier: MIT
// A fuzz target is one file with
//
//   FUZZ(input) { ... }        input: ByteView, whatever bytes there may be
//
// It must come back, whatever the input is. What has to hold of every input is a POSTRIDER_CHECK:
// with libFuzzer a failed one is a finding, when corpora are replayed a failed test.
// See doc/fuzzing.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/check.hpp"
#include "base/log.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

#define FUZZ(input)                                                                                \
  static void fuzz_one(postrider::ByteView input);                                                 \
  extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {              \
    postrider::fuzz::be_quiet();                                                                   \
    fuzz_one({reinterpret_cast<const char*>(data), size});                                         \
    return 0;                                                                                      \
  }                                                                                                \
  static void fuzz_one([[maybe_unused]] postrider::ByteView input)

namespace postrider::fuzz {

// Log lines are made, as in a program, and written nowhere.
inline void be_quiet() {
  static const bool done = [] {
    log::Setup setup;
    setup.target = log::Target::descriptor;
    setup.descriptor = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    log::start(setup);
    return true;
  }();
  (void)done;
}

// Takes a number off the front: for what the input decides beside the text. 0 when there is none.
inline unsigned take_byte(ByteView& input) {
  if (input.empty()) return 0;
  const auto byte = static_cast<unsigned char>(input.front());
  input.remove_prefix(1);
  return byte;
}

// What comes at different times is divided by this byte, which no UTF-8 text has.
inline constexpr char kCut = '\xfe';

inline std::vector<std::string> cut(ByteView input) {
  std::vector<std::string> pieces;
  while (true) {
    const std::size_t end = input.find(kCut);
    if (end != 0) pieces.emplace_back(input.substr(0, end));
    if (end == ByteView::npos) return pieces;
    input.remove_prefix(end + 1);
  }
}
inline std::string joined(const std::vector<std::string>& pieces) {
  std::string out;
  for (const std::string& piece : pieces)
    out += piece;
  return out;
}

} // namespace postrider::fuzz
