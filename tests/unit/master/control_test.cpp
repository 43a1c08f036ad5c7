// SPDX-License-Identifier: MIT
#include "control.hpp"

#include <cstdlib>
#include <gtest/gtest.h>
#include <unistd.h>

#include "net/tcp_stream.hpp"
#include "support/run_task.hpp"

namespace postrider::master {
namespace {

using namespace std::chrono_literals;
using test::run_task;

class Fake final : public Control::Mediator {
 public:
  proto::MasterStatus status() override {
    proto::MasterStatus out;
    out.pid = 42;
    out.version = "1";
    out.generation = 3;
    proto::MasterService service;
    service.name = "smtp";
    service.type = "inet";
    service.command = "smtpd";
    service.state = "serving";
    service.limit = 2;
    service.listen = {"127.0.0.1:25"};
    service.children.push_back({.pid = 43, .state = "free", .generation = 3});
    out.services.push_back(service);
    return out;
  }
  Result<void> reload() override { return Error(ErrorKind::config, "master.cf:7: nonsense"); }
  Error upgrade() override { return Error(ErrorKind::config, "no such program"); }
  void stop() override { stopped = true; }
  bool is_worker(pid_t pid) const override { return pid == worker; }
  bool stopped = false;
  pid_t worker = 0;
};

class ControlTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/postrider-control-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory = name;
    path = directory + "/master";
    const auto address = net::Address::unix_path(path);
    auto listener = net::listen(*address, {});
    ASSERT_TRUE(listener.ok());
    control = std::make_unique<Control>(loop, std::move(*listener), fake);
  }
  void TearDown() override {
    control.reset();
    ::unlink(path.c_str());
    ::rmdir(directory.c_str());
  }
  ev::Loop loop;
  Fake fake;
  std::string directory;
  std::string path;
  std::unique_ptr<Control> control;
};

ev::Task<Result<ipc::Frame>> ask(ev::Loop& loop, const std::string& path, proto::MasterVerb verb) {
  const auto address = net::Address::unix_path(path);
  auto stream = co_await net::connect(loop, *address, loop.after(10s));
  if (!stream) co_return stream.error();
  ipc::Channel channel(loop, (*stream)->release());
  Result<void> hello = co_await ipc::expect_hello(channel, proto::kMasterProtocol,
                                                  proto::kMasterVersion, loop.after(10s));
  if (!hello) co_return hello.error();
  proto::MasterRequest request;
  request.verb = verb;
  channel.send(request);
  Result<ipc::Frame> frame = co_await channel.receive(loop.after(10s));
  if (!frame) co_return frame.error();
  // The body dies with the channel.
  static std::string kept;
  kept = frame->body;
  frame->body = kept;
  co_return std::move(frame);
}

TEST_F(ControlTest, StatusTravelsWhole) {
  auto frame = run_task<Result<ipc::Frame>>(
      loop, [&] { return ask(loop, path, proto::MasterVerb::status); });
  ASSERT_TRUE(frame.ok());
  const auto status = ipc::as<proto::MasterStatus>(*frame);
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(status->pid, 42u);
  EXPECT_EQ(status->services, fake.status().services);
}

TEST_F(ControlTest, RefusedReloadSaysWhy) {
  auto frame = run_task<Result<ipc::Frame>>(
      loop, [&] { return ask(loop, path, proto::MasterVerb::reload); });
  ASSERT_TRUE(frame.ok());
  const auto done = ipc::as<proto::MasterDone>(*frame);
  ASSERT_TRUE(done.ok());
  EXPECT_FALSE(done->ok);
  EXPECT_EQ(done->text, "master.cf:7: nonsense");
}

TEST_F(ControlTest, StopIsAnsweredFirst) {
  auto frame =
      run_task<Result<ipc::Frame>>(loop, [&] { return ask(loop, path, proto::MasterVerb::stop); });
  ASSERT_TRUE(frame.ok());
  const auto done = ipc::as<proto::MasterDone>(*frame);
  ASSERT_TRUE(done.ok());
  EXPECT_TRUE(done->ok);
  EXPECT_TRUE(fake.stopped);
}

// In an instance without root, workers have the user who may ask.
TEST_F(ControlTest, AWorkerIsTurnedAway) {
  fake.worker = ::getpid();
  const auto answered =
      run_task<Result<ipc::Frame>>(loop, [&] { return ask(loop, path, proto::MasterVerb::stop); });
  ASSERT_FALSE(answered.ok());
  EXPECT_EQ(answered.error().kind(), ErrorKind::closed) << answered.error().text();
  EXPECT_FALSE(fake.stopped);
}

} // namespace
} // namespace postrider::master
