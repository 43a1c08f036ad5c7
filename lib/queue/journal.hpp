// SPDX-License-Identifier: MIT
// The journal, seen by the process that writes new mail into a segment (smtpd, bounce), and the
// segment layout both sides share. See pool.hpp for qmgr's side.
//
//   segment = header-block(4096) record pad record pad ... old-bytes
//   header-block = "PRsg" version(2)=1 zero(2) pool(8) segment(4) zero(4) loan(8) tag(8) size(8)
//                  crc32c(4) zeros
//
// A segment is a preallocated file that is lent, filled, drained and lent again. Each loan has a
// number (ids are made of it) and a random 64-bit generation tag that is told to nobody outside.
#pragma once

#include <memory>

#include "queue/message_record.hpp"

namespace postrider::queue {

constexpr std::uint64_t kSegmentHeader = 4096;

struct SegmentInfo {
  std::uint64_t pool = 0;
  std::uint32_t segment = 0;
  std::uint64_t loan = 0;
  std::uint64_t tag = 0;
  std::uint64_t size = 0;

  RecordOrigin origin(std::uint64_t place) const { return {pool, segment, tag, place}; }
  bool operator==(const SegmentInfo&) const = default;
  template <typename V, typename S>
  static void fields(V& v, S& s) { // how qmgr tells a writer, next to the descriptor
    v("pool", s.pool);
    v("segment", s.segment);
    v("loan", s.loan);
    v("tag", s.tag);
    v("size", s.size);
  }
};

std::string segment_header(const SegmentInfo& info); // kSegmentHeader bytes
Result<SegmentInfo> parse_segment_header(ByteView block);

// One record in a segment, as its writer announces it. All a reader needs to look for itself.
struct Announced {
  std::uint64_t id = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;

  bool operator==(const Announced&) const = default;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("id", s.id);
    v("offset", s.offset);
    v("length", s.length);
  }
};

// The writer of one lent segment. Owned by one loop thread; append() writes to the page cache and
// counts as not blocking. The sync is split: begin_group() on the loop, sync_group() on any thread,
// finish_group() on the loop.
//
//   W1  a record counts as durable only after a sync that began after its write returned
//   W2  after a failed write or sync the writer takes no more records, and nothing that was not
//       durable before ever becomes so: the callers of those records answer 451
//   W3  at most one group is in flight
class SegmentWriter {
 public:
  SegmentWriter(FileSystem& fs, SegmentInfo info, Fd fd);

  const SegmentInfo& info() const { return info_; }
  Id next_id() { return Id::make(info_.loan, next_sequence_++); }
  // Would a record of about this length (content + envelope) still fit?
  bool has_room(std::uint64_t content, const mail::Envelope& envelope) const;

  // Writes one whole record. Error limit: does not fit (the writer stays usable). Any other error
  // poisons the writer. `id` must come from next_id() of this writer, each used once, in order.
  Result<Announced> append(Id id, const mail::Envelope& envelope, const mail::ContentFacts& facts,
                           ByteView head, ByteView body = {});

  struct Group {
    std::shared_ptr<const Fd> fd; // keeps the descriptor alive while a thread syncs it
    std::uint64_t end = 0;        // records that end at or before this are covered
  };
  bool needs_sync() const { return written_ > committed_ && !in_flight_ && !poisoned_; }
  Group begin_group(); // REQUIRES needs_sync()
  // Blocks. Touches nothing but its arguments.
  static Result<void> sync_group(FileSystem& fs, const Group& group);
  // Accepted from here: when this returns success, every record that ends at or before group.end
  // may be answered 250, and not before.
  Result<void> finish_group(const Group& group, Result<void> synced);

  std::uint64_t committed() const { return committed_; } // file offset
  bool is_committed(const Announced& record) const {
    return record.offset + record.length <= committed_;
  }
  bool poisoned() const { return poisoned_; }
  // A sync that is overdue is not believed when it returns later.
  void poison() { poisoned_ = true; }

 private:
  FileSystem* fs_;
  SegmentInfo info_;
  std::shared_ptr<const Fd> fd_;
  std::uint64_t next_place_ = kSegmentHeader;
  std::uint64_t written_ = kSegmentHeader;
  std::uint64_t committed_ = kSegmentHeader;
  std::uint32_t next_sequence_ = 1;
  bool in_flight_ = false;
  bool poisoned_ = false;
  std::string scratch_;
};

} // namespace postrider::queue
