// SPDX-License-Identifier: MIT
// Power cuts and kills at every point of what the queue does: for each prefix of the file
// operations of a scenario, in every way a file system may have kept or lost what was not synced,
// the queue is recovered and held against the books. Then the same with mistakes made on purpose:
// each of them has to be noticed, or the rest proves nothing.
#include <gtest/gtest.h>

#include <fcntl.h>

#include "base/crc32c.hpp"
#include "queue_actor.hpp"

namespace postrider::queue {

namespace {

std::string print(const Verdicts& verdicts) {
  std::string out = std::to_string(verdicts.states) + " states, " +
                    std::to_string(verdicts.violation_count) + " violations";
  for (const std::string& violation : verdicts.violations)
    out += "\n  " + violation;
  return out;
}

#define OK(call)                                                                                   \
  do {                                                                                             \
    auto result = (call);                                                                          \
    ASSERT_TRUE(result.ok()) << result.error().text();                                             \
  } while (false)

// Before the recording: a queue with one segment lent.
void lent(Actor& a) {
  OK(a.lend());
  a.start_recording();
}

void accept_one(Actor& a) {
  OK(a.submit("m1", 2));
  OK(a.commit());
  a.deliver("m1", 0);
  OK(a.sync());
}

void first_start(Actor& a) {
  OK(a.lend());
  OK(a.submit("m1", 1));
  OK(a.commit());
}

void two_in_one_group(Actor& a) {
  OK(a.submit("m1", 1, 300));
  OK(a.submit("m2", 3, 5000));
  OK(a.commit());
  a.deliver("m2", 1);
  OK(a.flush());
}

void record_during_sync(Actor& a) {
  OK(a.submit("m1", 1));
  OK(a.commit_around("m2"));
  OK(a.commit());
}

void deliver_and_reuse(Actor& a) {
  OK(a.submit("m1", 1, 900));
  OK(a.submit("m2", 2, 700));
  OK(a.commit());
  a.deliver("m1", 0);
  a.finish("m1");
  OK(a.submit("m3", 1, 6000));
  OK(a.commit());
  a.deliver("m2", 0);
  a.deliver("m2", 1);
  a.finish("m2");
  a.deliver("m3", 0);
  a.finish("m3");
  a.return_writer();
  if (!a.mistakes.reuse_before_ledger) OK(a.sync());
  OK(a.lend());
  OK(a.submit("m4", 1, 60)); // shorter than what lies beneath
  OK(a.commit());
  OK(a.sync());
}

void defer_and_retry(Actor& a) {
  OK(a.submit("m1", 3));
  OK(a.submit("m2", 1));
  OK(a.commit());
  a.deliver("m1", 0);
  a.defer("m1", 1, 1);
  a.defer("m1", 2, 1);
  OK(a.flush());
  OK(a.migrate("m1", Folder::deferred));
  OK(a.sync());
  a.park("m1");
  a.deliver("m2", 0);
  a.finish("m2");
  OK(a.run_all());
  OK(a.load("m1"));
  a.deliver("m1", 1);
  a.defer("m1", 2, 2);
  OK(a.sync());
  OK(a.save("m1", Folder::deferred));
  a.park("m1");
  OK(a.run_all());
  OK(a.load("m1"));
  a.deliver("m1", 2);
  a.finish("m1");
  OK(a.run_all());
}

void large(Actor& a) {
  OK(a.submit_large("m1", 2, 9000));
  a.deliver("m1", 0);
  a.defer("m1", 1, 1);
  OK(a.sync());
  OK(a.save("m1", Folder::deferred));
  a.park("m1");
  OK(a.run_all());
  OK(a.load("m1"));
  a.deliver("m1", 1);
  a.finish("m1");
  OK(a.run_all());
}

void bounce(Actor& a) {
  OK(a.submit("m1", 2));
  OK(a.commit());
  a.deliver("m1", 0);
  a.bounce("m1", 1);
  if (a.mistakes.removal_before_bounce) {
    const Arrived original = a.messages.at("m1");
    a.finish("m1");
    OK(a.sync());
    a.messages.insert_or_assign("m1", original);
  } else {
    OK(a.flush());
  }
  OK(a.submit_report("bm1", "m1", {1}));
  OK(a.commit());
  if (a.mistakes.removal_before_bounce) return;
  Event reported;
  reported.kind = EventKind::reported;
  reported.recipients = {1};
  a.event("m1", reported);
  a.finish("m1");
  OK(a.sync());
  a.deliver("bm1", 0);
  a.finish("bm1");
  OK(a.sync());
}

void bounce_from_file(Actor& a) {
  OK(a.submit("m1", 2));
  OK(a.commit());
  a.deliver("m1", 0);
  OK(a.migrate("m1", Folder::deferred));
  a.bounce("m1", 1);
  OK(a.submit_report("bm1", "m1", {1}));
  OK(a.commit());
  Event reported;
  reported.kind = EventKind::reported;
  reported.recipients = {1};
  a.event("m1", reported);
  a.finish("m1");
  OK(a.run_all());
  a.deliver("bm1", 0);
  a.finish("bm1");
  OK(a.run_all());
}

void hold_release_requeue(Actor& a) {
  OK(a.submit("m1", 2));
  OK(a.submit("m2", 1));
  OK(a.commit());
  Event event;
  event.kind = EventKind::held;
  event.text = "by the operator";
  a.event("m1", event);
  OK(a.migrate("m1", Folder::hold));
  OK(a.sync());
  a.park("m1");
  OK(a.run_all());
  OK(a.load("m1"));
  event = {};
  event.kind = EventKind::released;
  a.event("m1", event);
  event.kind = EventKind::requeued;
  a.event("m1", event);
  OK(a.save("m1", Folder::deferred));
  a.park("m1");
  OK(a.run_all());
  OK(a.load("m1"));
  a.deliver("m1", 0);
  a.drop("m1", 1);
  a.finish("m1");
  OK(a.run_all());
}

void rotation(Actor& a) {
  OK(a.submit("m1", 3));
  OK(a.submit("m2", 1));
  OK(a.commit());
  a.deliver("m1", 0);
  a.deliver("m2", 0);
  a.finish("m2");
  OK(a.rotate("m1"));
  a.deliver("m1", 2);
  OK(a.sync());
}

struct Scenario {
  const char* name;
  void (*play)(Actor&);
  bool from_nothing = false;
};

const Scenario kScenarios[] = {
    {"FirstStart", first_start, true},
    {"AcceptOne", accept_one},
    {"TwoInOneGroup", two_in_one_group},
    {"RecordDuringSync", record_during_sync},
    {"DeliverAndReuse", deliver_and_reuse},
    {"DeferAndRetry", defer_and_retry},
    {"Large", large},
    {"Bounce", bounce},
    {"BounceFromFile", bounce_from_file},
    {"HoldReleaseRequeue", hold_release_requeue},
    {"Rotation", rotation},
};

class QueueCrash : public testing::TestWithParam<Scenario> {};

TEST_P(QueueCrash, EveryStateRecovers) {
  test::ScratchDir dir;
  Actor actor(dir.path() + "/live", GetParam().from_nothing);
  if (!GetParam().from_nothing) lent(actor);
  ASSERT_FALSE(HasFatalFailure());
  GetParam().play(actor);
  ASSERT_FALSE(HasFatalFailure());
  const Verdicts verdicts = judge_all(actor.fs, dir.path() + "/crashed");
  EXPECT_EQ(verdicts.violation_count, 0u) << print(verdicts);
  EXPECT_GT(verdicts.states, 20u);
  RecordProperty("states", static_cast<int>(verdicts.states));
  std::printf("  %llu states, %llu duplicates inside the window, %llu kept without a 250\n",
              static_cast<unsigned long long>(verdicts.states),
              static_cast<unsigned long long>(verdicts.duplicates),
              static_cast<unsigned long long>(verdicts.unacknowledged));
}

INSTANTIATE_TEST_SUITE_P(Scenarios, QueueCrash, testing::ValuesIn(kScenarios),
                         [](const auto& param) { return std::string(param.param.name); });

// Killed at any call, started again on what the page cache has, which then turns out not to have
// been on the disk: what the second start took for true, a power cut must not take back.
class KilledThenPowerCut : public testing::TestWithParam<Scenario> {};

TEST_P(KilledThenPowerCut, AtEveryCall) {
  std::uint64_t states = 0, call = 1;
  for (bool killed = true; killed; ++call) {
    test::ScratchDir dir;
    Actor actor(dir.path() + "/live", GetParam().from_nothing);
    if (!GetParam().from_nothing) lent(actor);
    ASSERT_FALSE(HasFatalFailure());
    actor.fs.fail({.call = call, .kill = true});
    killed = false;
    try {
      GetParam().play(actor);
    } catch (const test::Killed&) {
      killed = true;
    }
    ASSERT_FALSE(HasFatalFailure());
    const std::string what = actor.fs.last_call();
    const std::size_t first = actor.fs.trace().size();
    SCOPED_TRACE("killed at call " + std::to_string(call) + " (" + what + ")");
    OK(actor.restart());
    OK(actor.finish_all());
    const Verdicts verdicts = judge_power_cuts(actor.fs, first, dir.path() + "/crashed");
    ASSERT_EQ(verdicts.violation_count, 0u) << print(verdicts);
    states += verdicts.states;
  }
  EXPECT_GT(call, 4u);
  std::printf("  killed at %llu calls, %llu states\n", static_cast<unsigned long long>(call - 2),
              static_cast<unsigned long long>(states));
}

INSTANTIATE_TEST_SUITE_P(Scenarios, KilledThenPowerCut, testing::ValuesIn(kScenarios),
                         [](const auto& param) { return std::string(param.param.name); });

// --- calls that fail ----------------------------------------------------------------------------

struct Failure {
  const char* name;
  int error;
  bool partial;
  bool forever;
};

class AcceptPathFails : public testing::TestWithParam<Failure> {};

// One client after the other, whatever happens to the one before. Only success is acknowledged.
void accept_what_can_be(Actor& a) {
  const auto writer = [&] {
    if (a.has_writer()) return true;
    return a.lend().ok();
  };
  const auto one = [&](const char* token) {
    if (!writer()) return;
    if (!a.submit(token, 2) || !a.commit()) a.give_up_writer();
  };
  one("m1");
  if (writer()) {
    auto done = a.submit_large("m2", 1, 7000);
    static_cast<void>(done);
  }
  one("m3");
  if (a.messages.contains("m1")) {
    a.deliver("m1", 0);
    auto done = a.sync();
    static_cast<void>(done);
  }
}

TEST_P(AcceptPathFails, AtEveryCall) {
  const Failure& failure = GetParam();
  std::uint64_t call = 1;
  std::uint64_t states = 0, accepted = 0;
  for (bool fired = true; fired; ++call) {
    test::ScratchDir dir;
    Actor actor(dir.path() + "/live", false, 4);
    actor.start_recording();
    actor.fs.fail({call, failure.error, failure.partial, failure.forever});
    accept_what_can_be(actor);
    fired = actor.fs.fired();
    const std::string what = actor.fs.last_call();
    actor.fs.stop_failing();
    // When the trouble is over, mail is taken again.
    if (!failure.forever) {
      if (!actor.has_writer() && !actor.queue->ledger().poisoned()) OK(actor.lend());
      if (actor.has_writer()) {
        OK(actor.submit("m9", 1));
        OK(actor.commit());
      }
    }
    const Verdicts verdicts = judge_end(actor.fs, dir.path() + "/crashed");
    ASSERT_EQ(verdicts.violation_count, 0u)
        << "call " << call << " (" << what << "): " << print(verdicts);
    states += verdicts.states;
    accepted += actor.messages.size();
  }
  EXPECT_GT(call, 15u);
  EXPECT_GT(accepted, 0u);
  std::printf("  %llu calls failed in turn, %llu states\n",
              static_cast<unsigned long long>(call - 2), static_cast<unsigned long long>(states));
}

INSTANTIATE_TEST_SUITE_P(Errors, AcceptPathFails,
                         testing::ValuesIn<Failure>({
                             {"Enospc", ENOSPC, false, false},
                             {"EnospcShortWrite", ENOSPC, true, false},
                             {"EnospcForever", ENOSPC, true, true},
                             {"Eio", EIO, false, false},
                             {"EioForever", EIO, false, true},
                             {"Emfile", EMFILE, false, false},
                             {"Edquot", EDQUOT, true, false},
                             {"Efbig", EFBIG, false, false},
                             {"Erofs", EROFS, false, true},
                         }),
                         [](const auto& param) { return std::string(param.param.name); });

TEST(AcceptPathFails, CloseThatLosesTheFileIsNotA250) {
  test::ScratchDir dir;
  Actor actor(dir.path() + "/live");
  lent(actor);
  actor.fs.lose_at_close = [](const std::string& path) { return path.ends_with(".tmp"); };
  EXPECT_FALSE(actor.submit_large("m1", 1, 7000));
  actor.fs.lose_at_close = {};
  OK(actor.submit_large("m2", 1, 7000));
  const Verdicts verdicts = judge_all(actor.fs, dir.path() + "/crashed");
  EXPECT_EQ(verdicts.violation_count, 0u) << print(verdicts);
}

// Not a crash but decay: any block of segment or ledger flipped, zeroed or replaced. Whatever is
// lost by that, nothing is invented, nothing crosses over, and the queue starts.
TEST(Damage, AnyBlockOfSegmentOrLedger) {
  test::ScratchDir dir;
  Actor actor(dir.path() + "/live");
  lent(actor);
  deliver_and_reuse(actor);
  OK(actor.submit("m5", 2, 1500));
  OK(actor.submit("m6", 1, 100));
  OK(actor.commit());
  actor.deliver("m5", 0);
  actor.deliver("m6", 0);
  OK(actor.sync());
  const test::Tree whole = test::read_tree(dir.path() + "/live", "index/");
  std::size_t states = 0, messages = 0;
  for (const auto& [name, bytes] : whole) {
    if (!name.starts_with("journal/") || name == "journal/pool") continue;
    for (std::size_t block = 0; block < bytes.size(); block += 512) {
      for (int way = 0; way < 3; ++way) {
        test::Tree damaged = whole;
        std::string& file = damaged[name];
        if (way == 0) std::fill_n(file.begin() + static_cast<long>(block), 512, '\0');
        if (way == 1) file[block + 17] = static_cast<char>(file[block + 17] ^ 0x40);
        if (way == 2) file.replace(block, 512, file, (block + 512) % (file.size() - 512), 512);
        test::write_tree(dir.path() + "/damaged", damaged);
        test::ManualClock clock;
        auto queue = Queue::open(
            real_file_system(), clock, crash_options(dir.path() + "/damaged"), [&](Arrived&& m) {
              ++messages;
              const std::string& first = m.state.envelope.recipients[0].address;
              const std::string token = first.substr(0, first.find('-'));
              EXPECT_TRUE(token == "m4" || token == "m5" || token == "m6") << token;
              EXPECT_EQ(m.state.envelope.sender, token + "@from.example");
            });
        ASSERT_TRUE(queue) << name << " " << block << ": " << queue.error().text();
        ++states;
      }
    }
  }
  EXPECT_GT(states, 200u);
  EXPECT_GT(messages, states); // the others go on
}

// --- seeded bugs -------------------------------------------------------------------------------

class SeededBug : public testing::Test {
 protected:
  // Plays and judges; the verdict must not be clean.
  Verdicts judge(void (*play)(Actor&), const std::function<void(Actor&)>& seed,
                 const std::function<void(test::FaultFs&)>& prepare = {}) {
    Actor actor(dir.path() + "/live");
    lent(actor);
    seed(actor);
    play(actor);
    return judge_all(actor.fs, dir.path() + "/crashed", prepare);
  }
  void expect_caught(const Verdicts& verdicts, const std::string& word) {
    EXPECT_GT(verdicts.violation_count, 0u) << "not caught: " << print(verdicts);
    bool found = false;
    for (const std::string& violation : verdicts.violations)
      found = found || violation.find(word) != std::string::npos;
    EXPECT_TRUE(found) << "expected " << word << " in " << print(verdicts);
  }
  static bool is_segment(const std::string& path) { return path.ends_with(".seg"); }

