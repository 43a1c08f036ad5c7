// SPDX-License-Identifier: MIT
#include "fixture.hpp"

#include <fcntl.h>
#include <fstream>
#include <unistd.h>

namespace postrider::queue {

namespace {

class QueueTest : public QueueFixture {};

TEST_F(QueueTest, MessageInSegmentSurvivesRestartWhole) {
  open();
  auto writer = lend(fs, *queue, 1);
  ASSERT_TRUE(writer) << writer.error().text();
  const Arrived arrived = accept(*writer, make_envelope(2), "Subject: x\r\n\r\nhello\r\n");
  EXPECT_EQ(read_content(fs, *queue, arrived.state, arrived.folder), "Subject: x\r\n\r\nhello\r\n");
  reopen();
  ASSERT_EQ(found.size(), 1u);
  const Arrived& again = found.begin()->second;
  EXPECT_EQ(again.state, arrived.state);
  EXPECT_EQ(read_content(fs, *queue, again.state, again.folder), "Subject: x\r\n\r\nhello\r\n");
}

TEST_F(QueueTest, DeliveredRecipientsStayDelivered) {
  open();
  auto writer = lend(fs, *queue, 1);
  const Arrived arrived = accept(*writer, make_envelope(3), "x\r\n");
  queue->delivered(arrived.state.id, 1);
  ASSERT_TRUE(queue->flush()); // a crash of the process alone loses no mark
  reopen();
  ASSERT_EQ(found.size(), 1u);
  const MessageState& state = found.begin()->second.state;
  EXPECT_EQ(state.recipients[0].status, Status::open);
  EXPECT_EQ(state.recipients[1].status, Status::delivered);
  reopen(); // and in the next ledger, too
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found.begin()->second.state.recipients[1].status, Status::delivered);
}

TEST_F(QueueTest, SegmentIsReusedOnlyWhenLedgerIsSyncedAndWriterGone) {
  options.pool.max_segments = 1;
  open();
  auto writer = lend(fs, *queue, 1);
  const Arrived arrived = accept(*writer, make_envelope(1), "x\r\n");
  const std::uint64_t loan = writer->info().loan;
  EXPECT_FALSE(queue->begin_lend(1)); // lent
  queue->delivered(arrived.state.id, 0);
  queue->finish(arrived.state.id);
  ASSERT_TRUE(queue->sync_now());
  EXPECT_FALSE(queue->begin_lend(1)); // its writer still has it
  queue->writer_returned(loan);
  EXPECT_FALSE(queue->begin_lend(1)); // the mark that it is drained is not synced
  ASSERT_TRUE(queue->sync_now());
  EXPECT_FALSE(queue->begin_lend(2)); // another process, and the holder lives
  {
    auto job = queue->begin_lend(1);
    ASSERT_TRUE(job);
    job->run(fs);
    auto lent = queue->finish_lend(*job);
    ASSERT_FALSE(lent); // the descriptor is still open here: flock
    EXPECT_EQ(lent.error().kind(), ErrorKind::busy);
  }
  *writer = SegmentWriter(fs, {}, Fd());
  auto again = lend(fs, *queue, 1);
  ASSERT_TRUE(again) << again.error().text();
  EXPECT_EQ(again->info().segment, 1u);
  EXPECT_NE(again->info().tag, arrived.state.place.tag);
  reopen();
  EXPECT_TRUE(found.empty()); // old bytes are not a message
}

TEST_F(QueueTest, UnannouncedMailOfDeadWriterIsFound) {
  open();
  auto writer = lend(fs, *queue, 1);
  const Arrived first = accept(*writer, make_envelope(1), "first\r\n");
  ASSERT_TRUE(put(*writer, make_envelope(1), "second\r\n"));
  ASSERT_TRUE(commit(fs, *writer));
  const std::uint64_t loan = writer->info().loan;
  *writer = SegmentWriter(fs, {}, Fd());
  const std::vector<Arrived> rest = queue->writer_died(loan);
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(read_content(fs, *queue, rest[0].state, rest[0].folder), "second\r\n");
  EXPECT_TRUE(queue->writer_died(loan).empty());
}

TEST_F(QueueTest, WriterThatOutlivesQmgrKeepsItsSegment) {
  open();
  auto writer = lend(fs, *queue, 1);
  const Arrived first = accept(*writer, make_envelope(1), "first\r\n");
  reopen();
  EXPECT_EQ(found.size(), 1u);
  EXPECT_TRUE(queue->has_orphans());
  auto second = put(*writer, make_envelope(1), "second\r\n");
  ASSERT_TRUE(commit(fs, *writer));
  EXPECT_TRUE(queue->adopt_orphans().empty()); // still held
  queue->delivered(first.state.id, 0);
  queue->finish(first.state.id);
  ASSERT_TRUE(queue->sync_now());
  *writer = SegmentWriter(fs, {}, Fd());
  const std::vector<Arrived> rest = queue->adopt_orphans();
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest[0].state.id.number(), second->id);
  EXPECT_FALSE(queue->has_orphans());
}

