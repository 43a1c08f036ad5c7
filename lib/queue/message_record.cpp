// SPDX-License-Identifier: MIT
#include "queue/message_record.hpp"

#include <algorithm>

#include "base/crc32c.hpp"
#include "base/fields.hpp"

namespace postrider::queue {

namespace {

constexpr std::string_view kMagic = "PRmr";
constexpr std::uint16_t kVersion = 1;
constexpr std::size_t kFirstRead = 16 << 10; // header, envelope and most small messages
constexpr std::size_t kPiece = 256 << 10;
constexpr std::uint32_t kMaxFacts = 4096;

Error bad(std::string_view what) {
  return Error(ErrorKind::protocol, "record: " + std::string(what));
}

} // namespace

void put_header(std::string& out, const RecordHeader& h) {
  const std::size_t start = out.size();
  out.append(kMagic);
  put_le<std::uint16_t>(out, kVersion);
  put_le<std::uint16_t>(out, static_cast<std::uint16_t>(h.type));
  put_le<std::uint64_t>(out, h.length);
  put_le<std::uint64_t>(out, h.tag);
  put_le<std::uint64_t>(out, h.pool);
  put_le<std::uint32_t>(out, h.segment);
  put_le<std::uint32_t>(out, h.envelope_length);
  put_le<std::uint64_t>(out, h.place);
  put_le<std::uint64_t>(out, h.id.number());
  put_le<std::uint64_t>(out, h.synced);
  put_le<std::uint32_t>(out, h.facts_length);
  put_le<std::uint32_t>(out, h.content_crc);
  put_le<std::uint32_t>(out, h.meta_crc);
  put_le<std::uint32_t>(out, crc32c(ByteView(out).substr(start)));
  POSTRIDER_CHECK(out.size() - start == kRecordHeader);
}

Result<RecordHeader> parse_header(ByteView in, const RecordOrigin& origin) {
  if (in.size() < kRecordHeader) return bad("too short");
  if (in.substr(0, 4) != kMagic) return bad("no record here");
  if (crc32c(in.substr(0, kRecordHeader - 4)) !=
      get_le<std::uint32_t>(in.substr(kRecordHeader - 4)))
    return bad("header checksum");
  if (get_le<std::uint16_t>(in.substr(4)) != kVersion) return bad("unknown version");
  RecordHeader h;
  const std::uint16_t type = get_le<std::uint16_t>(in.substr(6));
  if (type != 1 && type != 2) return bad("unknown type");
  h.type = static_cast<RecordType>(type);
  h.length = get_le<std::uint64_t>(in.substr(8));
  h.tag = get_le<std::uint64_t>(in.substr(16));
  h.pool = get_le<std::uint64_t>(in.substr(24));
  h.segment = get_le<std::uint32_t>(in.substr(32));
  h.envelope_length = get_le<std::uint32_t>(in.substr(36));
  h.place = get_le<std::uint64_t>(in.substr(40));
  h.id = Id(get_le<std::uint64_t>(in.substr(48)));
  h.synced = get_le<std::uint64_t>(in.substr(56));
  h.facts_length = get_le<std::uint32_t>(in.substr(64));
  h.content_crc = get_le<std::uint32_t>(in.substr(68));
  h.meta_crc = get_le<std::uint32_t>(in.substr(72));
  if (origin.tag != 0 && h.tag != origin.tag) return bad("another generation");
  if (h.pool != origin.pool) return bad("another queue");
  if (h.segment != origin.segment || h.place != origin.place) return bad("another place");
  if (h.envelope_length > kMaxEnvelope || h.facts_length > kMaxFacts ||
      h.length < h.content_offset() || h.length > (1ULL << 40))
    return bad("impossible length");
  return h;
}

bool looks_like_header(ByteView in, const RecordOrigin& origin) {
  return in.size() >= 24 && in.substr(0, 4) == kMagic && origin.tag != 0 &&
         get_le<std::uint64_t>(in.substr(16)) == origin.tag;
}

void put_record(std::string& out, RecordHeader h, const mail::Envelope& envelope,
                const mail::ContentFacts& facts, ByteView head, ByteView body) {
  POSTRIDER_CHECK(facts.size == head.size() + body.size());
  const std::size_t start = out.size();
  out.append(kRecordHeader, '\0');
  encode_to(out, envelope);
  h.envelope_length = static_cast<std::uint32_t>(out.size() - start - kRecordHeader);
  encode_to(out, facts);
  h.facts_length =
      static_cast<std::uint32_t>(out.size() - start - kRecordHeader - h.envelope_length);
  h.meta_crc = crc32c(ByteView(out).substr(start + kRecordHeader));
  h.content_crc = crc32c(body, crc32c(head));
  h.type = envelope.report_for.empty() ? RecordType::message : RecordType::report;
  out.append(head);
  out.append(body);
  h.length = out.size() - start;
  std::string header;
  header.reserve(kRecordHeader);
  put_header(header, h);
  out.replace(start, kRecordHeader, header);
}

Result<StoredRecord> parse_meta(const RecordHeader& header, ByteView meta) {
  const std::uint64_t expected = header.content_offset() - kRecordHeader;
  if (meta.size() != expected) return bad("envelope cut short");
  if (crc32c(meta) != header.meta_crc) return bad("envelope checksum");
  StoredRecord record;
  record.header = header;
  auto envelope = decode<mail::Envelope>(meta.substr(0, header.envelope_length));
  if (!envelope) return envelope.error().in("record: envelope");
  record.envelope = std::move(*envelope);
  auto facts = decode<mail::ContentFacts>(meta.substr(header.envelope_length));
  if (!facts) return facts.error().in("record: facts");
  record.facts = *facts;
  if (auto clean = mail::check_clean(record.envelope); !clean) return clean.error().in("record");
  if (record.facts.size != header.content_length()) return bad("content size");
  record.content_offset = header.place + header.content_offset();
  return record;
}

Result<StoredRecord> read_record(ByteView bytes, const RecordOrigin& origin, Check check) {
  POSTRIDER_TRY(const RecordHeader header, parse_header(bytes, origin));
  if (bytes.size() < header.length) return bad("cut short");
  POSTRIDER_TRY(
      StoredRecord record,
      parse_meta(header, bytes.substr(kRecordHeader, header.content_offset() - kRecordHeader)));
  if (check == Check::everything &&
      crc32c(bytes.substr(header.content_offset(), header.content_length())) != header.content_crc)
    return bad("content checksum");
  return record;
}

Result<StoredRecord> read_record(FileSystem& fs, int fd, const RecordOrigin& origin, Check check) {
  POSTRIDER_TRY(std::string bytes, fs.pread(fd, kFirstRead, origin.place));
  POSTRIDER_TRY(const RecordHeader header, parse_header(bytes, origin));
  const std::uint64_t meta_end = header.content_offset();
  if (bytes.size() < meta_end) {
    // Not a reservation of what the header claims: pread returns what is there.
    POSTRIDER_TRY(const std::string rest,
                  fs.pread(fd, meta_end - bytes.size(), origin.place + bytes.size()));
    bytes += rest;
    if (bytes.size() < meta_end) return bad("cut short");
  }
  POSTRIDER_TRY(
      StoredRecord record,
      parse_meta(header, ByteView(bytes).substr(kRecordHeader, meta_end - kRecordHeader)));
  if (check == Check::envelope) return record;
  const ByteView have = ByteView(bytes).substr(meta_end, header.content_length());
  std::uint32_t crc = crc32c(have);
  std::uint64_t at = meta_end + have.size();
  while (at < header.length) {
    const std::size_t want = std::min<std::uint64_t>(kPiece, header.length - at);
    POSTRIDER_TRY(const std::string piece, fs.pread(fd, want, origin.place + at));
    if (piece.size() < want) return bad("content cut short");
    crc = crc32c(piece, crc);
    at += want;
  }
  if (crc != header.content_crc) return bad("content checksum");
  return record;
}

void ContentCheck::feed(ByteView content) {
  crc_ = crc32c(content, crc_);
  fed_ += content.size();
}

Result<void> ContentCheck::confirm(FileSystem& fs, int fd) const {
  POSTRIDER_TRY(const std::string bytes, fs.pread(fd, kRecordHeader, place_.offset));
  if (bytes.size() < kRecordHeader) return bad("cut short");
  // Pool and segment number are not told to agents: the generation tag is the proof.
  RecordOrigin origin{.tag = place_.tag, .place = place_.offset};
  origin.pool = get_le<std::uint64_t>(ByteView(bytes).substr(24));
  origin.segment = get_le<std::uint32_t>(ByteView(bytes).substr(32));
  POSTRIDER_TRY(const RecordHeader header, parse_header(bytes, origin));
  if (header.id != id_) return bad("another message");
  if (header.content_length() != fed_) return bad("content size");
  if (header.content_crc != crc_) return bad("content checksum");
  return {};
}

} // namespace postrider::queue
