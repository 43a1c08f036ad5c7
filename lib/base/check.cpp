// SPDX-License-Identifier: MIT
#include "base/check.hpp"

#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/log.hpp"

namespace postrider {

void check_failed(const char* what, const char* file, int line, std::string_view detail) {
  std::string text = "panic: " + std::string(file) + ":" + std::to_string(line) + ": " + what;
  if (!detail.empty()) text += ": " + std::string(detail);
  std::fprintf(stderr, "%s\n", text.c_str());
  log::write(log::Level::panic, text);
  log::flush();
  std::abort();
}

} // namespace postrider
