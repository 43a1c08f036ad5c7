// SPDX-License-Identifier: MIT
// The service between SaslManager, its client, and workers that hang, die and talk nonsense.
#include "service.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "net/tcp_stream.hpp"
#include "service/sasl_manager.hpp"
#include "support/manual_clock.hpp"
#include "support/scratch_dir.hpp"

namespace postrider::saslmgr {
namespace {

using namespace std::chrono_literals;
using proto::LoginStage;

// The worker's part, by the name of the mechanism. The initial response is the account.
struct FakeWorker {
  FakeWorker(ev::Loop& loop, Fd fd) : channel(loop, std::move(fd)) {}
  ipc::Channel channel;
  std::vector<std::uint64_t> forgotten;
  std::string mechanism;
  std::string account;

  void say(sasl::Stage stage, bool guess = false) {
    Answer answer;
    answer.stage = stage;
    answer.account = account;
    if (stage == sasl::Stage::done) answer.username = account;
    if (stage == sasl::Stage::challenge) answer.challenge = "which?";
    if (stage == sasl::Stage::refused) answer.reason = "authentication failure";
    answer.guess = guess;
    channel.send(answer);
  }
  // False: it ends.
  bool take(ipc::Frame& frame) {
    if (frame.type == DoList::kType) {
      Names names;
      names.names = {"PLAIN", "cram-md5", "two words", "A-NAME-THAT-IS-MUCH-TOO-LONG"};
      channel.send(names);
    }
    if (frame.type == Forget::kType) forgotten.push_back(ipc::as<Forget>(frame)->login);
    if (frame.type == DoBegin::kType) {
      const Result<DoBegin> request = ipc::as<DoBegin>(frame);
      mechanism = request->mechanism;
      account = request->initial;
      if (mechanism == "HANG") return true;
      if (mechanism == "DIE") return false;
      if (mechanism == "JUNK") channel.send(MayTry{});
      if (mechanism == "STEPS" || mechanism == "LATER") say(sasl::Stage::challenge);
      if (mechanism == "FAIL") say(sasl::Stage::failed);
      if (mechanism == "GOOD" || mechanism == "BAD") {
        AskAccount question;
        question.account = account;
        channel.send(question);
      }
    }
    if (frame.type == MayTry::kType) {
      const bool may = ipc::as<MayTry>(frame)->yes;
      if (!may)
        say(sasl::Stage::forbidden);
      else if (mechanism == "GOOD")
        say(sasl::Stage::done);
      else
        say(sasl::Stage::refused, true);
    }
    if (frame.type == DoStep::kType) {
      const std::string response = ipc::as<DoStep>(frame)->response;
      if (response == "die") return false;
      say(response == "yes"    ? sasl::Stage::done
          : response == "more" ? sasl::Stage::challenge
                               : sasl::Stage::refused,
          true);
    }
    return true;
  }
};

ev::RootTask play(std::shared_ptr<FakeWorker> worker) {
  while (true) {
    Result<ipc::Frame> frame = co_await worker->channel.receive(ev::Deadline::never());
    if (!frame) co_return;
    if (!worker->take(*frame)) break;
  }
  worker->channel.close();
}

proto::LoginFacts facts_from(const std::string& client) {
  proto::LoginFacts facts;
  facts.service = "smtp";
  facts.hostname = "mail.example";
  facts.client = client;
  return facts;
}

class Logins : public testing::Test {
 protected:
  Logins() {
    options.failure_limit = 3;
    options.failure_time = 1h;
    limits.most = 2;
    limits.waiting = 3;
    start();
    listener = std::move(*net::listen(*net::Address::unix_path(path), {}));
  }
  ~Logins() override {
    tasks.tear_down();
    service->stop();
    service.reset();
    playing.tear_down();
  }
  void start() {
    if (service) service->stop();
    options.limits = limits;
    service = std::make_unique<Service>(
        loop, options, [this]() -> Result<std::shared_ptr<WorkerProcess>> {
          auto ends = net::socket_pair();
          workers.push_back(std::make_shared<FakeWorker>(loop, std::move(ends->second)));
          playing.spawn(play(workers.back()), "worker");
          return std::make_shared<WorkerProcess>(loop, std::move(ends->first), 0);
        });
  }
  void turns() {
    for (int i = 0; i < 40; ++i) {
      daemon::Client client;
      if (service)
        client.fd = Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (client.fd) service->accept(std::move(client));
      loop.turn(false);
    }
  }
  std::unique_ptr<service::SaslManager> manager() {
    service::SaslManagerSetup setup;
    setup.sockets = {path};
    return std::make_unique<service::SaslManager>(loop, setup);
  }
  std::unique_ptr<ipc::Channel> raw() {
    auto fds = net::socket_pair();
    daemon::Client client;
    client.fd = std::move(fds->first);
    service->accept(std::move(client));
    return std::make_unique<ipc::Channel>(loop, std::move(fds->second));
  }

