// SPDX-License-Identifier: MIT
#include "worker.hpp"

#include <cerrno>
#include <cstdio>
#include <map>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fields.hpp"
#include "sandbox/filter.hpp"

namespace postrider::saslmgr {
namespace {

constexpr std::size_t kHeader = 8;

// Frames of ipc::Channel, blocking. Whatever goes wrong ends the process: it has nothing to lose.
class Wire {
 public:
  explicit Wire(Fd socket) : socket_(std::move(socket)) {}
  ~Wire() { wipe(body_); }

  std::uint16_t read() {
    char header[kHeader];
    read_all(header, kHeader);
    const std::size_t length = get_le<std::uint32_t>(ByteView(header, kHeader));
    if (length > proto::kLongestLoginFrame) ::_exit(1);
    wipe(body_);
    body_.resize(length);
    read_all(body_.data(), length);
    return get_le<std::uint16_t>(ByteView(header, kHeader).substr(4));
  }
  template <typename Message>
  Message as() const {
    Result<Message> message = decode<Message>(body_);
    if (!message) ::_exit(1);
    return std::move(*message);
  }
  template <typename Message>
  void write(const Message& message) {
    std::string frame;
    const std::string body = encode(message);
    put_le<std::uint32_t>(frame, static_cast<std::uint32_t>(body.size()));
    put_le<std::uint16_t>(frame, Message::kType);
    frame.append({1, 0}); // version; descriptors
    frame += body;
    write_all(frame);
  }

 private:
  void read_all(char* to, std::size_t left) {
    while (left > 0) {
      const ssize_t got = ::read(socket_.get(), to, left);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) ::_exit(0); // saslmgr has gone
      to += got;
      left -= static_cast<std::size_t>(got);
    }
  }
  void write_all(ByteView bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent <= 0) ::_exit(0);
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }

  Fd socket_;
  std::string body_;
};

sasl::ServerFacts facts_of(proto::LoginFacts in) {
  sasl::ServerFacts out;
  out.service = std::move(in.service);
  out.hostname = std::move(in.hostname);
  out.realm = std::move(in.realm);
  out.client = std::move(in.client);
  out.server = std::move(in.server);
  out.security = std::move(in.security);
  out.external = std::move(in.external);
  return out;
}

class Worker {
 public:
  Worker(Fd socket, const WorkerSetup& setup)
      : wire_(std::move(socket)),
        ready_(sasl::Exchange::initialize(setup.application, setup.config_path)) {}

  [[noreturn]] void run() {
    while (true) {
      const std::uint16_t type = wire_.read();
      if (type == DoList::kType) list(wire_.as<DoList>());
      if (type == DoBegin::kType) begin(wire_.as<DoBegin>());
      if (type == DoStep::kType) step(wire_.as<DoStep>());
      if (type == Forget::kType) logins_.erase(wire_.as<Forget>().login);
      // The log is saslmgr's; standard error leads there as well, where it is a file.
      for (const std::string& name : sandbox::take_refused())
        std::fprintf(stderr, "saslmgr: warning: sandbox: the system call %s was refused\n",
                     name.c_str());
    }
  }

 private:
  void list(DoList request) {
    Names answer;
    Result<std::vector<std::string>> names = std::vector<std::string>();
    if (ready_)
      names = sasl::Exchange::mechanisms(facts_of(std::move(request.facts)));
    else
      names = ready_.error();
    if (names)
      answer.names = std::move(*names);
    else
      answer.problem = names.error().text();
    wire_.write(answer);
  }

  void begin(DoBegin request) {
    if (!ready_) {
      Answer answer;
      answer.reason = "generic failure";
      answer.trouble = ready_.error().text();
      wire_.write(answer);
      return;
    }
    const std::uint64_t login = request.login;
    auto exchange = std::make_unique<sasl::Exchange>(
        facts_of(std::move(request.facts)),
        [this, login](const std::string& account) { return may_try(login, account); });
    std::optional<std::string_view> initial;
    if (request.has_initial) initial = request.initial;
    sasl::ServerStep step = exchange->start(request.mechanism, initial);
    wipe(request.initial);
    if (step.stage == sasl::Stage::challenge) logins_.emplace(login, std::move(exchange));
    answer(std::move(step));
  }

  void step(DoStep request) {
    const auto found = logins_.find(request.login);
    if (found == logins_.end()) ::_exit(1);
    sasl::ServerStep step = found->second->step(request.response);
    wipe(request.response);
    if (step.stage != sasl::Stage::challenge) logins_.erase(found);
    answer(std::move(step));
  }

  void answer(sasl::ServerStep step) {
    Answer out;
    out.stage = step.stage;
    out.challenge = step.challenge.view();
    out.username = std::move(step.username);
    out.account = std::move(step.account);
    out.reason = std::move(step.reason);
    out.trouble = std::move(step.trouble);
    out.guess = step.guess;
    wire_.write(out);
  }

  bool may_try(std::uint64_t login, const std::string& account) {
    AskAccount question;
    question.account = account;
    wire_.write(question);
    while (true) {
      const std::uint16_t type = wire_.read();
      if (type == MayTry::kType) return wire_.as<MayTry>().yes;
      if (type != Forget::kType) ::_exit(1);
      const std::uint64_t other = wire_.as<Forget>().login;
      if (other != login) logins_.erase(other);
    }
  }

  Wire wire_;
  const Result<void> ready_;
  std::map<std::uint64_t, std::unique_ptr<sasl::Exchange>> logins_;
};

} // namespace

void work(Fd socket, const WorkerSetup& setup) {
  Worker worker(std::move(socket), setup);
  worker.run();
}

} // namespace postrider::saslmgr
