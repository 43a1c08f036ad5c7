// SPDX-License-Identifier: MIT
// Messages, a small queue, and the calls that a writer and qmgr make, done in one place.
#pragma once

#include <gtest/gtest.h>

#include <map>

#include "base/fs.hpp"
#include "queue/queue.hpp"
#include "support/fault_fs.hpp"
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

// A queue that can be closed and opened again; the file system can be made to fail.
class QueueFixture : public testing::Test {
 protected:
  void open() {
    found.clear();
    auto opened = Queue::open(fs, clock, options, [this](Arrived&& arrived) {
      const Id id = arrived.state.id;
      found.insert_or_assign(id, std::move(arrived));
    });
    ASSERT_TRUE(opened) << opened.error().text();
    queue = std::move(*opened);
  }
  void reopen() {
    queue.reset();
    open();
  }
  Arrived accept(SegmentWriter& writer, const mail::Envelope& envelope,
                 const std::string& content) {
    auto record = put(writer, envelope, content);
    EXPECT_TRUE(record) << record.error().text();
    auto done = commit(fs, writer);
    EXPECT_TRUE(done);
    std::vector<Error> refused;
    auto arrived = queue->admit(writer.info().loan, {*record}, Check::everything, &refused);
    EXPECT_TRUE(refused.empty()) << refused.front().text();
    EXPECT_EQ(arrived.size(), 1u);
    return arrived.empty() ? Arrived{} : std::move(arrived.front());
  }
  void migrate(Arrived& arrived, Folder folder) {
    std::vector<MigrateJob::Item> items(1);
    items[0].state = arrived.state;
    items[0].folder = folder;
    MigrateJob job = queue->begin_migrate(std::move(items));
    job.run(fs);
    queue->finish_migrate(job);
    ASSERT_FALSE(job.items[0].error) << job.items[0].error->text();
    arrived.state = job.items[0].state;
    arrived.folder = folder;
  }
  void happened(Arrived& arrived, const Event& event) {
    queue->mark(arrived.state.id, event);
    ASSERT_TRUE(apply(arrived.state, event));
  }
  // What the operator is told, as one text.
  std::string alarms() {
    std::string out;
    for (const std::string& alarm : queue->take_alarms())
      out += alarm + "\n";
    return out;
  }
  static Event deferral(std::uint32_t recipient, std::uint32_t attempts, std::int64_t next) {
    Event event;
    event.kind = EventKind::deferred;
    event.recipients = {recipient};
    event.attempts = attempts;
    event.next_try = next;
    event.gate = mail::Gate::retry_timer;
    event.outcome.dsn = "4.4.1";
    event.outcome.text = "connect: Connection refused";
    return event;
  }

  test::ScratchDir dir;
  test::ManualClock clock;
  Options options = small_options(dir.path() + "/spool");
  test::FaultFs fs{real_file_system(), options.directory};
  std::unique_ptr<Queue> queue;
  std::map<Id, Arrived> found;
};

} // namespace postrider::queue
