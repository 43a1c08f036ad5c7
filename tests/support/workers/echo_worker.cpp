// SPDX-License-Identifier: MIT
// A worker for the tests of master: tells each client who it is, then echoes lines until the client
// closes. Command lines: "busy" and "free" change its state, "hang" stands still, "crash" aborts,
// "shut", "part" and "block" spoil the listening socket of its service.
// Parameters reuse real names: `-o myorigin=...` is what it says at greeting; `-o mail_name=fail`
// makes it die at start, `-o mail_name=resident` makes it apply a new configuration in place.
#include <cstdlib>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/run.hpp"
#include "ev/group.hpp"
#include "net/tcp_stream.hpp"
#include "proto/child_status.hpp"

namespace {

using namespace postrider;

class Echo final : public daemon::Service {
 public:
  explicit Echo(daemon::Context& context)
      : context_(context), clients_(context.loop()), origin_(context.settings().text("myorigin")) {}

  void accept(daemon::Client client) override {
    clients_.spawn(serve(std::move(client)), "client");
  }
  void drain(daemon::Drain reason) override {
    // A successor is there: let clients finish. Otherwise end them.
    if (reason != daemon::Drain::retire) clients_.cancel();
  }
  void stop() override { clients_.tear_down(); }
  bool reload(const config::Settings& settings) override {
    if (settings.text("mail_name") != "resident") return false;
    origin_ = settings.text("myorigin");
    return true;
  }

 private:
  ev::RootTask serve(daemon::Client client) {
    net::TcpStream stream(context_.loop(), std::move(client.fd));
    std::string out = "pid " + std::to_string(::getpid()) + " origin " + origin_ + " listener " +
                      context_.listeners().at(client.listener) + "\n";
    while (true) {
      Result<void> written =
          co_await stream.write(out, context_.loop().after(std::chrono::minutes(1)));
      if (!written) co_return;
      Result<net::Stream::Line> line = co_await stream.read_line(1000, ev::Deadline::never());
      if (!line) co_return;
      if (line->text == "busy") context_.set_busy(true);
      if (line->text == "free") context_.set_busy(false);
      if (line->text == "crash") std::abort();
      if (line->text == "shut") ::shutdown(proto::kFirstListenerFd, SHUT_RDWR);
      if (line->text == "block") ::fcntl(proto::kFirstListenerFd, F_SETFL, 0);
      if (line->text == "part") {
        const sockaddr nowhere{.sa_family = AF_UNSPEC, .sa_data = {}};
        ::connect(proto::kFirstListenerFd, &nowhere, sizeof nowhere);
      }
      while (line->text == "hang")
        ::pause();
      out = line->text + "\n";
    }
  }
  daemon::Context& context_;
  ev::Group clients_;
  std::string origin_;
};

} // namespace

int main(int argc, char** argv) {
  return daemon::run(
      argc, argv,
      daemon::Program{.name = "echo_worker",
                      .start = [](daemon::Context& cx) -> Result<std::unique_ptr<daemon::Service>> {
                        if (cx.settings().text("mail_name") == "fail") ::_exit(3);
                        return std::unique_ptr<daemon::Service>(std::make_unique<Echo>(cx));
                      }});
}
