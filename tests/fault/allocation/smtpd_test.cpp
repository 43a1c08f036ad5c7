// SPDX-License-Identifier: MIT
// smtpd takes one message for two recipients, and the Nth allocation fails: there is no 250 for
// what is not in the queue, and nobody is refused for ever.
#include <gmock/gmock.h>

#include "trial.hpp"
#include "unit/smtpd/dialogue.hpp"

namespace postrider::smtpd {
namespace {

constexpr std::string_view kBody = "Subject: s\r\n\r\nthe body\r\n";

struct Way {
  std::string name;
  std::size_t padding = 0; // octets of content besides kBody
  bool chunked = false;    // BDAT
};
void PrintTo(const Way& way, std::ostream* out) { *out << way.name; }

class ServedSession {
 public:
  ServedSession(test::TrialPage& page, const std::string& socket, Fd client)
      : config_(test_config()), fs_(page), client_(std::move(client)), socket_(socket) {
    config_->queue_patience = std::chrono::seconds(10);
  }
  void run() {
    ev::Loop loop;
    test::FakeDns dns(loop, "");
    ev::Offload offload(loop);
    test::Trial::begin();
    ev::Group group(loop);
    submit::Options options;
    options.sockets = {socket_};
    options.file_threshold = 30'000;
    options.answer_limit = std::chrono::seconds(5);
    submit::Submitter submitter(loop, offload, fs_, options);
    Shared shared(loop, submitter);
    shared.resolver = &dns;
    submitter.start();
    group.spawn(serve(*this, shared), "session");
    while (!over_)
      loop.turn(true);
  }

 private:
  static ev::RootTask serve(ServedSession& self, Shared& shared) {
    Peer peer;
    peer.address = "192.0.2.7";
    peer.port = "4711";
    {
      auto stream = std::make_unique<net::TcpStream>(shared.loop, std::move(self.client_));
      Session session(shared, self.config_, std::move(stream), peer);
      co_await session.run();
    }
    self.over_ = true;
  }
  std::shared_ptr<Config> config_;
  test::TrialFs fs_;
  Fd client_;
  std::string socket_;
  bool over_ = false;
};

// The other end of the connection.
class Client {
 public:
  Client(ev::Loop& loop, Fd fd)
      : loop_(loop), fd_(std::move(fd)), watch_(loop, fd_.get(), &hear, this) {
    hear(this, true, false);
  }
  // The last line of a reply; empty when the connection ended.
  std::string reply() {
    std::string line;
    const bool came = test::turn_until(loop_, [&] { return take(line) || over_; });
    EXPECT_TRUE(came) << "no reply";
    return line;
  }
  std::string ask(std::string_view command) {
    while (!command.empty() && !over_) {
      const ssize_t n = ::send(fd_.get(), command.data(), command.size(), MSG_NOSIGNAL);
      if (n > 0)
        command.remove_prefix(static_cast<std::size_t>(n));
      else if (errno == EAGAIN)
        loop_.turn(true);
      else
        break;
    }
    return reply();
  }
  bool is_over() const { return over_; }

 private:
  static void hear(void* self, bool, bool) {
    Client& client = *static_cast<Client*>(self);
    char buffer[4096];
    ssize_t n;
    while ((n = ::recv(client.fd_.get(), buffer, sizeof buffer, 0)) > 0)
      client.came_.append(buffer, static_cast<std::size_t>(n));
    client.over_ = client.over_ || n == 0 || errno != EAGAIN;
  }
  bool take(std::string& line) {
    while (true) {
      const std::size_t end = came_.find("\r\n");
      if (end == std::string::npos) return false;
      line = came_.substr(0, end);
      came_.erase(0, end + 2);
      if (line.size() < 4 || line[3] != '-') return true;
    }
  }
  ev::Loop& loop_;
  Fd fd_;
  ev::FdWatch watch_;
  std::string came_;
  bool over_ = false;
};

class FailingAllocation : public testing::TestWithParam<Way> {
 protected:
  static std::string content() {
    std::string out(kBody);
    for (std::size_t n = 0; n < GetParam().padding; n += 64)
      out += std::string(62, 'x') + "\r\n";
    return out;
  }
  static std::vector<std::string> commands() {
    std::vector<std::string> out = {"EHLO client.example\r\n", "MAIL FROM:<a@b.example>\r\n",
                                    "RCPT TO:<u@ours.example>\r\n", "RCPT TO:<v@ours.example>\r\n"};
    const std::string text = content();
    if (GetParam().chunked) {
      out.push_back("BDAT 20\r\n" + text.substr(0, 20));
      out.push_back("BDAT " + std::to_string(text.size() - 20) + " LAST\r\n" + text.substr(20));
    } else {
      out.emplace_back("DATA\r\n");
      out.push_back(text + ".\r\n");
    }
    return out;
  }
  // Whether an allocation failed.
  static bool play(std::int64_t n) {
    test::TemporaryDirectory directory;
    ev::Loop loop;
    test::FakeQmgr qmgr(loop, directory.path);
    auto pair = net::socket_pair();
    test::Trial trial(n, [&](test::TrialPage& page) {
      pair->first.reset();
      ServedSession(page, qmgr.socket(), std::move(pair->second)).run();
    });
    pair->second.reset();
    ev::FdWatch end(
        loop, trial.pidfd(), [](void*, bool, bool) {}, nullptr);
    Client client(loop, std::move(pair->first));
    std::string said = client.reply(); // the greeting
    bool taken = !said.empty();
    for (const std::string& command : commands()) {
      if (!taken) break;
      said = client.ask(command);
      taken = said.starts_with("2") || said.starts_with("354");
    }
    EXPECT_TRUE(taken || said.empty() || said.starts_with("4")) << said;
    if (taken) {
      EXPECT_THAT(said, testing::StartsWith("250 2.0.0 Ok: queued as "));
      EXPECT_EQ(trial.page().synced, trial.page().written) << "250 before the sync";
    }
    if (!client.is_over()) client.ask("QUIT\r\n");
    EXPECT_TRUE(test::turn_until(loop, [&] { return trial.ended(); }));
    trial.judge();
    EXPECT_TRUE(taken || trial.has_failed()) << said;
    for (int i = 0; i < 10; ++i)
      loop.turn(false); // what it announced
    qmgr.find_unannounced();
    EXPECT_THAT(qmgr.problems(), testing::IsEmpty());
    EXPECT_LE(qmgr.mails().size(), 1U);
    EXPECT_TRUE(!taken || qmgr.mails().size() == 1);
    for (const auto& mail : qmgr.mails()) {
      EXPECT_TRUE(mail.content.ends_with(content()));
      EXPECT_EQ(mail.envelope.recipients.size(), 2U);
      EXPECT_EQ(mail.in_file, GetParam().padding > 0);
    }
    return trial.has_failed();
  }
};

TEST_P(FailingAllocation, OfSmtpdIsNoAcceptance) { test::try_allocations(1, play); }
INSTANTIATE_TEST_SUITE_P(Ways, FailingAllocation,
                         testing::ValuesIn<Way>({{"ByData", 0, false},
                                                 {"ByChunks", 0, true},
                                                 {"InAFile", 50'000, false}}),
                         [](const auto& i) { return i.param.name; });

} // namespace
} // namespace postrider::smtpd
