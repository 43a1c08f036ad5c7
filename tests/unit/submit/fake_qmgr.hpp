// SPDX-License-Identifier: MIT
// qmgr's side of the intake conversation for tests: lends real files, reads back what was announced
// with the queue's own reader, and remembers it. Misbehaves when told to.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fcntl.h>
#include <list>
#include <map>
#include <string>
#include <unistd.h>
#include <vector>

#include "base/fs.hpp"
#include "ev/group.hpp"
#include "ipc/channel.hpp"
#include "net/tcp_stream.hpp"
#include "proto/intake.hpp"
#include "queue/journal.hpp"
#include "queue/message_record.hpp"

namespace postrider::test {

struct TemporaryDirectory {
  TemporaryDirectory() {
    char name[] = "/tmp/postrider-test-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~TemporaryDirectory() { (void)!std::system(("rm -rf " + path).c_str()); }
  std::string path;
};

// Forwards what a writer of mail may ask of the system; fails or counts on request.
class WriterFs : public FileSystem {
 public:
  Result<void> pwrite(int fd, ByteView bytes, std::uint64_t offset) override {
    if (fail_writes) return Error::from_errno("pwrite", fail_writes);
    return real_file_system().pwrite(fd, bytes, offset);
  }
  Result<void> fdatasync(int fd) override {
    ++syncs;
    while (hold_syncs)
      ::usleep(1000);
    if (fail_syncs) return Error::from_errno("fdatasync", fail_syncs);
    return real_file_system().fdatasync(fd);
  }
  Result<void> fsync(int fd) override {
    if (fail_syncs) return Error::from_errno("fsync", fail_syncs);
    return real_file_system().fsync(fd);
  }
  Result<void> close(Fd fd) override { return real_file_system().close(std::move(fd)); }

  // A writer has no business with these.
  Result<Fd> open(const std::string&, int, std::uint32_t) override { return no(); }
  Result<void> preallocate(int, std::uint64_t) override { return no(); }
  Result<void> truncate(int, std::uint64_t) override { return no(); }
  Result<void> append(int, ByteView) override { return no(); }
  Result<std::string> pread(int, std::size_t, std::uint64_t) override { return no(); }
  Result<void> sync_directory(const std::string&) override { return no(); }
  Result<void> rename(const std::string&, const std::string&) override { return no(); }
  Result<void> link(const std::string&, const std::string&) override { return no(); }
  Result<void> unlink(const std::string&) override { return no(); }
  Result<void> mkdir(const std::string&, std::uint32_t) override { return no(); }
  Result<FileStat> stat(const std::string&) override { return no(); }
  Result<FileStat> stat(int) override { return no(); }
  Result<std::vector<std::string>> list(const std::string&) override { return no(); }
  Result<bool> try_lock(int) override { return no(); }
  Result<SpaceLeft> space_left(const std::string&) override { return no(); }

  std::atomic<int> fail_writes{0};
  std::atomic<int> fail_syncs{0};
  std::atomic<bool> hold_syncs{false};
  std::atomic<int> syncs{0};

 private:
  static Error no() { return Error(ErrorKind::refused, "not for a writer"); }
};

class FakeQmgr {
 public:
  struct Mail {
    queue::Id id;
    mail::Envelope envelope;
    mail::ContentFacts facts;
    std::string content;
    bool in_file = false;
  };

  FakeQmgr(ev::Loop& loop, std::string directory)
      : loop_(loop), directory_(std::move(directory)), group_(std::make_unique<ev::Group>(loop)) {
    listen();
  }
  ~FakeQmgr() { group_->tear_down(); }

