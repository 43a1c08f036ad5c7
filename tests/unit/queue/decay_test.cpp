// SPDX-License-Identifier: MIT
// Segments, ledger and files that cannot be read, do not belong together or have been tampered
// with. Whatever is lost by that, the queue starts, says so, and overwrites nothing that it could
// not read.
#include "fixture.hpp"

#include <gmock/gmock.h>

#include <fcntl.h>
#include <filesystem>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace postrider::queue {

namespace {

using testing::HasSubstr;

class Decay : public QueueFixture {
 protected:
  // A running suite with one message of three recipients; the first has been delivered.
  Arrived start_with_mail() {
    open();
    writer = std::make_unique<SegmentWriter>(*lend(fs, *queue, 1));
    Arrived arrived = accept(*writer, make_envelope(3), "body\r\n");
    queue->delivered(arrived.state.id, 0);
    EXPECT_TRUE(queue->sync_now());
    return arrived;
  }
  void stop() {
    writer.reset();
    queue.reset();
  }
  Status status_of(Id id, std::size_t recipient) {
    return found.at(id).state.recipients[recipient].status;
  }
  bool exists(const std::string& path) { return fs.stat(path).ok(); }

  Layout layout{options.directory};
  std::unique_ptr<SegmentWriter> writer;
};

// --- the ledger --------------------------------------------------------------------------------

TEST_F(Decay, DamagedMarkCountsAsNotWrittenAndThoseBehindItCount) {
  const Arrived arrived = start_with_mail();
  const std::uint64_t before = queue->ledger().bytes_used();
  queue->delivered(arrived.state.id, 1);
  queue->delivered(arrived.state.id, 2);
  ASSERT_TRUE(queue->sync_now());
  stop();
  auto fd = fs.open(layout.ledger(0), O_WRONLY);
  ASSERT_TRUE(fs.pwrite(fd->get(), "!", before + 20)); // in the mark of recipient 1
  open();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(status_of(arrived.state.id, 0), Status::delivered);
  EXPECT_EQ(status_of(arrived.state.id, 1), Status::open);
  EXPECT_EQ(status_of(arrived.state.id, 2), Status::delivered);
  EXPECT_EQ(queue->recovered().damaged_marks, 1u);
  EXPECT_THAT(alarms(), HasSubstr("1 damaged ledger entries"));
}

struct LedgerLoss {
  const char* name;
  void (*harm)(test::FaultFs& fs, const std::string& path);
};

class LostLedger : public Decay, public testing::WithParamInterface<LedgerLoss> {};

TEST_P(LostLedger, CostsRepeatsThatAreCountedAndNoMail) {
  const Arrived arrived = start_with_mail();
  stop();
  for (const unsigned which : {0U, 1U})
    GetParam().harm(fs, layout.ledger(which));
  open();
  fs.fail_read = {};
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(status_of(arrived.state.id, 0), Status::open); // again
  EXPECT_FALSE(found.begin()->second.state.held);
  EXPECT_TRUE(queue->recovered().ledger_lost);
  EXPECT_THAT(alarms(), HasSubstr("in 1 live segments are delivered again, at most 1 messages"));
}

INSTANTIATE_TEST_SUITE_P(
    Ways, LostLedger,
    testing::ValuesIn<LedgerLoss>({
        {"Removed", [](test::FaultFs& fs, const std::string& path) { (void)fs.unlink(path); }},
        {"Emptied", [](test::FaultFs&, const std::string& path) { ::truncate(path.c_str(), 0); }},
        {"Zeroed",
         [](test::FaultFs& fs, const std::string& path) {
           auto fd = fs.open(path, O_WRONLY, 0);
           (void)fs.pwrite(fd->get(), std::string(64 << 10, '\0'), 0);
         }},
        {"Unreadable",
         [](test::FaultFs& fs, const std::string&) {
           fs.fail_read = [](const std::string& name) {
             return name.find("ledger") != std::string::npos ? EIO : 0;
           };
         }},
    }),
    [](const auto& row) { return std::string(row.param.name); });

TEST_F(Decay, LedgerAheadOfItsSegmentIsAnAlarmAndAppliedToNothing) {
  open();
  writer = std::make_unique<SegmentWriter>(*lend(fs, *queue, 1));
  const std::string segment = layout.segment(1);
  std::filesystem::copy_file(segment, dir.path() + "/empty");
  const Arrived arrived = accept(*writer, make_envelope(2), "body\r\n");
  queue->delivered(arrived.state.id, 0);
  ASSERT_TRUE(queue->sync_now());
  stop();
  std::filesystem::copy_file(dir.path() + "/empty", segment,
                             std::filesystem::copy_options::overwrite_existing);
  open();
  EXPECT_TRUE(found.empty());
  EXPECT_EQ(queue->recovered().marks_ahead, 1u);
  EXPECT_THAT(alarms(), HasSubstr("mail that is not in its segment"));
  writer = std::make_unique<SegmentWriter>(*lend(fs, *queue, 1));
  const Arrived later = accept(*writer, make_envelope(2), "later\r\n");
  EXPECT_EQ(later.state.place.segment, arrived.state.place.segment);
  stop();
  open();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(status_of(later.state.id, 0), Status::open);
}

TEST_F(Decay, MarksOfAnOlderGenerationAreNoAlarm) {
  options.pool.max_segments = 1;
  const Arrived old = start_with_mail();
  Event dropped;
  dropped.kind = EventKind::dropped;
  dropped.recipients = {1, 2};
  queue->mark(old.state.id, dropped);
  queue->finish(old.state.id);
  queue->writer_returned(writer->info().loan);
  ASSERT_TRUE(queue->sync_now());
  writer.reset();
  writer = std::make_unique<SegmentWriter>(*lend(fs, *queue, 1));
  const Arrived later = accept(*writer, make_envelope(1), "later\r\n");
  stop();
  open();
  EXPECT_EQ(found.size(), 1u);
  EXPECT_EQ(status_of(later.state.id, 0), Status::open);
  EXPECT_EQ(queue->recovered().marks_ahead, 0u);
}

// --- what cannot be read now -------------------------------------------------------------------

int fail_segments(const std::string& name) { return name.ends_with(".seg") ? EIO : 0; }

TEST_F(Decay, SegmentThatCannotBeReadIsKeptAndDeliveredWhenItCan) {
  options.pool.max_segments = 1;
  const Arrived arrived = start_with_mail();
  stop();
  bool header = true; // reads the header, then nothing
  fs.fail_read = [&](const std::string& name) {
    if (!name.ends_with(".seg")) return 0;
    return std::exchange(header, false) ? 0 : EIO;
  };
  open();
  EXPECT_TRUE(found.empty());
  EXPECT_THAT(alarms(), HasSubstr("cannot be read"));
  EXPECT_FALSE(lend(fs, *queue, 2)); // it is not used for new mail
  ASSERT_TRUE(queue->run_all());
  EXPECT_TRUE(exists(layout.segment(1)));
  fs.fail_read = {};
  reopen();
  EXPECT_EQ(found.size(), 1u);
}

TEST_F(Decay, SegmentOfADeadWriterThatCannotBeReadIsKept) {
  options.pool.max_segments = 2;
  start_with_mail();
  auto unannounced = put(*writer, make_envelope(1), "acknowledged\r\n");
  ASSERT_TRUE(commit(fs, *writer));
  const std::uint64_t loan = writer->info().loan;
  writer.reset();
  fs.fail_read = fail_segments;
  EXPECT_TRUE(queue->writer_died(loan).empty());
  fs.fail_read = {};
  // Everything else in it is finished; still it must not go.
  Event dropped;
  dropped.kind = EventKind::dropped;
  dropped.recipients = {1, 2};
  const Id first = Id::make(loan, 1);
  queue->mark(first, dropped);
  queue->finish(first);
  ASSERT_TRUE(queue->run_all());
  ASSERT_TRUE(lend(fs, *queue, 2)); // forgets retired segments on the way
  EXPECT_TRUE(exists(layout.segment(1)));
  EXPECT_THAT(alarms(), HasSubstr("cannot be read"));
  reopen();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found.begin()->first, Id(unannounced->id));
}