TEST_F(QueueTest, DeferredMessageMovesToFileAndComesBack) {
  open();
  auto writer = lend(fs, *queue, 1);
  Arrived arrived = accept(*writer, make_envelope(3), "body\r\n");
  happened(arrived, deferral(0, 1, 5000));
  Event done;
  done.kind = EventKind::delivered;
  done.recipients = {2};
  happened(arrived, done);
  migrate(arrived, Folder::deferred);
  queue->park(arrived.state);
  ASSERT_TRUE(queue->run_all());
  EXPECT_TRUE(queue->index().find(arrived.state.id).value().has_value());
  EXPECT_EQ(queue->due(4999, 10).value().size(), 1u); // recipient 1 may go at once
  const auto load = [&] {
    LoadJob job = queue->begin_load({arrived.state.id});
    job.run(fs);
    return queue->finish_load(job);
  };
  auto back = load();
  ASSERT_EQ(back.size(), 1u);
  EXPECT_EQ(back[0].state, arrived.state);
  EXPECT_EQ(read_content(fs, *queue, back[0].state, back[0].folder), "body\r\n");
  EXPECT_TRUE(queue->due(4999, 10).value().empty()); // active

  // In a file now: an event, saved, and one that is in the ledger only.
  arrived = back[0];
  happened(arrived, deferral(1, 1, 7000));
  AppendJob save = queue->begin_save({{arrived.state.id, Folder::deferred}});
  save.run(fs);
  queue->finish_save(save);
  ASSERT_FALSE(save.items[0].error);
  done.recipients = {0};
  happened(arrived, done);
  queue->park(arrived.state);
  ASSERT_TRUE(queue->run_all());
  reopen();
  EXPECT_TRUE(found.empty());
  EXPECT_TRUE(queue->index_is_stale());
  ASSERT_TRUE(queue->run_all());
  back = load();
  ASSERT_EQ(back.size(), 1u);
  EXPECT_EQ(back[0].state, arrived.state);
  done.recipients = {1};
  happened(back[0], done);
  EXPECT_TRUE(may_remove(back[0].state));
  queue->finish(arrived.state.id);
  ASSERT_TRUE(queue->run_all());
  EXPECT_FALSE(fs.stat(queue->layout().file(Folder::deferred, arrived.state.id)));
  EXPECT_EQ(queue->index().size().value(), 0u);
}

// Its file goes behind the ledger's sync; an operator who still has its id must not bring it back.
TEST_F(QueueTest, AFinishedMessageIsNotLoadedFromTheFileItLeaves) {
  open();
  auto writer = lend(fs, *queue, 1);
  Arrived arrived = accept(*writer, make_envelope(1), "body\r\n");
  migrate(arrived, Folder::deferred);
  const Id id = arrived.state.id;
  queue->delivered(id, 0);
  queue->finish(id);
  const auto load = [&] {
    LoadJob job = queue->begin_load({id});
    job.run(fs);
    return queue->finish_load(job).size();
  };
  ASSERT_TRUE(fs.stat(queue->layout().file(Folder::deferred, id)));
  EXPECT_EQ(load(), 0u);
  ASSERT_TRUE(queue->sync_now());
  RemoveJob job = queue->begin_remove();
  EXPECT_EQ(load(), 0u); // being removed
  job.run(fs);
  queue->finish_remove(job);
  EXPECT_FALSE(fs.stat(queue->layout().file(Folder::deferred, id)));
  EXPECT_EQ(load(), 0u);
}

