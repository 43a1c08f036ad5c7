// SPDX-License-Identifier: MIT
#include "smtpclient/content_reader.hpp"

#include <algorithm>
#include <cerrno>
#include <unistd.h>
#include <utility>

#include "base/check.hpp"
#include "base/log.hpp"

namespace postrider::smtpclient {
namespace {

constexpr std::size_t kPiece = 64 << 10; // content read at a time

smtp::Framing to_smtp(ContentReader::Framing framing) {
  return framing == ContentReader::Framing::dot ? smtp::Framing::dot : smtp::Framing::chunk;
}

} // namespace

ContentReader::ContentReader(const Content& content, const mail::ContentFacts& facts,
                             const Options& options, Framing framing, const Rewriting& rewriting)
    : content_(content), facts_(facts), options_(options), rewriting_(rewriting),
      fold_(options.line_length_limit > 0 && facts.longest_line > options.line_length_limit),
      as_it_is_(!fold_ && (framing == Framing::chunk || !facts.needs_dot_stuffing) &&
                rewriting.tables == nullptr && !rewriting.to_seven_bit),
      check_(content.id, queue::Place{.tag = content.tag, .offset = content.record_offset}),
      folder_(options.line_length_limit, to_smtp(framing)) {
  if (rewriting.tables != nullptr || rewriting.to_seven_bit)
    pipeline_.emplace(rewriting, options, content.id.text(), folder_);
}

bool ContentReader::may_wait() const { return pipeline_ && pipeline_->may_wait(); }

Error ContentReader::fail(Cause cause, Error error) {
  trouble_ = Trouble{cause, smtp::Step::body, {}, error.text()};
  return error;
}

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

// One piece of the content through all that changes it. True: it was the last.
Result<bool> ContentReader::read(std::string& wire) {
  const bool first = from_ == 0;
  const auto count =
      static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, content_.size - from_));
  if (first && as_it_is_) wire.append(rewriting_.first_headers);
  std::string& raw = as_it_is_ ? wire : piece_;
  if (!as_it_is_) piece_ = first ? rewriting_.first_headers : "";
  if (first) raw.reserve(raw.size() + count + 8);
  Result<void> read = read_piece(raw, count);
  const bool last = read.ok() && from_ == content_.size;
  if (last) read = check_.confirm(real_file_system(), content_.fd);
  if (!read) {
    const bool changed = read.error().kind() == ErrorKind::protocol;
    return fail(changed ? Cause::content_changed : Cause::content_unreadable, read.error());
  }
  const bool lacks_line_end = last && !facts_.ends_with_newline;
  if (pipeline_) {
    pipeline_->feed(piece_, last, wire);
  } else {
    if (!as_it_is_) folder_.append(wire, piece_);
    if (lacks_line_end && as_it_is_)
      wire.append("\r\n");
    else if (lacks_line_end)
      folder_.append(wire, "\r\n");
  }
  return last;
}

// Behind read(), when no answer is lacking.
Result<bool> ContentReader::finish(bool last) {
  if (folder_.folded() && !std::exchange(logged_folding_, true)) {
    log::event("content", content_.id.text(),
               "breaking line > " + std::to_string(options_.line_length_limit) +
                   " bytes with <CR><LF>SPACE",
               {});
  }
  if (pipeline_) trouble_ = pipeline_->find_trouble(last);
  if (trouble_) return Error(ErrorKind::protocol, trouble_->detail);
  return last;
}

Result<bool> ContentReader::next(std::string& wire) {
  POSTRIDER_CHECK(!may_wait());
  const std::size_t had = wire.size();
  bool last = false;
  // A long header may swallow a piece.
  while (!last && wire.size() == had) {
    POSTRIDER_TRY(const bool read_last, read(wire));
    POSTRIDER_TRY(last, finish(read_last));
  }
  return last;
}

ev::Task<Result<bool>> ContentReader::next(std::string& wire, ev::Loop& loop,
                                           ev::Deadline deadline) {
  const std::size_t had = wire.size();
  bool last = false;
  while (!last && wire.size() == had) {
    const Result<bool> read_last = read(wire);
    if (!read_last) co_return read_last.error();
    co_await pipeline_->get_answers(loop, deadline);
    const Result<bool> finished = finish(*read_last);
    if (!finished) co_return finished.error();
    last = *finished;
  }
  co_return last;
}

} // namespace postrider::smtpclient
