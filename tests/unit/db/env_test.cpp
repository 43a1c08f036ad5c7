// SPDX-License-Identifier: MIT
#include "db/env.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace postrider::db {
namespace {

class EnvTest : public testing::Test {
 protected:
  EnvTest() {
    char path[] = "/tmp/postrider-db-XXXXXX";
    directory_ = ::mkdtemp(path);
    file_ = directory_ + "/test.mdb";
  }
  ~EnvTest() override { std::filesystem::remove_all(directory_); }
  std::string directory_, file_;
};

TEST_F(EnvTest, KeepsWhatWasWritten) {
  {
    auto env = Env::open({.path = file_});
    ASSERT_TRUE(env.ok()) << env.error().text();
    ASSERT_TRUE(env->write([](Txn& txn) { return txn.put("a", "1"); }).ok());
    ASSERT_TRUE(env->write([](Txn& txn) { return txn.put("a", "2"); }).ok());
  }
  auto env = Env::open({.path = file_, .read_only = true});
  ASSERT_TRUE(env.ok());
  auto txn = env->read();
  ASSERT_TRUE(txn.ok());
  EXPECT_EQ(txn->get("a").value(), "2");
  EXPECT_EQ(txn->get("b").value(), std::nullopt);
  EXPECT_EQ(txn->count().value(), 1u);
}

// A hole in the mapped lock file is a SIGBUS once the disk is full.
TEST_F(EnvTest, LockFileHasNoHoles) {
  auto env = Env::open({.path = file_});
  ASSERT_TRUE(env.ok()) << env.error().text();
  struct stat st {};
  ASSERT_EQ(::stat((file_ + "-lock").c_str(), &st), 0);
  EXPECT_GT(st.st_size, 0);
  EXPECT_GE(st.st_blocks * 512, st.st_size);
}

TEST_F(EnvTest, LockFileThatAReaderMadeIsFilled) {
  ASSERT_TRUE(Env::open({.path = file_}).ok());
  ASSERT_EQ(::unlink((file_ + "-lock").c_str()), 0);
  ASSERT_TRUE(Env::open({.path = file_, .read_only = true}).ok());
  auto env = Env::open({.path = file_});
  ASSERT_TRUE(env.ok()) << env.error().text();
  struct stat st {};
  ASSERT_EQ(::stat((file_ + "-lock").c_str(), &st), 0);
  EXPECT_GE(st.st_blocks * 512, st.st_size);
}

TEST_F(EnvTest, ErrorOfTheWorkUndoesIt) {
  auto env = Env::open({.path = file_});
  ASSERT_TRUE(env.ok());
  auto done = env->write([](Txn& txn) -> Result<void> {
    POSTRIDER_TRY_VOID(txn.put("a", "1"));
    return Error(ErrorKind::limit, "enough");
  });
  EXPECT_EQ(done.error().text(), "enough");
  EXPECT_EQ(env->read()->get("a").value(), std::nullopt);
}

TEST_F(EnvTest, GrowsWhenFull) {
  auto env = Env::open({.path = file_, .map_size = 64 << 10, .durable = false});
  ASSERT_TRUE(env.ok());
  const std::string value(3000, 'v');
  int runs = 0;
  auto done = env->write([&](Txn& txn) -> Result<void> {
    ++runs;
    for (int i = 0; i < 2000; ++i)
      POSTRIDER_TRY_VOID(txn.put("key" + std::to_string(i), value));
    return {};
  });
  ASSERT_TRUE(done.ok()) << done.error().text();
  EXPECT_GT(runs, 1);
  EXPECT_EQ(env->read()->count().value(), 2000u);
  EXPECT_EQ(env->read()->get("key1999").value(), value);
}

TEST_F(EnvTest, StopsGrowingAtItsLimit) {
  auto env = Env::open({.path = file_, .map_size = 64 << 10, .map_limit = 256 << 10});
  ASSERT_TRUE(env.ok());
  ASSERT_TRUE(env->write([](Txn& txn) { return txn.put("before", "x"); }).ok());
  auto done = env->write([](Txn& txn) { return txn.put("big", std::string(1 << 20, 'x')); });
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().kind(), ErrorKind::limit);
  EXPECT_EQ(env->read()->get("before").value(), "x");
  EXPECT_TRUE(env->write([](Txn& txn) { return txn.put("after", "y"); }).ok());
}

TEST_F(EnvTest, KeysOfImpossibleLength) {
  auto env = Env::open({.path = file_});
  ASSERT_TRUE(env.ok());
  for (const std::string& key : {std::string(), std::string(512, 'k'), std::string(1 << 20, 'k')}) {
    EXPECT_EQ(env->write([&](Txn& txn) { return txn.put(key, "v"); }).error().kind(),
              ErrorKind::limit);
    EXPECT_EQ(env->read()->get(key).value(), std::nullopt);
    EXPECT_TRUE(env->write([&](Txn& txn) -> Result<void> {
                     POSTRIDER_TRY(const bool gone, txn.erase(key));
                     EXPECT_FALSE(gone);
                     return {};
                   })
                    .ok());
  }
  EXPECT_TRUE(env->write([](Txn& txn) { return txn.put(std::string(511, 'k'), "v"); }).ok());
}