  std::string socket() const { return directory_ + "/qmgr"; }
  const std::vector<Mail>& mails() const { return mails_; }
  int connections() const { return connections_; }
  int segments() const { return static_cast<int>(readers_.size()); }
  int done() const { return done_; }
  int dropped() const { return dropped_; }
  int files_open() const { return static_cast<int>(files_.size()); }
  const std::vector<std::string>& problems() const { return problems_; }
  // What a writer that has died wrote into its segments and did not announce.
  void find_unannounced() {
    for (auto& [loan, reader] : readers_)
      for (std::uint64_t place = queue::kSegmentHeader;;) {
        auto record = queue::read_record(real_file_system(), reader.fd.get(),
                                         reader.info.origin(place), queue::Check::everything);
        if (!record) break;
        const bool is_known = std::any_of(mails_.begin(), mails_.end(), [&](const Mail& mail) {
          return mail.id == record->header.id;
        });
        if (!is_known)
          read_back(reader.fd.get(), reader.info.origin(place), false, record->header.id.number());
        place += (record->header.length + queue::kRecordAlign - 1) / queue::kRecordAlign *
                 queue::kRecordAlign;
      }
  }
  // Those that were read back, and the files of all segments but the two lent last.
  void forget_mails() {
    for (const Mail& mail : mails_)
      if (mail.in_file) ::unlink((directory_ + "/" + mail.id.text()).c_str());
    mails_.clear();
    while (readers_.size() > 2) {
      ::unlink(segment_path(readers_.begin()->first - kFirstLoan).c_str());
      readers_.erase(readers_.begin());
    }
  }

  std::uint64_t segment_size = 1U << 20;
  bool refuse_segments = false;
  bool refuse_files = false;
  bool answer_files = true; // false: FileWritten is never answered
  bool answer_segments = true;
  bool reject_written = false;

  void say_state(bool accepting, const std::string& reason) {
    state_.accepting = accepting;
    state_.reason = reason;
    for (ipc::Channel* channel : channels_)
      channel->send(state_);
  }
  void leave() {
    for (ipc::Channel* channel : channels_)
      channel->send(proto::Leaving());
  }
  // As if the process had died: the connections and the socket are gone.
  void die() {
    group_->tear_down();
    group_ = std::make_unique<ev::Group>(loop_);
    channels_.clear();
    listener_watch_.reset();
    listener_.reset();
    ::unlink(socket().c_str());
    readers_.clear();
    files_.clear();
  }
  void live_again() { listen(); }

 private:
  void listen() {
    auto address = net::Address::unix_path(socket());
    net::ListenOptions options;
    listener_ = std::move(net::listen(*address, options).value());
    listener_watch_ = std::make_unique<ev::FdWatch>(
        loop_, listener_.get(),
        [](void* self, bool, bool) { static_cast<FakeQmgr*>(self)->accept(); }, this);
  }
  void accept() {
    while (true) {
      Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd) return;
      ++connections_;
      group_->spawn(serve(std::make_unique<ipc::Channel>(loop_, std::move(fd))), "fake qmgr");
    }
  }

  ev::RootTask serve(std::unique_ptr<ipc::Channel> channel) {
    ipc::Hello hello;
    hello.protocol = std::string(proto::kQmgrProtocol);
    hello.version = proto::kQmgrVersion;
    channel->send(hello);
    channels_.push_back(channel.get());
    bool opened = false;
    while (true) {
      Result<ipc::Frame> frame = co_await channel->receive(ev::Deadline::never());
      if (!frame) break;
      if (!opened) {
        opened = ipc::as<proto::Open>(*frame).ok();
        if (!opened) problems_.push_back("first frame is not Open");
        channel->send(state_);
        continue;
      }
      take(*channel, *frame);
    }
    channels_.remove(channel.get());
  }

