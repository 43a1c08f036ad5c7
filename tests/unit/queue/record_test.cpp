// SPDX-License-Identifier: MIT
#include "fixture.hpp"

#include <fcntl.h>

namespace postrider::queue {

namespace {

RecordHeader some_header() {
  RecordHeader header;
  header.tag = 0x1122334455667788;
  header.pool = 99;
  header.segment = 3;
  header.place = 4096;
  header.id = Id::make(77, 1);
  header.synced = 4096;
  return header;
}

const RecordOrigin kOrigin{.pool = 99, .segment = 3, .tag = 0x1122334455667788, .place = 4096};

std::string some_record(const std::string& content) {
  std::string out;
  put_record(out, some_header(), make_envelope(2), facts_of(content), content, {});
  return out;
}

TEST(Record, ComesBackWhole) {
  const std::string bytes = some_record("Subject: x\r\n\r\nbody\r\n");
  auto record = read_record(bytes, kOrigin, Check::everything);
  ASSERT_TRUE(record) << record.error().text();
  EXPECT_EQ(record->envelope, make_envelope(2));
  EXPECT_EQ(record->header.id, Id::make(77, 1));
  EXPECT_EQ(bytes.substr(record->content_offset - 4096), "Subject: x\r\n\r\nbody\r\n");
}

TEST(Record, ContentInTwoPiecesIsOneContent) {
  std::string one, two;
  put_record(one, some_header(), make_envelope(1), facts_of("abcdef"), "abcdef", {});
  put_record(two, some_header(), make_envelope(1), facts_of("abcdef"), "ab", "cdef");
  EXPECT_EQ(one, two);
}

TEST(Record, EveryChangedByteIsNoticed) {
  const std::string bytes = some_record("body\r\n");
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (const char flip : {'\x01', '\x80'}) {
      std::string changed = bytes;
      changed[i] = static_cast<char>(changed[i] ^ flip);
      EXPECT_FALSE(read_record(changed, kOrigin, Check::everything)) << "byte " << i;
    }
  }
}

TEST(Record, EveryCutIsNoticed) {
  const std::string bytes = some_record("body\r\n");
  for (std::size_t i = 0; i < bytes.size(); ++i)
    EXPECT_FALSE(read_record(ByteView(bytes).substr(0, i), kOrigin, Check::everything));
}

struct OriginCase {
  const char* name;
  RecordOrigin origin;
};
class OtherOrigin : public testing::TestWithParam<OriginCase> {};
TEST_P(OtherOrigin, IsRefused) {
  EXPECT_FALSE(read_record(some_record("body\r\n"), GetParam().origin, Check::envelope));
}
INSTANTIATE_TEST_SUITE_P(Record, OtherOrigin,
                         testing::ValuesIn<OriginCase>({
                             {"Generation", {99, 3, 0x1122334455667789, 4096}},
                             {"Pool", {98, 3, 0x1122334455667788, 4096}},
                             {"Segment", {99, 4, 0x1122334455667788, 4096}},
                             {"Place", {99, 3, 0x1122334455667788, 4104}},
                         }),
                         [](const auto& param) { return std::string(param.param.name); });

TEST(Record, LineBreakInTheEnvelopeIsRefusedOnRead) {
  mail::Envelope envelope = make_envelope(1);
  envelope.recipients[0].address = "a@b\nQUIT";
  std::string bytes;
  put_record(bytes, some_header(), envelope, facts_of("x"), "x", {});
  EXPECT_FALSE(read_record(bytes, kOrigin, Check::envelope));
}

class ContentCheckTest : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = fs.open(dir.path() + "/segment", O_RDWR | O_CREAT);
    ASSERT_TRUE(opened);
    fd = std::move(*opened);
    ASSERT_TRUE(fs.pwrite(fd.get(), bytes, 4096));
    place = {3, kOrigin.tag, 4096, bytes.size()};
  }
  test::ScratchDir dir;
  FileSystem& fs = real_file_system();
  Fd fd;
  std::string bytes = some_record("body\r\n");
  Place place;
};

TEST_F(ContentCheckTest, ConfirmsWhatWasRead) {
  ContentCheck check(Id::make(77, 1), place);
  check.feed("bo");
  check.feed("dy\r\n");
  EXPECT_TRUE(check.confirm(fs, fd.get()));
}

TEST_F(ContentCheckTest, RefusesOtherBytesOtherMessageOtherGeneration) {
  ContentCheck damaged(Id::make(77, 1), place);
  damaged.feed("bodz\r\n");
  EXPECT_FALSE(damaged.confirm(fs, fd.get()));
  ContentCheck shorter(Id::make(77, 1), place);
  shorter.feed("body\r");
  EXPECT_FALSE(shorter.confirm(fs, fd.get()));
  ContentCheck other(Id::make(77, 2), place);
  other.feed("body\r\n");
  EXPECT_FALSE(other.confirm(fs, fd.get()));
  // The segment was given to new mail while the agent sent.
  RecordHeader next = some_header();
  next.tag ^= 1;
  std::string reused;
  put_record(reused, next, make_envelope(2), facts_of("body\r\n"), "body\r\n", {});
  ASSERT_TRUE(fs.pwrite(fd.get(), reused, 4096));
  ContentCheck stale(Id::make(77, 1), place);
  stale.feed("body\r\n");
  EXPECT_FALSE(stale.confirm(fs, fd.get()));
}

TEST(Cell, ReaderStepsOverDamageAndIgnoresOldBytes) {
  std::string cells;
  for (int i = 0; i < 5; ++i)
    put_cell(cells, 42, 4096 + cells.size(), static_cast<std::uint8_t>(i), std::string(i * 5, 'x'));
  std::string foreign; // a former life of the file, right behind
  put_cell(foreign, 41, 4096 + cells.size(), 9, "old");
  const auto kinds = [&](const std::string& bytes) {
    CellReader reader(bytes, 42, 4096);
    Cell cell;
    std::vector<int> out;
    while (reader.next(cell))
      out.push_back(cell.kind);
    return out;
  };
  EXPECT_EQ(kinds(cells + foreign), (std::vector<int>{0, 1, 2, 3, 4}));
  for (std::size_t i = 0; i < cells.size(); ++i) {
    std::string changed = cells + foreign;
    changed[i] = static_cast<char>(changed[i] ^ 0x10);
    const auto seen = kinds(changed);
    EXPECT_GE(seen.size(), 4u); // at most the one that was hit is missing
    for (const int kind : seen)
      EXPECT_LT(kind, 5);
  }
  // A cell inside another cell's body is not a cell: it stands at another place.
  std::string inner, outer;
  put_cell(inner, 42, 4096, 7, "inner");
  put_cell(outer, 42, 4096, 8, inner);
  outer[0] = static_cast<char>(outer[0] ^ 1);
  EXPECT_TRUE(kinds(outer).empty());
}

} // namespace

} // namespace postrider::queue
