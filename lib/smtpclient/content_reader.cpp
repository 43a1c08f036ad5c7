// SPDX-License-Identifier: MIT
#include "smtpclient/content_reader.hpp"

#include <algorithm>
#include <cerrno>
#include <unistd.h>

namespace postrider::smtpclient {
namespace {

constexpr std::size_t kPiece = 64 << 10; // content read at a time

} // namespace

ContentReader::ContentReader(const Content& content, const mail::ContentFacts& facts,
                             const Options& options, Framing framing)
    : content_(content), facts_(facts),
      fold_(options.line_length_limit > 0 && facts.longest_line > options.line_length_limit),
      as_it_is_(!fold_ && (framing == Framing::chunk || !facts.needs_dot_stuffing)),
      check_(content.id, queue::Place{.tag = content.tag, .offset = content.record_offset}),
      folder_(options.line_length_limit) {}

Result<void> ContentReader::read_piece(std::string& out, std::size_t count) {
  const std::size_t had = out.size();
  out.resize(had + count);
  std::size_t done = 0;
  while (done < count) {
    const ssize_t got = ::pread(content_.fd, out.data() + had + done, count - done,
                                static_cast<off_t>(content_.offset + from_ + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error::from_errno("read message content", errno);
    if (got == 0) return Error(ErrorKind::io, "message content is shorter than its record says");
    done += static_cast<std::size_t>(got);
  }
  check_.feed(ByteView(out).substr(had));
  from_ += count;
  return {};
}

Result<bool> ContentReader::next(std::string& wire) {
  const auto count =
      static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, content_.size - from_));
  std::string& raw = as_it_is_ ? wire : piece_;
  if (!as_it_is_) piece_.clear();
  if (from_ == 0) raw.reserve(raw.size() + count + 8);
  Result<void> read = read_piece(raw, count);
  const bool last = read.ok() && from_ == content_.size;
  if (last) read = check_.confirm(real_file_system(), content_.fd);
  if (!read) {
    const bool changed = read.error().kind() == ErrorKind::protocol;
    trouble_ = Trouble{changed ? Cause::content_changed : Cause::content_unreadable,
                       smtp::Step::body,
                       {},
                       read.error().text()};
    return read.error();
  }
  if (fold_)
    folder_.append(wire, piece_);
  else if (!as_it_is_)
    smtp::append_stuffed(wire, piece_, at_line_start_);
  if (last && !facts_.ends_with_newline) wire.append("\r\n");
  return last;
}

} // namespace postrider::smtpclient