  test::ScratchDir dir;
};

TEST_F(SeededBug, SkippedCommitSync) {
  expect_caught(judge(accept_one,
                      [](Actor& a) {
                        a.fs.skip = [](std::string_view, const std::string& path) {
                          return is_segment(path);
                        };
                      }),
                "LOST");
}

TEST_F(SeededBug, IgnoredSyncError) {
  expect_caught(judge(
                    [](Actor& a) {
                      OK(a.submit("m1", 1));
                      a.fs.fail({.call = 1, .error = EIO});
                      OK(a.commit());
                      a.fs.stop_failing();
                    },
                    [](Actor& a) { a.mistakes.believe_failed_sync = true; }),
                "LOST");
}

TEST_F(SeededBug, SkippedDirectorySync) {
  expect_caught(judge(large,
                      [](Actor& a) {
                        a.fs.skip = [](std::string_view call, const std::string&) {
                          return call == "sync_directory";
                        };
                      }),
                "LOST");
}

TEST_F(SeededBug, IgnoredCloseError) {
  expect_caught(judge(
                    [](Actor& a) {
                      OK(a.submit("m1", 1));
                      OK(a.commit());
                      OK(a.migrate("m1", Folder::deferred));
                      OK(a.sync());
                    },
                    [](Actor& a) {
                      a.fs.hide_close = true;
                      a.fs.lose_at_close = [](const std::string& path) {
                        return path.ends_with(".tmp");
                      };
                    }),
                "LOST");
}

TEST_F(SeededBug, CompletionBefore250) {
  expect_caught(judge(accept_one, [](Actor& a) { a.mistakes.completion_before_250 = true; }),
                "LOST");
}

TEST_F(SeededBug, OriginalRemovedBeforeItsBounceIsDurable) {
  expect_caught(judge(bounce, [](Actor& a) { a.mistakes.removal_before_bounce = true; }),
                "LOST bounce");
}

TEST_F(SeededBug, RunningSyncCountedForLaterRecord) {
  expect_caught(judge(
                    [](Actor& a) {
                      OK(a.submit("m1", 1));
                      OK(a.commit_around("m2"));
                    },
                    [](Actor& a) { a.mistakes.count_running_sync = true; }),
                "LOST");
}

// A reader that takes any generation's records for this one's: the bytes it sees are made to agree.
void ignore_generation(test::FaultFs& fs) {
  auto current = std::make_shared<std::optional<SegmentInfo>>();
  fs.on_read = [current](const std::string& path, std::uint64_t offset, std::string& bytes) {
    if (!path.ends_with(".seg")) return;
    if (offset == 0) {
      if (auto info = parse_segment_header(bytes)) *current = *info;
      return;
    }
    if (!*current) return;
    for (std::size_t at = 0; at + kRecordHeader <= bytes.size(); at += kRecordAlign) {
      RecordOrigin origin{
          .pool = (*current)->pool, .segment = (*current)->segment, .tag = 0, .place = offset + at};
      auto header = parse_header(ByteView(bytes).substr(at), origin);
      if (!header || header->tag == (*current)->tag) continue;
      header->tag = (*current)->tag;
      header->id = Id::make((*current)->loan, header->id.sequence() + 1000);
      std::string patched;
      put_header(patched, *header);
      bytes.replace(at, kRecordHeader, patched);
    }
  };
}

TEST_F(SeededBug, IgnoredGeneration) {
  const Verdicts verdicts = judge(
      deliver_and_reuse, [](Actor&) {}, ignore_generation);
  expect_caught(verdicts, "DUPLICATE");
}

TEST_F(SeededBug, SegmentFreedBeforeLedgerIsSynced) {
  // After a power cut the ledger's last durable word is about a generation that is gone, as if one
  // of the two had been restored from a backup.
  expect_caught(judge(deliver_and_reuse, [](Actor& a) { a.mistakes.reuse_before_ledger = true; }),
                "ledger taken for lost or foreign");
}

TEST_F(SeededBug, RecordReleasedBeforeDirectoryOfItsFileIsSynced) {
  expect_caught(judge(defer_and_retry,
                      [](Actor& a) {
                        a.fs.skip = [](std::string_view call, const std::string& path) {
                          return call == "sync_directory" &&
                                 path.find("/deferred/") != std::string::npos;
                        };
                      }),
                "LOST");
}

} // namespace

} // namespace postrider::queue