  using Out = std::shared_ptr<std::optional<service::LoginStep>>;
  static ev::RootTask run_begin(service::SaslManager& with, std::string mechanism,
                                std::string account, std::string from, Out out) {
    const proto::LoginFacts facts = facts_from(from);
    const std::optional<Secret> initial(Secret{account});
    service::LoginStep step = co_await with.begin(facts, mechanism, initial);
    out->emplace(std::move(step));
  }
  static ev::RootTask run_step(service::SaslManager& with, std::uint64_t login,
                               std::string response, Out out) {
    const Secret secret(response);
    service::LoginStep step = co_await with.step(login, secret);
    out->emplace(std::move(step));
  }
  // Under way; answered or not after turns().
  Out begin(service::SaslManager& with, const std::string& mechanism,
            const std::string& account = "joe", const std::string& from = "192.0.2.1") {
    auto out = std::make_shared<std::optional<service::LoginStep>>();
    tasks.spawn(run_begin(with, mechanism, account, from, out), "begin");
    turns();
    return out;
  }
  Out step(service::SaslManager& with, std::uint64_t login, const std::string& response) {
    auto out = std::make_shared<std::optional<service::LoginStep>>();
    tasks.spawn(run_step(with, login, response, out), "step");
    turns();
    return out;
  }
  void advance(Duration by) {
    clock.advance(by);
    turns();
  }
  static LoginStage stage(const Out& out) {
    EXPECT_TRUE(out->has_value()) << "no answer";
    return *out ? (*out)->stage : LoginStage::failed;
  }

