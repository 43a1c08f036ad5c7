// SPDX-License-Identifier: MIT
// Sessions that change the process: two pools, a service between them that does as it is told, and
// real connections.
#include "smtpclient/handover.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>

#include "delivering.hpp"
#include "proto/scache.hpp"
#include "service/server.hpp"
#include "support/manual_clock.hpp"
#include "support/scratch_dir.hpp"

namespace postrider::smtpclient {
namespace {

// The policy of no TLS.
std::string clear_key() {
  TlsPolicy policy;
  set_digest(policy);
  return policy.digest;
}

using namespace std::chrono_literals;

// Keeps what is saved, and hands out what the test wants it to.
class FakeCache final : public service::Handler {
 public:
  FakeCache(ev::Loop& loop, const std::string& path)
      : server_(loop, *this, {.protocol = proto::kCacheProtocol, .version = proto::kCacheVersion}),
        listener_(std::move(*net::listen(*net::Address::unix_path(path), {}))),
        watch_(
            loop, listener_.get(),
            [](void* self, bool, bool) { static_cast<FakeCache*>(self)->accept_all(); }, this) {}

  struct Kept {
    proto::Save how;
    Fd fd;
  };
  std::vector<Kept> kept;
  std::vector<proto::Find> asked;
  bool mute = false;           // takes everything, says nothing
  bool gives_anything = false; // whatever is asked for
  // In place of an answer.
  std::function<void(service::Peer& peer, const proto::Find& request)> answer;

 private:
  void accept_all() {
    while (true) {
      Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd) return;
      daemon::Client client;
      client.fd = std::move(fd);
      server_.accept(std::move(client));
    }
  }
  Result<void> take(service::Peer& peer, ipc::Frame& frame) override {
    if (frame.type == proto::Save::kType) {
      POSTRIDER_TRY(proto::Save request, ipc::as<proto::Save>(frame));
      proto::Saved saved;
      saved.number = request.number;
      kept.push_back({std::move(request), std::move(frame.fds.at(0))});
      if (!mute) peer.channel.send(saved);
      return {};
    }
    POSTRIDER_TRY(proto::Find request, ipc::as<proto::Find>(frame));
    asked.push_back(request);
    if (mute) return {};
    if (answer) {
      answer(peer, request);
      return {};
    }
    for (std::size_t i = 0; i < kept.size(); ++i) {
      const proto::Save& how = kept[i].how;
      if (!gives_anything && how.destination != request.destination &&
          how.endpoint != request.endpoint)
        continue;
      proto::Found found;
      found.number = request.number;
      found.facts = how.facts;
      peer.channel.send(found, std::move(kept[i].fd));
      kept.erase(kept.begin() + static_cast<std::ptrdiff_t>(i));
      return {};
    }
    proto::NotFound none;
    none.number = request.number;
    peer.channel.send(none);
    return {};
  }
  service::Server server_;
  Fd listener_;
  ev::FdWatch watch_;
};

const Script kHeld = {stall()}; // until the client goes
const Script kProbed = {expect("RSET"), send("250 ok\r\n")};

class Passing : public testing::Test {
 protected:
  explicit Passing(Clock& clock = system_clock()) : loop(clock) {
    options.service_name = "smtp";
    options.randomize = false;
    options.use_ipv6 = false;
    options.cache_time_limit = 60s;
    options.cache_ttl_limit = 60s;
    first = std::make_unique<PlayServer>(loop, "127.0.0.1");
    second = std::make_unique<PlayServer>(loop, "127.0.0.2", first->port());
    port = ":" + std::to_string(first->port());
  }
  ~Passing() override {
    cache.kept.clear();
    one.reset();
    other.reset();
    EXPECT_EQ(first->problem(), "");
    EXPECT_EQ(second->problem(), "");
  }

  struct Made {
    Made(ev::Loop& loop, const std::string& socket, const Options& o)
        : options(o), cache(loop, {.service = "scache",
                                   .timeout = options.cache_protocol_timeout,
                                   .sockets = {socket}}),
          handover(loop, cache, options, tables), goodbyes(loop),
          pool(goodbyes, options, &handover) {}
    ~Made() {
      pool.clear();
      goodbyes.close();
      while (!goodbyes.empty())
        goodbyes.loop().turn(true);
      handover.stop();
    }
    Options options;
    Tables tables;
    service::ConnectionCache cache;
    Handover handover;
    ev::Group goodbyes;
    Pool pool;
  };
  std::unique_ptr<Made> process(const Options& with) {
    return std::make_unique<Made>(loop, socket, with);
  }

