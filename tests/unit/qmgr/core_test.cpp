// SPDX-License-Identifier: MIT
// The whole of qmgr on a real directory, between a writer and agents that the test plays.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
#include "support/manual_clock.hpp"
#include "support/scratch_dir.hpp"

namespace postrider::qmgr {
namespace {

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
    ready.pid = static_cast<std::uint32_t>(::getpid());
    peer_.channel().send(ready);
  }
  ~FakeAgent() {
    if (board_ != nullptr) ::munmap(board_, slots_);
  }
  void read() {
    while (!peer_.frames().empty()) {
      Received frame = std::move(peer_.frames().front());
      peer_.frames().pop_front();
      if (frame.type == proto::Board::kType) {
        slots_ = decode<proto::Board>(frame.body)->slots;
        void* bytes =
            ::mmap(nullptr, slots_, PROT_READ | PROT_WRITE, MAP_SHARED, frame.fds[0].get(), 0);
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

mail::Outcome outcome(mail::Verdict verdict, std::string dsn, std::string text,
                      mail::Scope scope = mail::Scope::recipient) {
  mail::Outcome made;
  made.verdict = verdict;
  made.scope = scope;
  made.dsn = std::move(dsn);
  made.text = std::move(text);
  return made;
}
const mail::Outcome kSent = outcome(mail::Verdict::delivered, "2.0.0", "250 ok");
const mail::Outcome kLater = outcome(mail::Verdict::deferred, "4.2.0", "450 later");
const mail::Outcome kNever = outcome(mail::Verdict::bounced, "5.1.1", "550 no such user");
const mail::Outcome kDown =
    outcome(mail::Verdict::deferred, "4.4.1", "connect to h[192.0.2.1]:25: Connection refused",
            mail::Scope::site);

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
    queue::Options options;
    options.directory = scratch.path() + "/queue";
    options.pool.segment_size = 1U << 20;
    options.pool.min_free_bytes = 0;
    options.ledger.room = 1U << 20;
    options.index_map_size = 1U << 26;
    Surroundings around;
    around.route = [this](const std::string& recipient, const std::string&) {
      return route(recipient);
    };
    around.connect = [this](const std::string& service) { return connect(service); };
    around.limits = [this](const std::string&) { return limits; };
    auto opened = Core::open(loop, offload, real_file_system(), std::move(options), params,
                             std::move(around));
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

  Result<Route> route(const std::string& recipient) {
    const std::string domain = recipient.substr(recipient.find('@') + 1);
    if (domain == "error.example") return Route{"error", "5.7.1 not to there", recipient};
    if (domain == "discard.example") return Route{"discard", "thrown away", recipient};
    if (domain == "nowhere.example") return Route{"missing", "x", recipient};
    if (domain == "mailbox.example") return Route{"lmtp", domain, recipient};
    return Route{"smtp", domain, recipient};
  }
  Result<Fd> connect(const std::string& service) {
    if (service == "missing") return Error(ErrorKind::not_found, "no service missing");
    auto pair = net::socket_pair();
    agents.push_back(std::make_unique<FakeAgent>(loop, std::move(pair->first), service, capacity));
    by_service[service].push_back(agents.back().get());
    return std::move(pair->second);
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
    writer = std::make_unique<Peer>(loop, std::move(pair->first));
    proto::Open open;
    open.role = proto::Role::intake;
    open.program = "test";
    writer->channel().send(open);
    writer->channel().send(proto::WantSegment{});
    ASSERT_TRUE(turn_until([&] { return take(proto::SegmentLent::kType, last); }));
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
  void commit() {
    auto group = segment->begin_group();
    auto synced = queue::SegmentWriter::sync_group(real_file_system(), group);
    EXPECT_TRUE(segment->finish_group(group, synced).ok());
  }
  queue::Id send(const mail::Envelope& made) {
    if (!writer) start_writer();
    const queue::Announced announced = write(made);
    commit();
    proto::Committed message;
    message.loan = segment->info().loan;
    message.records = {announced};
    writer->channel().send(message);
    return queue::Id(announced.id);
  }
  Message* find(queue::Id id) { return core->parts().intake->find(id); }
  bool parked(queue::Id id) {
    return turn_until([&] {
      if (find(id) != nullptr) return false;
      auto entry = core->parts().queue.index().find(id);
      return entry.ok() && entry->has_value();
    });
  }

  template <typename Answer, typename Request>
  Result<Answer> ask(const Request& request) {
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
    }
    operator_->channel().send(request);
    EXPECT_TRUE(turn_until([&] { return !operator_->frames().empty(); }));
    if (operator_->frames().empty()) return Error(ErrorKind::timeout, "no answer");
    Received frame = std::move(operator_->frames().front());
    operator_->frames().pop_front();
    if (frame.type != Answer::kType) return Error(ErrorKind::refused, frame.body);
    return decode<Answer>(frame.body);
  }
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
  std::vector<std::unique_ptr<FakeAgent>> agents;
  std::map<std::string, std::vector<FakeAgent*>> by_service;
  std::unique_ptr<Core> core;
  std::unique_ptr<Peer> writer;
  std::unique_ptr<Peer> operator_;
  std::unique_ptr<queue::SegmentWriter> segment;
  Received last;
};

TEST_F(CoreTest, AdmitsDeliversRemoves) {
  open();
  const queue::Id id = send(envelope({"a@x.example", "b@x.example", "c@y.example"}));
  ASSERT_TRUE(delivers_arrive(2));
  for (const proto::Deliver& request : agent().delivers) {
    EXPECT_EQ(request.id, id.number());
    EXPECT_EQ(request.envelope.sender, "s@client.example");
    EXPECT_EQ(agent().content_of(request), kContent);
    EXPECT_EQ(request.envelope.recipients.size(), request.nexthop == "x.example" ? 2u : 1u);
    agent().answer(request, kSent);
  }
  EXPECT_TRUE(drained());
  EXPECT_EQ(core->parts().counters.delivered, 3u);
  EXPECT_EQ(core->parts().counters.removed, 1u);
  reopen();
  EXPECT_TRUE(core->parts().intake->messages().empty()) << "nothing is delivered twice";
}

TEST_F(CoreTest, SplitsAtTheRecipientLimit) {
  limits.recipients = 2;
  open();
  send(envelope({"a@x.example", "b@x.example", "c@x.example"}));
  ASSERT_TRUE(delivers_arrive(2));
  EXPECT_EQ(agent().delivers[0].envelope.recipients.size(), 2u);
  EXPECT_EQ(agent().delivers[1].envelope.recipients.size(), 1u);
  EXPECT_EQ(agent().delivers[1].recipient_indices, std::vector<std::uint32_t>{2});
}

TEST_F(CoreTest, KeepsToTheWindow) {
  limits.window.initial = 2;
  limits.window.limit = 3;
  open();
  for (int i = 0; i < 10; ++i)
    send(envelope({"a@x.example"}));
  ASSERT_TRUE(delivers_arrive(2));
  EXPECT_FALSE(turn_until([&] {
                 return agent().delivers.size() > 2 || loop.now() > SteadyTime(1000h + 1s);
               }) &&
               agent().delivers.size() > 2);
  std::size_t answered = 0;
  while (answered < 10) {
    ASSERT_TRUE(delivers_arrive(answered + 1));
    EXPECT_LE(agent().delivers.size() - answered, 3u);
    agent().answer(agent().delivers[answered++], kSent);
  }
  EXPECT_TRUE(drained());
}

TEST_F(CoreTest, DefersToAFileAndTriesAgain) {
  open();
  const queue::Id id = send(envelope({"a@x.example"}));
  ASSERT_TRUE(delivers_arrive(1));
  agent().answer(agent().delivers[0], kLater);
  ASSERT_TRUE(parked(id));
  const auto why = ask<proto::WhyAnswer>(proto::Why{.id = id.text()});
  ASSERT_TRUE(why.ok()) << why.error().text();
  ASSERT_EQ(why->recipients.size(), 1u);
  EXPECT_EQ(why->where, proto::Where::deferred);
  EXPECT_EQ(why->recipients[0].attempts, 1u);
  EXPECT_EQ(why->recipients[0].gate, mail::Gate::retry_timer);
  EXPECT_EQ(why->recipients[0].last.text, "450 later");
  const std::int64_t wait = why->recipients[0].next_try - to_unix_micros(clock.wall());
  EXPECT_GT(wait, 290'000'000);
  EXPECT_LE(wait, 330'000'000);
  EXPECT_EQ(agent().delivers.size(), 1u);
  clock.advance(331s);
  ASSERT_TRUE(delivers_arrive(2));
  EXPECT_EQ(agent().content_of(agent().delivers[1]), kContent);
  agent().answer(agent().delivers[1], kSent);
  EXPECT_TRUE(drained());
  EXPECT_TRUE(turn_until([&] { return *core->parts().queue.index().size() == 0; }));
}

TEST_F(CoreTest, BouncesThenRemoves) {
  open();
  mail::Envelope made = envelope({"a@x.example", "b@x.example"});
  made.recipients[1].notify = mail::notify_never;
  const queue::Id id = send(made);
  ASSERT_TRUE(delivers_arrive(1));
  agent().answer(agent().delivers[0], kNever);
  ASSERT_TRUE(reports_arrive(1));
  const proto::Report& report = agent("bounce").reports[0];
  EXPECT_EQ(report.kind, proto::ReportKind::failed);
  EXPECT_EQ(report.send_to, "s@client.example");
  ASSERT_EQ(report.envelope.recipients.size(), 1u) << "NOTIFY=NEVER";
  EXPECT_EQ(report.envelope.recipients[0].address, "a@x.example");
  EXPECT_EQ(report.outcomes[0].text, "550 no such user");
  EXPECT_NE(find(id), nullptr) << "bounce first, remove last";
  agent("bounce").answer(report, true);
  EXPECT_TRUE(drained());
}

TEST_F(CoreTest, AReportThatFailsIsAskedForAgain) {
  open();
  send(envelope({"a@error.example"}));
  ASSERT_TRUE(reports_arrive(1));
  EXPECT_EQ(agent("bounce").reports[0].outcomes[0].dsn, "5.7.1");
  EXPECT_EQ(agent("bounce").reports[0].outcomes[0].text, "not to there");
  agent("bounce").answer(agent("bounce").reports[0], false);
  ASSERT_TRUE(reports_arrive(2));
  agent("bounce").answer(agent("bounce").reports[1], true);
  EXPECT_TRUE(drained());
}

// bounce dies between the commit of a report and its answer, and qmgr sees the end of the one
// connection before that of the other: the report that is in the journal is not made again.
TEST_F(CoreTest, AReportThatWasCommittedIsNotMadeAgain) {
  open();
  const queue::Id id = send(envelope({"a@dest.example"}));
  ASSERT_TRUE(delivers_arrive(1));
  agent().answer(agent().delivers[0], kNever);
  ASSERT_TRUE(reports_arrive(1));
  mail::Envelope report = envelope({"s@client.example"}, "");
  report.report_for = id.text();
  report.report_kind = "failed";
  report.reported = {0};
  write(report);
  commit();
  agent("bounce").peer().die();
  ASSERT_TRUE(turn_until([&] { return by_service["bounce"].size() == 2; }));
  for (int i = 0; i < 50; ++i)
    loop.turn(false);
  agent("bounce").read();
  EXPECT_TRUE(agent("bounce").reports.empty());
  writer->die();
  ASSERT_TRUE(delivers_arrive(2));
  EXPECT_EQ(agent().delivers[1].envelope.report_for, id.text());
  agent().answer(agent().delivers[1], kSent);
  ASSERT_TRUE(drained());
  EXPECT_TRUE(agent("bounce").reports.empty());
}

TEST_F(CoreTest, NeverBouncesABounce) {
  open();
  send(envelope({"a@x.example"}, ""));
  ASSERT_TRUE(delivers_arrive(1));
  agent().answer(agent().delivers[0], kNever);
  EXPECT_TRUE(drained());
  EXPECT_TRUE(by_service["bounce"].empty());
}

TEST_F(CoreTest, TellsThePostmasterWhenAsked) {
  params.double_bounce_recipient = "postmaster@client.example";
  open();
  send(envelope({"a@x.example"}, ""));
  ASSERT_TRUE(delivers_arrive(1));
  agent().answer(agent().delivers[0], kNever);
  ASSERT_TRUE(reports_arrive(1));
  EXPECT_EQ(agent("bounce").reports[0].send_to, "postmaster@client.example");
  agent("bounce").answer(agent("bounce").reports[0], true);
  EXPECT_TRUE(drained());
}

TEST_F(CoreTest, SoftBounceDefers) {
  params.soft_bounce = true;
  open();
  const queue::Id id = send(envelope({"a@x.example"}));
  ASSERT_TRUE(delivers_arrive(1));
  agent().answer(agent().delivers[0], kNever);
  EXPECT_TRUE(parked(id));
}

TEST_F(CoreTest, ExpiredMailIsReturned) {
  params.retry.lifetime = 100'000'000;
  open();
  const queue::Id id = send(envelope({"a@x.example"}));
  ASSERT_TRUE(delivers_arrive(1));
  agent().answer(agent().delivers[0], kLater);
  ASSERT_TRUE(parked(id));
  clock.advance(331s);
  ASSERT_TRUE(delivers_arrive(2));
  agent().answer(agent().delivers[1], kLater);
  ASSERT_TRUE(reports_arrive(1));
  EXPECT_EQ(agent("bounce").reports[0].kind, proto::ReportKind::failed);
  agent("bounce").answer(agent("bounce").reports[0], true);
  EXPECT_TRUE(drained());
}

TEST_F(CoreTest, WarnsOnceOfDelay) {
  params.retry.delay_warning = 100'000'000;
  open();
  const queue::Id id = send(envelope({"a@x.example"}));
  for (std::size_t attempt = 1; attempt <= 3; ++attempt) {
    ASSERT_TRUE(delivers_arrive(attempt));
    agent().answer(agent().delivers[attempt - 1], kLater);
    if (attempt == 2) {
      ASSERT_TRUE(reports_arrive(1));
      EXPECT_EQ(agent("bounce").reports[0].kind, proto::ReportKind::delayed);
      EXPECT_GT(agent("bounce").reports[0].next_try, 0);
      agent("bounce").answer(agent("bounce").reports[0], true);
    }
    ASSERT_TRUE(parked(id));
    clock.advance(1400s);
  }
  EXPECT_EQ(agent("bounce").reports.size(), 1u);
}

TEST_F(CoreTest, SuccessIsReportedWhenTheNextHopCannot) {
  open();
  std::size_t reports = 0;
  for (const std::string service : {"smtp", "lmtp"}) { // the second says that it is a mailbox
    mail::Envelope made = envelope({service == "smtp" ? "a@x.example" : "a@mailbox.example"});
    made.recipients[0].notify = mail::notify_success;
    send(made);
    ASSERT_TRUE(delivers_arrive(1, service));
    proto::Delivered result;
    result.slot = agent(service).delivers[0].slot;
    result.outcomes = {kSent};
    result.relayed_without_dsn = true;
    agent(service).peer().channel().send(result);
    ASSERT_TRUE(reports_arrive(++reports));
    const proto::Report& report = agent("bounce").reports[reports - 1];
    EXPECT_EQ(report.kind, proto::ReportKind::success);
    EXPECT_EQ(report.final_delivery, service == "lmtp");
    agent("bounce").answer(report, true);
    EXPECT_TRUE(drained());
  }
}

TEST_F(CoreTest, DiscardsAndDefersWithoutAgents) {
  open();
  send(envelope({"a@discard.example"}));
  EXPECT_TRUE(turn_until([&] { return core->parts().counters.removed == 1; }));
  const queue::Id id = send(envelope({"a@nowhere.example"}));
  ASSERT_TRUE(parked(id));
  const auto why = ask<proto::WhyAnswer>(proto::Why{.id = id.text()});
  ASSERT_TRUE(why.ok());
  EXPECT_EQ(why->recipients[0].gate, mail::Gate::no_agent);
  EXPECT_EQ(why->recipients[0].attempts, 0u);
}

// --- dead destinations -------------------------------------------------------------------------

TEST_F(CoreTest, ADeadDestinationHoldsUpNobody) {
  open();
  for (int i = 0; i < 50; ++i)
    send(envelope({"a@dead.example"}));
  ASSERT_TRUE(delivers_arrive(5));
  for (int i = 0; i < 3; ++i)
    agent().answer(agent().delivers[static_cast<std::size_t>(i)], kDown);
  // The rest goes to the disk without an attempt.
  ASSERT_TRUE(turn_until([&] { return core->parts().intake->messages().size() == 2; }));
  for (std::size_t i = 3; i < agent().delivers.size(); ++i)
    agent().answer(agent().delivers[i], kDown);
  ASSERT_TRUE(drained());
  send(envelope({"a@alive.example"}));
  ASSERT_TRUE(turn_until([&] { return agent().delivers.back().nexthop == "alive.example"; }));
  agent().answer(agent().delivers.back(), kSent);
  const queue::Id late = send(envelope({"b@dead.example"}));
  ASSERT_TRUE(parked(late));
  const auto why = ask<proto::WhyAnswer>(proto::Why{.id = late.text()});
  ASSERT_TRUE(why.ok());
  EXPECT_EQ(why->recipients[0].gate, mail::Gate::destination_backed_off);
  EXPECT_THAT(why->recipients[0].last.text, testing::HasSubstr("delivery temporarily suspended"));
  EXPECT_EQ(why->recipients[0].attempts, 0u);
  const std::size_t before = agent().delivers.size();
  clock.advance(2000s);
  // One probe, and no more until it is answered.
  ASSERT_TRUE(delivers_arrive(before + 1));
  for (int i = 0; i < 200; ++i)
    loop.turn(false);
  agent().read();
  EXPECT_EQ(agent().delivers.size(), before + 1);
  agent().answer(agent().delivers.back(), kSent);
  EXPECT_TRUE(delivers_arrive(before + 3)) << "alive again: more at a time";
}

// --- dying agents ------------------------------------------------------------------------------

TEST_F(CoreTest, ADeadAgentReturnsItsRequests) {
  open();
  const queue::Id safe = send(envelope({"a@x.example"}));
  const queue::Id doubtful = send(envelope({"b@y.example"}));
  ASSERT_TRUE(delivers_arrive(2));
  FakeAgent& first = agent();
  for (const proto::Deliver& request : first.delivers)
    first.mark(request.slot, request.id == safe.number() ? proto::SlotState::working
                                                         : proto::SlotState::in_doubt);
  first.peer().die();
  ASSERT_TRUE(
      turn_until([&] { return by_service["smtp"].size() == 2 && !agent().delivers.empty(); }));
  EXPECT_EQ(agent().delivers[0].id, safe.number());
  EXPECT_EQ(find(safe)->state.strikes, 1u);
  agent().answer(agent().delivers[0], kSent);
  ASSERT_TRUE(parked(doubtful));
  const auto why = ask<proto::WhyAnswer>(proto::Why{.id = doubtful.text()});
  ASSERT_TRUE(why.ok());
  EXPECT_TRUE(why->recipients[0].in_doubt);
  EXPECT_EQ(agent().delivers.size(), 1u) << "in doubt is not sent again at once";
  clock.advance(331s);
  ASSERT_TRUE(delivers_arrive(2));
  EXPECT_EQ(agent().delivers[1].id, doubtful.number());
}

TEST_F(CoreTest, PoisonIsHeldAndOthersPass) {
  open();
  const queue::Id poison = send(envelope({"a@x.example"}));
  const queue::Id other = send(envelope({"b@y.example"}));
  for (int death = 1; death <= 3; ++death) {
    ASSERT_TRUE(turn_until([&] {
      if (by_service["smtp"].empty()) return false;
      for (const auto& request : agent().delivers)
        if (request.id == poison.number()) return true;
      return false;
    })) << death;
    for (const auto& request : agent().delivers) {
      if (request.id == other.number())
        agent().answer(request, kSent);
      else
        agent().mark(request.slot, proto::SlotState::working);
    }
    for (int i = 0; i < 50; ++i)
      loop.turn(false);
    agent().delivers.clear();
    agent().peer().die();
    // P5: the third death in a row would also put the destination off.
    ASSERT_TRUE(turn_until([&] {
      return find(poison) == nullptr || find(poison)->in_flight == 0 ||
             by_service["smtp"].size() > static_cast<std::size_t>(death);
    }));
  }
  ASSERT_TRUE(parked(poison));
  EXPECT_EQ(find(other), nullptr);
  const auto why = ask<proto::WhyAnswer>(proto::Why{.id = poison.text()});
  ASSERT_TRUE(why.ok());
  EXPECT_EQ(why->where, proto::Where::held);
  EXPECT_EQ(why->strikes, 3u);
}

TEST_F(CoreTest, AnAgentThatLiesIsDisconnected) {
  open();
  const queue::Id id = send(envelope({"a@x.example"}));
  ASSERT_TRUE(delivers_arrive(1));
  proto::Delivered lie;
  lie.slot = agent().delivers[0].slot + 1;
  lie.outcomes = {kSent};
  agent().peer().channel().send(lie);
  ASSERT_TRUE(
      turn_until([&] { return by_service["smtp"].size() == 2 && !agent().delivers.empty(); }));
  EXPECT_EQ(agent().delivers[0].id, id.number());
  proto::Delivered too_many;
  too_many.slot = agent().delivers[0].slot;
  too_many.outcomes = {kSent, kSent};
  agent().peer().channel().send(too_many);
  ASSERT_TRUE(
      turn_until([&] { return by_service["smtp"].size() == 3 && !agent().delivers.empty(); }));
  EXPECT_EQ(core->parts().counters.delivered, 0u);
}

TEST_F(CoreTest, ASecondAgentHelpsWhenTheFirstIsHalfFull) {
  capacity = 4;
  limits.window.initial = 20;
  open();
  for (int i = 0; i < 8; ++i)
    send(envelope({"a@" + std::to_string(i) + ".example"}));
  ASSERT_TRUE(turn_until([&] {
    return by_service["smtp"].size() == 2 && agents[0]->delivers.size() == 4 &&
           agents[1]->delivers.size() == 4;
  }));
  // A destination's next mail goes where its last went.
  const proto::Deliver first = agents[1]->delivers[0];
  const std::string domain = first.nexthop;
  agents[1]->answer(first, kSent);
  agents[1]->delivers.clear();
  send(envelope({"again@" + domain}));
  EXPECT_TRUE(turn_until([&] { return !agents[1]->delivers.empty(); }));
}

// --- writers -----------------------------------------------------------------------------------

TEST_F(CoreTest, FindsWhatADeadWriterDidNotAnnounce) {
  open();
  start_writer();
  write(envelope({"a@x.example"}));
  commit();
  writer.reset();
  segment.reset();
  EXPECT_TRUE(delivers_arrive(1));
}

TEST_F(CoreTest, BelievesNoWriter) {
  open();
  start_writer();
  proto::Committed lie;
  lie.loan = segment->info().loan;
  lie.records = {queue::Announced{queue::Id::make(segment->info().loan, 1).number(), 4096, 500},
                 queue::Announced{7, 1ULL << 60, 1ULL << 60}};
  writer->channel().send(lie);
  const queue::Id id = send(envelope({"a@x.example"}));
  ASSERT_TRUE(delivers_arrive(1));
  EXPECT_EQ(agent().delivers[0].id, id.number());
  EXPECT_EQ(core->parts().counters.accepted, 1u);
  lie.loan = segment->info().loan + 1;
  writer->channel().send(lie);
  EXPECT_TRUE(turn_until([&] { return writer->ended(); }));
}

TEST_F(CoreTest, MailInTheJournalSurvivesARestart) {
  open();
  const queue::Id id = send(envelope({"a@x.example", "b@y.example"}));
  ASSERT_TRUE(delivers_arrive(2));
  for (const auto& request : agent().delivers)
    if (request.nexthop == "x.example") agent().answer(request, kSent);
  ASSERT_TRUE(turn_until([&] { return core->parts().counters.delivered == 1; }));
  reopen();
  by_service.clear();
  ASSERT_TRUE(turn_until([&] { return !by_service["smtp"].empty() && !agent().delivers.empty(); }));
  EXPECT_EQ(agent().delivers[0].id, id.number());
  ASSERT_EQ(agent().delivers[0].envelope.recipients.size(), 1u);
  EXPECT_EQ(agent().delivers[0].envelope.recipients[0].address, "b@y.example");
}

TEST_F(CoreTest, OldMailLeavesTheJournalAndIsDeliveredAllTheSame) {
  open();
  const queue::Id id = send(envelope({"a@x.example", "b@y.example"}));
  ASSERT_TRUE(delivers_arrive(2));
  clock.advance(31s);
  ASSERT_TRUE(turn_until([&] { return !find(id)->state.place.in_segment(); }));
  agent().answer(agent().delivers[0], kSent);
  agent().answer(agent().delivers[1], kSent);
  EXPECT_TRUE(drained());
}

TEST_F(CoreTest, TheActiveLimitHolds) {
  params.active_limit = 10;
  limits.window.initial = 100;
  limits.window.limit = 0;
  open();
  for (int i = 0; i < 30; ++i)
    send(envelope({"a@x.example"}));
  ASSERT_TRUE(delivers_arrive(10));
  for (int i = 0; i < 100; ++i)
    loop.turn(false);
  agent().read();
  EXPECT_EQ(agent().delivers.size(), 10u);
  EXPECT_EQ(core->parts().intake->active(), 10u);
  std::size_t answered = 0;
  while (answered < 30) {
    ASSERT_TRUE(delivers_arrive(answered + 1));
    agent().answer(agent().delivers[answered++], kSent);
  }
  EXPECT_TRUE(drained());
}

// --- the operator ------------------------------------------------------------------------------

TEST_F(CoreTest, HoldReleaseDelete) {
  open();
  const queue::Id id = send(envelope({"a@x.example"}));
  ASSERT_TRUE(delivers_arrive(1));
  agent().answer(agent().delivers[0], kLater);
  ASSERT_TRUE(parked(id));
  auto held = ask<proto::Acted>(act(proto::Action::hold, id));
  ASSERT_TRUE(held.ok()) << held.error().text();
  EXPECT_EQ(held->changed, 1u);
  auto why = ask<proto::WhyAnswer>(proto::Why{.id = id.text()});
  ASSERT_TRUE(why.ok());
  EXPECT_EQ(why->where, proto::Where::held);
  EXPECT_EQ(why->recipients[0].gate, mail::Gate::held);
  clock.advance(5000s);
  ASSERT_TRUE(turn_until([&] { return loop.now() > SteadyTime{}; }));
  for (int i = 0; i < 200; ++i)
    loop.turn(false);
  EXPECT_EQ(agent().delivers.size(), 1u);
  auto released = ask<proto::Acted>(act(proto::Action::release, id));
  ASSERT_TRUE(released.ok());
  ASSERT_TRUE(delivers_arrive(2));
  agent().answer(agent().delivers[1], kLater);
  ASSERT_TRUE(parked(id));
  auto dry = act(proto::Action::remove, id);
  dry.dry_run = true;
  auto counted = ask<proto::Acted>(dry);
  ASSERT_TRUE(counted.ok());
  EXPECT_EQ(counted->changed, 1u);
  EXPECT_TRUE(ask<proto::WhyAnswer>(proto::Why{.id = id.text()}).ok());
  auto removed = ask<proto::Acted>(act(proto::Action::remove, id));
  ASSERT_TRUE(removed.ok());
  EXPECT_TRUE(turn_until([&] { return core->parts().counters.removed == 1; }));
  EXPECT_TRUE(turn_until([&] { return *core->parts().queue.index().size() == 0; }));
  EXPECT_FALSE(ask<proto::WhyAnswer>(proto::Why{.id = id.text()}).ok());
  EXPECT_TRUE(by_service["bounce"].empty()) << "deleted without a report";
}

TEST_F(CoreTest, RetryAndFlushDoNotWait) {
  open();
  const queue::Id one = send(envelope({"a@x.example"}));
  const queue::Id two = send(envelope({"a@y.example"}));
  ASSERT_TRUE(delivers_arrive(2));
  agent().answer(agent().delivers[0], kLater);
  agent().answer(agent().delivers[1], kLater);
  ASSERT_TRUE(parked(one));
  ASSERT_TRUE(parked(two));
  auto retried = ask<proto::Acted>(act(proto::Action::retry, one));
  ASSERT_TRUE(retried.ok());
  ASSERT_TRUE(delivers_arrive(3));
  EXPECT_EQ(agent().delivers[2].id, one.number());
  agent().answer(agent().delivers[2], kLater);
  ASSERT_TRUE(parked(one));
  proto::Act flush;
  auto flushed = ask<proto::Acted>(flush);
  ASSERT_TRUE(flushed.ok());
  EXPECT_EQ(flushed->matched, 2u);
  EXPECT_TRUE(delivers_arrive(5));
}

TEST_F(CoreTest, ListsInPages) {
  open();
  std::vector<std::string> ids;
  for (int i = 0; i < 7; ++i)
    ids.push_back(send(envelope({"a@nowhere.example"})).text());
  ASSERT_TRUE(turn_until([&] {
    return core->parts().intake->messages().empty() && *core->parts().queue.index().size() == 7;
  }));
  ids.push_back(send(envelope({"a@x.example"})).text());
  ASSERT_TRUE(delivers_arrive(1));
  std::vector<std::string> seen;
  proto::ListQueue request;
  request.limit = 3;
  while (true) {
    const auto page = ask<proto::QueuePage>(request);
    ASSERT_TRUE(page.ok()) << page.error().text();
    for (const proto::QueueItem& item : page->items)
      seen.push_back(item.id);
    if (!page->more) break;
    request.after = page->next;
  }
  EXPECT_THAT(seen, testing::UnorderedElementsAreArray(ids));
  request = {};
  request.limit = 100;
  request.select.destination = "X.example";
  const auto some = ask<proto::QueuePage>(request);
  ASSERT_TRUE(some.ok());
  ASSERT_EQ(some->items.size(), 1u);
  EXPECT_EQ(some->items[0].where, proto::Where::active);
  const auto counts = ask<proto::QueueCounts>(proto::CountQueue{.by = proto::CountBy::destination});
  ASSERT_TRUE(counts.ok());
  EXPECT_EQ(counts->lines[0].name, "nowhere.example");
  EXPECT_EQ(counts->lines[0].waiting, 7u);
  const auto status = ask<proto::StatusAnswer>(proto::AskStatus{});
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(status->in_flight, 1u);
  EXPECT_EQ(status->deferred, 7u);
  EXPECT_EQ(status->accepted, 8u);
}

TEST_F(CoreTest, RefusesNonsense) {
  open();
  proto::Act everything;
  everything.action = proto::Action::remove;
  EXPECT_FALSE(ask<proto::Acted>(everything).ok()) << "an empty selector is not ALL";
  for (const char* id : {"", "-", "../../x", "0"})
    EXPECT_FALSE(ask<proto::WhyAnswer>(proto::Why{.id = id}).ok());
  EXPECT_FALSE(ask<proto::CatAnswer>(proto::Cat{.id = "../../../etc/passwd"}).ok());
}

} // namespace
} // namespace postrider::qmgr
