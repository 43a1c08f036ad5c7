// SPDX-License-Identifier: MIT
#include "caches.hpp"

#include <gtest/gtest.h>

#include "support/manual_clock.hpp"
#include "support/scratch_dir.hpp"

namespace postrider::tlsmgr {
namespace {

using namespace std::chrono_literals;
using proto::HostTls;
using proto::SessionCache;

struct FileCase {
  std::string_view name, database, file; // empty file: an error
};
class DatabaseFile : public testing::TestWithParam<FileCase> {};
TEST_P(DatabaseFile, IsFound) {
  const Result<std::string> file = database_file(GetParam().database);
  EXPECT_EQ(file ? *file : "", GetParam().file);
}
INSTANTIATE_TEST_SUITE_P(Types, DatabaseFile,
                         testing::ValuesIn<FileCase>({
                             {"Lmdb", "lmdb:/var/lib/x/smtp", "/var/lib/x/smtp.lmdb"},
                             {"Btree", "btree:/var/lib/x/smtp_scache",
                              "/var/lib/x/smtp_scache.lmdb"},
                             {"Hash", "hash:/a", "/a.lmdb"},
                             {"Relative", "lmdb:smtp", ""},
                             {"NoType", "/var/lib/x", ""},
                             {"ReadOnlyType", "cdb:/a", ""},
                             {"Empty", "", ""},
                         }),
                         [](const auto& row) { return std::string(row.param.name); });

struct Stage {
  test::ScratchDir dir;
  test::ManualClock clock;
  CacheOptions options;
  Stage() {
    options.sessions[0] = {dir.path() + "/smtp.lmdb", 1h};
    options.sessions[1] = {dir.path() + "/lmtp.lmdb", 2h};
    options.memory_file = dir.path() + "/memory.lmdb";
    options.memory_time = 24h;
  }
  Caches open() { return Caches(options, clock); }
};

TEST(Caches, ASessionIsTakenOnce) {
  Stage stage;
  Caches caches = stage.open();
  caches.put_session(SessionCache::smtp, "host", "first");
  stage.clock.advance(1s);
  caches.put_session(SessionCache::smtp, "host", "second");
  EXPECT_EQ(caches.take_session(SessionCache::lmtp, "host"), "") << "another cache";
  EXPECT_EQ(caches.take_session(SessionCache::smtp, "host"), "second");
  EXPECT_EQ(caches.take_session(SessionCache::smtp, "host"), "first");
  EXPECT_EQ(caches.take_session(SessionCache::smtp, "host"), "");
}

TEST(Caches, EachCacheHasItsTimeOut) {
  Stage stage;
  Caches caches = stage.open();
  caches.put_session(SessionCache::smtp, "host", "s");
  caches.put_session(SessionCache::lmtp, "host", "l");
  stage.clock.advance(61min);
  EXPECT_EQ(caches.take_session(SessionCache::smtp, "host"), "");
  EXPECT_EQ(caches.take_session(SessionCache::lmtp, "host"), "l");
}

TEST(Caches, OneFileForBothIsOneCache) {
  Stage stage;
  stage.options.sessions[1].file = stage.options.sessions[0].file;
  Caches caches = stage.open();
  caches.put_session(SessionCache::smtp, "host", "s");
  EXPECT_EQ(caches.take_session(SessionCache::lmtp, "host"), "s");
}

TEST(Caches, WithoutDatabaseNothingIsKept) {
  Stage stage;
  stage.options.sessions[0].file.clear();
  Caches caches = stage.open();
  caches.put_session(SessionCache::smtp, "host", "s");
  EXPECT_EQ(caches.take_session(SessionCache::smtp, "host"), "");
}

TEST(Caches, AFileThatCannotBeMadeIsDoneWithout) {
  Stage stage;
  stage.options.sessions[0].file = stage.dir.path() + "/no/such/directory.lmdb";
  stage.options.memory_file = stage.options.sessions[0].file;
  Caches caches = stage.open();
  caches.put_session(SessionCache::smtp, "host", "s");
  caches.remember("host", HostTls::verified);
  EXPECT_EQ(caches.take_session(SessionCache::smtp, "host"), "");
  EXPECT_EQ(caches.recall("host").level, HostTls::none);
}

TEST(Caches, RemembersWhatWorkedAndSinceWhenItIsMissing) {
  Stage stage;
  Caches caches = stage.open();
  caches.remember("mx.example", HostTls::none);
  EXPECT_EQ(caches.recall("mx.example").level, HostTls::none)
      << "nothing is missing that never was";
  const std::int64_t good = to_unix_micros(stage.clock.wall());
  caches.remember("mx.example", HostTls::trusted);
  stage.clock.advance(2h);
  const std::int64_t missing = to_unix_micros(stage.clock.wall());
  caches.remember("mx.example", HostTls::none);
  stage.clock.advance(1h);
  caches.remember("mx.example", HostTls::none);
  proto::HostMemory memory = caches.recall("mx.example");
  EXPECT_EQ(memory.level, HostTls::trusted);
  EXPECT_EQ(memory.last_good, good);
  EXPECT_EQ(memory.missing_since, missing) << "the first time counts";
  caches.remember("mx.example", HostTls::encrypted);
  memory = caches.recall("mx.example");
  EXPECT_EQ(memory.level, HostTls::encrypted);
  EXPECT_EQ(memory.missing_since, 0);
  stage.clock.advance(24h);
  EXPECT_EQ(caches.recall("mx.example").level, HostTls::none) << "tls_memory_time is over";
}

TEST(Caches, MemorySurvivesARestart) {
  Stage stage;
  stage.open().remember("mx.example", HostTls::verified);
  EXPECT_EQ(stage.open().recall("mx.example").level, HostTls::verified);
}

TEST(Caches, WithoutMemoryTimeNothingIsRemembered) {
  Stage stage;
  stage.options.memory_time = 0s;
  Caches caches = stage.open();
  caches.remember("mx.example", HostTls::verified);
  EXPECT_EQ(caches.recall("mx.example").level, HostTls::none);
}

TEST(Caches, AClosedOneIsEmpty) {
  Stage stage;
  Caches caches = stage.open();
  caches.put_session(SessionCache::smtp, "host", "s");
  caches.close();
  EXPECT_EQ(caches.take_session(SessionCache::smtp, "host"), "");
  EXPECT_EQ(stage.open().take_session(SessionCache::smtp, "host"), "s");
}

TEST(Caches, TicketKeysChangeAndTheOldOneStaysForAPeriod) {
  Stage stage;
  stage.options.ticket_file = stage.dir.path() + "/tickets.lmdb";
  stage.options.ticket_period = 1h;
  std::string first;
  {
    Caches caches = stage.open();
    const proto::TicketKeys keys = caches.ticket_keys();
    ASSERT_EQ(keys.keys.size(), 1U);
    first = keys.keys[0];
    EXPECT_EQ(first.size(), proto::kTicketKeyBytes);
    EXPECT_EQ(caches.ticket_keys().keys, keys.keys);
    EXPECT_GT(keys.until, to_unix_micros(stage.clock.wall()));
    EXPECT_EQ(keys.usable_until - keys.until, std::chrono::microseconds(1h).count());
    caches.close();
  }
  Caches caches = stage.open(); // another process
  EXPECT_EQ(caches.ticket_keys().keys, std::vector<std::string>{first});
  stage.clock.advance(1h);
  const std::vector<std::string> second = caches.ticket_keys().keys;
  ASSERT_EQ(second.size(), 2U);
  EXPECT_NE(second[0], first);
  EXPECT_EQ(second[1], first);
  stage.clock.advance(1h);
  const std::vector<std::string> third = caches.ticket_keys().keys;
  ASSERT_EQ(third.size(), 2U);
  EXPECT_EQ(third[1], second[0]);
  stage.clock.advance(3h);
  EXPECT_EQ(caches.ticket_keys().keys.size(), 1U);
}

TEST(Caches, TicketKeysThatCannotBeKeptAreNotUsed) {
  Stage stage;
  EXPECT_TRUE(stage.open().ticket_keys().keys.empty()); // period 0
  stage.options.ticket_period = 1h;
  stage.options.ticket_file = stage.dir.path() + "/missing/tickets.lmdb";
  EXPECT_TRUE(stage.open().ticket_keys().keys.empty());
}

} // namespace
} // namespace postrider::tlsmgr
