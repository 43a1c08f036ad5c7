// SPDX-License-Identifier: MIT
// CoreTest: the whole of qmgr on a real directory, between a writer and agents that the test plays.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <fcntl.h>
#include <map>
#include <sys/mman.h>
#include <unistd.h>

#include "mail/header.hpp"
#include "net/tcp_stream.hpp"
#include "proto/ctl.hpp"
#include "proto/deliver.hpp"
#include "qmgr.hpp"
#include "queue/message_file.hpp"
#include "support/manual_clock.hpp"
#include "support/scratch_dir.hpp"

namespace postrider::qmgr {

using namespace std::chrono_literals;

struct Received {
  std::uint16_t type = 0;
  std::string body;
  std::vector<Fd> fds;
};

// One end of a channel: keeps what arrives.
class Peer {
 public:
  Peer(ev::Loop& loop, Fd fd)
      : group_(loop), channel_(std::make_unique<ipc::Channel>(loop, std::move(fd))) {
    group_.spawn(read(), "peer");
  }
  ~Peer() { group_.tear_down(); }
  ipc::Channel& channel() { return *channel_; }
  std::deque<Received>& frames() { return frames_; }
  bool ended() const { return ended_; }
  void die() {
    group_.tear_down();
    channel_.reset();
  }

 private:
  ev::RootTask read() {
    while (true) {
      Result<ipc::Frame> frame = co_await channel_->receive(ev::Deadline::never());
      if (!frame) break;
      Received received;
      received.type = frame->type;
      received.body = frame->body;
      received.fds = std::move(frame->fds);
      frames_.push_back(std::move(received));
    }
    ended_ = true;
  }
  ev::Group group_;
  std::unique_ptr<ipc::Channel> channel_;
  std::deque<Received> frames_;
  bool ended_ = false;
};

// A delivery agent, or bounce: answers what it gets as the test says.
class FakeAgent {
 public:
  FakeAgent(ev::Loop& loop, Fd fd, std::string program, std::uint32_t capacity)
      : peer_(loop, std::move(fd)) {
    ipc::Hello hello;
    hello.protocol = proto::kDeliverProtocol;
    hello.version = proto::kDeliverVersion;
    peer_.channel().send(hello);
    proto::Ready ready;
    ready.program = std::move(program);
    ready.capacity = capacity;
    ready.final_delivery = ready.program == "lmtp";
    peer_.channel().send(ready);
  }
  ~FakeAgent() {
    if (board_ != nullptr) ::munmap(board_, proto::board_size(slots_));
  }
  void read() {
    while (!peer_.frames().empty()) {
      Received frame = std::move(peer_.frames().front());
      peer_.frames().pop_front();
      if (frame.type == proto::Board::kType) {
        slots_ = decode<proto::Board>(frame.body)->slots;
        void* bytes = ::mmap(nullptr, proto::board_size(slots_), PROT_READ | PROT_WRITE, MAP_SHARED,
                             frame.fds[0].get(), 0);
        ASSERT_NE(bytes, MAP_FAILED);
        board_ = static_cast<char*>(bytes);
      } else if (frame.type == proto::OpenContent::kType) {
        contents_[decode<proto::OpenContent>(frame.body)->handle] = std::move(frame.fds[0]);
      } else if (frame.type == proto::CloseContent::kType) {
        contents_.erase(decode<proto::CloseContent>(frame.body)->handle);
      } else if (frame.type == proto::Deliver::kType) {
        auto request = decode<proto::Deliver>(frame.body);
        ASSERT_TRUE(request.ok()) << request.error().text();
        delivers.push_back(std::move(*request));
      } else if (frame.type == proto::Report::kType) {
        auto request = decode<proto::Report>(frame.body);
        ASSERT_TRUE(request.ok()) << request.error().text();
        reports.push_back(std::move(*request));
      }
    }
  }
  std::string content_of(const proto::Deliver& request) {
    return *real_file_system().pread(contents_.at(request.handle).get(), request.facts.size,
                                     request.content_offset);
  }
  void mark(std::uint32_t slot, proto::SlotState state) { board_[slot] = static_cast<char>(state); }
  // Its code is at work on this delivery: what a death is blamed on.
  void run(std::uint32_t slot) {
    mark(slot, proto::SlotState::working);
    const std::uint32_t number = slot + 1;
    std::memcpy(board_ + proto::running_at(slots_), &number, sizeof number);
  }
  void pass_on(const proto::Deliver& request, const std::string& pass_to) {
    proto::Delivered result;
    result.slot = request.slot;
    result.pass_to = pass_to;
    peer_.channel().send(result);
  }
  void answer(const proto::Deliver& request, const mail::Outcome& outcome) {
    proto::Delivered result;
    result.slot = request.slot;
    result.outcomes.assign(request.envelope.recipients.size(), outcome);
    peer_.channel().send(result);
  }
  void answer(const proto::Report& request, bool ok) {
    proto::Reported result;
    result.slot = request.slot;
    result.ok = ok;
    result.text = ok ? "" : "no";
    peer_.channel().send(result);
  }
  Peer& peer() { return peer_; }
  std::size_t contents() const { return contents_.size(); }

