// SPDX-License-Identifier: MIT
#include "queue/journal.hpp"

#include "base/crc32c.hpp"

namespace postrider::queue {

namespace {

constexpr std::string_view kMagic = "PRsg";
constexpr std::size_t kHeaderUsed = 52; // up to and including the checksum
constexpr std::uint32_t kMaxSequence = (1U << Id::kSequenceBits) - 1;

std::uint64_t aligned(std::uint64_t offset) {
  return (offset + kRecordAlign - 1) & ~std::uint64_t{kRecordAlign - 1};
}

} // namespace

std::string segment_header(const SegmentInfo& info) {
  std::string out(kMagic);
  put_le<std::uint16_t>(out, 1);
  put_le<std::uint16_t>(out, 0);
  put_le<std::uint64_t>(out, info.pool);
  put_le<std::uint32_t>(out, info.segment);
  put_le<std::uint32_t>(out, 0);
  put_le<std::uint64_t>(out, info.loan);
  put_le<std::uint64_t>(out, info.tag);
  put_le<std::uint64_t>(out, info.size);
  put_le<std::uint32_t>(out, crc32c(out));
  POSTRIDER_CHECK(out.size() == kHeaderUsed);
  out.resize(kSegmentHeader, '\0');
  return out;
}

Result<SegmentInfo> parse_segment_header(ByteView in) {
  const auto bad = [](std::string_view what) {
    return Error(ErrorKind::protocol, "segment header: " + std::string(what));
  };
  if (in.size() < kHeaderUsed) return bad("too short");
  if (in.substr(0, 4) != kMagic) return bad("not a segment");
  if (crc32c(in.substr(0, kHeaderUsed - 4)) != get_le<std::uint32_t>(in.substr(kHeaderUsed - 4)))
    return bad("checksum");
  if (get_le<std::uint16_t>(in.substr(4)) != 1) return bad("unknown version");
  SegmentInfo info;
  info.pool = get_le<std::uint64_t>(in.substr(8));
  info.segment = get_le<std::uint32_t>(in.substr(16));
  info.loan = get_le<std::uint64_t>(in.substr(24));
  info.tag = get_le<std::uint64_t>(in.substr(32));
  info.size = get_le<std::uint64_t>(in.substr(40));
  if (info.tag == 0 || info.segment == 0) return bad("impossible values");
  return info;
}

SegmentWriter::SegmentWriter(FileSystem& fs, SegmentInfo info, Fd fd)
    : fs_(&fs), info_(info), fd_(std::make_shared<const Fd>(std::move(fd))) {}

bool SegmentWriter::has_room(std::uint64_t content, const mail::Envelope& envelope) const {
  // A generous guess; append() has the last word.
  std::uint64_t guess = kRecordHeader + 2048 + content;
  for (const mail::Recipient& r : envelope.recipients)
    guess += 64 + r.address.size() + r.orcpt.size();
  return !poisoned_ && next_sequence_ < kMaxSequence && next_place_ + guess <= info_.size;
}

Result<Announced> SegmentWriter::append(Id id, const mail::Envelope& envelope,
                                        const mail::ContentFacts& facts, ByteView head,
                                        ByteView body) {
  if (poisoned_) return Error(ErrorKind::io, "the segment takes no more mail");
  if (id.loan() != info_.loan) return Error(ErrorKind::limit, "id of another loan");
  if (auto clean = mail::check_clean(envelope); !clean) return clean.error();
  RecordHeader header;
  header.tag = info_.tag;
  header.pool = info_.pool;
  header.segment = info_.segment;
  header.place = next_place_;
  header.id = id;
  header.synced = committed_;
  scratch_.clear();
  put_record(scratch_, header, envelope, facts, head, body);
  const std::uint64_t end = next_place_ + scratch_.size();
  if (end > info_.size) return Error(ErrorKind::limit, "the segment is full");
  if (auto written = fs_->pwrite(fd_->get(), scratch_, next_place_); !written) {
    poisoned_ = true;
    return written.error();
  }
  const Announced record{id.number(), next_place_, scratch_.size()};
  written_ = end;
  next_place_ = aligned(end);
  if (scratch_.capacity() > (1U << 20)) scratch_ = {};
  return record;
}

SegmentWriter::Group SegmentWriter::begin_group() {
  POSTRIDER_CHECK(needs_sync());
  in_flight_ = true;
  // W1: what is written after this line is not covered, even if the sync takes it along.
  return {fd_, written_};
}

Result<void> SegmentWriter::sync_group(FileSystem& fs, const Group& group) {
  return fs.fdatasync(group.fd->get());
}

Result<void> SegmentWriter::finish_group(const Group& group, Result<void> synced) {
  POSTRIDER_CHECK(in_flight_);
  in_flight_ = false;
  if (!synced) {
    poisoned_ = true;
    return synced;
  }
  if (poisoned_) return Error(ErrorKind::io, "the segment was given up during the sync");
  committed_ = group.end; // accepted from here
  return {};
}

} // namespace postrider::queue
