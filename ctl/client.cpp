// SPDX-License-Identifier: MIT
#include "client.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "queue/layout.hpp"

namespace postrider::ctl {

namespace {

// Runs one waiting call to its end. The loop belongs to this client alone.
template <typename T, typename Make>
T finish(ev::Loop& loop, Make make) {
  struct Runner {
    static ev::RootTask run(Make made, std::optional<T>& out) {
      T value = co_await made();
      out.emplace(std::move(value));
    }
  };
  std::optional<T> out;
  ev::Group group(loop);
  group.spawn(Runner::run(make, out), "answer");
  while (!out)
    loop.turn(true);
  while (!group.empty())
    loop.turn(false);
  return std::move(*out);
}

constexpr std::string_view kNotRunning =
    "the mail system is not running; start it with `postrider start`";

} // namespace

Result<Fd> connect_unix(const std::string& directory, const std::string& name) {
  const std::string path = directory + "/" + name;
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return Error::from_errno("socket", errno);
  const Fd base(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!base && errno == ENOENT) return Error(ErrorKind::closed, directory + " does not exist");
  if (!base) return Error::from_errno(directory, errno);
  // A socket address holds 107 bytes; spools stand anywhere.
  const std::string short_path = path.size() < sizeof(sockaddr_un{}.sun_path)
                                     ? path
                                     : "/proc/self/fd/" + std::to_string(base.get()) + "/" + name;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (short_path.size() >= sizeof address.sun_path)
    return Error(ErrorKind::config, path + ": name too long");
  std::memcpy(address.sun_path, short_path.c_str(), short_path.size() + 1);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    if (error == ENOENT || error == ECONNREFUSED || error == ENOTDIR)
      return Error(ErrorKind::closed, std::string(kNotRunning));
    if (error == EACCES || error == EPERM)
      return Error(ErrorKind::refused, path + ": permission denied; this needs root or mail_owner");
    return Error::from_errno("connect " + path, error);
  }
  if (auto done = set_nonblocking(fd.get()); !done) return done.error();
  return fd;
}

Client::Client(Fd fd, std::string who)
    : who_(std::move(who)), channel_(std::make_unique<ipc::Channel>(loop_, std::move(fd))) {}

Error Client::explained(const Error& error) const {
  if (error.kind() == ErrorKind::closed)
    return Error(ErrorKind::closed,
                 who_ + " ended the connection: it is going down, or does not serve this user");
  if (error.kind() == ErrorKind::timeout)
    return Error(ErrorKind::timeout, who_ + " does not answer; `postrider status` may tell why");
  return error.in(who_);
}

Result<void> Client::hello(std::string_view protocol, std::uint32_t version) {
  const ev::Deadline deadline = loop_.after(limit_);
  auto done = finish<Result<void>>(
      loop_, [&] { return ipc::expect_hello(*channel_, protocol, version, deadline); });
  if (!done) return explained(done.error());
  return {};
}

Result<void> Client::receive(Duration limit) {
  const ev::Deadline deadline = loop_.after(limit);
  frame_ = ipc::Frame();
  auto frame = finish<Result<ipc::Frame>>(loop_, [&] { return channel_->receive(deadline); });
  if (!frame) return explained(frame.error());
  frame_ = std::move(*frame);
  return {};
}

Result<void> Client::wait_closed(Duration limit) {
  const ev::Deadline deadline = loop_.after(limit);
  for (;;) {
    auto frame = finish<Result<ipc::Frame>>(loop_, [&] { return channel_->receive(deadline); });
    if (frame) continue;
    if (frame.error().kind() == ErrorKind::timeout)
      return Error(ErrorKind::timeout, who_ + " is still there");
    return {};
  }
}