  std::deque<proto::Deliver> delivers;
  std::deque<proto::Report> reports;

 private:
  Peer peer_;
  char* board_ = nullptr;
  std::uint32_t slots_ = 0;
  std::map<std::uint64_t, Fd> contents_;
};

inline mail::Outcome outcome(mail::Verdict verdict, std::string dsn, std::string text,
                             mail::Scope scope = mail::Scope::recipient) {
  mail::Outcome made;
  made.verdict = verdict;
  made.scope = scope;
  made.dsn = std::move(dsn);
  made.text = std::move(text);
  return made;
}
inline const mail::Outcome kSent = outcome(mail::Verdict::delivered, "2.0.0", "250 ok");
inline const mail::Outcome kLater = outcome(mail::Verdict::deferred, "4.2.0", "450 later");
inline const mail::Outcome kNever = outcome(mail::Verdict::bounced, "5.1.1", "550 no such user");
inline const mail::Outcome kDown =
    outcome(mail::Verdict::deferred, "4.4.1", "connect to h[192.0.2.1]:25: Connection refused",
            mail::Scope::site);

// A core on a small queue.
inline Result<std::unique_ptr<Core>> open_core(ev::Loop& loop, ev::Offload& offload,
                                               const std::string& directory, const Params& params,
                                               Surroundings around) {
  queue::Options options;
  options.directory = directory;
  options.pool.segment_size = 1U << 20;
  options.pool.min_free_bytes = 0;
  options.ledger.room = 1U << 20;
  options.index_map_size = 1U << 26;
  return Core::open(loop, offload, real_file_system(), std::move(options), params,
                    std::move(around));
}

inline Result<Route> route_by_domain(const std::string& recipient) {
  const std::string domain = recipient.substr(recipient.find('@') + 1);
  if (domain == "error.example") return Route{"error", "5.7.1 not to there", recipient};
  if (domain == "discard.example") return Route{"discard", "thrown away", recipient};
  if (domain == "nowhere.example") return Route{"missing", "x", recipient};
  if (domain == "mailbox.example") return Route{"lmtp", domain, recipient};
  return Route{"smtp", domain, recipient};
}

class CoreTest : public testing::Test {
 protected:
  CoreTest() : loop(clock), offload(loop) { params.owner = ::geteuid(); }
  ~CoreTest() override {
    writer.reset();
    operator_.reset();
    agents.clear();
    if (core) core->finish_stop();
    core.reset();
  }

