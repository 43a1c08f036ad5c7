// SPDX-License-Identifier: MIT
#include "command_table.hpp"

#include <string>

namespace postrider::smtpd {

void CommandCount::add(smtp::Verb verb, bool ok) {
  Pair& pair = pairs_[row_of(verb)];
  ++pair.all;
  if (ok) ++pair.ok;
}

std::string CommandCount::text() const {
  const auto show = [](std::string& out, std::string_view name, const Pair& pair) {
    out.append(name).append("=").append(std::to_string(pair.ok));
    if (pair.all != pair.ok) out.append("/").append(std::to_string(pair.all));
  };
  std::string out;
  Pair sum;
  for (std::size_t i = 0; i < kCommands.size(); ++i) {
    if (pairs_[i].all == 0) continue;
    show(out, kCommands[i].log_name, pairs_[i]);
    out.push_back(' ');
    sum.ok += pairs_[i].ok;
    sum.all += pairs_[i].all;
  }
  show(out, "commands", sum);
  return out;
}

} // namespace postrider::smtpd
