// SPDX-License-Identifier: MIT
#include "daemon/confine.hpp"

#include <unistd.h>

#include "base/log.hpp"
#include "daemon/jail.hpp"
#include "ipc/colleagues.hpp"
#include "sandbox/filter.hpp"

namespace postrider::daemon {

Result<Confined> confine(std::string_view program, const config::Settings& settings,
                         const Options& options, const Needs& needs) {
  sandbox::Profile profile =
      sandbox::find_profile(program, settings).value_or(sandbox::plain_profile(program));
  Jail jail{.change_user = options.change_user,
            .change_root = options.change_root,
            .all_groups = needs.groups,
            .identity = {},
            .root_directory = settings.text("queue_directory")};
  uid_t uid = ::geteuid();
  if (uid == 0) {
    if (options.change_user) {
      POSTRIDER_TRY(jail.identity, sandbox::identity_of(profile.domain, settings));
      uid = jail.identity.uid;
    }
    std::vector<uid_t> colleagues;
    for (const sandbox::Domain domain : profile.clients) {
      POSTRIDER_TRY(const sandbox::Identity client, sandbox::identity_of(domain, settings));
      colleagues.push_back(client.uid);
    }
    ipc::set_colleagues(std::move(colleagues));
  }
  POSTRIDER_TRY(sandbox::Sandbox box, sandbox::Sandbox::prepare(std::move(profile), settings, uid));
  Confined out{.sandbox = std::move(box)};
  POSTRIDER_TRY(out.reached, enter_jail(jail, out.sandbox));
  return out;
}

void tell_refused_calls() {
  for (const std::string& name : sandbox::take_refused())
    log::warning("sandbox: the system call " + name +
                 (sandbox::reports_only() ? " would be refused" : " was refused"));
}

} // namespace postrider::daemon
