// SPDX-License-Identifier: MIT
#include "daemon/run.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <new>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.hpp"
#include "base/out_of_memory.hpp"
#include "daemon/acceptor.hpp"
#include "daemon/confine.hpp"
#include "daemon/inherit.hpp"
#include "daemon/jail.hpp"
#include "daemon/logging.hpp"
#include "daemon/options.hpp"
#include "daemon/retire.hpp"
#include "daemon/status.hpp"
#include "daemon/stdio.hpp"
#include "daemon/watchdog.hpp"
#include "net/address.hpp"

namespace postrider::daemon {

using proto::ChildState;

namespace {

// How long a process may go on serving clients when a successor is there already.
constexpr std::chrono::minutes kRetireLimit{15};
constexpr std::chrono::seconds kOrphanLimit{3};

Duration limit_of(Drain reason) {
  switch (reason) {
  case Drain::retire: return kRetireLimit;
  case Drain::stop: return proto::kStopLimit;
  case Drain::orphaned: return kOrphanLimit;
  }
  POSTRIDER_UNREACHABLE();
}

void print(const std::vector<std::string>& lines, std::string_view severity) {
  for (const std::string& line : lines)
    std::fprintf(stderr, "%.*s: %s\n", static_cast<int>(severity.size()), severity.data(),
                 line.c_str());
}

std::string describe_listener(int fd) {
  const net::Address address = net::Address::local_of(fd);
  if (!address.is_ip()) return address.text();
  const std::string port = ":" + std::to_string(address.port());
  return address.family() == AF_INET6 ? "[" + address.text() + "]" + port : address.text() + port;
}

} // namespace

// One per process. Invariant R1: once draining, listeners are closed and drain_reason only becomes
// more urgent. R2: clients() counts the live Client objects.
class Runner {
 public:
  Runner(const Program& program, Options options)
      : program_(program), options_(std::move(options)) {
    if (!options_.stdio) return;
    ucspi_ = ucspi_environment();
    mute_ = detach_standard_error();
  }

  int run();

 private:
  friend class Context;
  friend class Client;

  Result<void> configure();
  int check();
  Result<void> prepare();
  Result<void> enter();
  void serve();
  Result<void> prepare_stdio();
  void serve_stdio();
  void take(Fd fd, std::size_t listener);
  void client_left();
  void begin_drain(Drain reason);
  void new_configuration();
  void reopen_log();
  void lifeline_readable();
  void beat();
  void check_idle();
  void arm_idle();
  void end_of_turn();
  bool full() const {
    return program_.needs.clients != 0 && retirement_->clients() >= program_.needs.clients;
  }
  void update_accepting();

  const Program& program_;
  Options options_;
  std::unique_ptr<config::Settings> settings_;
  Inherited inherited_;
  std::vector<std::string> listener_names_;
  Context context_{*this};

