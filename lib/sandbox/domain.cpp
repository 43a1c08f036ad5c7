// SPDX-License-Identifier: MIT
#include "sandbox/domain.hpp"

#include <grp.h>
#include <pwd.h>

#include "base/ascii.hpp"
#include "base/check.hpp"

namespace postrider::sandbox {

namespace {

struct User {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string name;
  bool has_group = true; // false: a number that the user database does not know
};

std::optional<User> find_user(const std::string& text) {
  if (const passwd* user = ::getpwnam(text.c_str()))
    return User{user->pw_uid, user->pw_gid, user->pw_name};
  const auto number = parse_decimal(text);
  if (!number || *number >= UINT32_MAX) return std::nullopt;
  const auto uid = static_cast<uid_t>(*number);
  if (const passwd* user = ::getpwuid(uid)) return User{uid, user->pw_gid, user->pw_name};
  return User{uid, 0, "", false};
}

Error refuse(std::string_view parameter, const std::string& text, std::string_view why) {
  return Error(ErrorKind::config, std::string(parameter) + " = " + text + ": " + std::string(why));
}

} // namespace

std::string_view owner_parameter(Domain domain) {
  switch (domain) {
  case Domain::queue: return "mail_owner";
  case Domain::network_in: return "network_in_owner";
  case Domain::network_out: return "network_out_owner";
  case Domain::keys: return "keys_owner";
  case Domain::authentication: return "authentication_owner";
  case Domain::cache: return "cache_owner";
  case Domain::bounce: return "bounce_owner";
  }
  POSTRIDER_UNREACHABLE();
}

std::string_view programs_of(Domain domain) {
  switch (domain) {
  case Domain::queue: return "qmgr";
  case Domain::network_in: return "smtpd and anvil";
  case Domain::network_out: return "smtp, lmtp and tlsrpt";
  case Domain::keys: return "tlsmgr";
  case Domain::authentication: return "saslmgr and tokenmgr";
  case Domain::cache: return "scache";
  case Domain::bounce: return "bounce";
  }
  POSTRIDER_UNREACHABLE();
}

Result<Identity> identity_of(Domain domain, const config::Settings& settings) {
  const std::string& owner = settings.text("mail_owner");
  const std::optional<User> mail = find_user(owner);
  if (!mail) return refuse("mail_owner", owner, "there is no such user");
  if (mail->uid == 0) return refuse("mail_owner", owner, "must not be root");
  const gid_t mail_group = mail->has_group ? mail->gid : static_cast<gid_t>(mail->uid);
  Identity out{.uid = mail->uid,
               .gid = mail_group,
               .mail_group = mail_group,
               .name = mail->name,
               .wanted = owner};
  if (domain == Domain::queue) return out;

  const std::string_view parameter = owner_parameter(domain);
  const config::Value& value = *settings.find(parameter);
  out.wanted = value.text;
  out.is_default = value.origin.kind == config::Origin::Kind::initial;
  const std::optional<User> user = find_user(value.text);
  if (!user) {
    if (!out.is_default) return refuse(parameter, value.text, "there is no such user");
    out.shared = true;
    return out;
  }
  if (user->uid == 0) return refuse(parameter, value.text, "must not be root");
  out.uid = user->uid;
  out.gid = user->has_group ? user->gid : mail_group;
  out.name = user->name;
  out.shared = user->uid == mail->uid;
  return out;
}

std::string sharing_warning(const config::Settings& settings) {
  std::string users;
  for (const Domain domain : kDomains) {
    const auto identity = identity_of(domain, settings);
    if (!identity || !identity->shared || !identity->is_default) continue;
    (users += users.empty() ? "" : ", ") += identity->wanted;
    users.append(" (").append(programs_of(domain)).append(")");
  }
  if (users.empty()) return {};
  return "no user " + users +
         ": these programs share the uid of mail_owner = " + settings.text("mail_owner") +
         ", who owns the queue; make the users, or set the *_owner parameters";
}

} // namespace postrider::sandbox
