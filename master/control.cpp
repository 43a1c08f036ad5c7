// SPDX-License-Identifier: MIT
#include "control.hpp"

#include <unistd.h>

#include "base/log.hpp"

namespace postrider::master {

namespace {

constexpr std::chrono::seconds kPatience{30};

std::vector<Fd> one(Fd fd) {
  std::vector<Fd> out;
  out.push_back(std::move(fd));
  return out;
}

} // namespace

Control::Control(ev::Loop& loop, Fd listener, Mediator& mediator)
    : loop_(loop), mediator_(mediator), listener_(listener.get()), clients_(loop),
      acceptor_(loop, one(std::move(listener)), [this](Fd client, std::size_t) {
        if (clients_.size() < kMostClients)
          clients_.spawn(serve(std::move(client)), "control client");
      }) {
  acceptor_.resume();
}

Control::~Control() {
  clients_.close();
  clients_.tear_down();
}

ev::RootTask Control::serve(Fd client) {
  const uid_t peer = ipc::peer_credentials(client.get()).uid;
  if (peer != 0 && peer != ::geteuid()) co_return; // mail_owner is a worker, not an operator
  if (mediator_.is_worker(ipc::peer_credentials(client.get()).pid)) {
    log::warning("process " + std::to_string(ipc::peer_credentials(client.get()).pid) +
                 " of the suite asked for the control of it: refused");
    co_return;
  }
  constexpr ipc::Limits kLimits{.frame = 64 * 1024, .unsent = 16 * 1024 * 1024, .descriptors = 0};
  ipc::Channel channel(loop_, std::move(client), kLimits);
  proto::MasterDone done;
  {
    ipc::Hello hello;
    hello.protocol = proto::kMasterProtocol;
    hello.version = proto::kMasterVersion;
    channel.send(hello);
  }
  while (true) {
    Result<ipc::Frame> frame = co_await channel.receive(loop_.after(kPatience));
    if (!frame) co_return;
    const auto request = ipc::as<proto::MasterRequest>(*frame);
    if (!request) co_return;
    switch (request->verb) {
    case proto::MasterVerb::status: channel.send(mediator_.status()); break;
    case proto::MasterVerb::reload: {
      const auto reloaded = mediator_.reload();
      done.ok = reloaded.ok();
      done.text = reloaded ? "" : reloaded.error().text();
      channel.send(done);
      break;
    }
    case proto::MasterVerb::upgrade:
      done.ok = false;
      done.text = mediator_.upgrade().text();
      channel.send(done);
      break;
    case proto::MasterVerb::stop: {
      done.ok = true;
      done.text.clear();
      channel.send(done);
      channel.flush();
      mediator_.stop();
      // Open until the process ends, which is how the client learns that everything is down.
      Result<ipc::Frame> more = co_await channel.receive(ev::Deadline::never());
      (void)more;
      co_return;
    }
    }
    Result<void> sent = co_await channel.wait_sent(loop_.after(kPatience));
    if (!sent) co_return;
  }
}

} // namespace postrider::master
