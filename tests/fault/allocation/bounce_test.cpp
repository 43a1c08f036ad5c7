// SPDX-License-Identifier: MIT
// bounce makes one report, and the Nth allocation fails: it says "done" of nothing that is not in
// the queue, so the original stays until it is.
#include <gmock/gmock.h>
#include <sys/mman.h>

#include <fstream>

#include "config/settings.hpp"
#include "ipc/channel.hpp"
#include "outbox.hpp"
#include "support/run_task.hpp"
#include "trial.hpp"
#include "unit/bounce/sample_request.hpp"

namespace postrider::bounce {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kOriginal = "Subject: hello\r\n\r\nDear Bob\r\n";

void run_bounce(test::TrialPage& page, const std::string& socket, Fd connection,
                const config::Settings& settings) {
  ev::Loop loop;
  ev::Offload offload(loop);
  test::TrialFs fs(page);
  submit::Options intake;
  intake.sockets = {socket};
  intake.answer_limit = 5s;
  Options options;
  options.letterhead.hostname = "relay.example.net";
  options.letterhead.origin = "example.net";
  auto rewriter = route::Rewriter::open(settings, route::Rewriter::Scope::readdressing);
  test::Trial::begin();
  QueueOutbox outbox(loop, offload, fs, intake, std::move(*rewriter), "relay.example.net", "x");
  Service service(loop, outbox, real_file_system(), options);
  outbox.start();
  daemon::Client client;
  client.fd = std::move(connection);
  service.accept(std::move(client));
  while (!page.done || service.pending() > 0)
    loop.turn(true);
  service.stop();
  while (loop.turn(false), service.pending() > 0) {
  }
}

// qmgr's end of the conversation.
class Asker {
 public:
  Asker(ev::Loop& loop, Fd fd) : loop_(loop), channel_(loop, std::move(fd)) {
    proto::Board board;
    board.slots = Service::kCapacity;
    channel_.send(board, Fd(::memfd_create("board", MFD_CLOEXEC)));
    Fd content(::memfd_create("content", MFD_CLOEXEC));
    EXPECT_EQ(::write(content.get(), kOriginal.data(), kOriginal.size()),
              static_cast<ssize_t>(kOriginal.size()));
    const std::string path = "/proc/self/fd/" + std::to_string(content.get());
    proto::OpenContent open;
    open.handle = 5;
    channel_.send(open, Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)));
    channel_.send(sample_request(3, kOriginal));
  }
  // Nothing when bounce has gone.
  std::optional<proto::Reported> answer() {
    while (true) {
      auto frame = test::run_task<Result<ipc::Frame>>(loop_, [&] { return next(*this); });
      if (!frame) {
        EXPECT_NE(frame.error().kind(), ErrorKind::timeout) << "no answer";
        return {};
      }
      if (frame->type == proto::Reported::kType) return *ipc::as<proto::Reported>(*frame);
    }
  }
  void leave() { channel_.close(); }

 private:
  static ev::Task<Result<ipc::Frame>> next(Asker& self) {
    Result<ipc::Frame> frame = co_await self.channel_.receive(self.loop_.after(20s));
    co_return frame;
  }
  ev::Loop& loop_;
  ipc::Channel channel_;
};

// Whether an allocation failed.
bool play(const config::Settings& settings, std::int64_t n) {
  test::TemporaryDirectory directory;
  ev::Loop loop;
  test::FakeQmgr qmgr(loop, directory.path);
  auto pair = net::socket_pair();
  test::Trial trial(n, [&](test::TrialPage& page) {
    pair->second.reset();
    run_bounce(page, qmgr.socket(), std::move(pair->first), settings);
  });
  pair->first.reset();
  ev::FdWatch end(
      loop, trial.pidfd(), [](void*, bool, bool) {}, nullptr);
  Asker asker(loop, std::move(pair->second));
  const std::optional<proto::Reported> answer = asker.answer();
  const bool is_reported = answer && answer->ok;
  if (is_reported) {
    EXPECT_GT(trial.page().written, 0);
    EXPECT_EQ(trial.page().synced, trial.page().written) << "done before the sync";
  }
  trial.page().done = true;
  asker.leave();
  EXPECT_TRUE(test::turn_until(loop, [&] { return trial.ended(); }));
  trial.judge();
  EXPECT_TRUE(is_reported || trial.has_failed()) << answer->text;
  for (int i = 0; i < 10; ++i)
    loop.turn(false); // what it announced
  qmgr.find_unannounced();
  EXPECT_THAT(qmgr.problems(), testing::IsEmpty());
  EXPECT_LE(qmgr.mails().size(), 1U);
  EXPECT_TRUE(!is_reported || qmgr.mails().size() == 1);
  for (const auto& mail : qmgr.mails()) {
    EXPECT_THAT(mail.content,
                testing::HasSubstr("\r\n\r\nSubject: hello\r\n\r\nDear Bob\r\n\r\n--="));
    EXPECT_THAT(mail.content, testing::HasSubstr("bob@example.org"));
    EXPECT_EQ(mail.envelope.recipients.at(0).address, "ann@example.com");
    EXPECT_THAT(mail.envelope.reported, testing::ElementsAre(2U));
  }
  return trial.has_failed();
}

TEST(FailingAllocation, OfBounceIsNoReport) {
  test::TemporaryDirectory directory;
  ASSERT_TRUE(std::ofstream(directory.path + "/main.cf") << "myhostname = relay.example.net\n");
  config::Findings findings;
  const auto settings = config::Settings::load({.config_directory = directory.path}, findings);
  ASSERT_TRUE(settings.ok()) << settings.error().text();
  test::try_allocations(1, [&](std::int64_t n) { return play(*settings, n); });
}

} // namespace
} // namespace postrider::bounce
