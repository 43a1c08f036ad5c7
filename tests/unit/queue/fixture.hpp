// SPDX-License-Identifier: MIT
// Messages, a small queue, and the calls that a writer and qmgr make, done in one place.
#pragma once

#include <gtest/gtest.h>

#include "base/fs.hpp"
#include "queue/queue.hpp"
#include "support/manual_clock.hpp"
#include "support/scratch_dir.hpp"

namespace postrider::queue {

inline mail::Envelope make_envelope(int recipients, const std::string& sender = "from@a.example") {
  mail::Envelope envelope;
  envelope.sender = sender;
  for (int i = 0; i < recipients; ++i)
    envelope.recipients.push_back({"to" + std::to_string(i) + "@b.example", "", 0});
  envelope.arrival = 1'700'000'000'000'000;
  envelope.protocol = "ESMTP";
  return envelope;
}

inline mail::ContentFacts facts_of(const std::string& content) {
  mail::ContentFacts facts;
  facts.size = content.size();
  return facts;
}

inline Options small_options(const std::string& directory) {
  Options options;
  options.directory = directory;
  options.pool.segment_size = 64 << 10;
  options.pool.max_segments = 4;
  options.pool.min_free_bytes = 1 << 20;
  options.ledger.room = 64 << 10;
  options.index_map_size = 16 << 20;
  return options;
}

inline std::string read_content(FileSystem& fs, Queue& queue, const MessageState& state,
                                Folder folder) {
  auto fd = queue.open_content(state.place, state.id, folder);
  if (!fd) return "error: " + fd.error().text();
  auto bytes = fs.pread(fd->get(), state.facts.size, state.content_offset);
  queue.close_content(state.place);
  return bytes ? *bytes : "error: " + bytes.error().text();
}

// Lends a segment, with the ledger synced, as a writer gets it.
inline Result<SegmentWriter> lend(FileSystem& fs, Queue& queue, std::uint64_t holder) {
  POSTRIDER_TRY(LendJob job, queue.begin_lend(holder));
  job.run(fs);
  POSTRIDER_TRY(Lent lent, queue.finish_lend(job));
  POSTRIDER_TRY_VOID(queue.sync_now());
  return SegmentWriter(fs, lent.info, std::move(lent.fd));
}

inline Result<Announced> put(SegmentWriter& writer, const mail::Envelope& envelope,
                             const std::string& content) {
  return writer.append(writer.next_id(), envelope, facts_of(content), content);
}

inline Result<void> commit(FileSystem& fs, SegmentWriter& writer) {
  const SegmentWriter::Group group = writer.begin_group();
  return writer.finish_group(group, SegmentWriter::sync_group(fs, group));
}

} // namespace postrider::queue