  void open() {
    Surroundings around;
    around.route = [this](const std::string& recipient, const mail::Envelope&) {
      return route_by_domain(recipient);
    };
    around.connect = [this](const std::string& service) { return connect(service); };
    around.limits = [this](const std::string&) { return limits; };
    around.misbehaves = [this](pid_t pid) { accused.push_back(pid); };
    auto opened = open_core(loop, offload, scratch.path() + "/queue", params, std::move(around));
    ASSERT_TRUE(opened.ok()) << opened.error().text();
    core = std::move(*opened);
  }
  // As a crash, as far as that can be had in one process; or in good order.
  void reopen() {
    writer.reset();
    operator_.reset();
    agents.clear();
    core->finish_stop();
    core.reset();
    open();
  }

  Result<Fd> connect(const std::string& service) {
    if (service == "missing") return Error(ErrorKind::not_found, "no service missing");
    auto pair = net::socket_pair();
    EXPECT_TRUE(ipc::ask_for_senders(pair->second.get()));
    add_agent(service, std::move(pair->first));
    return std::move(pair->second);
  }
  void add_agent(const std::string& service, Fd fd) {
    agents.push_back(std::make_unique<FakeAgent>(loop, std::move(fd), service, capacity));
    by_service[service].push_back(agents.back().get());
  }
  FakeAgent& agent(const std::string& service = "smtp") { return *by_service[service].back(); }

  bool turn_until(const std::function<bool()>& condition) {
    for (int i = 0; i < 20000; ++i) {
      loop.turn(false);
      for (auto& one : agents)
        one->read();
      if (condition()) return true;
      clock.advance(1ms);
      if (i > 100) ::usleep(200); // pool threads want the processor
    }
    return false;
  }
  bool delivers_arrive(std::size_t count, const std::string& service = "smtp") {
    return turn_until(
        [&] { return !by_service[service].empty() && agent(service).delivers.size() >= count; });
  }
  bool reports_arrive(std::size_t count) {
    return turn_until(
        [&] { return !by_service["bounce"].empty() && agent("bounce").reports.size() >= count; });
  }
  bool drained() {
    return turn_until([&] { return core->parts().intake->messages().empty(); });
  }

  void start_writer() {
    auto pair = net::socket_pair();
    core->converse(std::move(pair->second));
    greet_as_writer(std::move(pair->first));
    ASSERT_TRUE(turn_until([&] { return take(proto::SegmentLent::kType, last); }));
    use_segment();
  }
  void greet_as_writer(Fd fd) {
    writer = std::make_unique<Peer>(loop, std::move(fd));
    proto::Open open;
    open.role = proto::Role::intake;
    open.program = "test";
    writer->channel().send(open);
    writer->channel().send(proto::WantSegment{});
  }
  void use_segment() { // that came last
    const auto lent = decode<proto::SegmentLent>(last.body);
    ASSERT_TRUE(lent.ok());
    segment = std::make_unique<queue::SegmentWriter>(real_file_system(), lent->info,
                                                     std::move(last.fds.at(0)));
  }
  bool take(std::uint16_t type, Received& out) {
    for (auto i = writer->frames().begin(); i != writer->frames().end(); ++i) {
      if (i->type != type) continue;
      out = std::move(*i);
      writer->frames().erase(i);
      return true;
    }
    return false;
  }
  mail::Envelope envelope(std::vector<std::string> recipients,
                          std::string sender = "s@client.example") {
    mail::Envelope made;
    made.sender = std::move(sender);
    for (std::string& recipient : recipients)
      made.recipients.push_back({.address = std::move(recipient)});
    made.arrival = to_unix_micros(clock.wall());
    return made;
  }
  static constexpr std::string_view kContent = "Subject: x\r\n\r\nhello\r\n";
  queue::Announced write(const mail::Envelope& made) {
    mail::ContentScanner scanner;
    scanner.feed(kContent);
    auto announced = segment->append(segment->next_id(), made, scanner.facts(), kContent);
    EXPECT_TRUE(announced.ok());
    return *announced;
  }
  // In a file of its own, as large mail; not told yet.
  queue::Id write_file(const mail::Envelope& made) {
    const queue::Id id = segment->next_id();
    proto::WantFile want;
    want.id = id.number();
    writer->channel().send(want);
    EXPECT_TRUE(turn_until([&] { return take(proto::FileLent::kType, last); }));
    queue::FileWriter file(real_file_system(), std::move(last.fds.at(0)), id, made);
    mail::ContentScanner scanner;
    scanner.feed(kContent);
    EXPECT_TRUE(file.write(kContent));
    EXPECT_TRUE(file.finish(scanner.facts()));
    EXPECT_TRUE(queue::FileWriter::run_commit(real_file_system(), file.begin_commit()));
    return id;
  }
  void commit() {
    auto group = segment->begin_group();
    auto synced = queue::SegmentWriter::sync_group(real_file_system(), group);
    EXPECT_TRUE(segment->finish_group(group, synced).ok());
  }
  queue::Id send(const mail::Envelope& made) {
    if (!writer) start_writer();
    const queue::Announced announced = write(made);
    commit();
    announce(announced);
    return queue::Id(announced.id);
  }
  void announce(const queue::Announced& record) {
    proto::Committed message;
    message.loan = segment->info().loan;
    message.records = {record};
    writer->channel().send(message);
  }
  Message* find(queue::Id id) { return core->parts().intake->find(id); }
  bool parked(queue::Id id) {
    return turn_until([&] {
      if (find(id) != nullptr) return false;
      auto entry = core->parts().queue.index().find(id);
      return entry.ok() && entry->has_value();
    });
  }

