// SPDX-License-Identifier: MIT
// When a segment may be used again, and what becomes of one that cannot be made.
#include "fixture.hpp"

#include <algorithm>
#include <array>

namespace postrider::queue {

namespace {

class Pool : public QueueFixture {};

// P1-P5 become true in every order, a ledger sync before each place and behind the last. Until all
// five hold and the marks are synced nobody gets the segment.
TEST_F(Pool, SegmentIsLentAgainOnlyWhenAllFiveHold) {
  options.pool.max_segments = 1;
  enum Step { deliver, migrated, reader_closes, writer_returns, sync };
  std::array<Step, 5> order = {deliver, migrated, reader_closes, writer_returns, sync};
  int orders = 0;
  do {
    std::string shown;
    options.directory = dir.path() + "/" + std::to_string(orders++);
    test::FaultFs local(real_file_system(), options.directory);
    auto opened = Queue::open(local, clock, options, [](Arrived&&) {});
    ASSERT_TRUE(opened);
    queue = std::move(*opened);
    auto writer = lend(local, *queue, 1);
    ASSERT_TRUE(writer);
    std::vector<Arrived> mail;
    for (const char* text : {"delivered\r\n", "migrated\r\n"}) {
      const auto record = put(*writer, make_envelope(1), text);
      ASSERT_TRUE(commit(local, *writer));
      mail.push_back(queue->admit(writer->info().loan, {*record}, Check::everything).at(0));
    }
    auto content = queue->open_content(mail[0].state.place, mail[0].state.id, Folder::incoming);
    ASSERT_TRUE(content);
    bool unsynced = false, open = true;
    std::size_t done = 0;
    for (const Step step : order) {
      shown += std::to_string(step);
      switch (step) {
      case deliver:
        queue->delivered(mail[0].state.id, 0);
        queue->finish(mail[0].state.id);
        break;
      case migrated: {
        std::vector<MigrateJob::Item> items(1);
        items[0].state = mail[1].state;
        MigrateJob job = queue->begin_migrate(std::move(items));
        EXPECT_FALSE(queue->begin_lend(1)) << shown << ": while a copy is made";
        job.run(local);
        EXPECT_FALSE(queue->begin_lend(1)) << shown << ": before its mark";
        queue->finish_migrate(job);
        break;
      }
      case reader_closes: queue->close_content(mail[0].state.place); break;
      case writer_returns:
        queue->writer_returned(writer->info().loan);
        *writer = SegmentWriter(local, {}, Fd());
        break;
      case sync: ASSERT_TRUE(queue->sync_now()); break;
      }
      unsynced = step != sync && (unsynced || step != reader_closes);
      open = ++done < order.size() || unsynced;
      EXPECT_TRUE(!open || !queue->begin_lend(1)) << shown;
    }
    ASSERT_TRUE(queue->sync_now());
    auto again = lend(local, *queue, 1);
    ASSERT_TRUE(again) << shown << ": " << again.error().text();
    EXPECT_EQ(again->info().segment, 1u);
    queue.reset();
  } while (std::next_permutation(order.begin(), order.end()));
  EXPECT_EQ(orders, 120);
}

TEST_F(Pool, SegmentWhoseDescriptorIsStillOpenSomewhereIsNotLent) {
  options.pool.max_segments = 1;
  open();
  LendJob job = *queue->begin_lend(1);
  job.run(fs);
  Lent lent = *queue->finish_lend(job);
  ASSERT_TRUE(queue->sync_now());
  auto kept = lent.fd.duplicate(); // a copy in another process counts as well
  lent.fd.reset();
  queue->writer_returned(lent.info.loan);
  ASSERT_TRUE(queue->sync_now());
  EXPECT_FALSE(lend(fs, *queue, 2)); // its last holder lives
  queue->holder_exited(1);
  auto refused = lend(fs, *queue, 2);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind(), ErrorKind::busy);
  kept->reset();
  EXPECT_TRUE(lend(fs, *queue, 2));
}

class HalfMade : public Pool, public testing::WithParamInterface<int> {};

TEST_P(HalfMade, SegmentIsRemovedAndTheNextOneWorks) {
  options.pool.max_segments = 2;
  open();
  auto in_hand = lend(fs, *queue, 1);
  ASSERT_TRUE(in_hand);
  std::uint64_t call = 1;
  for (;; ++call) {
    fs.fail({.call = call, .error = GetParam()});
    LendJob job = *queue->begin_lend(2);
    job.run(fs);
    fs.stop_failing();
    auto lent = queue->finish_lend(job);
    if (lent) break;
    EXPECT_EQ(lent.error().saved_errno(), GetParam());
    EXPECT_FALSE(fs.stat(queue->layout().segment(2)).ok()) << "call " << call;
    accept(*in_hand, make_envelope(1), "the segment in hand goes on\r\n");
  }
  EXPECT_GE(call, 6u);
}

INSTANTIATE_TEST_SUITE_P(Errors, HalfMade, testing::Values(ENOSPC, EDQUOT, EFBIG, EIO));

} // namespace

} // namespace postrider::queue
