// SPDX-License-Identifier: MIT
// The one record layout that journal segments and message files share. Integers little-endian.
//
//   record  = header(80) envelope facts content
//   header  = "PRmr" version(2)=1 type(2) length(8) tag(8) pool(8) segment(4) envelope-length(4)
//             place(8) id(8) synced(8) facts-length(4) content-crc(4) meta-crc(4) header-crc(4)
//   type    = 1 message, 2 report (its envelope names the message it reports on)
//
// header-crc covers the header with the other two checksums in it, so together they cover
// everything, and each part can be checked without the others. tag is the random generation tag of
// the segment, or of the file. place is the offset of the record in its segment. synced says how
// far the segment was known to be durable when the record was written: damage below the greatest
// such mark is damage to acknowledged mail. In a file pool, segment, place and synced are 0.
// Envelope and facts are encoded with base/fields.hpp.
#pragma once

#include <cstdint>
#include <string>

#include "base/fs.hpp"
#include "mail/envelope.hpp"
#include "queue/id.hpp"

namespace postrider::queue {

constexpr std::size_t kRecordHeader = 80;
constexpr std::size_t kRecordAlign = 8;                // records begin at multiples of this
constexpr std::uint64_t kMaxSegmentRecord = 256 << 10; // larger mail goes to a file of its own
constexpr std::uint32_t kMaxEnvelope = 48U << 20;      // 50,000 recipients with long addresses

enum class RecordType : std::uint16_t { message = 1, report = 2 };

// Where a record stands. segment 0: in a message file.
struct Place {
  std::uint32_t segment = 0;
  std::uint64_t tag = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0; // whole record

  bool in_segment() const { return segment != 0; }
  bool operator==(const Place&) const = default;
};

struct RecordHeader {
  RecordType type = RecordType::message;
  std::uint64_t length = 0;
  std::uint64_t tag = 0;
  std::uint64_t pool = 0;
  std::uint32_t segment = 0;
  std::uint32_t envelope_length = 0;
  std::uint64_t place = 0;
  Id id;
  std::uint64_t synced = 0;
  std::uint32_t facts_length = 0;
  std::uint32_t content_crc = 0;
  std::uint32_t meta_crc = 0;

  std::uint64_t content_offset() const { return kRecordHeader + envelope_length + facts_length; }
  std::uint64_t content_length() const { return length - content_offset(); }
  Place where() const { return {segment, tag, place, length}; }
  bool operator==(const RecordHeader&) const = default;
};

// What a reader expects to find. A tag of 0 accepts any (message files: the header tells).
struct RecordOrigin {
  std::uint64_t pool = 0;
  std::uint32_t segment = 0;
  std::uint64_t tag = 0;
  std::uint64_t place = 0;
};

void put_header(std::string& out, const RecordHeader& header);

// Checks magic, version, checksum, sizes and origin. Error protocol says which was wrong.
Result<RecordHeader> parse_header(ByteView bytes, const RecordOrigin& origin);

// True when the bytes begin like a header of this origin although its checksum may fail: something
// was written here in this generation.
bool looks_like_header(ByteView bytes, const RecordOrigin& origin);

// A record read back. The content stays on disk at [content_offset, +facts.size) of its file.
struct StoredRecord {
  RecordHeader header;
  mail::Envelope envelope;
  mail::ContentFacts facts;
  std::uint64_t content_offset = 0; // in the file, not in the record
};

// Appends the whole record to out. `header` needs tag, pool, segment, place, id, synced; the rest
// is filled in. content may stand in two pieces (trace header, then what the client sent).
// REQUIRES facts.size == head.size() + body.size().
void put_record(std::string& out, RecordHeader header, const mail::Envelope& envelope,
                const mail::ContentFacts& facts, ByteView head, ByteView body);

// Parses envelope and facts behind a checked header; `meta` are the bytes between header and
// content. Checks meta-crc, sizes and that no field holds CR, LF or NUL.
Result<StoredRecord> parse_meta(const RecordHeader& header, ByteView meta);

enum class Check : std::uint8_t { envelope, everything }; // everything: content checksum too

// Reads the record at origin.place. May block.
Result<StoredRecord> read_record(FileSystem& fs, int fd, const RecordOrigin& origin, Check check);
// The same from bytes already read, which begin at the record.
Result<StoredRecord> read_record(ByteView bytes, const RecordOrigin& origin, Check check);

// For delivery agents: proves that the bytes sent were those of the record asked for, and that the
// segment was not given to new mail meanwhile. Feed every content byte in order, then confirm()
// before the final dot; on Error drop the connection without it.
class ContentCheck {
 public:
  // place.tag is the generation the request named.
  ContentCheck(Id id, Place place) : id_(id), place_(place) {}
  void feed(ByteView content);
  // Reads the header again. May block (one small read of a cached page).
  Result<void> confirm(FileSystem& fs, int fd) const;

 private:
  Id id_;
  Place place_;
  std::uint32_t crc_ = 0;
  std::uint64_t fed_ = 0;
};

} // namespace postrider::queue
