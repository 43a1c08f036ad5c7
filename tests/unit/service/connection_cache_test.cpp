// SPDX-License-Identifier: MIT
// ConnectionCache against a service whose every move the test makes.
#include "service/connection_cache.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/address.hpp"
#include "net/tcp_stream.hpp"
#include "proto/scache.hpp"
#include "support/manual_clock.hpp"
#include "support/run_task.hpp"
#include "support/scratch_dir.hpp"

namespace postrider::service {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

constexpr ev::Deadline kNow = ev::Deadline::at(SteadyTime()); // what is there already

// A connection, and the end of it that the test keeps.
struct Wire {
  Fd ours, given;
  Wire() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    ours = Fd(ends[0]);
    given = Fd(ends[1]);
  }
  bool closed() const { // the other end
    char byte;
    return ::recv(ours.get(), &byte, 1, 0) == 0;
  }
};

struct Stage {
  test::ManualClock clock;
  ev::Loop loop{clock};
  test::ScratchDir dir;
  std::string path = dir.path() + "/scache";
  Fd listener = std::move(*net::listen(*net::Address::unix_path(path), {}));
  std::unique_ptr<ipc::Channel> service;
  ev::Group calls{loop};
  std::vector<std::string> results;
  std::vector<Fd> found;
  ConnectionCache cache{loop, {.service = "scache", .timeout = 2s, .sockets = {path}}};

  ~Stage() {
    calls.close();
    calls.tear_down();
  }
  void turns() {
    for (int i = 0; i < 20; ++i)
      loop.turn(false);
  }
  void accept() {
    Fd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    ASSERT_TRUE(fd);
    service = std::make_unique<ipc::Channel>(loop, std::move(fd));
    service->send(ipc::Hello{.protocol = proto::kCacheProtocol, .version = proto::kCacheVersion});
    turns();
  }
  void save(std::string destination, Fd fd, std::chrono::milliseconds ttl = 1500ms) {
    calls.spawn(save_one(*this, std::move(destination), std::move(fd), ttl), "save");
    turns();
  }
  void find(std::string destination, std::string endpoint) {
    calls.spawn(find_one(*this, std::move(destination), std::move(endpoint)), "find");
    turns();
  }
  static ev::RootTask save_one(Stage& stage, std::string destination, Fd fd,
                               std::chrono::milliseconds ttl) {
    ConnectionCache::Offer offer;
    offer.destination = std::move(destination);
    offer.endpoint = "endpoint";
    offer.ttl = ttl;
    offer.facts = "facts";
    Result<void> saved = co_await stage.cache.save(offer, fd);
    EXPECT_FALSE(fd) << "it is given away, whatever comes of it";
    stage.results.push_back(saved ? "saved" : std::string(to_string(saved.error().kind())));
  }
  static ev::RootTask find_one(Stage& stage, std::string destination, std::string endpoint) {
    Result<ConnectionCache::Found> found = co_await stage.cache.find(destination, endpoint);
    if (found) {
      stage.results.push_back("found " + found->facts);
      stage.found.push_back(std::move(found->fd));
    } else {
      stage.results.push_back(std::string(to_string(found.error().kind())));
    }
  }
  // The next request that has come.
  template <typename T>
  T request(std::vector<Fd>* fds = nullptr) {
    Result<ipc::Frame> frame =
        test::run_task<Result<ipc::Frame>>(loop, [this] { return service->receive(kNow); });
    EXPECT_TRUE(frame.ok());
    if (!frame) return T();
    Result<T> read = ipc::as<T>(*frame);
    EXPECT_TRUE(read.ok());
    if (fds != nullptr) *fds = std::move(frame->fds);
    return read ? std::move(*read) : T();
  }
  template <typename T>
  void answer(std::uint64_t number) {
    T out;
    out.number = number;
    service->send(out);
    turns();
  }
};

TEST(ConnectionCache, GivesAConnectionAwayWithAllThatIsSaidOfIt) {
  Stage stage;
  Wire wire;
  stage.save("destination", std::move(wire.given));
  stage.accept();
  std::vector<Fd> fds;
  const auto request = stage.request<proto::Save>(&fds);
  EXPECT_EQ(request.destination, "destination");
  EXPECT_EQ(request.endpoint, "endpoint");
  EXPECT_EQ(request.facts, "facts");
  EXPECT_EQ(request.ttl, 1500u);
  ASSERT_EQ(fds.size(), 1u);
  EXPECT_EQ(::write(fds[0].get(), "x", 1), 1);
  char byte = 0;
  EXPECT_EQ(::recv(wire.ours.get(), &byte, 1, 0), 1) << "it is this one";
  stage.answer<proto::Saved>(request.number);
  EXPECT_THAT(stage.results, ElementsAre("saved"));
  fds.clear();
  EXPECT_TRUE(wire.closed()) << "nobody else has kept it";
}