  std::unique_ptr<sandbox::Sandbox> sandbox_;
  std::unique_ptr<ev::Loop> loop_;
  std::unique_ptr<Watchdog> watchdog_;
  std::unique_ptr<StatusReporter> status_;
  std::unique_ptr<Retirement> retirement_;
  std::unique_ptr<ev::Offload> offload_;
  std::unique_ptr<Acceptor> acceptor_;
  std::unique_ptr<ev::FdWatch> lifeline_watch_;
  std::unique_ptr<ev::Timer> beat_timer_;
  std::unique_ptr<ev::Timer> idle_timer_;
  std::unique_ptr<ev::Timer> drain_timer_;
  std::unique_ptr<Stdio> stdio_;
  Ucspi ucspi_;       // for -S
  bool mute_ = false; // standard error was the client's
  std::unique_ptr<Service> service_;
  std::optional<Drain> drain_reason_;
  bool accepting_paused_ = false;
  bool retire_asked_ = false;
  bool follows_files_ = false; // lets a successor begin when a file that it reaches is replaced
};

Result<void> Runner::configure() {
  config::Findings findings;
  auto loaded = config::Settings::load({.config_directory = options_.config_directory,
                                        .overrides = options_.overrides,
                                        .process_name = std::string(program_.name),
                                        .service_name = options_.service_name,
                                        .hostname = ucspi_.local_host},
                                       findings);
  if (options_.check) {
    print(findings.errors, "error");
    print(findings.warnings, "warning");
  }
  if (!loaded) return loaded.error();
  if (!findings.errors.empty()) return Error(ErrorKind::config, findings.errors.front());
  settings_ = std::make_unique<config::Settings>(std::move(*loaded));
  return {};
}

Result<void> Runner::prepare() {
  POSTRIDER_TRY(inherited_, take_inherited());
  if (options_.stdio) POSTRIDER_TRY_VOID(prepare_stdio());
  log::start(log_setup(*settings_, program_.name, inherited_.log.get(),
                       !inherited_.from_master && !mute_, options_.verbose));
  if (!inherited_.from_master && !options_.stdio)
    return Error(ErrorKind::config,
                 "this program is started by master; by hand use --stdio or --check");
  for (const Fd& listener : inherited_.listeners)
    listener_names_.push_back(describe_listener(listener.get()));
  ::signal(SIGPIPE, SIG_IGN);
  ::umask(077);
  const std::string& queue = settings_->text("queue_directory");
  if (::chdir(queue.c_str()) != 0) return Error::from_errno("chdir " + queue, errno);
  return {};
}

// With standard error the client's, the log is where main.cf says. Root's rights are for nobody who
// speaks with strangers: they go, but for an instance that belongs to root alone.
Result<void> Runner::prepare_stdio() {
  const std::string& path = settings_->text("maillog_file");
  if (mute_ && !path.empty() && !path.starts_with("/dev/"))
    inherited_.log = Fd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW));
  const std::string& queue = settings_->text("queue_directory");
  struct stat facts {};
  if (::stat(queue.c_str(), &facts) != 0) return Error::from_errno(queue, errno);
  if (facts.st_uid != 0) options_.change_user = true;
  return {};
}

Result<void> Runner::enter() {
  if (program_.open) POSTRIDER_TRY_VOID(program_.open(context_));
  const std::string_view name = program_.sandbox.empty() ? program_.name : program_.sandbox;
  POSTRIDER_TRY(Confined confined, confine(name, *settings_, options_, program_.needs));
  const std::uint16_t reached = confined.reached;
  sandbox_ = std::make_unique<sandbox::Sandbox>(std::move(confined.sandbox));
  log::debug("jail: " + describe_jail(reached));
  // In a chroot their names say nothing.
  follows_files_ = program_.needs.lifetime == Lifetime::worker && !options_.stdio &&
                   (reached & proto::kJailChroot) == 0;
  loop_ = std::make_unique<ev::Loop>();
  watchdog_ = std::make_unique<Watchdog>(settings_->time("daemon_timeout"));
  status_ = std::make_unique<StatusReporter>(std::move(inherited_.status), inherited_.generation);
  status_->set_jail(reached);
  retirement_ = std::make_unique<Retirement>(
      Retirement::Rules{.may_retire =
                            program_.needs.lifetime == Lifetime::worker && !options_.stdio,
                        .max_idle = settings_->time("max_idle"),
                        .max_use = program_.needs.clients != 0
                                       ? static_cast<std::uint64_t>(settings_->number("max_use"))
                                       : 0},
      loop_->now());
  return {};
}

int Runner::check() {
  log::start(log_setup(*settings_, program_.name, -1, true, options_.verbose));
  if (!program_.check) return 0;
  const Result<void> good = program_.check(*settings_);
  if (!good) print({good.error().text()}, "error");
  return good ? 0 : 1;
}

int Runner::run() {
  if (auto configured = configure(); !configured) {
    if (options_.check) return 1;
    log::fatal(configured.error().text());
  }
  if (options_.check) return check();
  if (auto prepared = prepare(); !prepared) log::fatal(prepared.error().text());
  if (auto entered = enter(); !entered) log::fatal(entered.error().text());
  auto service = program_.start(context_);
  if (!service) log::fatal(service.error().text());
  service_ = std::move(*service);
  serve();
  service_->stop();
  service_.reset();
  offload_.reset();
  log::flush();
  return 0;
}

