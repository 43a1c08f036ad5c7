// SPDX-License-Identifier: MIT
// The content of one message as it goes over the wire, piece by piece: read from the descriptor we
// were lent, checked against its record, and changed where it has to be: by the administrator's
// tables, for a server without 8BITMIME, for long lines, for dots. What needs no change is passed
// on byte for byte.
//
//   X2  the last piece is given out only after the record was found to be the one asked for
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "ev/task.hpp"
#include "queue/message_record.hpp"
#include "smtp/dot.hpp"
#include "smtpclient/content_pipeline.hpp"

namespace postrider::smtpclient {

// Where the content is. The descriptor is borrowed.
struct Content {
  int fd = -1;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  queue::Id id;
  std::uint64_t record_offset = 0;
  std::uint64_t tag = 0;
};

class ContentReader {
 public:
  enum class Framing : std::uint8_t {
    dot,   // DATA: dots are doubled
    chunk, // BDAT: the bytes as they are
  };
  // All of it must outlive the reader.
  ContentReader(const Content& content, const mail::ContentFacts& facts, const Options& options,
                Framing framing, const Rewriting& rewriting);

  // Appends the next piece to `wire`: about 64 KiB, or up to four times that when it is converted.
  // True: it was the last one; the line end that the content may lack is in it, the final dot is
  // not. Blocks on the local disk only. An Error is a Trouble of the step `body`: see trouble().
  // REQUIRES !may_wait().
  Result<bool> next(std::string& wire);
  // The same, and WAITS for the answers of tables.
  ev::Task<Result<bool>> next(std::string& wire, ev::Loop& loop, ev::Deadline deadline);
  bool may_wait() const;

  // Why next() failed.
  const Trouble& trouble() const { return *trouble_; }
  // Whether the bytes go out as they are stored, so that their number is known.
  bool unchanged() const { return as_it_is_ && rewriting_.first_headers.empty(); }

 private:
  Result<void> read_piece(std::string& out, std::size_t count);
  Result<bool> read(std::string& wire);
  Result<bool> finish(bool last);
  Error fail(Cause cause, Error error);

  const Content& content_;
  const mail::ContentFacts& facts_;
  const Options& options_;
  const Rewriting& rewriting_;
  const bool fold_;
  const bool as_it_is_;
  queue::ContentCheck check_;
  smtp::LineFolder folder_;
  std::optional<ContentPipeline> pipeline_;
  std::optional<Trouble> trouble_;
  std::uint64_t from_ = 0;
  bool logged_folding_ = false;
  std::string piece_;
};

} // namespace postrider::smtpclient
