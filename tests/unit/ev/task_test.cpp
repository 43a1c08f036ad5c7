// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "ev/bridge.hpp"
#include "ev/channel.hpp"
#include "ev/group.hpp"
#include "ev/offload.hpp"
#include "support/manual_clock.hpp"
#include "support/run_task.hpp"

namespace postrider::ev {
namespace {

using namespace std::chrono_literals;
using test::run_task;

Task<int> ready_value(int value) { co_return value; }

Task<long> sum_of_ready(int count) {
  long sum = 0;
  for (int i = 0; i < count; ++i) {
    int one = co_await ready_value(1);
    sum += one;
  }
  co_return sum;
}

// C6: without the hop through the ready queue this overflows the stack in debug builds.
TEST(TaskDepth, TwoMillionReadyAwaits) {
  Loop loop;
  EXPECT_EQ(run_task<long>(loop, [] { return sum_of_ready(2'000'000); }), 2'000'000);
}

Task<int> nested(int depth) {
  if (depth == 0) co_return 0;
  int below = co_await nested(depth - 1);
  co_return below + 1;
}

TEST(TaskDepth, ChainOfTenThousandTasks) {
  Loop loop;
  EXPECT_EQ(run_task<int>(loop, [] { return nested(10'000); }), 10'000);
}

Task<Result<void>> wait_condition(Condition& condition, Deadline deadline) {
  Result<void> woken = co_await condition.wait(deadline);
  co_return woken;
}

TEST(Waiting, DeadlineEndsTheWait) {
  test::ManualClock clock;
  Loop loop(clock);
  Condition condition(loop);
  struct Body {
    static RootTask run(Condition& c, Deadline d, std::optional<Result<void>>& out) {
      Result<void> r = co_await wait_condition(c, d);
      out.emplace(r);
    }
  };
  std::optional<Result<void>> out;
  Group group(loop);
  group.spawn(Body::run(condition, loop.after(5s), out), "waiter");
  loop.turn(false);
  EXPECT_FALSE(out.has_value());
  clock.advance(4s);
  loop.turn(false);
  EXPECT_FALSE(out.has_value());
  clock.advance(1s);
  loop.turn(false);
  ASSERT_TRUE(out.has_value());
  ASSERT_FALSE(out->ok());
  EXPECT_EQ(out->error().kind(), ErrorKind::timeout);
  EXPECT_FALSE(condition.has_waiters());
  EXPECT_TRUE(group.empty());
}

// A task with `steps` waits in a row; it is cancelled at wait number `at`. It must run to its end
// with every further wait cancelled, and leave nothing behind.
struct Steps {
  int begun = 0;
  int cancelled = 0;
  bool ended = false;
};

RootTask walk(Loop& loop, Condition& tick, int steps, Steps& seen) {
  for (int i = 0; i < steps; ++i) {
    ++seen.begun;
    Result<void> r = co_await wait_condition(tick, loop.after(1h));
    if (!r) ++seen.cancelled;
  }
  seen.ended = true;
}

TEST(Cancellation, AtEveryAwait) {
  constexpr int kSteps = 12;
  for (int at = 0; at < kSteps; ++at) {
    Loop loop;
    Condition tick(loop);
    Group group(loop);
    Steps seen;
    group.spawn(walk(loop, tick, kSteps, seen), "walk");
    loop.turn(false);
    for (int i = 0; i < at; ++i) {
      tick.notify_all();
      loop.turn(false);
    }
    ASSERT_EQ(seen.begun, at + 1);
    group.cancel();
    while (!group.empty())
      loop.turn(false);
    EXPECT_TRUE(seen.ended);
    EXPECT_EQ(seen.cancelled, kSteps - at);
    EXPECT_FALSE(tick.has_waiters());
  }
}

TEST(Cancellation, BeforeTheFirstLine) {
  Loop loop;
  Condition tick(loop);
  Group group(loop);
  Steps seen;
  group.spawn(walk(loop, tick, 3, seen), "walk");
  group.cancel();
  while (!group.empty())
    loop.turn(false);
  EXPECT_EQ(seen.cancelled, 3);
}

struct Counted {
  explicit Counted(int& live) : live_(live) { ++live_; }
  Counted(const Counted& other) : live_(other.live_) { ++live_; }
  ~Counted() { --live_; }
  int& live_;
};

Task<void> hold(Condition& c, int& live, int depth) {
  Counted local(live);
  if (depth > 0) {
    co_await hold(c, live, depth - 1);
  } else {
    Result<void> r = co_await c.wait(Deadline::never());
    (void)r;
  }
}

RootTask holder(Condition& c, int& live, int depth) {
  Counted local(live);
  co_await hold(c, live, depth);
}

// Frames destroyed from outside: whole chains, at every depth, and in either order of the owners.
TEST(TearDown, EveryDepthReleasesEverything) {
  for (int depth = 0; depth < 20; ++depth) {
    int live = 0;
    Loop loop;
    auto condition = std::make_unique<Condition>(loop);
    Group group(loop);
    for (int i = 0; i < 5; ++i)
      group.spawn(holder(*condition, live, depth), "holder");
    for (int turn = 0; turn < 5; ++turn)
      loop.turn(false); // hops (C6) cost turns
    EXPECT_EQ(live, 5 * (depth + 2));
    if (depth % 2 == 0) {
      group.tear_down();
      EXPECT_EQ(live, 0);
    } else {
      condition.reset(); // ends the waits
      group.tear_down(); // while the tasks stand in the ready queue
      EXPECT_EQ(live, 0);
    }
    loop.turn(false);
  }
}

TEST(TearDown, UnstartedTasksRunNotALine) {
  int live = 0;
  Loop loop;
  Condition condition(loop);
  Group group(loop);
  group.spawn(holder(condition, live, 3), "holder");
  group.tear_down();
  EXPECT_EQ(live, 0);
  loop.turn(false);
  EXPECT_EQ(live, 0);
}

TEST(GroupTest, ClosedGroupDropsNewTasks) {
  Loop loop;
  Condition condition(loop);
  int live = 0;
  Group group(loop);
  group.close();
  group.spawn(holder(condition, live, 0), "late");
  EXPECT_TRUE(group.empty());
}

TEST(GroupTest, TraceNamesWhoWaitsWhere) {
  Loop loop;
  Condition condition(loop);
  Group group(loop);
  int live = 0;
  group.spawn(holder(condition, live, 1), "one holder");
  loop.turn(false);
  const auto lines = group.trace(10);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].label, "one holder");
  EXPECT_EQ(lines[0].waits_for, "condition");
  EXPECT_NE(lines[0].where.find("task_test.cpp:"), std::string::npos);
  group.tear_down();
}

Task<Result<int>> pop_sum(Channel<int>& channel, Loop& loop) {
  int sum = 0;
  while (true) {
    Result<int> item = co_await channel.pop(loop.after(10s));
    if (!item) {
      if (item.error().kind() == ErrorKind::closed) co_return sum;
      co_return item.error();
    }
    sum += *item;
  }
}

// What show_running() says at each step of a task, its child's steps included.
Task<Result<void>> look(Loop& loop, const std::uint32_t& shown, std::vector<std::uint32_t>& seen) {
  seen.push_back(shown);
  Result<void> slept = co_await SleepUntil(loop, loop.after(1ms));
  seen.push_back(shown);
  co_return slept;
}
RootTask look_twice(Loop& loop, const std::uint32_t& shown, std::vector<std::uint32_t>& seen) {
  seen.push_back(shown);
  Result<void> slept = co_await SleepUntil(loop, loop.after(1ms));
  seen.push_back(slept ? shown : 99);
  for (int i = 0; i < 80; ++i) { // some of these hop (C6)
    Result<void> looked = co_await look(loop, shown, seen);
    if (!looked) co_return;
  }
}

TEST(Running, IsShownWhileATaskRuns) {
  test::ManualClock clock;
  Loop loop(clock);
  Group group(loop);
  std::uint32_t shown = 7;
  loop.show_running(&shown);
  EXPECT_EQ(shown, 0u);
  std::vector<std::uint32_t> first, second, none;
  group.spawn(look_twice(loop, shown, first), "first", 11);
  group.spawn(look_twice(loop, shown, second), "second", 22);
  group.spawn(look_twice(loop, shown, none), "no number");
  while (!group.empty()) {
    loop.turn(false);
    EXPECT_EQ(shown, 0u) << "between turns nobody runs";
    clock.advance(1ms);
  }
  EXPECT_EQ(first, std::vector<std::uint32_t>(162, 11));
  EXPECT_EQ(second, std::vector<std::uint32_t>(162, 22));
  EXPECT_EQ(none, std::vector<std::uint32_t>(162, 0));
  loop.show_running(nullptr);
}

RootTask push_all(Channel<int>& channel, Loop& loop, int count) {
  for (int i = 1; i <= count; ++i) {
    Result<void> room = co_await channel.wait_room(loop.after(10s));
    if (!room) co_return;
    channel.try_push(i);
  }
  channel.close();
}

TEST(ChannelTest, BoundedHandOver) {
  Loop loop;
  Channel<int> channel(loop, 3);
  Group group(loop);
  group.spawn(push_all(channel, loop, 1000), "producer");
  const Result<int> sum = run_task<Result<int>>(loop, [&] { return pop_sum(channel, loop); });
  ASSERT_TRUE(sum.ok());
  EXPECT_EQ(*sum, 500500);
  while (!group.empty())
    loop.turn(false);
}

Task<Result<int>> offloaded(Offload& pool, Loop& loop, int value) {
  std::function<int()> job = [value] { return value * 2; };
  Result<int> result = co_await pool.run(job, loop.after(10s));
  co_return result;
}

TEST(OffloadTest, ResultComesBackThroughTheLoop) {
  Loop loop;
  Offload pool(loop);
  for (int i = 0; i < 200; ++i) {
    const Result<int> result =
        run_task<Result<int>>(loop, [&] { return offloaded(pool, loop, i); });
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(*result, 2 * i);
  }
}

TEST(OffloadTest, FullPoolAnswersBusy) {
  Loop loop;
  Offload pool(loop, {.threads = 1, .queue = 1});
  std::mutex gate;
  gate.lock();
  int done = 0;
  const auto job = [&] { const std::lock_guard wait(gate); };
  EXPECT_TRUE(pool.submit(job, [&] { ++done; }));
  EXPECT_TRUE(pool.submit(job, [&] { ++done; }));
  const Result<int> result = run_task<Result<int>>(loop, [&] { return offloaded(pool, loop, 1); });
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().kind(), ErrorKind::busy);
  gate.unlock();
  while (done < 2)
    loop.turn(true);
}

TEST(OffloadTest, DeadlineEndsTheWaitNotTheJob) {
  test::ManualClock clock;
  Loop loop(clock);
  Offload pool(loop);
  std::mutex gate;
  gate.lock();
  std::function<int()> job = [&] {
    const std::lock_guard wait(gate);
    return 1;
  };
  struct Body {
    static RootTask run(Offload& p, std::function<int()>& j, Deadline d,
                        std::optional<Result<int>>& out) {
      Result<int> r = co_await p.run(j, d);
      out.emplace(r);
    }
  };
  std::optional<Result<int>> out;
  Group group(loop);
  group.spawn(Body::run(pool, job, loop.after(1s), out), "caller");
  loop.turn(false);
  clock.advance(2s);
  while (!out)
    loop.turn(false);
  ASSERT_FALSE(out->ok());
  EXPECT_EQ(out->error().kind(), ErrorKind::timeout);
  gate.unlock();
  while (pool.late_results() == 0)
    loop.turn(true);
}

// As behind a suspend of the host, or a process that was stopped: a timer that sets itself again
// fires once for the whole of the pause, and is not made up for.
TEST(TimerTest, BehindALongPauseEachFiresOnce) {
  test::ManualClock clock;
  Loop loop(clock);
  struct Beat {
    explicit Beat(Loop& l)
        : loop(l), timer(
                       l,
                       [](void* b) {
                         auto* self = static_cast<Beat*>(b);
                         ++self->count;
                         self->timer.arm(self->loop.after(5s));
                       },
                       this) {
      timer.arm(loop.after(5s));
    }
    Loop& loop;
    int count = 0;
    Timer timer;
  };
  Beat one(loop);
  Beat two(loop);
  clock.advance(6h);
  for (int i = 0; i < 10; ++i)
    loop.turn(false);
  EXPECT_EQ(one.count, 1);
  EXPECT_EQ(two.count, 1);
  clock.advance(5s);
  loop.turn(false);
  EXPECT_EQ(one.count, 2);
}

TEST(TimerTest, FireInOrderOfDueTime) {
  test::ManualClock clock;
  Loop loop(clock);
  std::vector<int> fired;
  struct Entry {
    Entry(Loop& l, std::vector<int>& out, int n)
        : fired(out), number(n), timer(
                                     l,
                                     [](void* e) {
                                       auto* self = static_cast<Entry*>(e);
                                       self->fired.push_back(self->number);
                                     },
                                     this) {}
    std::vector<int>& fired;
    int number;
    Timer timer;
  };
  std::vector<std::unique_ptr<Entry>> entries;
  for (int i = 0; i < 500; ++i) {
    entries.push_back(std::make_unique<Entry>(loop, fired, (i * 7919) % 500));
    entries.back()->timer.arm(loop.after(std::chrono::milliseconds(entries.back()->number)));
  }
  for (int i = 0; i < 500; i += 3)
    entries[i]->timer.disarm();
  clock.advance(1s);
  loop.turn(false);
  EXPECT_TRUE(std::is_sorted(fired.begin(), fired.end()));
  EXPECT_EQ(fired.size(), 500u - 167u);
}

} // namespace
} // namespace postrider::ev