  test::ManualClock clock;
  ev::Loop loop{clock};
  test::ScratchDir dir;
  std::string path = dir.path() + "/saslmgr";
  Fd listener;
  Options options;
  WorkerLimits limits;
  std::vector<std::shared_ptr<FakeWorker>> workers;
  ev::Group playing{loop};
  std::unique_ptr<Service> service;
  ev::Group tasks{loop};
};

TEST_F(Logins, AreDoneRefusedOrFailed) {
  auto smtpd = manager();
  const Out good = begin(*smtpd, "GOOD");
  ASSERT_EQ(stage(good), LoginStage::done);
  EXPECT_EQ((*good)->username, "joe");
  const Out bad = begin(*smtpd, "BAD", "jim");
  ASSERT_EQ(stage(bad), LoginStage::refused);
  EXPECT_EQ((*bad)->username, "jim") << "for the log";
  EXPECT_EQ((*bad)->reason, "authentication failure");
  EXPECT_EQ(stage(begin(*smtpd, "FAIL")), LoginStage::failed);
  EXPECT_EQ(workers.size(), 1U) << "one after the other needs one";
  EXPECT_EQ(service->logins(), 0U);
}

TEST_F(Logins, GoOnWithStepsUntilTheyEnd) {
  auto smtpd = manager();
  const Out one = begin(*smtpd, "STEPS");
  ASSERT_EQ(stage(one), LoginStage::challenge);
  EXPECT_EQ((*one)->challenge.view(), "which?");
  const std::uint64_t login = (*one)->login;
  EXPECT_EQ(stage(step(*smtpd, login, "more")), LoginStage::challenge);
  EXPECT_EQ(stage(step(*smtpd, login, "yes")), LoginStage::done);
  EXPECT_EQ(service->logins(), 0U);
  EXPECT_EQ(stage(step(*smtpd, login, "yes")), LoginStage::failed) << "it is over";
  EXPECT_EQ(stage(step(*smtpd, 12345, "yes")), LoginStage::failed) << "never was one";
}

TEST_F(Logins, OnesThatAreGivenUpAreForgotten) {
  auto smtpd = manager();
  const Out one = begin(*smtpd, "STEPS");
  ASSERT_EQ(stage(one), LoginStage::challenge);
  smtpd->cancel((*one)->login);
  turns();
  EXPECT_EQ(service->logins(), 0U);
  EXPECT_THAT(workers[0]->forgotten, testing::ElementsAre((*one)->login));
  // And those of a process that goes.
  ASSERT_EQ(stage(begin(*smtpd, "STEPS")), LoginStage::challenge);
  smtpd.reset();
  turns();
  EXPECT_EQ(service->logins(), 0U);
}

TEST_F(Logins, BelongToWhoBeganThem) {
  auto smtpd = manager();
  auto other = manager();
  const Out one = begin(*smtpd, "STEPS");
  ASSERT_EQ(stage(one), LoginStage::challenge);
  EXPECT_EQ(stage(step(*other, (*one)->login, "yes")), LoginStage::failed);
  other->cancel((*one)->login);
  turns();
  EXPECT_EQ(stage(step(*smtpd, (*one)->login, "yes")), LoginStage::done);
}

// A4
TEST_F(Logins, AHangingBackendHoldsUpNobodyElse) {
  auto smtpd = manager();
  const Out slow = begin(*smtpd, "HANG");
  EXPECT_FALSE(*slow);
  EXPECT_EQ(stage(begin(*smtpd, "GOOD")), LoginStage::done);
  advance(limits.answer - 1s);
  EXPECT_FALSE(*slow);
  advance(1s);
  EXPECT_EQ(stage(slow), LoginStage::failed);
  EXPECT_EQ(service->logins(), 0U);
}

TEST_F(Logins, NoneWaitsBehindBackendsThatHang) {
  auto smtpd = manager();
  const Out one = begin(*smtpd, "HANG");
  const Out two = begin(*smtpd, "HANG");
  EXPECT_EQ(workers.size(), limits.most);
  // For a moment they may be at work; a few wait for that, and no more than a few.
  std::vector<Out> line;
  for (std::size_t i = 0; i < limits.waiting; ++i)
    line.push_back(begin(*smtpd, "GOOD"));
  EXPECT_FALSE(*line.back());
  EXPECT_EQ(stage(begin(*smtpd, "GOOD")), LoginStage::failed) << "the line is full";
  advance(limits.patience);
  for (const Out& waited : line)
    EXPECT_EQ(stage(waited), LoginStage::failed);
  EXPECT_EQ(stage(begin(*smtpd, "GOOD")), LoginStage::failed) << "at once";
  EXPECT_EQ(workers.size(), limits.most);
  // Killed and replaced.
  advance(limits.answer);
  EXPECT_EQ(stage(one), LoginStage::failed);
  EXPECT_EQ(stage(two), LoginStage::failed);
  EXPECT_EQ(stage(begin(*smtpd, "GOOD")), LoginStage::done);
}

TEST_F(Logins, AWorkerThatIsFreedServesTheLine) {
  limits.most = 1;
  start();
  auto smtpd = manager();
  const Out hanging = begin(*smtpd, "HANG");
  advance(limits.answer - 1s);
  EXPECT_FALSE(*hanging);
  const Out at_once = begin(*smtpd, "GOOD");
  EXPECT_EQ(stage(at_once), LoginStage::failed);
  advance(1s);
  EXPECT_EQ(stage(begin(*smtpd, "GOOD")), LoginStage::done);
}

TEST_F(Logins, AWorkerThatDiesTakesItsLoginsAlong) {
  auto smtpd = manager();
  const Out waiting = begin(*smtpd, "STEPS");
  ASSERT_EQ(stage(waiting), LoginStage::challenge);
  EXPECT_EQ(stage(begin(*smtpd, "DIE")), LoginStage::failed);
  EXPECT_EQ(stage(step(*smtpd, (*waiting)->login, "yes")), LoginStage::failed);
  EXPECT_EQ(stage(begin(*smtpd, "JUNK")), LoginStage::failed);
  EXPECT_EQ(stage(begin(*smtpd, "GOOD")), LoginStage::done);
  EXPECT_EQ(service->logins(), 0U);
}

// A8: from anywhere for one account, and from one place for all.
TEST_F(Logins, TooManyFailuresAreHeldBack) {
  auto smtpd = manager();
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(stage(begin(*smtpd, "BAD", "joe", "192.0.2." + std::to_string(i))),
              LoginStage::refused);
  EXPECT_EQ(stage(begin(*smtpd, "GOOD", "joe", "198.51.100.1")), LoginStage::failed);
  EXPECT_EQ(stage(begin(*smtpd, "GOOD", "jim", "198.51.100.1")), LoginStage::done);
  auto other = manager();
  for (int i = 0; i < 3; ++i)
    begin(*other, "BAD", "user" + std::to_string(i), "2001:db8::" + std::to_string(i));
  EXPECT_EQ(stage(begin(*smtpd, "GOOD", "ann", "2001:db8::9")), LoginStage::failed);
  EXPECT_EQ(stage(begin(*smtpd, "GOOD", "ann", "2001:db8:0:1::9")), LoginStage::done);
  advance(1h);
  EXPECT_EQ(stage(begin(*smtpd, "GOOD", "joe", "198.51.100.1")), LoginStage::done);
}

TEST_F(Logins, MechanismsAreKnownForAWhile) {
  auto smtpd = manager();
  const auto names = [&] {
    auto out = std::make_shared<std::vector<std::string>>();
    struct Ask {
      static ev::RootTask run(service::SaslManager& with,
                              std::shared_ptr<std::vector<std::string>> to) {
        const proto::LoginFacts facts = facts_from("192.0.2.1");
        Result<std::vector<std::string>> got = co_await with.mechanisms(facts);
        if (got) *to = *got;
      }
    };
    tasks.spawn(Ask::run(*smtpd, out), "mechanisms");
    turns();
    if (!service) advance(5s); // nobody takes the connection
    return *out;
  };
  EXPECT_THAT(names(), testing::ElementsAre("PLAIN", "CRAM-MD5")) << "only what is a name";
  service->stop();
  service.reset();
  EXPECT_THAT(names(), testing::ElementsAre("PLAIN", "CRAM-MD5"));
  advance(2 * service::SaslManager::kFresh);
  EXPECT_THAT(names(), testing::ElementsAre("PLAIN", "CRAM-MD5")) << "better than none";
  EXPECT_EQ(stage(begin(*smtpd, "GOOD")), LoginStage::failed);
  start();
  turns();
  advance(20s);
  EXPECT_EQ(stage(begin(*smtpd, "GOOD")), LoginStage::done);
}

// Each message of a client, cut at each byte, and beyond its bounds: it is sent away.
TEST_F(Logins, HostileMessagesEndTheirOwnConversation) {
  auto smtpd = manager();
  proto::BeginLogin begin_login;
  begin_login.number = 1;
  begin_login.facts = facts_from("192.0.2.1");
  begin_login.mechanism = "GOOD";
  proto::StepLogin step_login;
  step_login.number = 1;
  proto::ListMechanisms list;
  list.number = 1;
  list.facts = begin_login.facts;
  const auto closed = [&](std::uint16_t type, const std::string& body) {
    auto channel = raw();
    std::string frame;
    put_le<std::uint32_t>(frame, static_cast<std::uint32_t>(body.size()));
    put_le<std::uint16_t>(frame, type);
    frame.append({1, 0});
    frame += body;
    for (ByteView left = frame; !left.empty();) {
      const ssize_t sent =
          ::send(channel->fd(), left.data(), left.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && errno != EAGAIN) break;
      if (sent > 0) left.remove_prefix(static_cast<std::size_t>(sent));
      turns();
    }
    char rest[65536];
    while (true) {
      const ssize_t got = ::recv(channel->fd(), rest, sizeof rest, MSG_DONTWAIT);
      if (got <= 0) return got == 0;
    }
  };
  for (const auto& [type, body] :
       {std::pair<std::uint16_t, std::string>{proto::BeginLogin::kType, encode(begin_login)},
        {proto::StepLogin::kType, encode(step_login)},
        {proto::ListMechanisms::kType, encode(list)},
        {proto::CancelLogin::kType, encode(proto::CancelLogin{})}}) {
    EXPECT_FALSE(closed(type, body)) << type;
    for (std::size_t cut = 0; cut < body.size(); ++cut)
      EXPECT_TRUE(closed(type, body.substr(0, cut))) << type << " cut at " << cut;
  }
  EXPECT_TRUE(closed(999, "")) << "no message of this conversation";
  EXPECT_TRUE(closed(Answer::kType, encode(Answer{}))) << "a worker's";
  begin_login.mechanism = "two words";
  EXPECT_TRUE(closed(begin_login.kType, encode(begin_login)));
  begin_login.mechanism = "GOOD";
  begin_login.initial.assign(proto::kLongestLoginData + 1, 'x');
  EXPECT_TRUE(closed(begin_login.kType, encode(begin_login)));
  begin_login.initial.clear();
  begin_login.facts.external = "a\nb";
  EXPECT_TRUE(closed(begin_login.kType, encode(begin_login)));
  begin_login.facts.external.assign(256, 'x');
  EXPECT_TRUE(closed(begin_login.kType, encode(begin_login)));
  begin_login.facts.external.clear();
  begin_login.facts.security.assign(proto::kMostLoginWords + 1, "x");
  EXPECT_TRUE(closed(begin_login.kType, encode(begin_login)));
  EXPECT_EQ(stage(begin(*smtpd, "GOOD")), LoginStage::done) << "nobody else notices";
}

TEST_F(Logins, ProcessesWithoutWorkGo) {
  auto smtpd = manager();
  const Out one = begin(*smtpd, "HANG");
  begin(*smtpd, "GOOD");
  ASSERT_EQ(workers.size(), 2U);
  advance(limits.answer);
  EXPECT_EQ(stage(one), LoginStage::failed);
  begin(*smtpd, "STEPS");
  advance(limits.idle);
  advance(limits.idle);
  EXPECT_TRUE(workers[1]->channel.open());
}

} // namespace
} // namespace postrider::saslmgr