  Verdict deliver(Made& by, const std::string& nexthop, bool hint = true) {
    Message message(kText, 1);
    Request request;
    request.nexthop = nexthop + port;
    request.envelope = message.envelope;
    request.facts = message.facts;
    request.content = message.content;
    request.cache_hint = hint;
    TargetFinder finder{loop, dns, nullptr, by.options};
    TlsClient tls(loop, by.options, by.tables, *TlsFiles::open(by.options.tls, by.tables), nullptr);
    const Engine engine{loop, by.options, by.tables, finder, by.pool, tls};
    Delivery delivery(engine, request);
    struct Once {
      static ev::Task<bool> run(Delivery& d) {
        co_await d.run();
        co_return true;
      }
    };
    test::run_task<bool>(loop, [&] { return Once::run(delivery); });
    uses = delivery.uses();
    return delivery.outcomes().front().verdict;
  }
  // One message by `one`, whose session is with the cache afterwards.
  void save(const std::string& nexthop = "d.example") {
    one = process(options);
    ASSERT_EQ(deliver(*one, nexthop), Verdict::delivered);
    one->pool.clear(Pool::Leave::hand_over);
    while (cache.kept.empty())
      loop.turn(true);
    ASSERT_EQ(one->pool.idle(), 0U);
  }
  template <typename Done>
  void until(Done done) {
    while (!done())
      loop.turn(false);
  }
  // A connection to a server of the test.
  Fd connection(PlayServer& server, const char* address) {
    Fd fd = std::move(*net::client_socket(AF_INET));
    const auto there = net::Address::parse_ip(address, server.port());
    ::connect(fd.get(), there->raw(), there->raw_length());
    return fd;
  }

