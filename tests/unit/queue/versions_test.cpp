// SPDX-License-Identifier: MIT
// A queue in which a later version has written: the number of a format is another one, and all
// checksums are right. Nothing of it is deleted, overwritten or taken for mail.
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <iterator>

#include "base/crc32c.hpp"
#include "fixture.hpp"

namespace postrider::queue {
namespace {

using testing::HasSubstr;

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The header at `offset`, of which so many bytes stand under the checksum that follows them.
void make_newer(const std::string& path, std::size_t offset, std::size_t checked) {
  std::string bytes = bytes_of(path);
  ASSERT_GE(bytes.size(), offset + checked + 4);
  std::string number;
  put_le<std::uint16_t>(number, 2);
  bytes.replace(offset + 4, 2, number);
  std::string sum;
  put_le<std::uint32_t>(sum, crc32c(ByteView(bytes).substr(offset, checked)));
  bytes.replace(offset + checked, 4, sum);
  std::ofstream(path, std::ios::binary) << bytes;
}

class NewerVersion : public QueueFixture {
 protected:
  void SetUp() override {
    open();
    auto lent = lend(fs, *queue, 1);
    ASSERT_TRUE(lent);
    first = accept(*lent, make_envelope(1), "one\r\n");
    second = accept(*lent, make_envelope(1), "two\r\n");
  }
  std::vector<std::string> set_aside() {
    std::vector<std::string> out;
    for (const auto& entry : std::filesystem::directory_iterator(layout.corrupt()))
      if (!entry.path().string().ends_with(".reason")) out.push_back(bytes_of(entry.path()));
    return out;
  }
  const Layout layout{options.directory};
  Arrived first, second;
};

TEST_F(NewerVersion, SegmentIsLeftAndNeverUsed) {
  queue.reset();
  const std::string path = layout.segment(1);
  make_newer(path, 0, 48);
  const std::string before = bytes_of(path);
  open();
  EXPECT_TRUE(found.empty());
  EXPECT_THAT(alarms(), HasSubstr("unknown version; left as it is"));
  for (std::uint64_t holder = 2; holder < 8; ++holder) {
    auto writer = lend(fs, *queue, holder);
    if (!writer) break; // no more segments
    EXPECT_NE(writer->info().segment, 1u);
    accept(*writer, make_envelope(1), "other\r\n");
  }
  EXPECT_EQ(bytes_of(path), before);
}

TEST_F(NewerVersion, RecordIsSetAsideAndOthersAreDelivered) {
  queue.reset();
  const auto offset = static_cast<std::size_t>(first.state.place.offset);
  make_newer(layout.segment(1), offset, kRecordHeader - 4);
  const std::string record = bytes_of(layout.segment(1)).substr(offset, kRecordHeader);
  open();
  EXPECT_EQ(found.size(), 1u);
  EXPECT_TRUE(found.contains(second.state.id));
  EXPECT_THAT(set_aside(), testing::Contains(testing::StartsWith(record)));
}

TEST_F(NewerVersion, MessageFileIsSetAsideWhole) {
  happened(first, deferral(0, 1, 1));
  migrate(first, Folder::deferred);
  queue->park(first.state);
  ASSERT_TRUE(queue->run_all());
  queue.reset();
  const std::string path = layout.file(Folder::deferred, first.state.id);
  make_newer(path, 0, kRecordHeader - 4);
  const std::string before = bytes_of(path);
  open();
  ASSERT_TRUE(queue->run_all());
  LoadJob job = queue->begin_load(queue->due(INT64_MAX, 10).value());
  job.run(fs);
  EXPECT_TRUE(queue->finish_load(job).empty());
  EXPECT_THAT(set_aside(), testing::ElementsAre(before));
}

// What it says is done would be done again.
TEST_F(NewerVersion, LedgerEndsTheStart) {
  queue->delivered(first.state.id, 0);
  ASSERT_TRUE(queue->sync_now());
  queue.reset();
  make_newer(layout.ledger(0), 0, 48);
  const std::string before = bytes_of(layout.ledger(0));
  const auto opened = Queue::open(fs, clock, options, [](Arrived&&) {});
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().text(), HasSubstr("newer version"));
  EXPECT_EQ(bytes_of(layout.ledger(0)), before);
}

// Ids of all loans, with a clock that stands, goes back, leaps and comes back.
class IdsOf : public QueueFixture {};
TEST_F(IdsOf, LoansDifferWhateverTheClockSays) {
  using namespace std::chrono_literals;
  open();
  std::vector<std::uint64_t> loans;
  const auto lend_one = [&] {
    auto writer = lend(fs, *queue, loans.size() + 1);
    ASSERT_TRUE(writer) << writer.error().text();
    loans.push_back(writer->info().loan);
    const Arrived arrived = accept(*writer, make_envelope(1), "x\r\n");
    queue->delivered(arrived.state.id, 0);
    queue->finish(arrived.state.id);
    ASSERT_TRUE(queue->sync_now());
    queue->holder_exited(loans.size());
  };
  for (const Duration jump : {Duration(0), Duration(-1h), Duration(87600h), Duration(-87600h),
                              Duration(-400000h), Duration(400001h)}) {
    clock.jump_wall(jump);
    lend_one();
    lend_one();
    reopen();
  }
  for (std::size_t i = 1; i < loans.size(); ++i)
    EXPECT_GT(loans[i], loans[i - 1]);
}

} // namespace
} // namespace postrider::queue