TEST_F(Decay, WaitingFileThatCannotBeReadStaysWhereItIs) {
  Arrived arrived = start_with_mail();
  migrate(arrived, Folder::deferred);
  queue->park(arrived.state);
  ASSERT_TRUE(queue->run_all());
  const auto load = [&] {
    LoadJob job = queue->begin_load({arrived.state.id});
    job.run(fs);
    return queue->finish_load(job).size();
  };
  for (const int code : {EIO, EMFILE}) {
    fs.fail_read = [code](const std::string& name) {
      return name.find("deferred") != std::string::npos ? code : 0;
    };
    EXPECT_EQ(load(), 0u);
    EXPECT_THAT(alarms(), HasSubstr(arrived.state.id.text()));
    EXPECT_TRUE(exists(layout.file(Folder::deferred, arrived.state.id)));
  }
  fs.fail_read = {};
  EXPECT_EQ(load(), 1u);
}

TEST_F(Decay, NoReuseBeforeTheCopyOfDamageIsDurable) {
  options.pool.max_segments = 1;
  const Arrived arrived = start_with_mail();
  const auto behind = put(*writer, make_envelope(1), "tells how far the first was synced\r\n");
  ASSERT_TRUE(commit(fs, *writer));
  stop();
  auto fd = fs.open(layout.segment(1), O_WRONLY);
  ASSERT_TRUE(fs.pwrite(fd->get(), "X", arrived.state.content_offset));
  fs.fail_call = [](std::string_view, const std::string& path) {
    return path.find("/corrupt") != std::string::npos ? ENOSPC : 0;
  };
  open();
  EXPECT_THAT(alarms(), HasSubstr("cannot set aside"));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found.begin()->first, Id(behind->id));
  queue->delivered(Id(behind->id), 0);
  queue->finish(Id(behind->id));
  ASSERT_TRUE(queue->run_all());
  EXPECT_FALSE(lend(fs, *queue, 2));
  EXPECT_TRUE(exists(layout.segment(1)));
  fs.fail_call = {};
  reopen(); // now it can be copied, and the segment is free
  EXPECT_THAT(alarms(), HasSubstr("set aside in corrupt/"));
  EXPECT_EQ(fs.list(layout.corrupt())->size(), 2u);
  EXPECT_TRUE(lend(fs, *queue, 2));
}

