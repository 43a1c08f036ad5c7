// SPDX-License-Identifier: MIT
// main.cf: its lines, $name expansion, and every parameter's type.
#include "config/main_cf.hpp"
#include "base/words.hpp"
#include "config/expand.hpp"
#include "config/settings.hpp"
#include "config/units.hpp"
#include "fuzz/target.hpp"

FUZZ(input) {
  using namespace postrider;
  const unsigned options = fuzz::take_byte(input);
  if ((options & 1) != 0) { // one value
    const std::string text(input);
    const auto words = split_words(text);
    if (words)
      for (const std::string& word : *words)
        POSTRIDER_CHECK(word.size() <= text.size());
    const auto lookup = [&](std::string_view name) -> std::optional<std::string> {
      if (name == "self") return text;
      if (name == "empty") return "";
      if (name == "x") return "1$$y";
      return std::nullopt;
    };
    const auto expanded = config::expand(text, lookup);
    POSTRIDER_CHECK(expanded || !expanded.error().text().empty());
    if (const auto time = config::parse_time(text, 's'))
      POSTRIDER_CHECK(*time >= 0 && config::parse_time(config::show_time(*time), 's') == time);
    if (const auto size = config::parse_size(text)) POSTRIDER_CHECK(*size >= 0);
    (void)config::parse_flag(text);
    if (const auto number = config::parse_number(text)) POSTRIDER_CHECK(*number >= 0);
    return;
  }
  const config::MainCf file = config::parse_main_cf(input);
  for (const config::Entry& entry : file.entries) {
    POSTRIDER_CHECK(config::is_parameter_name(entry.name), entry.name);
    POSTRIDER_CHECK(entry.line > 0 && entry.value.find('\n') == std::string::npos);
  }
  config::Machine machine;
  machine.hostname = "mx.example.com";
  machine.addresses = {"192.0.2.1"};
  config::Source source;
  source.config_directory = "/etc/postrider";
  config::Findings findings;
  const auto settings =
      config::Settings::parse(input, source, {"smtp", "relay"}, machine, findings);
  POSTRIDER_CHECK(settings.ok() == findings.errors.empty());
  if (!settings) return;
  (void)settings->all();
  (void)settings->per_transport("relay", "destination_concurrency_limit");
}
