// SPDX-License-Identifier: MIT
// A segment's header and a record in it: as they stand, and with checksums made right.
#include "queue/journal.hpp"
#include "fuzz/queue_files.hpp"

namespace {
using namespace postrider;

void read_at(fuzz::InputFiles& fs, std::string bytes, const queue::RecordOrigin& origin) {
  bytes.insert(0, origin.place, '\0');
  fs.files["segment"] = bytes;
  const auto fd = fs.open("segment", 0, 0);
  const auto of_file = queue::read_record(fs, fd->get(), origin, queue::Check::everything);
  const auto of_bytes =
      queue::read_record(ByteView(bytes).substr(origin.place), origin, queue::Check::everything);
  POSTRIDER_CHECK(of_file.ok() == of_bytes.ok());
  if (!of_file) return;
  POSTRIDER_CHECK(of_file->envelope == of_bytes->envelope && of_file->facts == of_bytes->facts);
  POSTRIDER_CHECK(of_file->content_offset + of_file->facts.size <= bytes.size());
  POSTRIDER_CHECK(mail::check_clean(of_file->envelope).ok());
  // Written again it is the same record.
  std::string again;
  const ByteView content = ByteView(bytes).substr(of_file->content_offset, of_file->facts.size);
  queue::put_record(again, of_file->header, of_file->envelope, of_file->facts, content, {});
  const auto reread = queue::read_record(again, origin, queue::Check::everything);
  POSTRIDER_CHECK(reread && reread->envelope == of_file->envelope);

  queue::ContentCheck check(of_file->header.id, of_file->header.where());
  check.feed(content);
  POSTRIDER_CHECK(check.confirm(fs, fd->get()).ok());
}

} // namespace

FUZZ(input) {
  const unsigned options = fuzz::take_byte(input);
  std::string bytes(input);
  if ((options & 1) != 0) {
    fuzz::mend_block(bytes, 0, 52);
    const auto info = queue::parse_segment_header(bytes);
    if (info) POSTRIDER_CHECK(*queue::parse_segment_header(queue::segment_header(*info)) == *info);
    return;
  }
  fuzz::InputFiles fs;
  queue::RecordOrigin origin{.pool = 7, .segment = 3, .tag = 0x1122, .place = 4096};
  (void)queue::looks_like_header(bytes, origin);
  if ((options & 2) != 0 && bytes.size() >= queue::kRecordHeader) {
    const ByteView in(bytes);
    origin.tag = get_le<std::uint64_t>(in.substr(16));
    origin.pool = get_le<std::uint64_t>(in.substr(24));
    origin.segment = get_le<std::uint32_t>(in.substr(32));
    bytes.replace(40, 8, std::string("\0\x10\0\0\0\0\0\0", 8));
    fuzz::mend_record(bytes, 0);
  }
  read_at(fs, bytes, origin);
}