void Runner::serve() {
  beat_timer_ = std::make_unique<ev::Timer>(
      *loop_, [](void* self) { static_cast<Runner*>(self)->beat(); }, this);
  idle_timer_ = std::make_unique<ev::Timer>(
      *loop_, [](void* self) { static_cast<Runner*>(self)->check_idle(); }, this);
  drain_timer_ = std::make_unique<ev::Timer>(
      *loop_,
      [](void* self) {
        auto* runner = static_cast<Runner*>(self);
        log::warning("draining took too long; " + std::to_string(runner->retirement_->clients()) +
                     " clients cut off");
        runner->loop_->stop();
      },
      this);
  const std::size_t hook = loop_->add_turn_hook([this] { end_of_turn(); });
  if (inherited_.from_master) {
    ::signal(SIGHUP, SIG_IGN);
    ::signal(SIGINT, SIG_IGN);
    loop_->on_signal(SIGUSR1, [this] { new_configuration(); });
    // The child of a master that gave way to another (master/handover.hpp): a successor is there.
    loop_->on_signal(SIGUSR2, [this] { begin_drain(Drain::retire); });
    lifeline_watch_ = std::make_unique<ev::FdWatch>(
        *loop_, inherited_.lifeline.get(),
        [](void* self, bool, bool) { static_cast<Runner*>(self)->lifeline_readable(); }, this);
    acceptor_ = std::make_unique<Acceptor>(
        *loop_, std::move(inherited_.listeners),
        [this](Fd fd, std::size_t listener) { take(std::move(fd), listener); });
  }
  loop_->on_signal(SIGTERM, [this] { begin_drain(Drain::stop); });
  beat();
  status_->say(ChildState::ready);
  if (inherited_.from_master) lifeline_readable();
  update_accepting();
  arm_idle();
  if (options_.stdio) serve_stdio();
  loop_->run();
  loop_->remove_turn_hook(hook);
  stdio_.reset();
  acceptor_.reset();
  lifeline_watch_.reset();
}

void Runner::serve_stdio() {
  stdio_ = std::make_unique<Stdio>(*loop_);
  auto client = stdio_->open();
  if (!client) log::fatal("-S: " + client.error().text());
  take(std::move(*client), 0);
}

void Runner::take(Fd fd, std::size_t listener) {
  service_->accept(Client(context_, std::move(fd), listener));
  update_accepting();
}

void Runner::client_left() {
  retirement_->client_left(loop_->now());
  status_->set_clients(static_cast<std::uint32_t>(retirement_->clients()));
  if (drain_reason_) return; // end_of_turn looks
  if (program_.needs.clients != 0) update_accepting();
  arm_idle();
}

void Runner::update_accepting() {
  if (!acceptor_ || drain_reason_) return;
  const bool is_full = full();
  if (program_.needs.clients != 0) status_->say(is_full ? ChildState::busy : ChildState::free);
  if (is_full || accepting_paused_)
    acceptor_->pause();
  else
    acceptor_->resume();
}

void Runner::begin_drain(Drain reason) {
  if (drain_reason_ && *drain_reason_ >= reason) return;
  const bool first = !drain_reason_;
  drain_reason_ = reason;
  if (first) {
    if (acceptor_) acceptor_->close();
    idle_timer_->disarm();
    status_->say(ChildState::leaving);
  }
  drain_timer_->arm(loop_->after(limit_of(reason)));
  service_->drain(reason);
}

void Runner::new_configuration() {
  if (drain_reason_) return;
  // Master has validated it. When this process can no longer read it (user, chroot), or may not
  // reach what it names (sandbox), a fresh one will.
  auto old = std::move(settings_);
  auto loaded = configure();
  if (loaded && sandbox_->covers(*settings_) && service_->reload(*settings_)) {
    reopen_log();
    log::start(log_setup(*settings_, program_.name, inherited_.log.get(), false, options_.verbose));
    status_->say(ChildState::reloaded);
    return;
  }
  settings_ = std::move(old);
  begin_drain(Drain::retire);
}

// The file may have been renamed by a rotation. Where this process may not open it, the old one
// goes on.
void Runner::reopen_log() {
  const std::string& path = settings_->text("maillog_file");
  if (path.empty() || path.starts_with("/dev/")) return;
  const Fd fresh(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW));
  if (fresh && ::dup3(fresh.get(), inherited_.log.get(), O_CLOEXEC) >= 0)
    ::dup2(fresh.get(), STDERR_FILENO);
}

void Runner::lifeline_readable() {
  char byte;
  const ssize_t n = ::read(inherited_.lifeline.get(), &byte, 1);
  if (n == 0) {
    lifeline_watch_.reset();
    if (!drain_reason_) log::warning("master is gone: ending");
    begin_drain(Drain::orphaned);
  }
}