  void take(ipc::Channel& channel, ipc::Frame& frame) {
    switch (frame.type) {
    case proto::WantSegment::kType: lend(channel); return;
    case proto::Committed::kType: {
      const auto said = ipc::as<proto::Committed>(frame);
      const auto reader = readers_.find(said->loan);
      if (reader == readers_.end()) return problems_.push_back("Committed for no loan of ours");
      for (const queue::Announced& record : said->records)
        read_back(reader->second.fd.get(), reader->second.info.origin(record.offset), false,
                  record.id);
      return;
    }
    case proto::SegmentDone::kType: ++done_; return;
    case proto::WantFile::kType: {
      const auto want = ipc::as<proto::WantFile>(frame);
      if (refuse_files) {
        proto::NoRoom none;
        none.reason = "no files today";
        channel.send(none);
        return;
      }
      const std::string path = directory_ + "/" + queue::Id(want->id).text();
      proto::FileLent lent;
      lent.id = want->id;
      Fd writer(::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
      files_[want->id] = path;
      channel.send(lent, std::move(writer));
      return;
    }
    case proto::FileWritten::kType: {
      const auto written = ipc::as<proto::FileWritten>(frame);
      if (!answer_files) return;
      if (reject_written) {
        proto::FileRefused refused;
        refused.id = written->id;
        refused.reason = "not whole";
        channel.send(refused);
        return;
      }
      Fd reader(::open(files_[written->id].c_str(), O_RDONLY | O_CLOEXEC));
      read_back(reader.get(), {}, true, written->id);
      files_.erase(written->id);
      proto::FileSafe safe;
      safe.id = written->id;
      channel.send(safe);
      return;
    }
    case proto::FileDropped::kType: {
      const auto gone = ipc::as<proto::FileDropped>(frame);
      files_.erase(gone->id);
      ++dropped_;
      return;
    }
    default: problems_.push_back("unknown frame");
    }
  }

  static constexpr std::uint64_t kFirstLoan = 1'000'000;
  std::string segment_path(std::uint64_t number) const {
    return directory_ + "/" + std::to_string(number) + ".seg";
  }
  void lend(ipc::Channel& channel) {
    if (!answer_segments) return;
    if (refuse_segments) {
      proto::NoRoom none;
      none.reason = "disk is full";
      channel.send(none);
      return;
    }
    ++last_loan_;
    proto::SegmentLent lent;
    lent.info.pool = 7;
    lent.info.segment = static_cast<std::uint32_t>(last_loan_);
    lent.info.loan = kFirstLoan + last_loan_;
    lent.info.tag = 0x1234'5678'0000'0000 + last_loan_;
    lent.info.size = segment_size;
    const std::string path = segment_path(last_loan_);
    Fd writer(::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    (void)!::ftruncate(writer.get(), static_cast<off_t>(segment_size));
    Reader reader;
    reader.info = lent.info;
    reader.fd = Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    readers_.emplace(lent.info.loan, std::move(reader));
    channel.send(lent, std::move(writer));
  }

  void read_back(int fd, queue::RecordOrigin origin, bool in_file, std::uint64_t id) {
    auto record = queue::read_record(real_file_system(), fd, origin, queue::Check::everything);
    if (!record) return problems_.push_back("record: " + record.error().text());
    if (record->header.id.number() != id) problems_.push_back("record of another id");
    Mail mail;
    mail.id = record->header.id;
    mail.envelope = record->envelope;
    mail.facts = record->facts;
    mail.content = *real_file_system().pread(fd, record->facts.size, record->content_offset);
    mail.in_file = in_file;
    mails_.push_back(std::move(mail));
  }

  struct Reader {
    queue::SegmentInfo info;
    Fd fd;
  };
  ev::Loop& loop_;
  std::string directory_;
  Fd listener_;
  std::unique_ptr<ev::FdWatch> listener_watch_;
  std::unique_ptr<ev::Group> group_;
  std::list<ipc::Channel*> channels_;
  proto::QueueState state_;
  std::map<std::uint64_t, Reader> readers_;    // by loan
  std::map<std::uint64_t, std::string> files_; // by id
  std::vector<Mail> mails_;
  std::vector<std::string> problems_;
  std::uint64_t last_loan_ = 0;
  int connections_ = 0;
  int done_ = 0;
  int dropped_ = 0;
};

// Turns the loop until `done` says so once; false when it does not come within `most`.
template <typename Done>
bool turn_until(ev::Loop& loop, Done done, Duration most = std::chrono::seconds(20)) {
  const SteadyTime give_up = std::chrono::steady_clock::now() + most;
  while (!done()) {
    if (std::chrono::steady_clock::now() > give_up) return false;
    ev::Timer wake(
        loop, [](void*) {}, nullptr);
    wake.arm(loop.after(std::chrono::milliseconds(50)));
    loop.turn(true);
  }
  return true;
}

} // namespace postrider::test