TEST_F(Decay, FailedGroupIsNotDeliveredInThisRun) {
  const Arrived earlier = start_with_mail();
  auto failed = put(*writer, make_envelope(1), "answered 451\r\n");
  const SegmentWriter::Group group = writer->begin_group();
  EXPECT_FALSE(writer->finish_group(group, Error::from_errno("fdatasync", EIO)));
  const std::uint64_t loan = writer->info().loan;
  queue->writer_failed(loan);
  EXPECT_TRUE(queue->admit(loan, {*failed}, Check::everything).empty());
  EXPECT_TRUE(queue->writer_died(loan).empty());
  EXPECT_EQ(queue->active(), 1u);
  EXPECT_EQ(read_content(fs, *queue, earlier.state, earlier.folder), "body\r\n");
  EXPECT_THAT(alarms(), HasSubstr("segment 1 is retired"));
  writer.reset();
  EXPECT_NE(lend(fs, *queue, 2)->info().segment, 1u);
}

TEST_F(Decay, ForeignFilesInCrowdsAreOneLineInTheLogAndStay) {
  Arrived arrived = start_with_mail();
  migrate(arrived, Folder::deferred);
  queue->park(arrived.state);
  ASSERT_TRUE(queue->run_all());
  const std::string shard = layout.shard(Folder::deferred, arrived.state.id);
  for (int i = 0; i < 20'000; ++i)
    ASSERT_TRUE(Fd(::creat((shard + "/junk" + std::to_string(i)).c_str(), 0600)));
  stop();
  open();
  ASSERT_TRUE(queue->run_all());
  const std::vector<std::string> told = queue->take_alarms();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_THAT(told[0], HasSubstr("20000 entries are not message files"));
  EXPECT_EQ(fs.list(shard)->size(), 20'001u);
  LoadJob job = queue->begin_load(*queue->due(INT64_MAX, 10));
  job.run(fs);
  EXPECT_EQ(queue->finish_load(job).size(), 1u);
}

// --- a writer that has been taken over -----------------------------------------------------------

struct Tampering {
  const char* name;
  void (*tamper)(int fd, const Place& first);
};

class TakenOverWriter : public Decay, public testing::WithParamInterface<Tampering> {};

TEST_P(TakenOverWriter, HarmsItsOwnSegmentOnly) {
  open();
  auto other = lend(fs, *queue, 1);
  const Arrived safe = accept(*other, make_envelope(1), "safe\r\n");
  LendJob job = *queue->begin_lend(2);
  job.run(fs);
  Lent lent = *queue->finish_lend(job);
  ASSERT_TRUE(queue->sync_now());
  const int fd = lent.fd.get();
  SegmentWriter evil(fs, lent.info, std::move(lent.fd));
  const Arrived first = accept(evil, make_envelope(1), "first\r\n");
  const auto second = put(evil, make_envelope(1), "second\r\n");
  ASSERT_TRUE(commit(fs, evil));
  GetParam().tamper(fd, first.state.place);
  // Read with pread, so no signal; what was announced is not believed.
  std::vector<Error> refused;
  queue->admit(lent.info.loan, {*second}, Check::everything, &refused);
  read_content(fs, *queue, first.state, first.folder);
  queue->writer_died(lent.info.loan);
  EXPECT_EQ(read_content(fs, *queue, safe.state, safe.folder), "safe\r\n");
  evil = SegmentWriter(fs, {}, Fd());
  *other = SegmentWriter(fs, {}, Fd());
  reopen();
  ASSERT_TRUE(found.contains(safe.state.id));
  for (const auto& [id, arrived] : found) {
    EXPECT_TRUE(id == safe.state.id || id == first.state.id || id == Id(second->id));
    EXPECT_EQ(arrived.state.envelope, make_envelope(1));
  }
  ASSERT_TRUE(queue->run_all());
  EXPECT_TRUE(lend(fs, *queue, 3));
}

INSTANTIATE_TEST_SUITE_P(
    Ways, TakenOverWriter,
    testing::ValuesIn<Tampering>({
        {"Truncates", [](int fd, const Place&) { ASSERT_EQ(::ftruncate(fd, 0), 0); }},
        {"CutsInTheMiddle",
         [](int fd, const Place& first) {
           ASSERT_EQ(::ftruncate(fd, static_cast<off_t>(first.offset + first.length / 2)), 0);
         }},
        {"PunchesAHole",
         [](int fd, const Place&) {
           ASSERT_EQ(::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 16 << 10), 0);
         }},
        {"Grows", [](int fd, const Place&) { ASSERT_EQ(::ftruncate(fd, 1LL << 34), 0); }},
        {"OverwritesItsHeader",
         [](int fd, const Place&) {
           const std::string rubbish(8192, 'Z');
           ASSERT_EQ(::pwrite(fd, rubbish.data(), rubbish.size(), 0), 8192);
         }},
        {"OverwritesWhatItAnnounced",
         [](int fd, const Place& first) {
           ASSERT_EQ(::pwrite(fd, "X", 1, static_cast<off_t>(first.offset + 100)), 1);
         }},
    }),
    [](const auto& row) { return std::string(row.param.name); });

// --- the index ---------------------------------------------------------------------------------

// Runs in a process of its own: 0 when the queue opened, found the message and could be worked.
int opens_and_finds(const Options& options, Id id) {
  const rlimit cpu{5, 5};
  ::setrlimit(RLIMIT_CPU, &cpu); // an endless loop is a death as well
  test::ManualClock clock;
  auto queue = Queue::open(real_file_system(), clock, options, [](Arrived&&) {});
  if (!queue) return 1;
  for (int i = 0; i < 20 && ((*queue)->index_is_stale() || i == 0); ++i)
    (void)(*queue)->run_all();
  LoadJob job = (*queue)->begin_load({id});
  job.run(real_file_system());
  return (*queue)->finish_load(job).size() == 1 ? 0 : 2;
}

TEST_F(Decay, DamageToTheIndexTouchesNoMailAndEndsWithTheThirdStart) {
  Arrived arrived = start_with_mail();
  migrate(arrived, Folder::deferred);
  queue->park(arrived.state);
  ASSERT_TRUE(queue->run_all());
  writer.reset();
  ASSERT_TRUE(queue->close());
  queue.reset();
  const std::string file = layout.index() + "/waiting.mdb";
  const std::string whole = test::read_tree(layout.index()).at("waiting.mdb");
  std::vector<std::pair<std::string, std::string>> damages;
  for (std::size_t page = 0; page < whole.size(); page += 4096) {
    const std::string at = "page " + std::to_string(page / 4096);
    damages.emplace_back(at + " zeroed", std::string(whole).replace(page, 4096, 4096, '\0'));
    damages.emplace_back(at + " filled", std::string(whole).replace(page, 4096, 4096, '\xff'));
    damages.emplace_back("cut at " + at, whole.substr(0, page));
    for (std::size_t byte = 0; byte < 64; byte += 3) {
      std::string flipped = whole;
      flipped[page + byte] = static_cast<char>(flipped[page + byte] ^ 0x55);
      damages.emplace_back(at + " byte " + std::to_string(byte), std::move(flipped));
    }
  }
  int deaths = 0;
  for (const auto& [how, bytes] : damages) {
    auto fd = fs.open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ASSERT_TRUE(fs.pwrite(fd->get(), bytes, 0));
    // A damaged page may kill the process that touches it, not every one that follows.
    int status = -1;
    for (int start = 1; start <= 3 && status != 0; ++start) {
      const pid_t child = ::fork();
      if (child == 0) ::_exit(opens_and_finds(options, arrived.state.id));
      ASSERT_EQ(::waitpid(child, &status, 0), child);
      if (status != 0) ++deaths;
    }
    EXPECT_EQ(status, 0) << how;
  }
  EXPECT_GT(deaths, 0); // else this test shows nothing
}

} // namespace

} // namespace postrider::queue
