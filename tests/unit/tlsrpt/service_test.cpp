// SPDX-License-Identifier: MIT
// The service and TlsrptCollector, the client side of it, over a socket.
#include "service.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "events.hpp"
#include "net/tcp_stream.hpp"
#include "service/tlsrpt_collector.hpp"
#include "support/manual_clock.hpp"
#include "support/run_task.hpp"
#include "support/scratch_dir.hpp"

namespace postrider::tlsrpt {
namespace {

class NoOutlet final : public Outlet {
 public:
  ev::Task<Result<std::vector<std::string>>> addresses(const std::string&, ev::Deadline) override {
    co_return Error(ErrorKind::not_found, "no TXT record of TLSRPT");
  }
  ev::Task<Result<std::string>> mail(const Composed&) override {
    co_return Error(ErrorKind::closed, "");
  }
  ev::Task<Result<std::string>> post(const std::string&, const std::string&,
                                     ev::Deadline) override {
    co_return Error(ErrorKind::closed, "");
  }
};

struct Stage {
  test::ManualClock clock;
  ev::Loop loop{clock};
  test::ScratchDir dir;
  std::string path = dir.path() + "/tlsrpt";
  Fd listener = std::move(*net::listen(*net::Address::unix_path(path), {}));
  std::unique_ptr<Service> service;

  void start() {
    auto accounts = Accounts::open(dir.path() + "/tlsrpt.lmdb", 1000, clock.wall());
    service = std::make_unique<Service>(loop, std::move(*accounts), ReporterSetup(),
                                        std::make_unique<NoOutlet>());
  }
  void turns() {
    for (int i = 0; i < 30; ++i) {
      daemon::Client client;
      client.fd = Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (client.fd && service) service->accept(std::move(client));
      loop.turn(false);
    }
  }
  std::unique_ptr<service::TlsrptCollector> collector() {
    return std::make_unique<service::TlsrptCollector>(
        loop, service::TlsrptSetup{.service = "tlsrpt", .sockets = {path}});
  }
  // What another process would be told.
  std::vector<proto::TlsAccount> counted(const std::string& domain = {}) {
    auto accounts = Accounts::open(dir.path() + "/tlsrpt.lmdb", 1000, clock.wall());
    std::vector<proto::TlsAccount> out;
    EXPECT_TRUE(accounts->each({}, [&](std::string_view, const proto::TlsAccount& account) {
      if (domain.empty() || account.domain == domain) out.push_back(account);
      return true;
    }));
    return out;
  }
};

TEST(Tlsrpt, CountsWhatItIsTold) {
  Stage stage;
  stage.start();
  auto collector = stage.collector();
  collector->tell(success("a.example"));
  collector->tell(failure("a.example"));
  stage.turns();
  const auto found = stage.counted();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].policies[0].successes, 1u);
  EXPECT_EQ(found[0].policies[0].lines[0].mx_host, "mx.a.example");
}

TEST(Tlsrpt, NobodyWaitsForItWhenItIsAway) {
  Stage stage;
  auto collector = stage.collector();
  ::close(stage.listener.release());
  for (int i = 0; i < 1000; ++i)
    collector->tell(success("a.example"));
  stage.loop.turn(false);
}

TEST(Tlsrpt, HostileTextIsCutByWhoTells) {
  proto::TlsEvent event = failure("a.example");
  event.reason = std::string(100000, 'x') + "\r\n\x1b[2J";
  event.mx_host = std::string("a\nb\0c", 5);
  for (int i = 0; i < 3000; ++i)
    event.policy.mx.push_back("*.d" + std::to_string(i) + ".example");
  event.policy.strings.assign(10, std::string(6000, 'y'));
  service::fit(event);
  EXPECT_TRUE(service::check(event).ok());
  EXPECT_THAT(event.reason, testing::EndsWith("..."));
  EXPECT_EQ(event.reason.find_first_of("\r\n\x1b"), std::string::npos);
  EXPECT_LT(encode(event).size(), 32u * 1024);
}

struct BadEvent {
  std::string_view name;
  void (*spoil)(proto::TlsEvent&);
};
class TlsrptBadEvent : public testing::TestWithParam<BadEvent> {};
TEST_P(TlsrptBadEvent, IsNotCountedAndItsSenderIsSentAway) {
  Stage stage;
  stage.start();
  auto ends = net::socket_pair();
  ASSERT_TRUE(ends.ok());
  ipc::Channel evil(stage.loop, std::move(ends->first));
  daemon::Client client;
  client.fd = std::move(ends->second);
  stage.service->accept(std::move(client));
  proto::TlsEvent event = failure("a.example");
  GetParam().spoil(event);
  evil.send(event);
  evil.send(success("b.example"));
  auto collector = stage.collector();
  collector->tell(success("c.example"));
  stage.turns();
  const auto found = stage.counted();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].domain, "c.example");
}
INSTANTIATE_TEST_SUITE_P(
    Hostile, TlsrptBadEvent,
    testing::ValuesIn<BadEvent>({
        {"NoDomain", [](proto::TlsEvent& e) { e.domain.clear(); }},
        {"DomainOfOtherBytes", [](proto::TlsEvent& e) { e.domain = std::string("a\0b", 3); }},
        {"AddressForADomain", [](proto::TlsEvent& e) { e.domain = "192.0.2.1"; }},
        {"LineBreak", [](proto::TlsEvent& e) { e.domain = "a.example\r\nBcc: x"; }},
        {"NoPolicyDomain", [](proto::TlsEvent& e) { e.policy.domain.clear(); }},
        {"LongHost", [](proto::TlsEvent& e) { e.mx_host.assign(256, 'x'); }},
        {"LongReason", [](proto::TlsEvent& e) { e.reason.assign(513, 'x'); }},
        {"ReasonOfTwoLines", [](proto::TlsEvent& e) { e.reason = "a\nb"; }},
        {"LongPolicy",
         [](proto::TlsEvent& e) { e.policy.strings.assign(100, std::string(100, 'x')); }},
        {"ManyPatterns", [](proto::TlsEvent& e) { e.policy.mx.assign(9000, ""); }},
        {"NoSuchResult", [](proto::TlsEvent& e) { e.result = static_cast<proto::TlsResult>(12); }},
        {"NoSuchPolicy",
         [](proto::TlsEvent& e) { e.policy.kind = static_cast<proto::TlsPolicyKind>(3); }},
    }),
    [](const auto& row) { return std::string(row.param.name); });

} // namespace
} // namespace postrider::tlsrpt