TEST(ConnectionCache, TimesBeyondTheirBoundsAreCut) {
  for (const auto& [ttl, wanted] : {std::pair{std::chrono::milliseconds(-1), 0u},
                                    std::pair{std::chrono::milliseconds(1LL << 40), ~0u}}) {
    Stage stage;
    Wire wire;
    stage.save("", std::move(wire.given), ttl);
    stage.accept();
    EXPECT_EQ(stage.request<proto::Save>().ttl, wanted);
  }
}

TEST(ConnectionCache, FindsByOneOfTwoKeys) {
  Stage stage;
  stage.find("destination", "");
  stage.accept();
  const auto first = stage.request<proto::Find>();
  EXPECT_EQ(first.destination + "|" + first.endpoint, "destination|");
  Wire wire;
  proto::Found found;
  found.number = first.number;
  found.facts = "kept";
  stage.service->send(found, std::move(wire.given));
  stage.turns();
  ASSERT_EQ(stage.found.size(), 1u);
  stage.found.clear();
  EXPECT_TRUE(wire.closed());
  stage.find("", "endpoint");
  const auto second = stage.request<proto::Find>();
  EXPECT_EQ(second.destination + "|" + second.endpoint, "|endpoint");
  stage.answer<proto::NotFound>(second.number);
  EXPECT_THAT(stage.results, ElementsAre("found kept", "not_found"));
}

TEST(ConnectionCache, AnAnswerThatIsNoneIsAnError) {
  Stage stage;
  stage.find("no descriptor", "");
  stage.accept();
  stage.answer<proto::Found>(stage.request<proto::Find>().number);
  EXPECT_THAT(stage.results, ElementsAre("protocol"));
  stage.results.clear();
  stage.find("another message", "");
  stage.answer<proto::Saved>(stage.request<proto::Find>().number);
  EXPECT_THAT(stage.results, ElementsAre("protocol"));
  stage.results.clear();
  Wire wire;
  stage.save("not saved", std::move(wire.given));
  std::vector<Fd> fds;
  stage.answer<proto::NotFound>(stage.request<proto::Save>(&fds).number);
  EXPECT_THAT(stage.results, ElementsAre("protocol"));
}

TEST(ConnectionCache, TwoDescriptorsAreNoConnection) {
  Stage stage;
  stage.find("two", "");
  stage.accept();
  Wire one, two;
  proto::Found found;
  found.number = stage.request<proto::Find>().number;
  std::vector<Fd> both;
  both.push_back(std::move(one.given));
  both.push_back(std::move(two.given));
  stage.service->send(found, std::move(both));
  stage.turns();
  EXPECT_THAT(stage.results, ElementsAre("protocol"));
  EXPECT_TRUE(one.closed() && two.closed());
}

// Waits are bounded, also where scache is there and says nothing, and where it goes away.
TEST(ConnectionCache, SilenceAndAbsenceEndTheWait) {
  Stage stage;
  stage.find("silent", "");
  stage.accept();
  (void)stage.request<proto::Find>();
  stage.clock.advance(1999ms);
  stage.turns();
  EXPECT_TRUE(stage.results.empty());
  stage.clock.advance(1ms);
  stage.turns();
  EXPECT_THAT(stage.results, ElementsAre("timeout"));

  Stage gone;
  Wire wire;
  gone.save("gone", std::move(wire.given));
  gone.accept();
  gone.service.reset();
  gone.turns();
  ASSERT_EQ(gone.results.size(), 1u);
  EXPECT_NE(gone.results[0], "saved");
  EXPECT_TRUE(wire.closed()) << "lost, and not kept open by nobody";

  Stage never;
  never.listener.reset();
  ::unlink(never.path.c_str());
  EXPECT_FALSE(never.cache.available());
  never.find("never", "");
  EXPECT_THAT(never.results, ElementsAre("not_found"));
}

} // namespace
} // namespace postrider::service
