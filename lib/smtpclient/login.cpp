// SPDX-License-Identifier: MIT
#include "smtpclient/login.hpp"

#include "base/ascii.hpp"
#include "base/random.hpp"
#include "maps/ask.hpp"
#include "maps/keys.hpp"
#include "smtpclient/failure.hpp"
#include "smtpclient/generic.hpp"
#include "tls/digest.hpp"

namespace postrider::smtpclient {
namespace {

constexpr std::string_view kToken = "token:";

// What the table says, if anything.
maps::Answer entry_for(const Options& options, Tables& tables, const LoginQuestion& about) {
  maps::MapList& table = tables.sasl_passwords;
  if (options.sasl.by_sender && !about.sender.empty()) {
    const std::string_view delimiters = options.address_delimiters;
    const maps::AddressParts parts = maps::split_address(about.sender, delimiters);
    POSTRIDER_TRY(const bool ours, Generic(tables, options).is_ours(parts.domain));
    POSTRIDER_TRY(
        std::optional<std::string> found,
        maps::search(table, maps::generic_keys(about.sender, {.delimiters = delimiters}, ours)));
    if (found) return found;
  }
  POSTRIDER_TRY(std::optional<std::string> found, table.lookup(about.host));
  if (found) return found;
  return table.lookup(about.hop->written);
}

} // namespace

std::string login_key(const Login& login, std::string_view sender) {
  static const std::string salt = [] {
    std::string bytes;
    for (int i = 0; i < 4; ++i)
      put_le(bytes, secure_random());
    return bytes;
  }();
  const std::string secret = tls::keyed_digest(salt, login.password.view());
  // Lengths between: no two logins have the same text.
  std::string key;
  for (const std::string_view part : {sender, std::string_view(login.user),
                                      std::string_view(login.token), std::string_view(secret)})
    key.append(std::to_string(part.size())).append(":").append(part);
  return tls::keyed_digest(salt, key);
}

Login parse_login(std::string_view entry, std::string_view delimiter) {
  Login login;
  const std::size_t end = delimiter.empty() ? std::string_view::npos : entry.find(delimiter);
  login.user = entry.substr(0, end);
  if (end == std::string_view::npos) return login;
  const std::string_view rest = entry.substr(end + delimiter.size());
  if (rest.starts_with(kToken))
    login.token = rest.substr(kToken.size());
  else
    login.password = Secret(rest);
  return login;
}

std::string sender_key(const Options& options, std::string_view sender) {
  return options.sasl.enabled && options.sasl.by_sender ? lowercase(sender) : std::string();
}

ev::Task<Result<LoginPtr>> find_login(ev::Loop& loop, const Options& options, Tables& tables,
                                      ev::Lent<const LoginQuestion> question) {
  if (!options.sasl.enabled || tables.sasl_passwords.empty()) co_return LoginPtr();
  const std::function<maps::Answer()> look = [&] { return entry_for(options, tables, *question); };
  const ev::Deadline deadline = loop.after(options.timeout(smtp::Step::auth));
  maps::Answer found = co_await maps::ask<std::optional<std::string>>(loop, look, deadline);
  if (!found) {
    const std::string prefix = options.flavor == Flavor::lmtp ? "lmtp" : "smtp";
    co_return table_error(found.error(), std::string(question->id) + ": " + prefix +
                                             "_sasl_password_maps lookup error");
  }
  if (!*found) co_return LoginPtr();
  auto login = std::make_shared<Login>(parse_login(**found, options.sasl.delimiter));
  wipe(**found);
  login->key = login_key(*login, sender_key(options, question->sender));
  co_return LoginPtr(std::move(login));
}

} // namespace postrider::smtpclient