  ev::Loop loop;
  test::ScratchDir dir;
  std::string socket = dir.path() + "/scache";
  FakeCache cache{loop, socket};
  Options options;
  test::FakeDns dns{loop, "d.example MX 10 a.d.example\ne.example MX 10 a.d.example\n"
                          "f.example MX 10 b.d.example\n"
                          "a.d.example A 127.0.0.1\nb.d.example A 127.0.0.2\n"};
  std::unique_ptr<PlayServer> first, second;
  std::string port;
  std::unique_ptr<Made> one, other;
  std::size_t uses = 0;
};

TEST_F(Passing, AnotherProcessGoesOn) {
  first->then(kHello + kOne + kProbed + kOne + kQuit);
  save();
  other = process(options);
  EXPECT_EQ(deliver(*other, "d.example"), Verdict::delivered);
  EXPECT_EQ(uses, 2U);
  EXPECT_EQ(first->connections(), 1U);
  EXPECT_EQ(cache.kept.size(), 0U);
  EXPECT_EQ(other->pool.idle(), 1U);
}

TEST_F(Passing, AnotherDestinationFindsTheServer) {
  first->then(kHello + kOne + kProbed + kOne + kQuit);
  save();
  other = process(options);
  EXPECT_EQ(deliver(*other, "e.example"), Verdict::delivered);
  EXPECT_EQ(uses, 2U);
  EXPECT_EQ(first->connections(), 1U);
}

// What a session has behind it counts in every process.
TEST_F(Passing, LimitsOfReuseGoOn) {
  options.reuse_count_limit = 2;
  first->then(kHello + kOne + kProbed + kOne + kOne + kQuit);
  first->then(kHello + kOne + kQuit);
  save();
  other = process(options);
  for (const std::size_t use : {2, 3, 1}) {
    EXPECT_EQ(deliver(*other, "d.example"), Verdict::delivered);
    EXPECT_EQ(uses, use);
  }
}

TEST_F(Passing, ASessionThatIsTooOldIsNotUsed) {
  first->then(kHello + kOne + kHeld);
  first->then(kHello + kOne + kQuit);
  save();
  Options strict = options;
  strict.reuse_time_limit = 0ms;
  other = process(strict);
  EXPECT_EQ(deliver(*other, "d.example"), Verdict::delivered);
  EXPECT_EQ(uses, 1U);
}

struct HasClock {
  test::ManualClock clock;
};
class PassingInTime : public HasClock, public Passing {
 protected:
  PassingInTime() : Passing(clock) {}
  void turns() {
    for (int i = 0; i < 30; ++i)
      loop.turn(false);
  }
  // From now on the idle session is there for so long, and no longer.
  void expect_idle_for(Duration time) {
    clock.advance(time - 1ms);
    turns();
    EXPECT_EQ(one->pool.idle(), 1U);
    clock.advance(1ms);
    turns();
    EXPECT_EQ(one->pool.idle(), 0U);
  }
};

TEST_F(PassingInTime, HalfOfItsTimeInTheProcess) {
  options.cache_time_limit = 4s;
  first->then(kHello + kOne + kHeld);
  one = process(options);
  ASSERT_EQ(deliver(*one, "d.example"), Verdict::delivered);
  expect_idle_for(2s);
  ASSERT_EQ(cache.kept.size(), 1U);
  EXPECT_EQ(cache.kept[0].how.ttl, 2000U);
}

TEST_F(PassingInTime, NotEarlierThanScacheKeepsIt) {
  options.cache_time_limit = 10s;
  options.cache_ttl_limit = 2s;
  first->then(kHello + kOne + kHeld);
  one = process(options);
  ASSERT_EQ(deliver(*one, "d.example"), Verdict::delivered);
  expect_idle_for(8s);
  ASSERT_EQ(cache.kept.size(), 1U);
  EXPECT_EQ(cache.kept[0].how.ttl, 2000U);
}

TEST_F(PassingInTime, WhatCannotLeaveIsKeptToTheEnd) {
  options.cache_time_limit = 4s;
  first->then(kHello + kOne + kQuit);
  one = process(options);
  ASSERT_EQ(deliver(*one, "d.example"), Verdict::delivered);
  std::unique_ptr<Session> session = one->pool.take_for("d.example" + port, clear_key());
  session->login_key = "user";
  one->pool.give_back(std::move(session), "d.example" + port, Pool::Keep::always);
  expect_idle_for(4s);
  EXPECT_EQ(cache.kept.size(), 0U);
}

// Another process would not believe that a server says so much.
TEST_F(PassingInTime, WhatNobodyWouldTakeIsKeptToTheEnd) {
  options.cache_time_limit = 4s;
  const std::string words = "AUTH " + std::string(700, 'A') + " " + std::string(700, 'B');
  const Script hello = {send("220 mx ESMTP\r\n"), expect("EHLO"),
                        send("250-mx\r\n250-" + words + "\r\n250 PIPELINING\r\n")};
  first->then(hello + kOne + kQuit);
  one = process(options);
  ASSERT_EQ(deliver(*one, "d.example"), Verdict::delivered);
  expect_idle_for(4s);
  EXPECT_EQ(cache.kept.size(), 0U);
}

// A connection of another kind is not even asked for: its key differs.
struct Difference {
  std::string_view what;
  void (*make)(Options& options);
};
const Difference kDifferences[] = {
    {"service", [](Options& o) { o.service_name = "relay"; }},
    {"hello", [](Options& o) { o.hello_name = "other.example"; }},
    {"source", [](Options& o) { o.bind4 = *net::Address::parse_ip("127.0.0.9", 0); }},
    {"source6", [](Options& o) { o.bind6 = *net::Address::parse_ip("::1", 0); }},
    {"own_address", [](Options& o) { o.own4 = *net::Address::parse_ip("127.0.0.1", 0); }},
    {"own_address6", [](Options& o) { o.own6 = *net::Address::parse_ip("::1", 0); }},
};

TEST_F(Passing, WhatMakesADifferenceIsInTheKeys) {
  first->then(kHello + kOne + kHeld);
  save();
  for (const Difference& difference : kDifferences) {
    Options different = options;
    difference.make(different);
    first->then(kHello + kOne + kQuit);
    other = process(different);
    EXPECT_EQ(deliver(*other, "d.example"), Verdict::delivered) << difference.what;
    EXPECT_EQ(uses, 1U) << difference.what;
  }
  second->then(kHello + kOne + kQuit);
  other = process(options);
  EXPECT_EQ(deliver(*other, "f.example"), Verdict::delivered); // another domain, another server
  EXPECT_EQ(uses, 1U);
  EXPECT_EQ(cache.kept.size(), 1U); // still there, for those who may
}

// And a cache that mixes them up is not believed.
TEST_F(Passing, WhatComesUnderAnotherKeyIsNotUsed) {
  cache.gives_anything = true;
  for (const Difference& difference : kDifferences) {
    first->then(kHello + kOne + kHeld);
    save();
    Options different = options;
    difference.make(different);
    first->then(kHello + kOne + kQuit);
    other = process(different);
    EXPECT_EQ(deliver(*other, "d.example"), Verdict::delivered) << difference.what;
    EXPECT_EQ(uses, 1U) << difference.what;
    other.reset();
  }
}

TEST_F(Passing, AnEndpointIsNotServedByAnother) {
  first->then(kHello + kOne + kHeld);
  save();
  const std::string facts = cache.kept[0].how.facts;
  cache.answer = [&](service::Peer& peer, const proto::Find& request) {
    if (cache.kept.empty() || request.endpoint.empty()) {
      proto::NotFound none;
      none.number = request.number;
      return peer.channel.send(none);
    }
    proto::Found found; // of 127.0.0.1, where it should be 127.0.0.2
    found.number = request.number;
    found.facts = facts;
    peer.channel.send(found, std::move(cache.kept[0].fd));
    cache.kept.clear();
  };
  second->then(kHello + kOne + kQuit);
  other = process(options);
  EXPECT_EQ(deliver(*other, "f.example"), Verdict::delivered);
  EXPECT_EQ(uses, 1U);
}

// What an evil cache may answer. Mail goes over a new connection, and nothing else happens.
TEST_F(Passing, AnAnswerThatIsNoneCostsNothing) {
  first->then(kHello + kOne + kHeld);
  save();
  const Result<SessionFacts> good = parse_facts(cache.kept[0].how.facts, loop.now());
  ASSERT_TRUE(good);
  struct Answer {
    std::string_view name;
    std::string facts;
    Fd fd;
  };
  const auto changed = [&](auto change) {
    SessionFacts facts = *good;
    change(facts);
    return encode_facts(facts);
  };
  const std::string facts = encode_facts(*good);
  const auto to_first = [&] {
    first->then(kHeld);
    return connection(*first, "127.0.0.1");
  };
  second->then(kHeld);
  std::vector<Answer> answers;
  answers.push_back({"a file", facts, Fd(::open("/dev/null", O_RDWR | O_CLOEXEC))});
  answers.push_back({"a pair", facts, std::move(net::socket_pair()->first)});
  answers.push_back({"not connected", facts, std::move(*net::client_socket(AF_INET))});
  answers.push_back({"datagrams", facts, Fd(::socket(AF_INET, SOCK_DGRAM, 0))});
  answers.push_back({"elsewhere", facts, connection(*second, "127.0.0.2")});
  answers.push_back({"rubbish", "rubbish", to_first()});
  answers.push_back({"nothing", "", to_first()});
  answers.push_back({"no use", changed([](auto& f) { f.uses = 0; }), to_first()});
  answers.push_back({"future", changed([](auto& f) { f.opened += 1h; }), to_first()});
  answers.push_back({"another key", changed([](auto& f) { f.key += "x"; }), to_first()});
  answers.push_back({"another host", changed([](auto& f) { f.peer.host = "b"; }), to_first()});
  answers.push_back({"bad name", changed([](auto& f) { f.peer.host = "a\nb"; }), to_first()});
  answers.push_back(
      {"bad word", changed([](auto& f) { f.features.xforward = "\r\nMAIL"; }), to_first()});
  answers.push_back({"closed", facts, to_first()});
  ::shutdown(answers.back().fd.get(), SHUT_RDWR);
  answers.push_back({"no descriptor", facts, Fd()});
  until([&] { return first->connections() == 10 && second->connections() == 1; });
  cache.kept.clear();
  for (Answer& answer : answers) {
    bool given = false;
    cache.answer = [&](service::Peer& peer, const proto::Find& request) {
      if (given) {
        proto::NotFound none;
        none.number = request.number;
        return peer.channel.send(none);
      }
      given = true;
      proto::Found found;
      found.number = request.number;
      found.facts = answer.facts;
      if (answer.fd)
        peer.channel.send(found, std::move(answer.fd));
      else
        peer.channel.send(found);
    };
    first->then(kHello + kOne + kQuit);
    other = process(options);
    EXPECT_EQ(deliver(*other, "d.example"), Verdict::delivered) << answer.name;
    EXPECT_EQ(uses, 1U) << answer.name;
    EXPECT_TRUE(given) << answer.name;
    other.reset();
  }
}

// Dead, half-read or in a state of its own: seen before MAIL, and no attempt of the message.
TEST_F(Passing, AConnectionOfNoUseIsNoAttempt) {
  options.session_limit = 1;
  options.timeouts[static_cast<std::size_t>(smtp::Step::rset)] = 50ms;
  struct End {
    bool poked; // by whoever had it meanwhile
    Script script;
  };
  const End ends[] = {
      {true, {expect("NOOP"), close_now()}},
      {true, {expect("NOOP"), send("250 half-read\r\n"), stall()}},
      {true, {expect("NOOP"), send("421 idle too long\r\n"), close_now()}},
      {false, {expect("RSET"), send("421 bye\r\n"), stall()}},
      {false, {expect("RSET"), send("500 what\r\n"), stall()}},
      {false, {expect("RSET"), send("354 go on\r\n"), stall()}}, // means something else
      {false, {expect("RSET"), send("250 a\r\n250 b\r\n"), stall()}},
      {false, {expect("RSET"), stall()}}, // as in the middle of a message
      {false, {expect("RSET"), close_now()}},
  };
  int number = 0;
  for (const End& end : ends) {
    first->then(kHello + kOne + end.script);
    first->then(kHello + kOne + kQuit);
    save();
    if (end.poked) {
      const int fd = cache.kept[0].fd.get();
      ASSERT_EQ(::send(fd, "NOOP\r\n", 6, 0), 6);
      char byte;
      until([&] { return ::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0; });
    }
    other = process(options);
    EXPECT_EQ(deliver(*other, "d.example"), Verdict::delivered) << number;
    EXPECT_EQ(uses, 1U) << number;
    EXPECT_EQ(cache.kept.size(), 0U) << number;
    other.reset();
    ++number;
  }
}

// Sessions in the clear are no use then, whoever says that they are of the right kind.
TEST_F(Passing, WhereTlsIsAMustItIsNotAsked) {
  for (const TlsLevel level : {TlsLevel::encrypt, TlsLevel::fingerprint, TlsLevel::verify,
                               TlsLevel::secure, TlsLevel::may}) {
    Options strict = options;
    strict.tls.level = level;
    strict.tls.fingerprints = {"00"};
    // Offers no STARTTLS.
    if (level == TlsLevel::may)
      first->then(kHello + kOne + kQuit);
    else
      first->then(kHello + kQuit);
    cache.asked.clear();
    one = process(strict);
    EXPECT_EQ(deliver(*one, "d.example"),
              level == TlsLevel::may ? Verdict::delivered : Verdict::deferred)
        << to_string(level);
    EXPECT_EQ(cache.asked.empty(), level != TlsLevel::may) << to_string(level);
    one.reset();
  }
}

TEST_F(Passing, WithACacheThatHangsMailGoesOn) {
  options.cache_protocol_timeout = 50ms;
  cache.mute = true;
  first->then(kHello + kOne + kQuit);
  first->then(kHello + kOne + kQuit);
  one = process(options);
  EXPECT_EQ(deliver(*one, "d.example"), Verdict::delivered);
  EXPECT_EQ(cache.asked.size(), 1U); // and at the endpoint it was away already
  one->pool.clear();
  EXPECT_EQ(deliver(*one, "d.example"), Verdict::delivered);
  EXPECT_EQ(cache.asked.size(), 1U);
}

TEST_F(Passing, WithoutACacheMailGoesOn) {
  socket += "-not-there";
  first->then(kHello + kOne + kQuit);
  one = process(options);
  EXPECT_EQ(deliver(*one, "d.example"), Verdict::delivered);
  one->pool.clear(Pool::Leave::hand_over); // QUIT is said instead
}

TEST_F(Passing, ASessionWithALoginStays) {
  first->then(kHello + kOne + kQuit);
  one = process(options);
  ASSERT_EQ(deliver(*one, "d.example"), Verdict::delivered);
  std::unique_ptr<Session> session = one->pool.take_for("d.example" + port, clear_key());
  ASSERT_TRUE(session);
  EXPECT_TRUE(session->may_leave());
  session->login_key = "user";
  EXPECT_FALSE(session->may_leave());
  one->pool.give_back(std::move(session), "d.example" + port, Pool::Keep::always);
  one->pool.clear(Pool::Leave::hand_over);
  until([&] { return first->finished() == 1; });
  EXPECT_EQ(cache.kept.size(), 0U);
}

TEST_F(Passing, NothingLeavesThatIsNotKept) {
  for (const bool on_demand : {true, false}) {
    Options none = options;
    none.cache_on_demand = on_demand;
    none.cache_time_limit = on_demand ? 0ms : 60000ms;
    first->then(kHello + kOne + kQuit);
    one = process(none);
    EXPECT_EQ(deliver(*one, "d.example"), Verdict::delivered);
    one->pool.clear(Pool::Leave::hand_over);
  }
  EXPECT_EQ(cache.kept.size(), 0U);
  EXPECT_EQ(cache.asked.size(), 0U);
}

// --- when it is asked --------------------------------------------------------------------------

TEST(AskingTheCache, IsDoneWhereItMayBeWorthThat) {
  test::ManualClock clock;
  ev::Loop loop(clock);
  Options options;
  Tables tables;
  service::ConnectionCache cache(loop, {.service = "scache", .timeout = 5s, .sockets = {"/none"}});
  Handover handover(loop, cache, options, tables);
  const auto asks = [&](const char* key, bool busy, Handover::By by = Handover::By::destination) {
    return handover.is_worth_asking(by, key, busy);
  };
  const auto miss = [&](const char* key) {
    struct Once {
      static ev::Task<bool> run(Handover& h, std::string_view k) {
        const Handover::EndpointKey key{[](const Peer&, std::string_view) { return std::string(); },
                                        ""};
        const std::unique_ptr<Session> none = co_await h.find(Handover::By::destination, k, key);
        co_return none == nullptr;
      }
    };
    return test::run_task<bool>(loop, [&] { return Once::run(handover, key); });
  };
  EXPECT_TRUE(asks("d", false)); // we are young
  clock.advance(options.cache_time_limit);
  EXPECT_FALSE(asks("d", false));
  EXPECT_TRUE(asks("d", true));
  EXPECT_TRUE(miss("d"));
  EXPECT_FALSE(asks("d", true));
  EXPECT_TRUE(asks("e", true));
  EXPECT_TRUE(asks("d", true, Handover::By::endpoint));
  clock.advance(Handover::kPause);
  EXPECT_TRUE(asks("d", true));
}

// --- facts -------------------------------------------------------------------------------------

SessionFacts some_facts() {
  SessionFacts facts;
  facts.key = "smtp\nsmtp\nme\n\n\n\n\n192.0.2.1 25 mx.example";
  facts.peer = Peer{"mx.example", "192.0.2.1", 25};
  facts.features.esmtp = facts.features.pipelining = facts.features.size = true;
  facts.features.size_limit = 10240000;
  facts.features.auth = "PLAIN LOGIN";
  facts.features.xforward = "NAME ADDR";
  facts.delay_dot = true;
  facts.uses = 7;
  facts.opened = SteadyTime(12345s);
  return facts;
}

TEST(Facts, ArriveAsTheyLeft) {
  const SessionFacts facts = some_facts();
  const Result<SessionFacts> read = parse_facts(encode_facts(facts), SteadyTime(12345s));
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, facts);
}