TEST_F(EnvTest, RangesAndPrefixes) {
  auto env = Env::open({.path = file_});
  ASSERT_TRUE(env.ok());
  ASSERT_TRUE(env->write([](Txn& txn) -> Result<void> {
                   for (const char* key : {"a", "b1", "b2", "b3", "c"})
                     POSTRIDER_TRY_VOID(txn.put(key, std::string("=") + key));
                   POSTRIDER_TRY(const bool gone, txn.erase("b2"));
                   EXPECT_TRUE(gone);
                   return {};
                 })
                  .ok());
  auto txn = env->read();
  ASSERT_TRUE(txn.ok());
  std::string seen;
  const auto note = [&](std::string_view key, std::string_view value) {
    seen += std::string(key) + std::string(value) + " ";
    return true;
  };
  ASSERT_TRUE(txn->prefix("b", note).ok());
  EXPECT_EQ(seen, "b1=b1 b3=b3 ");
  seen.clear();
  ASSERT_TRUE(txn->range("b", "c", note).ok());
  EXPECT_EQ(seen, "b1=b1 b3=b3 ");
  seen.clear();
  ASSERT_TRUE(txn->range("", "", note).ok());
  EXPECT_EQ(seen, "a=a b1=b1 b3=b3 c=c ");
  seen.clear();
  ASSERT_TRUE(txn->range("b2", "",
                         [&](auto key, auto) {
                           seen += key;
                           return false;
                         })
                  .ok());
  EXPECT_EQ(seen, "b3");
  ASSERT_TRUE(txn->range("zzz", "", note).ok());
}

TEST_F(EnvTest, ClearEmpties) {
  auto env = Env::open({.path = file_});
  ASSERT_TRUE(env->write([](Txn& txn) { return txn.put("a", "1"); }).ok());
  ASSERT_TRUE(env->write([](Txn& txn) { return txn.clear(); }).ok());
  EXPECT_EQ(env->read()->count().value(), 0u);
}

TEST_F(EnvTest, ReadersKeepTheirSnapshot) {
  auto env = Env::open({.path = file_});
  ASSERT_TRUE(env->write([](Txn& txn) { return txn.put("a", "old"); }).ok());
  auto before = env->read();
  ASSERT_TRUE(env->write([](Txn& txn) { return txn.put("a", "new"); }).ok());
  EXPECT_EQ(before->get("a").value(), "old");
  EXPECT_EQ(env->read()->get("a").value(), "new");
}

TEST_F(EnvTest, MissingFileForReading) {
  EXPECT_EQ(Env::open({.path = file_, .read_only = true}).error().kind(), ErrorKind::not_found);
}

TEST_F(EnvTest, ForeignFileIsNotOurs) {
  std::ofstream(file_) << std::string(100'000, 'x');
  EXPECT_EQ(Env::open({.path = file_}).error().kind(), ErrorKind::protocol);
  ASSERT_TRUE(remove_database(file_).ok());
  EXPECT_TRUE(Env::open({.path = file_}).ok());
}

TEST_F(EnvTest, CutFileIsRefused) {
  {
    auto env = Env::open({.path = file_});
    ASSERT_TRUE(env->write([](Txn& txn) -> Result<void> {
                     for (int i = 0; i < 500; ++i)
                       POSTRIDER_TRY_VOID(txn.put("k" + std::to_string(i), std::string(500, 'v')));
                     return {};
                   })
                    .ok());
  }
  std::filesystem::resize_file(file_, 4 * 4096);
  EXPECT_EQ(Env::open({.path = file_}).error().kind(), ErrorKind::protocol);
  EXPECT_EQ(Env::open({.path = file_, .immutable = true}).error().kind(), ErrorKind::protocol);
}

TEST_F(EnvTest, WriterKilledInTransactionLeavesTheLastCommit) {
  {
    auto env = Env::open({.path = file_});
    ASSERT_TRUE(env->write([](Txn& txn) { return txn.put("a", "committed"); }).ok());
  }
  const pid_t child = ::fork();
  if (child == 0) {
    auto env = Env::open({.path = file_});
    (void)env->write([](Txn& txn) -> Result<void> {
      (void)txn.put("a", "never");
      ::_exit(7);
    });
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(WEXITSTATUS(status), 7);
  auto env = Env::open({.path = file_});
  ASSERT_TRUE(env.ok());
  EXPECT_EQ(env->read()->get("a").value(), "committed");
  EXPECT_TRUE(env->write([](Txn& txn) { return txn.put("a", "next"); }).ok());
}

TEST_F(EnvTest, ReaderFollowsGrowthByAnotherProcess) {
  auto reader_side = Env::open({.path = file_, .map_size = 64 << 10});
  ASSERT_TRUE(reader_side->write([](Txn& txn) { return txn.put("a", "1"); }).ok());
  const pid_t child = ::fork();
  if (child == 0) {
    auto env = Env::open({.path = file_, .map_size = 8 << 20});
    const bool ok =
        env.ok() &&
        env->write([](Txn& txn) { return txn.put("big", std::string(1 << 20, 'x')); }).ok();
    ::_exit(ok ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(WEXITSTATUS(status), 0);
  auto txn = reader_side->read();
  ASSERT_TRUE(txn.ok()) << txn.error().text();
  EXPECT_EQ(txn->get("big").value()->size(), 1u << 20);
}

} // namespace
} // namespace postrider::db
