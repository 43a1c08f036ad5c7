// SPDX-License-Identifier: MIT
// Whether we have something to log in with, and what: an entry of smtp_sasl_password_maps for the
// sender, the host, or the next hop. Who has one must never be served in clear text because TLS
// failed; who has none is met as a stranger, without AUTH.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/secret.hpp"
#include "ev/task.hpp"
#include "smtpclient/nexthop.hpp"
#include "smtpclient/tables.hpp"

namespace postrider::smtpclient {

struct Login {
  std::string user;
  Secret password;
  std::string token; // its name, of "user:token:name"; the password is empty then
  // Not from a table: a server that does not know us by one of these mechanisms gets no mail.
  std::vector<std::string> mechanisms;
  // Differs when one of the above does, or the sender where connections are one sender's. Means
  // nothing outside this process.
  std::string key;
};
using LoginPtr = std::shared_ptr<const Login>; // null: none

// What belongs into `key` of a login that is of use to this sender alone; empty: to all.
std::string login_key(const Login& login, std::string_view sender);
// "user:password" as in the table; without the delimiter the password is empty.
Login parse_login(std::string_view entry, std::string_view delimiter);

// Part of the pool's keys: the sender, when smtp_sender_dependent_authentication says that
// connections are one sender's; else empty.
std::string sender_key(const Options& options, std::string_view sender);

// WAITS for tables. In Postfix's order: the sender, with and without its extension, then its user
// alone where the domain is ours, then @domain; the host, without a port; the next hop as it is
// written, brackets and port included. Error config: a table cannot be asked, and mail must wait;
// logged with `id`, the message's.
struct LoginQuestion {
  std::string_view id, sender, host;
  const Nexthop* hop = nullptr; // REQUIRED
};
ev::Task<Result<LoginPtr>> find_login(ev::Loop& loop, const Options& options, Tables& tables,
                                      ev::Lent<const LoginQuestion> question);

} // namespace postrider::smtpclient