Error Client::refusal() const {
  const auto refused = ipc::as<proto::Refused>(frame_);
  if (!refused) return refused.error();
  switch (refused->why) {
  case proto::Refusal::not_allowed: return Error(ErrorKind::refused, refused->text);
  case proto::Refusal::not_found: return Error(ErrorKind::not_found, refused->text);
  case proto::Refusal::no_sense: return Error(ErrorKind::limit, refused->text);
  case proto::Refusal::not_now: return Error(ErrorKind::busy, refused->text);
  }
  return Error(ErrorKind::protocol, refused->text);
}

Result<Fd> Client::take_descriptor() {
  if (frame_.fds.empty()) return Error(ErrorKind::protocol, who_ + " sent no descriptor");
  Fd fd = std::move(frame_.fds.front());
  frame_.fds.clear();
  return fd;
}

namespace {

Result<Fd> connect_qmgr(const std::string& directory) {
  auto fd = connect_unix(directory, "public/qmgr");
  if (!fd && fd.error().kind() == ErrorKind::closed) fd = connect_unix(directory, "private/qmgr");
  return fd;
}

} // namespace

Result<void> Client::open_qmgr() {
  POSTRIDER_TRY_VOID(hello(proto::kQmgrProtocol, proto::kQmgrVersion));
  proto::Open open;
  open.role = proto::Role::control;
  open.program = "postrider";
  channel_->send(open);
  // Who may open it owns the queue; others are told what they may not do.
  const std::string lock = queue::Layout(directory_).lock();
  if (Fd fd(::open(lock.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)); fd)
    channel_->send(proto::OwnerProof{}, std::move(fd));
  return {};
}

Result<void> Client::reopen() {
  if (directory_.empty()) return Error(ErrorKind::closed, who_ + " is gone");
  POSTRIDER_TRY(Fd fd, connect_qmgr(directory_));
  frame_ = ipc::Frame();
  channel_ = std::make_unique<ipc::Channel>(loop_, std::move(fd));
  return open_qmgr();
}

Result<std::unique_ptr<Client>> Client::to_qmgr(const std::string& directory, Duration limit) {
  POSTRIDER_TRY(Fd fd, connect_qmgr(directory));
  std::unique_ptr<Client> client(new Client(std::move(fd), "qmgr"));
  client->directory_ = directory;
  client->limit_ = limit;
  Result<void> opened = client->open_qmgr();
  for (int again = 0; again < kAskAgain && is_closed(opened); ++again)
    opened = client->reopen();
  if (!opened) return opened.error();
  return client;
}

Result<std::unique_ptr<Client>> Client::to_master(const std::string& directory) {
  auto fd = connect_unix(directory, proto::kMasterSocket);
  if (!fd) return fd.error();
  std::unique_ptr<Client> client(new Client(std::move(*fd), "master"));
  if (auto greeted = client->hello(proto::kMasterProtocol, proto::kMasterVersion); !greeted)
    return greeted.error();
  return client;
}

Result<std::unique_ptr<Client>> Client::to_service(const std::string& directory,
                                                   const std::string& service,
                                                   std::string_view protocol,
                                                   std::uint32_t version) {
  auto fd = connect_unix(directory, "private/" + service);
  if (!fd && fd.error().kind() == ErrorKind::closed)
    fd = connect_unix(directory, "public/" + service);
  if (!fd && fd.error().kind() == ErrorKind::closed)
    return Error(ErrorKind::closed, "nobody serves " + service +
                                        ": the mail system is not running, or master.cf has no "
                                        "such line");
  if (!fd) return fd.error();
  std::unique_ptr<Client> client(new Client(std::move(*fd), service));
  if (auto greeted = client->hello(protocol, version); !greeted) return greeted.error();
  return client;
}

Result<std::unique_ptr<Client>> Client::to_tlsmgr(const std::string& directory,
                                                  const std::string& service) {
  return to_service(directory, service, proto::kTlsmgrProtocol, proto::kTlsmgrVersion);
}

Result<std::unique_ptr<Client>> Client::to_tlsrpt(const std::string& directory,
                                                  const std::string& service) {
  return to_service(directory, service, proto::kTlsrptProtocol, proto::kTlsrptVersion);
}

} // namespace postrider::ctl