// "250 AUTH" with nothing behind it is an offer, too.
TEST(Facts, AnOfferOfNoMechanismIsOne) {
  for (const std::optional<std::string>& offer :
       {std::optional<std::string>(), std::optional<std::string>(""),
        std::optional<std::string>("PLAIN")}) {
    SessionFacts facts = some_facts();
    facts.features.auth = offer;
    const Result<SessionFacts> read = parse_facts(encode_facts(facts), SteadyTime(12345s));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->features.auth, offer);
  }
}

TEST(Facts, EveryFeatureArrives) {
  using smtp::Features;
  for (bool Features::*flag :
       {&Features::esmtp, &Features::pipelining, &Features::eight_bit_mime, &Features::size,
        &Features::dsn, &Features::smtputf8, &Features::enhanced_status, &Features::chunking,
        &Features::starttls}) {
    SessionFacts facts = some_facts();
    facts.features = Features();
    facts.features.*flag = true;
    const Result<SessionFacts> read = parse_facts(encode_facts(facts), SteadyTime(12345s));
    ASSERT_TRUE(read);
    EXPECT_EQ(*read, facts);
  }
}

TEST(Facts, CutOnesAreRefused) {
  const std::string whole = encode_facts(some_facts());
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(parse_facts(ByteView(whole).substr(0, size), SteadyTime(12345s))) << size;
}

TEST(Facts, DamagedOnesAreRefusedOrClean) {
  const std::string whole = encode_facts(some_facts());
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const int bit : {0, 3, 7}) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      const Result<SessionFacts> read = parse_facts(damaged, SteadyTime(12345s));
      if (!read) continue;
      EXPECT_GT(read->uses, 0U);
      EXPECT_EQ(
          (read->peer.host + read->features.auth.value_or("") + read->features.xforward).find('\n'),
          std::string::npos);
    }
  }
}

} // namespace
} // namespace postrider::smtpclient
