// SPDX-License-Identifier: MIT
// What TLS costs, both ends in this process over memory: handshakes, full and resumed; the way of
// bytes through write; the memory of an idle session. Times are of one processor.
//   bench_tls [rsa|ecdsa|ed25519]
#include <chrono>
#include <cstdio>
#include <ctime>
#include <malloc.h>

#include "unit/tls/test_pair.hpp"

namespace postrider::tls {
namespace {

double cpu() {
  timespec t{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

std::size_t heap() { return ::mallinfo2().uordblks; }

struct Bench {
  Bench(TestKey key, const char* p) : priority(p) {
    server = server_credentials(dir, {make_certificate({.key = key})});
  }
  std::unique_ptr<TestPair> pair(const std::string& session = {}) {
    auto made = std::make_unique<TestPair>(loop, test::MemoryStream::Mode{.window = 64 << 20},
                                           test::MemoryStream::Mode{.window = 64 << 20});
    made->client_wish.priority = made->server_wish.priority = priority;
    made->client_wish.session = session;
    made->server_wish.credentials = server;
    made->shake_hands();
    POSTRIDER_CHECK(made->client && made->server, made->client_error().text());
    return made;
  }
  void handshakes(bool resume) {
    constexpr int kRounds = 300;
    std::string session;
    double spent = 0;
    for (int i = 0; i <= kRounds; ++i) {
      const double begin = cpu();
      auto made = pair(resume ? session : "");
      if (i > 0) spent += cpu() - begin;
      POSTRIDER_CHECK(made->client->facts().resumed == (resume && i > 0));
      POSTRIDER_CHECK(made->client->is_quiet());
      session = made->client->take_sessions().back();
    }
    std::printf("  %-8s handshake, both ends: %7.0f us   session data %zu bytes\n",
                resume ? "resumed" : "full", spent * 1e6 / kRounds, session.size());
  }
  void bytes() {
    auto made = pair();
    const std::string text(1 << 20, 'x');
    double writing = 0, reading = 0;
    constexpr int kRounds = 200;
    for (int i = 0; i < kRounds; ++i) {
      const double begin = cpu();
      POSTRIDER_CHECK(made->client_writes(text).ok());
      const double between = cpu();
      POSTRIDER_CHECK(made->server_reads(text.size()).size() == text.size());
      writing += between - begin;
      reading += cpu() - between;
    }
    std::printf("  write %.0f MB/s, read %.0f MB/s\n", kRounds / writing, kRounds / reading);
  }
  void idle() {
    constexpr std::size_t kSessions = 500;
    std::vector<std::unique_ptr<TestPair>> pairs;
    pairs.push_back(pair());
    const std::size_t before = heap();
    for (std::size_t i = 0; i < kSessions; ++i) {
      pairs.push_back(pair());
      POSTRIDER_CHECK(pairs.back()->client_writes("EHLO x\r\n").ok());
      POSTRIDER_CHECK(pairs.back()->server_reads(8).size() == 8);
      POSTRIDER_CHECK(pairs.back()->client->is_quiet());
    }
    const std::size_t both = heap();
    for (auto& each : pairs)
      each->server.reset();
    const std::size_t clients = heap();
    for (auto& each : pairs)
      each->client.reset();
    const std::size_t none = heap();
    std::printf("  idle session: client %zu bytes, server %zu bytes (the rest of the test %zu)\n",
                (clients - none) / kSessions, (both - clients) / kSessions,
                (none - before) / kSessions);
  }

  test::ScratchDir dir;
  ev::Loop loop;
  std::string priority;
  std::shared_ptr<const Credentials> server;
};

} // namespace
} // namespace postrider::tls

int main(int argc, char** argv) {
  using namespace postrider::tls;
  const std::string_view kind = argc > 1 ? argv[1] : "ecdsa";
  const TestKey key = kind == "rsa"       ? TestKey::rsa
                      : kind == "ed25519" ? TestKey::ed25519
                                          : TestKey::ecdsa;
  for (const char* priority : {"NONE:+COMP-NULL:+CTYPE-X509:+VERS-TLS1.3:+AES-256-GCM:+AEAD:+SIGN-"
                               "ALL:+GROUP-X25519:+GROUP-ALL",
                               kTls12}) {
    std::printf("%.*s, %s\n", static_cast<int>(kind.size()), kind.data(), priority);
    Bench bench(key, priority);
    bench.handshakes(false);
    bench.handshakes(true);
    bench.bytes();
    bench.idle();
  }
}
