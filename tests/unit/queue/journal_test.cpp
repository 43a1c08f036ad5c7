// SPDX-License-Identifier: MIT
#include "fixture.hpp"

#include <fcntl.h>

#include "support/fault_fs.hpp"

namespace postrider::queue {

namespace {

class Journal : public testing::Test {
 protected:
  Journal() {
    auto fd = fs.open(dir.path() + "/segment", O_RDWR | O_CREAT, 0600);
    POSTRIDER_CHECK(fd.ok());
    reader = std::move(*fd->duplicate());
    POSTRIDER_CHECK(fs.preallocate(fd->get(), info.size).ok());
    writer = std::make_unique<SegmentWriter>(fs, info, std::move(*fd));
  }
  Result<Scan> scan() { return scan_segment(real_file_system(), reader.get(), info); }

  test::ScratchDir dir;
  test::FaultFs fs{real_file_system(), dir.path()};
  SegmentInfo info{7, 1, 1000, 0xabcdef, 64 << 10};
  Fd reader;
  std::unique_ptr<SegmentWriter> writer;
};

TEST_F(Journal, RecordWrittenDuringASyncWaitsForTheNext) { // W1
  auto first = put(*writer, make_envelope(1), "first");
  const SegmentWriter::Group group = writer->begin_group();
  auto second = put(*writer, make_envelope(1), "second");
  ASSERT_TRUE(second);
  EXPECT_FALSE(writer->needs_sync()); // W3
  ASSERT_TRUE(writer->finish_group(group, SegmentWriter::sync_group(fs, group)));
  EXPECT_TRUE(writer->is_committed(*first));
  EXPECT_FALSE(writer->is_committed(*second));
  EXPECT_TRUE(writer->needs_sync());
  ASSERT_TRUE(commit(fs, *writer));
  EXPECT_TRUE(writer->is_committed(*second));
  EXPECT_FALSE(writer->needs_sync());
}

TEST_F(Journal, FailedSyncEndsTheSegment) { // W2
  auto before = put(*writer, make_envelope(1), "before");
  ASSERT_TRUE(commit(fs, *writer));
  auto lost = put(*writer, make_envelope(1), "lost");
  fs.fail({.call = 1, .error = EIO});
  EXPECT_FALSE(commit(fs, *writer));
  fs.stop_failing();
  EXPECT_TRUE(writer->is_committed(*before));
  EXPECT_FALSE(writer->is_committed(*lost));
  EXPECT_FALSE(writer->needs_sync()); // never tried again and then believed
  EXPECT_FALSE(put(*writer, make_envelope(1), "after"));
  EXPECT_FALSE(writer->has_room(1, make_envelope(1)));
}

TEST_F(Journal, OverdueSyncIsNotBelieved) {
  auto record = put(*writer, make_envelope(1), "late");
  const SegmentWriter::Group group = writer->begin_group();
  writer->poison();
  EXPECT_FALSE(writer->finish_group(group, {}));
  EXPECT_FALSE(writer->is_committed(*record));
}

TEST_F(Journal, FailedWriteEndsTheSegment) {
  fs.fail({.call = 1, .error = ENOSPC, .partial = true});
  EXPECT_FALSE(put(*writer, make_envelope(1), "half"));
  fs.stop_failing();
  EXPECT_TRUE(writer->poisoned());
  auto found = scan();
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->records.empty());
}

TEST_F(Journal, FullSegmentRefusesAndStaysUsable) {
  const std::string big(40 << 10, 'x');
  ASSERT_TRUE(put(*writer, make_envelope(1), big));
  EXPECT_FALSE(writer->has_room(big.size(), make_envelope(1)));
  auto second = put(*writer, make_envelope(1), big);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind(), ErrorKind::limit);
  EXPECT_TRUE(put(*writer, make_envelope(1), "small"));
  EXPECT_TRUE(commit(fs, *writer));
}

TEST_F(Journal, MessageThatIsARecordIsNotTakenForOne) {
  RecordHeader guess;
  guess.tag = info.tag + 1; // everything known but the secret
  guess.pool = info.pool;
  guess.segment = info.segment;
  guess.id = Id::make(info.loan, 99);
  std::string inner;
  auto plain = put(*writer, make_envelope(1), std::string(4096, 'x'));
  // Where the content of the next record will stand: aligned, and its own place.
  for (std::uint64_t offset = 0; offset < 2048; offset += 8) {
    guess.place = plain->offset + plain->length + offset;
    guess.place += (8 - guess.place % 8) % 8;
    put_record(inner, guess, make_envelope(1), facts_of("x"), "x", {});
    inner.resize((inner.size() + 7) & ~std::size_t{7});
  }
  auto second = put(*writer, make_envelope(1), inner.substr(0, 32 << 10));
  ASSERT_TRUE(second) << second.error().text();
  ASSERT_TRUE(fs.pwrite(reader.get(), "XXXX", second->offset)); // damage in front of it
  auto found = scan();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->records.size(), 1u);
}

TEST_F(Journal, EveryDamagedBlockCostsOnlyTheRecordsInIt) {
  std::vector<Announced> records;
  for (int i = 0; i < 12; ++i) {
    auto record = put(*writer, make_envelope(1 + i % 3), std::string(300 + 400 * (i % 4), 'a'));
    ASSERT_TRUE(record);
    records.push_back(*record);
    ASSERT_TRUE(commit(fs, *writer));
  }
  const std::uint64_t end = records.back().offset + records.back().length;
  for (std::uint64_t block = kSegmentHeader; block < end; block += 512) {
    for (const char fill : {'\0', 'Z'}) {
      auto old = fs.pread(reader.get(), 512, block);
      ASSERT_TRUE(fs.pwrite(reader.get(), std::string(512, fill), block));
      std::size_t hit = 0;
      for (const Announced& record : records)
        if (record.offset < block + 512 && record.offset + record.length > block) ++hit;
      auto found = scan();
      ASSERT_TRUE(found);
      EXPECT_EQ(found->records.size(), records.size() - hit) << "block " << block;
      if (block + 512 <= records.back().offset) {
        EXPECT_FALSE(found->damage.empty());
        // The last record tells how far the segment was synced before it.
        for (const Damage& damage : found->damage)
          EXPECT_TRUE(damage.acknowledged);
      }
      ASSERT_TRUE(fs.pwrite(reader.get(), *old, block));
    }
  }
}

} // namespace

} // namespace postrider::queue