  // As the owner of the queue, who can open its files; with another `shown`, as who cannot.
  template <typename Answer, typename Request>
  Result<Answer> ask(const Request& request) {
    return ask<Answer>(request, ::open((scratch.path() + "/queue/qmgr.lock").c_str(), O_RDONLY));
  }
  template <typename Answer, typename Request>
  Result<Answer> ask(const Request& request, int shown) {
    Fd proof(shown);
    loop.turn(false);
    if (!operator_ || operator_->ended()) { // it is sent away when it is silent for long
      auto pair = net::socket_pair();
      core->converse(std::move(pair->second));
      operator_ = std::make_unique<Peer>(loop, std::move(pair->first));
      proto::Open open;
      open.role = proto::Role::control;
      open.program = "postrider";
      operator_->channel().send(open);
      EXPECT_TRUE(turn_until([&] { return !operator_->frames().empty(); }));
      operator_->frames().clear(); // Hello
      if (proof) operator_->channel().send(proto::OwnerProof(), std::move(proof));
    }
    operator_->channel().send(request);
    EXPECT_TRUE(turn_until([&] { return !operator_->frames().empty(); }));
    if (operator_->frames().empty()) return Error(ErrorKind::timeout, "no answer");
    Received frame = std::move(operator_->frames().front());
    operator_->frames().pop_front();
    if (frame.type != Answer::kType) return Error(ErrorKind::refused, frame.body);
    return decode<Answer>(frame.body);
  }
  void end_operator() { operator_.reset(); }
  proto::Act act(proto::Action action, queue::Id id) {
    proto::Act request;
    request.action = action;
    request.select.ids = {id.text()};
    return request;
  }

  test::ScratchDir scratch;
  test::ManualClock clock;
  ev::Loop loop;
  ev::Offload offload;
  Params params;
  TransportLimits limits;
  std::uint32_t capacity = 100;
  std::vector<pid_t> accused;
  std::vector<std::unique_ptr<FakeAgent>> agents;
  std::map<std::string, std::vector<FakeAgent*>> by_service;
  std::unique_ptr<Core> core;
  std::unique_ptr<Peer> writer;
  std::unique_ptr<Peer> operator_;
  std::unique_ptr<queue::SegmentWriter> segment;
  Received last;
};

} // namespace postrider::qmgr
