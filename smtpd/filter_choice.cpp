// SPDX-License-Identifier: MIT
#include "filter_choice.hpp"

#include "base/ascii.hpp"
#include "config.hpp"
#include "config/settings.hpp"
#include "maps/ask.hpp"

namespace postrider::smtpd {

namespace {

Result<milter::FilterOptions> defaults_of(const config::Settings& settings) {
  milter::FilterOptions options;
  options.connect_timeout = settings.time("milter_connect_timeout");
  options.command_timeout = settings.time("milter_command_timeout");
  options.content_timeout = settings.time("milter_content_timeout");
  const auto action = milter::parse_default_action(settings.text("milter_default_action"));
  POSTRIDER_CHECK(action); // one of the choices of parameters.def
  options.default_action = *action;
  const auto version = parse_decimal(settings.text("milter_protocol"));
  if (!version || *version < 2 || *version > 6)
    return in_parameter(settings, "milter_protocol",
                        Error(ErrorKind::config, "the version is a number from 2 to 6"));
  options.version = static_cast<std::uint32_t>(*version);
  return options;
}

milter::MacroNames macros_of(const config::Settings& settings) {
  using milter::Stage;
  milter::MacroNames names;
  const auto at = [&](Stage stage) -> auto& { return names[static_cast<std::size_t>(stage)]; };
  at(Stage::connect) = settings.words("milter_connect_macros");
  at(Stage::helo) = settings.words("milter_helo_macros");
  at(Stage::mail) = settings.words("milter_mail_macros");
  at(Stage::rcpt) = settings.words("milter_rcpt_macros");
  at(Stage::data) = settings.words("milter_data_macros");
  at(Stage::end_of_header) = settings.words("milter_end_of_header_macros");
  at(Stage::end_of_data) = settings.words("milter_end_of_data_macros");
  at(Stage::unknown) = settings.words("milter_unknown_command_macros");
  return names;
}

} // namespace

Result<std::shared_ptr<FilterChoice>> FilterChoice::open(const config::Settings& settings) {
  const bool local = settings.flag("smtpd_local_submission");
  const std::string& filters =
      local ? settings.list("non_smtpd_milters") : settings.list("smtpd_milters");
  const std::string& tables = settings.text("smtpd_milter_maps");
  auto choice = std::make_shared<FilterChoice>(Set());
  POSTRIDER_TRY(choice->defaults_, defaults_of(settings));
  choice->common_.macros = macros_of(settings);
  auto defaults = milter::parse_macro_defaults(settings.list("milter_macro_defaults"));
  if (!defaults) return in_parameter(settings, "milter_macro_defaults", defaults.error());
  choice->common_.macro_defaults = std::move(*defaults);
  choice->daemon_name_ = settings.text("milter_macro_daemon_name");
  choice->version_ = settings.text("milter_macro_v");
  auto all = choice->parse(filters);
  if (!all)
    return in_parameter(settings, local ? "non_smtpd_milters" : "smtpd_milters", all.error());
  choice->all_ = std::move(*all);
  if (!local) {
    maps::MapOptions options;
    options.base_directory = settings.config_directory();
    auto opened = maps::open_maps(tables, options);
    if (!opened) return in_parameter(settings, "smtpd_milter_maps", opened.error());
    choice->by_client_ = std::move(*opened);
  }
  if (!choice->all_ && choice->by_client_.empty()) return std::shared_ptr<FilterChoice>();
  return choice;
}

Result<FilterChoice::Set> FilterChoice::parse(std::string_view text) {
  if (iequals(trim(text), "DISABLE")) return Set();
  auto filters = milter::parse_filters(text, defaults_);
  if (!filters) return filters.error();
  if (filters->empty()) return Set();
  auto set = std::make_shared<milter::FilterSet>(common_);
  set->filters = std::move(*filters);
  return Set(std::move(set));
}

ev::Task<Result<FilterChoice::Set>> FilterChoice::choose(ev::Loop& loop, const std::string& address,
                                                         ev::Deadline deadline) {
  if (by_client_.empty()) co_return all_;
  maps::Answer answer = co_await maps::ask(loop, by_client_, address, maps::Key::whole, deadline);
  if (!answer) co_return answer.error().in("smtpd_milter_maps");
  if (!*answer) co_return all_;
  const auto known = sets_.find(**answer);
  if (known != sets_.end()) co_return known->second;
  Result<Set> set = parse(**answer);
  if (!set) co_return set.error().in("smtpd_milter_maps");
  if (sets_.size() >= kMostSets) sets_.clear();
  sets_.emplace(**answer, *set);
  co_return set;
}

} // namespace postrider::smtpd