TEST_F(QueueTest, CompletionDuringMigrationCounts) {
  open();
  auto writer = lend(fs, *queue, 1);
  Arrived arrived = accept(*writer, make_envelope(2), "body\r\n");
  std::vector<MigrateJob::Item> items(1);
  items[0].state = arrived.state;
  MigrateJob job = queue->begin_migrate(std::move(items));
  queue->delivered(arrived.state.id, 0);
  job.run(fs);
  queue->finish_migrate(job);
  ASSERT_FALSE(job.items[0].error);
  ASSERT_TRUE(queue->flush());
  reopen();
  ASSERT_TRUE(queue->run_all());
  LoadJob load = queue->begin_load({arrived.state.id});
  load.run(fs);
  const auto back = queue->finish_load(load);
  ASSERT_EQ(back.size(), 1u);
  EXPECT_EQ(back[0].state.recipients[0].status, Status::delivered);
  EXPECT_EQ(back[0].state.recipients[1].status, Status::open);
}

TEST_F(QueueTest, MarksOfWaitingMailDoNotMultiplyWithRestarts) {
  open();
  auto writer = lend(fs, *queue, 1);
  Arrived arrived = accept(*writer, make_envelope(3), "body\r\n");
  happened(arrived, deferral(0, 1, 1000));
  migrate(arrived, Folder::deferred);
  happened(arrived, deferral(1, 1, 1000)); // not in the file
  queue->park(arrived.state);
  *writer = SegmentWriter(fs, {}, Fd());
  ASSERT_TRUE(queue->run_all());
  std::uint64_t used = 0;
  for (int i = 0; i < 8; ++i) {
    reopen();
    if (i == 1) used = queue->ledger().bytes_used();
  }
  EXPECT_EQ(queue->ledger().bytes_used(), used);
  LoadJob job = queue->begin_load({arrived.state.id});
  job.run(fs);
  const auto back = queue->finish_load(job);
  ASSERT_EQ(back.size(), 1u);
  EXPECT_EQ(back[0].state, arrived.state);
}

TEST_F(QueueTest, FinishDuringMigrationRemovesTheFile) {
  open();
  auto writer = lend(fs, *queue, 1);
  Arrived arrived = accept(*writer, make_envelope(1), "body\r\n");
  std::vector<MigrateJob::Item> items(1);
  items[0].state = arrived.state;
  MigrateJob job = queue->begin_migrate(std::move(items));
  queue->delivered(arrived.state.id, 0);
  queue->finish(arrived.state.id);
  job.run(fs);
  queue->finish_migrate(job);
  ASSERT_TRUE(queue->run_all());
  EXPECT_EQ(queue->active(), 0u);
  EXPECT_FALSE(fs.stat(queue->layout().file(Folder::deferred, arrived.state.id)));
  reopen();
  ASSERT_TRUE(queue->run_all());
  EXPECT_TRUE(found.empty());
  EXPECT_EQ(queue->index().size().value(), 0u);
}

