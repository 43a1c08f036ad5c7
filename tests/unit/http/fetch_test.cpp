// SPDX-License-Identifier: MIT
// What needs no HTTPS server; the rest is in tests/integration/mta_sts_policies.py.
#include "http/fetch.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/run_task.hpp"

namespace postrider::http {
namespace {

using namespace std::chrono_literals;

struct Listener {
  Fd fd;
  int port = 0;
  Listener() : fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    POSTRIDER_CHECK(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
    POSTRIDER_CHECK(::listen(fd.get(), 16) == 0);
    POSTRIDER_CHECK(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
    port = ntohs(address.sin_port);
  }
};

class Fetch : public testing::Test {
 protected:
  ev::Loop loop;
  Fetcher fetcher{loop};
  Request request_for(const std::string& host, int port) {
    Request request;
    request.url = "https://" + host + ":" + std::to_string(port) + "/x";
    request.addresses = {"127.0.0.1"};
    request.ca_file = "/etc/ssl/certs/ca-certificates.crt";
    return request;
  }
  std::string fetch(const Request& request, ev::Deadline deadline) {
    const auto response =
        test::run_task<Result<Response>>(loop, [&] { return fetcher.fetch(request, deadline); });
    return std::string(response ? "an answer" : to_string(response.error().kind()));
  }
};

TEST_F(Fetch, NobodyListens) {
  int port;
  {
    const Listener listener;
    port = listener.port;
  }
  EXPECT_EQ(fetch(request_for("sts.example", port), loop.after(20s)), "closed");
}

TEST_F(Fetch, TheNameIsNotLookedUpWhenTheAddressIsGiven) {
  const Listener listener;
  const Request request = request_for("no-such-host.invalid", listener.port);
  ::shutdown(listener.fd.get(), SHUT_RDWR);
  EXPECT_EQ(fetch(request, loop.after(20s)), "closed");
}

TEST_F(Fetch, AServerThatSaysNothingIsLeftAtTheDeadline) {
  const Listener listener;
  EXPECT_EQ(fetch(request_for("sts.example", listener.port), loop.after(50ms)), "timeout");
}

TEST_F(Fetch, AServerWithoutTlsIsNotSpokenTo) {
  const Listener listener;
  const Request request = request_for("sts.example", listener.port);
  ev::Group group(loop);
  struct Ask {
    static ev::RootTask run(Fetcher& fetcher, ev::Loop& l, const Request& r, std::string& out) {
      const Result<Response> response = co_await fetcher.fetch(r, l.after(20s));
      out = response ? "an answer" : to_string(response.error().kind());
    }
  };
  std::string out;
  group.spawn(Ask::run(fetcher, loop, request, out), "ask");
  Fd client;
  while (!client) {
    loop.turn(false);
    client = Fd(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  const std::string_view text = "HTTP/1.1 200 OK\r\n\r\nversion: STSv1\r\n";
  ASSERT_EQ(::send(client.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  while (out.empty())
    loop.turn(true);
  EXPECT_EQ(out, "closed");
}

TEST_F(Fetch, OnlyHttps) {
  for (const char* url : {"http://127.0.0.1/", "file:///etc/passwd", "ftp://127.0.0.1/", ""}) {
    Request request;
    request.url = url;
    EXPECT_EQ(fetch(request, loop.after(20s)), "config") << url;
  }
}

TEST_F(Fetch, RequestsAreBounded) {
  const Listener listener;
  const Request request = request_for("sts.example", listener.port);
  ev::Group group(loop);
  struct Ask {
    static ev::RootTask run(Fetcher& fetcher, const Request& r, ev::Deadline deadline,
                            std::size_t& busy) {
      const Result<Response> response = co_await fetcher.fetch(r, deadline);
      if (!response && response.error().kind() == ErrorKind::busy) ++busy;
    }
  };
  std::size_t busy = 0;
  for (std::size_t i = 0; i < Fetcher::kMostAtATime + 3; ++i)
    group.spawn(Ask::run(fetcher, request, loop.after(20s), busy), "ask");
  while (busy < 3)
    loop.turn(false);
  group.cancel();
  while (!group.empty())
    loop.turn(false);
  EXPECT_EQ(busy, 3u);
}

} // namespace
} // namespace postrider::http
