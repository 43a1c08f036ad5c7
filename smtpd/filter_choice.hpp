// SPDX-License-Identifier: MIT
// Which mail filters a client's session has: smtpd_milters, or non_smtpd_milters for mail of this
// host, and smtpd_milter_maps for single clients. One per configuration.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "ev/task.hpp"
#include "maps/map.hpp"
#include "milter/options.hpp"

namespace postrider::config {
class Settings;
}

namespace postrider::smtpd {

class FilterChoice {
 public:
  using Set = std::shared_ptr<const milter::FilterSet>; // null: no filters
  // Null: nobody has any. Error config.
  static Result<std::shared_ptr<FilterChoice>> open(const config::Settings& settings);
  explicit FilterChoice(Set all) : all_(std::move(all)) {}

  // WAITS for the tables. Error: one of them has trouble, or says what is no filter.
  ev::Task<Result<Set>> choose(ev::Loop& loop, const std::string& address, ev::Deadline deadline);

  const std::string& daemon_name() const { return daemon_name_; } // the macro {daemon_name}
  const std::string& version() const { return version_; }         // the macro v

 private:
  Result<Set> parse(std::string_view text);

  static constexpr std::size_t kMostSets = 1000; // that tables named, and are remembered

  milter::FilterSet common_; // macros
  milter::FilterOptions defaults_;
  std::string daemon_name_, version_;
  Set all_;
  maps::MapList by_client_;
  std::map<std::string, Set, std::less<>> sets_; // by what a table said
};

} // namespace postrider::smtpd
