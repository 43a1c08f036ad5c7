// SPDX-License-Identifier: MIT
#include "command_rules.hpp"

#include <ctime>

#include "base/log.hpp"
#include "config.hpp"
#include "config/expand.hpp"
#include "config/settings.hpp"
#include "mail/address.hpp"
#include "restrict.hpp"

namespace postrider::smtpd {

namespace {

// A value of a stranger's: no $name in it is one.
std::string plain(std::string_view value) {
  std::string out;
  for (const char c : value)
    out.append(c == '$' ? 2 : 1, c);
  return out;
}

std::string local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  char text[32];
  ::localtime_r(&now, &parts);
  return {text, std::strftime(text, sizeof text, "%b %d %H:%M:%S", &parts)};
}

std::optional<std::string> fact(std::string_view name, const Situation& at) {
  const Peer& peer = *at.peer;
  const std::string sender = at.sender.value_or(""), recipient = at.recipient.value_or("");
  if (name == "client") return plain(peer.shown());
  if (name == "client_address") return peer.address;
  if (name == "client_name") return plain(peer.name);
  if (name == "client_port") return peer.port;
  if (name == "helo_name") return plain(at.helo);
  if (name == "localtime") return local_time();
  if (name == "sender") return plain(sender);
  if (name == "sender_name") return plain(mail::local_part(sender));
  if (name == "sender_domain") return plain(mail::domain_part(sender));
  if (name == "recipient") return plain(recipient);
  if (name == "recipient_name") return plain(mail::local_part(recipient));
  if (name == "recipient_domain") return plain(mail::domain_part(recipient));
  if (name == "server_address") return peer.server_address;
  if (name == "server_port") return peer.server_port;
  return std::nullopt;
}

} // namespace

Result<std::shared_ptr<CommandRules>> CommandRules::open(const Texts& texts,
                                                         const maps::MapOptions& options) {
  auto rules = std::make_shared<CommandRules>();
  rules->texts_ = texts;
  const auto list = [&](maps::MatchList& into, std::string_view name,
                        const std::string& text) -> Result<void> {
    auto opened = maps::MatchList::open(text, {}, options);
    if (!opened) return opened.error().in(name);
    into = std::move(*opened);
    return {};
  };
  const auto table = [&](maps::MapList& into, std::string_view name,
                         const std::string& text) -> Result<void> {
    auto opened = maps::open_maps(text, options);
    if (!opened) return opened.error().in(name);
    into = std::move(*opened);
    return {};
  };
  POSTRIDER_TRY_VOID(list(rules->forbidden_, "smtpd_forbidden_commands", texts.forbidden));
  POSTRIDER_TRY_VOID(list(rules->without_effect_, "smtpd_noop_commands", texts.without_effect));
  POSTRIDER_TRY_VOID(table(rules->filter_, "smtpd_command_filter", texts.filter));
  POSTRIDER_TRY_VOID(table(rules->footers_, "smtpd_reject_footer_maps", texts.footer_tables));
  for (const auto& [name, waits] :
       {std::pair("smtpd_forbidden_commands", rules->forbidden_.may_wait()),
        std::pair("smtpd_noop_commands", rules->without_effect_.may_wait()),
        std::pair("smtpd_reject_footer_maps", rules->footers_.may_wait())})
    if (waits) return must_not_wait().in(name);
  return rules;
}

Result<std::shared_ptr<CommandRules>> CommandRules::load(const config::Settings& settings) {
  Texts texts;
  texts.forbidden = settings.list("smtpd_forbidden_commands");
  texts.without_effect = settings.list("smtpd_noop_commands");
  texts.filter = settings.text("smtpd_command_filter");
  texts.footer_tables = settings.text("smtpd_reject_footer_maps");
  texts.footer = settings.text("smtpd_reject_footer");
  texts.unimplemented_limit = settings.number("smtpd_unimplemented_command_limit");
  maps::MapOptions options;
  options.base_directory = settings.config_directory();
  return open(texts, options);
}

bool CommandRules::forbids(std::string_view word) {
  const Result<bool> listed = forbidden_.matches_domain(word);
  return (listed && *listed) || word.ends_with(':'); // the header of a message that went astray
}

bool CommandRules::ignores(std::string_view word) {
  const Result<bool> listed = without_effect_.matches_domain(word);
  return listed && *listed;
}

maps::Answer CommandRules::replace(std::string_view line) {
  if (filter_.empty()) return std::optional<std::string>();
  return filter_.lookup(line);
}

std::string CommandRules::with_footer(std::string_view reply, std::string_view text,
                                      const Situation& at) {
  std::string form = texts_.footer;
  if (!footers_.empty()) {
    const maps::Answer own = footers_.lookup(reply);
    if (own && *own) form = **own;
  }
  if (form.empty()) return std::string(text);
  const config::Lookup lookup = [&](std::string_view name) { return fact(name, at); };
  const Result<std::string> expanded = config::expand(form, lookup);
  if (!expanded) {
    log::warning("smtpd_reject_footer: " + expanded.error().text());
    return std::string(text);
  }
  std::string_view footer = *expanded;
  std::string out(text);
  if (footer.starts_with("\\c"))
    footer.remove_prefix(2); // goes on in the same line
  else
    out.push_back('\n');
  while (true) {
    const std::size_t end = footer.find("\\n");
    out += log::printable(footer.substr(0, end));
    if (end == std::string_view::npos) return out;
    out.push_back('\n');
    footer.remove_prefix(end + 2);
  }
}

} // namespace postrider::smtpd
