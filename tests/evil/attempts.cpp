// SPDX-License-Identifier: MIT
#include "attempts.hpp"

#include <fstream>

#include "tries.hpp"

namespace postrider::evil {

Target read_target(const std::string& path) {
  Target out;
  std::ifstream in(path);
  std::string name;
  std::string value;
  while (in >> name && std::getline(in >> std::ws, value))
    out[name] = value;
  return out;
}

const std::vector<Attempt>& attempts() {
  static const std::vector<Attempt> all = [] {
    std::vector<Attempt> out;
    for (const auto* part :
         {&tries_of_files(), &tries_of_processes(), &tries_of_sockets(), &tries_of_the_kernel()})
      out.insert(out.end(), part->begin(), part->end());
    return out;
  }();
  return all;
}

namespace {

// The search for leaks looks for threads in /proc and stops them with a process of its own
// (sandbox::kSanitizer).
bool is_right_of_sanitizer([[maybe_unused]] std::string_view attempt) {
#if defined(__SANITIZE_ADDRESS__)
  for (const std::string_view name :
       {"fork", "be_traced", "another_personality", "descriptors_of_qmgr"})
    if (attempt == name) return true;
#endif
  return false;
}

} // namespace

bool is_right_of(const Attempt& attempt, std::string_view program) {
  if (is_right_of_sanitizer(attempt.name)) return true;
  std::string_view rest = attempt.right_of;
  while (!rest.empty()) {
    const std::string_view word = rest.substr(0, rest.find(' '));
    if (word == program) return true;
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
  }
  return false;
}

} // namespace postrider::evil
