// SPDX-License-Identifier: MIT
// main.cf: its lines, $name expansion, and every parameter's type. What follows the first kCut are
// options of a command line, name=value.
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
  std::vector<std::string> pieces = fuzz::cut(input);
  const std::string text = pieces.empty() ? std::string() : pieces.front();
  const config::MainCf file = config::parse_main_cf(text);
  for (const config::Entry& entry : file.entries) {
    POSTRIDER_CHECK(config::is_parameter_name(entry.name), entry.name);
    POSTRIDER_CHECK(entry.line > 0 && entry.value.find('\n') == std::string::npos);
  }
  config::Machine machine;
  machine.hostname = (options & 2) != 0 ? "mx" : "mx.example.com";
  if ((options & 4) == 0) machine.addresses = {"192.0.2.1", "2001:db8::1"};
  config::Source source;
  source.config_directory = "/etc/postrider";
  for (std::size_t i = 1; i < pieces.size(); ++i) {
    const std::size_t equals = std::min(pieces[i].find('='), pieces[i].size());
    source.overrides.emplace_back(pieces[i].substr(0, equals),
                                  pieces[i].substr(std::min(pieces[i].size(), equals + 1)));
  }
  config::Findings findings;
  const auto settings = config::Settings::parse(text, source, {"smtp", "relay"}, machine, findings);
  POSTRIDER_CHECK(settings.ok() == findings.errors.empty());
  if (!settings) return;
  for (const config::Settings::Row& row : settings->all())
    POSTRIDER_CHECK(settings->find(row.name) == row.value);
  POSTRIDER_CHECK(settings->per_transport("relay", "destination_concurrency_limit") >= 0);
  (void)settings->per_transport_text("relay", "destination_concurrency_positive_feedback");
  for (const std::string_view name : {"smtp", "lmtp"}) {
    const config::Settings::Client client = settings->client(name);
    POSTRIDER_CHECK(client.time("helo_timeout").count() >= 0);
    (void)client.text("bind_address");
    (void)client.words("host_lookup");
    (void)client.list("host_lookup");
    (void)client.flag("skip_5xx_greeting");
    (void)client.number("mx_address_limit");
    (void)client.size("min_data_rate");
  }
}