TEST_F(QueueTest, LargeMailLivesInIncoming) {
  open();
  auto writer = lend(fs, *queue, 1);
  const Id id = writer->next_id();
  auto fd = queue->lend_file(writer->info().loan, id);
  ASSERT_TRUE(fd) << fd.error().text();
  EXPECT_FALSE(queue->lend_file(writer->info().loan, id)); // twice
  EXPECT_FALSE(queue->lend_file(writer->info().loan + 1, Id::make(writer->info().loan + 1, 1)));
  FileWriter file(fs, std::move(*fd), id, make_envelope(1));
  std::string content;
  for (int i = 0; i < 40'000; ++i)
    content += "0123456789012345678\r\n";
  for (std::size_t at = 0; at < content.size(); at += 10'000)
    ASSERT_TRUE(file.write(ByteView(content).substr(at, 10'000)));
  ASSERT_TRUE(file.finish(facts_of(content)));
  ASSERT_TRUE(FileWriter::run_commit(fs, file.begin_commit()));
  AcceptFileJob job = queue->begin_accept(id);
  job.run(fs);
  auto arrived = queue->finish_accept(job);
  ASSERT_TRUE(arrived) << arrived.error().text();
  EXPECT_EQ(read_content(fs, *queue, arrived->state, arrived->folder), content);
  reopen();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found.begin()->second.state, arrived->state);
  // Held: moves to hold/ by link, so that it is never without a name.
  Event held;
  held.kind = EventKind::held;
  held.text = "by the operator";
  happened(*arrived, held);
  AppendJob save = queue->begin_save({{id, Folder::hold}});
  save.run(fs);
  queue->finish_save(save);
  ASSERT_FALSE(save.items[0].error) << save.items[0].error->text();
  queue->park(arrived->state);
  ASSERT_TRUE(queue->run_all());
  EXPECT_TRUE(queue->due(INT64_MAX, 10).value().empty());
  EXPECT_FALSE(fs.stat(queue->layout().file(Folder::incoming, id)));
  ASSERT_TRUE(queue->close());
  reopen();
  EXPECT_FALSE(queue->index_is_stale());
  LoadJob load = queue->begin_load({id});
  load.run(fs);
  const auto back = queue->finish_load(load);
  ASSERT_EQ(back.size(), 1u);
  EXPECT_TRUE(back[0].state.held);
  EXPECT_EQ(back[0].folder, Folder::hold);
}

TEST_F(QueueTest, SecondQmgrIsRefused) {
  open();
  auto second = Queue::open(fs, clock, options, [](Arrived&&) {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind(), ErrorKind::busy);
}

TEST_F(QueueTest, ReportMarksItsOriginalEvenWithoutTheLedger) {
  open();
  auto writer = lend(fs, *queue, 1);
  Arrived original = accept(*writer, make_envelope(2), "body\r\n");
  Event bounced;
  bounced.kind = EventKind::bounced;
  bounced.recipients = {1};
  bounced.outcome.verdict = mail::Verdict::bounced;
  bounced.outcome.dsn = "5.1.1";
  bounced.outcome.text = "no such user";
  happened(original, bounced);
  EXPECT_TRUE(wants_report(original.state, 1));
  ASSERT_TRUE(queue->sync_now());
  mail::Envelope report = make_envelope(1, "");
  report.report_for = original.state.id.text();
  report.reported = {1};
  report.report_kind = "failed";
  ASSERT_TRUE(put(*writer, report, "report\r\n"));
  ASSERT_TRUE(commit(fs, *writer)); // and qmgr dies before it hears of it
  *writer = SegmentWriter(fs, {}, Fd());
  reopen();
  ASSERT_EQ(found.size(), 2u);
  EXPECT_TRUE(found.at(original.state.id).state.recipients[1].reported);
  EXPECT_FALSE(wants_report(found.at(original.state.id).state, 1));
}

TEST_F(QueueTest, AnnouncementsAreChecked) {
  open();
  auto writer = lend(fs, *queue, 1);
  auto record = put(*writer, make_envelope(1), "body\r\n");
  ASSERT_TRUE(commit(fs, *writer));
  const std::uint64_t loan = writer->info().loan;
  const auto refused = [&](Announced announced) {
    std::vector<Error> errors;
    const auto arrived = queue->admit(loan, {announced}, Check::everything, &errors);
    return arrived.empty() && errors.size() == 1;
  };
  EXPECT_TRUE(refused({record->id, record->offset + 8, record->length}));
  EXPECT_TRUE(refused({record->id, 1ULL << 60, record->length}));
  EXPECT_TRUE(refused({record->id, record->offset, ~0ULL}));
  EXPECT_TRUE(refused({record->id + 1, record->offset, record->length}));
  EXPECT_TRUE(refused({Id::make(loan + 1, 1).number(), record->offset, record->length}));
  EXPECT_EQ(queue->admit(loan, {*record}, Check::everything).size(), 1u);
  EXPECT_TRUE(refused(*record)); // once
}

TEST_F(QueueTest, LostLedgerLosesNoMail) {
  open();
  auto writer = lend(fs, *queue, 1);
  const Arrived arrived = accept(*writer, make_envelope(1), "body\r\n");
  queue->delivered(arrived.state.id, 0);
  ASSERT_TRUE(queue->sync_now());
  *writer = SegmentWriter(fs, {}, Fd());
  queue.reset();
  ASSERT_TRUE(fs.unlink(Layout(options.directory).ledger(0)));
  ASSERT_TRUE(fs.unlink(Layout(options.directory).ledger(1)));
  open();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found.begin()->second.state.recipients[0].status, Status::open);
  EXPECT_FALSE(found.begin()->second.state.held);
  EXPECT_TRUE(queue->recovered().ledger_lost);
  EXPECT_FALSE(queue->take_alarms().empty());
}

TEST_F(QueueTest, SegmentsOfAnotherTimeAreHeld) {
  open();
  auto writer = lend(fs, *queue, 1);
  accept(*writer, make_envelope(1), "body\r\n");
  *writer = SegmentWriter(fs, {}, Fd());
  queue.reset();
  // Keep the segment as it is now; let the queue go on to another generation; put the old one back.
  const std::string segment = Layout(options.directory).segment(1);
  std::filesystem::copy_file(segment, dir.path() + "/backup");
  open();
  for (auto& [id, arrived] : found) {
    queue->delivered(id, 0);
    queue->finish(id);
  }
  ASSERT_TRUE(queue->sync_now());
  {
    auto next = lend(fs, *queue, 2);
    ASSERT_TRUE(next);
    EXPECT_EQ(next->info().segment, 1u);
  }
  reopen(); // the ledger forgets the details of what is long gone
  reopen();
  queue.reset();
  std::filesystem::copy_file(dir.path() + "/backup", segment,
                             std::filesystem::copy_options::overwrite_existing);
  open();
  EXPECT_TRUE(queue->recovered().foreign);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(found.begin()->second.state.held);
}

TEST_F(QueueTest, LedgerRotationKeepsEveryMark) {
  options.pool.max_segments = 8;
  open();
  auto writer = lend(fs, *queue, 1);
  Arrived keep = accept(*writer, make_envelope(3), "keep\r\n");
  queue->delivered(keep.state.id, 0);
  int rotations = 0;
  for (int i = 0; i < 3000; ++i) {
    if (!writer->has_room(16, make_envelope(1))) {
      queue->writer_returned(writer->info().loan);
      ASSERT_TRUE(queue->sync_now());
      *writer = SegmentWriter(fs, {}, Fd());
      auto next = lend(fs, *queue, 1);
      ASSERT_TRUE(next) << next.error().text();
      *writer = std::move(*next);
    }
    auto record = put(*writer, make_envelope(1), "x\r\n");
    const auto arrived = queue->admit(writer->info().loan, {*record}, Check::everything);
    ASSERT_EQ(arrived.size(), 1u);
    queue->delivered(arrived[0].state.id, 0);
    queue->finish(arrived[0].state.id);
    ASSERT_TRUE(queue->flush());
    if (queue->rotation_due()) {
      RotateJob job = queue->begin_rotation();
      queue->delivered(keep.state.id, 1); // while it runs
      ASSERT_TRUE(queue->flush());
      job.run(fs);
      ASSERT_TRUE(queue->finish_rotation(job));
      ++rotations;
      ASSERT_TRUE(queue->sync_now());
    }
  }
  EXPECT_GT(rotations, 1);
  *writer = SegmentWriter(fs, {}, Fd());
  reopen();
  ASSERT_EQ(found.size(), 1u);
  const MessageState& state = found.begin()->second.state;
  EXPECT_EQ(state.recipients[0].status, Status::delivered);
  EXPECT_EQ(state.recipients[1].status, Status::delivered);
  EXPECT_EQ(state.recipients[2].status, Status::open);
  EXPECT_EQ(queue->recovered().stray_marks, 0u);
}

TEST_F(QueueTest, BrokenLedgerIsReplacedWhenTheDiskIsBack) {
  open();
  auto writer = lend(fs, *queue, 1);
  const Arrived arrived = accept(*writer, make_envelope(4), "x\r\n");
  queue->delivered(arrived.state.id, 0);
  ASSERT_TRUE(queue->sync_now());
  queue->delivered(arrived.state.id, 1);
  fs.fail({.call = 2, .error = EIO}); // the sync
  EXPECT_FALSE(queue->sync_now());
  EXPECT_TRUE(queue->ledger_is_broken());
  fs.stop_failing();
  queue->delivered(arrived.state.id, 2); // was on its way
  EXPECT_FALSE(queue->flush());
  EXPECT_FALSE(queue->is_synced(queue->ledger().position()));
  RotateJob job = queue->begin_rotation();
  job.run(fs);
  ASSERT_TRUE(queue->finish_rotation(job));
  EXPECT_FALSE(queue->ledger_is_broken());
  EXPECT_TRUE(queue->is_synced(queue->ledger().position()));
  *writer = SegmentWriter(fs, {}, Fd());
  reopen();
  ASSERT_EQ(found.size(), 1u);
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(found.begin()->second.state.recipients[static_cast<std::size_t>(i)].status,
              i < 3 ? Status::delivered : Status::open);
}

TEST_F(QueueTest, DamagedRecordIsSetAsideAndOthersGoOn) {
  open();
  auto writer = lend(fs, *queue, 1);
  const Arrived first = accept(*writer, make_envelope(1), "first\r\n");
  const Arrived second = accept(*writer, make_envelope(1), "second\r\n");
  const Arrived third = accept(*writer, make_envelope(1), "third\r\n");
  *writer = SegmentWriter(fs, {}, Fd());
  queue.reset();
  auto fd = fs.open(Layout(options.directory).segment(1), O_WRONLY);
  ASSERT_TRUE(fs.pwrite(fd->get(), "X", second.state.content_offset));
  open();
  EXPECT_EQ(found.size(), 2u);
  EXPECT_FALSE(found.contains(second.state.id));
  EXPECT_EQ(queue->recovered().damaged_records, 1u);
  EXPECT_EQ(fs.list(queue->layout().corrupt()).value().size(), 2u);
  queue.reset();
  ASSERT_TRUE(fs.pwrite(fd->get(), std::string(40, 'Y'), second.state.place.offset));
  open(); // not even its header
  EXPECT_EQ(found.size(), 2u);
  EXPECT_EQ(queue->recovered().damaged_records, 1u);
}

TEST_F(QueueTest, OddThingsInTheQueueDoNotStopIt) {
  open();
  auto writer = lend(fs, *queue, 1);
  const Arrived arrived = accept(*writer, make_envelope(1), "body\r\n");
  const Layout layout = queue->layout();
  *writer = SegmentWriter(fs, {}, Fd());
  queue.reset();
  ASSERT_EQ(::symlink("/etc/passwd", layout.file(Folder::incoming, Id(0)).c_str()), 0);
  ASSERT_EQ(::mkfifo(layout.file(Folder::incoming, Id(52)).c_str(), 0600), 0);
  ASSERT_EQ(::symlink("/etc/passwd", layout.segment(7).c_str()), 0);
  std::ofstream(layout.file(Folder::incoming, Id(104))) << "rubbish";
  std::ofstream(layout.temporary(Folder::incoming, Id(156))) << "half";
  std::ofstream(layout.file(Folder::deferred, Id(208))) << "rubbish";
  std::ofstream(layout.segment(9)) << "rubbish";
  ASSERT_TRUE(fs.mkdir(layout.segment(8)));
  open();
  EXPECT_EQ(found.size(), 1u);
  EXPECT_EQ(queue->recovered().damaged_files, 1u);
  EXPECT_EQ(queue->recovered().temporaries_removed, 1u);
  EXPECT_EQ(queue->recovered().odd_entries, 5u);
  ASSERT_TRUE(queue->run_all());
  EXPECT_FALSE(fs.stat(layout.file(Folder::deferred, Id(208))));
  EXPECT_TRUE(fs.stat(layout.corrupt() + "/" + Id(208).text()));
  EXPECT_TRUE(lend(fs, *queue, 2)); // and none of it is overwritten
  EXPECT_EQ(fs.stat(layout.segment(9)).value().size, 7u);
}

TEST_F(QueueTest, OddDirectoriesAreRefused) {
  open();
  queue.reset();
  const std::string shard = Layout(options.directory).folder(Folder::deferred) + "/B";
  const auto opens = [&] { return Queue::open(fs, clock, options, [](Arrived&&) {}).ok(); };
  EXPECT_TRUE(opens());
  std::filesystem::permissions(shard, std::filesystem::perms::all);
  EXPECT_FALSE(opens());
  std::filesystem::remove_all(shard);
  std::filesystem::create_directory_symlink(dir.path(), shard);
  EXPECT_FALSE(opens());
  std::filesystem::remove(shard);
  EXPECT_TRUE(opens());
  std::ofstream(Layout(options.directory).pool()) << "not an identity";
  EXPECT_FALSE(opens());
}

TEST_F(QueueTest, FileCopiedFromAnotherHostIsFound) {
  open();
  auto writer = lend(fs, *queue, 1);
  Arrived arrived = accept(*writer, make_envelope(1), "body\r\n");
  migrate(arrived, Folder::deferred);
  const std::string file = queue->layout().file(Folder::deferred, arrived.state.id);
  test::ScratchDir other;
  ASSERT_TRUE(Queue::open(fs, clock, small_options(other.path() + "/spool"), [](Arrived&&) {}));
  const Layout there(other.path() + "/spool");
  std::filesystem::copy_file(file, there.file(Folder::deferred, arrived.state.id));
  auto opened = Queue::open(fs, clock, small_options(there.root()), [](Arrived&&) {});
  ASSERT_TRUE(opened);
  ASSERT_TRUE((*opened)->run_all());
  LoadJob job = (*opened)->begin_load((*opened)->due(INT64_MAX, 10).value());
  job.run(fs);
  const auto back = (*opened)->finish_load(job);
  ASSERT_EQ(back.size(), 1u);
  EXPECT_EQ(read_content(fs, **opened, back[0].state, back[0].folder), "body\r\n");
}

} // namespace

} // namespace postrider::queue
