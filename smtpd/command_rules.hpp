// SPDX-License-Identifier: MIT
// What main.cf says of command lines and of refusals in words: commands that end the session, that
// do nothing, that are replaced before they are read; the text behind each refusal.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "maps/match_list.hpp"

namespace postrider::config {
class Settings;
}

namespace postrider::smtpd {

struct Situation;

class CommandRules {
 public:
  struct Texts {
    std::string forbidden, without_effect; // lists
    std::string filter, footer_tables;     // tables
    std::string footer;                    // with $names of the client
    std::int64_t unimplemented_limit = 0;
  };
  // Error config names the parameter.
  static Result<std::shared_ptr<CommandRules>> open(const Texts& texts,
                                                    const maps::MapOptions& options);
  static Result<std::shared_ptr<CommandRules>> load(const config::Settings& settings);

  // smtpd_forbidden_commands, smtpd_noop_commands. Trouble with a table: no.
  bool forbids(std::string_view word);
  bool ignores(std::string_view word);
  // smtpd_command_filter: what to read instead; nullopt: the line itself. Error: 451. A question
  // for maps::ask(); the other functions are none, and open() refuses tables that make them wait.
  maps::Answer replace(std::string_view line);
  // smtpd_unimplemented_command_limit; 0: none.
  std::int64_t unimplemented_limit() const { return texts_.unimplemented_limit; }
  bool has_footer() const { return !texts_.footer.empty() || !footers_.empty(); }
  // The text of a refusal with its footer, lines joined by '\n'. `reply` begins with its codes.
  std::string with_footer(std::string_view reply, std::string_view text, const Situation& at);

 private:
  Texts texts_;
  maps::MatchList forbidden_, without_effect_;
  maps::MapList filter_, footers_;
};

} // namespace postrider::smtpd