void Runner::beat() {
  watchdog_->pat();
  status_->beat();
  tell_refused_calls();
  // What it may no longer read, a successor can.
  if (follows_files_ && !drain_reason_ && sandbox_->is_stale()) begin_drain(Drain::retire);
  beat_timer_->arm(loop_->after(proto::kAlivePeriod));
}

void Runner::arm_idle() {
  const auto limit = retirement_->idle_limit();
  idle_timer_->arm(limit ? ev::Deadline::at(*limit) : ev::Deadline::never());
}

void Runner::check_idle() {
  if (retirement_->idle_too_long(loop_->now(), service_->pending() != 0)) {
    log::debug("idle: retiring");
    begin_drain(Drain::retire);
  } else {
    arm_idle();
  }
}

void Runner::end_of_turn() {
  tell_refused_calls();
  if (!drain_reason_ && (retire_asked_ || (retirement_->used_up() && retirement_->clients() == 0)))
    begin_drain(Drain::retire);
  const bool over = drain_reason_ || (stdio_ && stdio_->is_done());
  if (over && retirement_->clients() == 0 && service_->pending() == 0) loop_->stop();
}

// --- what programs see -------------------------------------------------------------------------

Client::Client(Context& context, Fd socket, std::size_t number)
    : fd(std::move(socket)), listener(number), context_(&context) {
  context.runner_.retirement_->client_came();
  context.runner_.status_->set_clients(
      static_cast<std::uint32_t>(context.runner_.retirement_->clients()));
}

Client& Client::operator=(Client&& other) noexcept {
  if (this != &other) {
    release();
    fd = std::move(other.fd);
    listener = other.listener;
    context_ = std::exchange(other.context_, nullptr);
  }
  return *this;
}

void Client::release() {
  fd.reset();
  if (context_ != nullptr) std::exchange(context_, nullptr)->runner_.client_left();
}

void Client::accuse(pid_t pid) const {
  if (context_ != nullptr) context_->accuse(pid);
}

ev::Loop& Context::loop() {
  POSTRIDER_CHECK(runner_.loop_ != nullptr, "the loop exists from Program::start on");
  return *runner_.loop_;
}
ev::Offload& Context::offload() {
  if (!runner_.offload_)
    runner_.offload_ = std::make_unique<ev::Offload>(
        loop(), ev::Offload::Limits{.threads = runner_.program_.needs.offload_threads});
  return *runner_.offload_;
}
Clock& Context::clock() { return system_clock(); }
const config::Settings& Context::settings() const { return *runner_.settings_; }
std::string Context::program_name() const { return std::string(runner_.program_.name); }
const std::string& Context::service_name() const { return runner_.options_.service_name; }
const std::vector<std::string>& Context::words() const { return runner_.options_.words; }
const std::string& Context::service_type() const { return runner_.options_.service_type; }
const std::vector<std::string>& Context::listeners() const { return runner_.listener_names_; }
const Ucspi* Context::stdio() const { return runner_.options_.stdio ? &runner_.ucspi_ : nullptr; }
bool Context::draining() const { return runner_.drain_reason_.has_value(); }
std::size_t Context::clients() const { return runner_.retirement_->clients(); }
void Context::set_busy(bool busy) {
  if (!runner_.drain_reason_) runner_.status_->say(busy ? ChildState::busy : ChildState::free);
}
void Context::pause_accepting(bool paused) {
  runner_.accepting_paused_ = paused;
  runner_.update_accepting();
}
void Context::accuse(pid_t pid) {
  if (pid > 0 && runner_.status_) runner_.status_->accuse(pid);
}
void Context::retire() { runner_.retire_asked_ = true; }

int run(int argc, char** argv, const Program& program) {
  std::set_new_handler(out_of_memory);
  auto options = parse_options(argc, argv);
  if (!options) {
    std::fprintf(stderr, "%s: %s\n%s", std::string(program.name).c_str(),
                 options.error().text().c_str(), usage(program.name).c_str());
    return 64; // EX_USAGE of sysexits.h
  }
  if (!program.takes_words && !options->words.empty()) {
    std::fprintf(stderr, "%s: unexpected argument: %s\n", std::string(program.name).c_str(),
                 options->words[0].c_str());
    return 64;
  }
  if (options->help) {
    std::fputs(usage(program.name).c_str(), stdout);
    return 0;
  }
  if (options->service_name.empty()) options->service_name = program.name;
  Runner runner(program, std::move(*options));
  return runner.run();
}

} // namespace postrider::daemon
