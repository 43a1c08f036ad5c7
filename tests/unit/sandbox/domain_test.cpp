// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <pwd.h>

#include "in_child.hpp"
#include "sandbox/domain.hpp"

namespace postrider::sandbox {
namespace {

using test::settings_of;

TEST(Domain, HasTheUserThatItsParameterNames) {
  // shows: network_in_owner network_out_owner keys_owner authentication_owner cache_owner
  // shows: bounce_owner
  const auto settings = settings_of("mail_owner = nobody\nnetwork_in_owner = 61001\n"
                                    "network_out_owner = 61002\nkeys_owner = 61003\n"
                                    "authentication_owner = 61004\ncache_owner = 61005\n"
                                    "bounce_owner = daemon\n");
  const passwd* daemon = ::getpwnam("daemon");
  ASSERT_NE(daemon, nullptr);
  const uid_t daemon_uid = daemon->pw_uid;
  const uid_t nobody_uid = ::getpwnam("nobody")->pw_uid;
  const gid_t nobody_gid = ::getpwnam("nobody")->pw_gid;
  const std::pair<Domain, uid_t> cases[] = {
      {Domain::queue, nobody_uid},  {Domain::network_in, 61001},     {Domain::network_out, 61002},
      {Domain::keys, 61003},        {Domain::authentication, 61004}, {Domain::cache, 61005},
      {Domain::bounce, daemon_uid},
  };
  for (const auto& [domain, uid] : cases) {
    const auto identity = identity_of(domain, settings);
    ASSERT_TRUE(identity) << identity.error().text();
    EXPECT_EQ(identity->uid, uid) << owner_parameter(domain);
    EXPECT_FALSE(identity->shared) << owner_parameter(domain);
    EXPECT_EQ(identity->mail_group, nobody_gid);
  }
  EXPECT_EQ(identity_of(Domain::network_in, settings)->gid, nobody_gid);
  EXPECT_EQ(sharing_warning(settings), "");
}

TEST(Domain, SharesMailOwnerAloudWhereTheDefaultUserIsMissing) {
  const auto settings = settings_of("mail_owner = nobody\nnetwork_in_owner = 61001\n");
  if (::getpwnam("postrider-keys") != nullptr) GTEST_SKIP() << "the users exist here";
  const auto keys = identity_of(Domain::keys, settings);
  ASSERT_TRUE(keys) << keys.error().text();
  EXPECT_TRUE(keys->shared);
  EXPECT_EQ(keys->uid, ::getpwnam("nobody")->pw_uid);
  const std::string warning = sharing_warning(settings);
  EXPECT_NE(warning.find("postrider-keys"), std::string::npos) << warning;
  EXPECT_NE(warning.find("tlsmgr"), std::string::npos) << warning;
  EXPECT_EQ(warning.find("smtpd"), std::string::npos) << warning;
}

TEST(Domain, RefusesRootAndUsersThatWereNamedAndAreMissing) {
  const std::pair<const char*, Domain> cases[] = {
      {"mail_owner = no-such-user\n", Domain::queue},
      {"mail_owner = root\n", Domain::queue},
      {"mail_owner = 0\n", Domain::queue},
      {"mail_owner = nobody\ncache_owner = no-such-user\n", Domain::cache},
      {"mail_owner = nobody\ncache_owner = root\n", Domain::cache},
      {"mail_owner = nobody\ncache_owner = 0\n", Domain::cache},
      {"mail_owner = nobody\ncache_owner = 99999999999\n", Domain::cache},
  };
  for (const auto& [main_cf, domain] : cases) {
    const auto identity = identity_of(domain, settings_of(main_cf));
    ASSERT_FALSE(identity) << main_cf;
    EXPECT_NE(identity.error().text().find(owner_parameter(domain)), std::string::npos);
  }
}

} // namespace
} // namespace postrider::sandbox
