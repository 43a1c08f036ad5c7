// SPDX-License-Identifier: MIT
#include "master.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.hpp"
#include "daemon/jail.hpp"
#include "daemon/logging.hpp"
#include "net/tcp_stream.hpp"
#include "sandbox/domain.hpp"
#include "sandbox/sandbox.hpp"

namespace postrider::master {

namespace {

constexpr std::uint64_t kDescriptorsWanted = 65536;
// Children of a master that was killed hold the sockets until they notice.
constexpr std::chrono::seconds kBindPatience{5};
// A master that was killed a moment ago may still hold the lock.
constexpr std::chrono::seconds kLockPatience{1};
// How long the program of an upgrade may take to say that it likes the configuration.
constexpr std::chrono::seconds kTrialLimit{10};

// What root's workers keep of the environment; an unprivileged instance passes everything on.
bool may_pass_as_root(std::string_view name) {
  constexpr std::array<std::string_view, 6> kNames = {
      "TZ", "LANG", "LC_CTYPE", "MAIL_DEBUG", "ASAN_OPTIONS", "UBSAN_OPTIONS"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

} // namespace

Master::Master(MasterOptions options, std::optional<Inheritance> inherited)
    : options_(std::move(options)), inherited_(std::move(inherited)), host_(Host::here()) {}

Master::~Master() {
  control_.reset();
  services_.clear();
  leaving_.clear();
}

Result<void> Master::prepare(std::vector<std::string>& problems) {
  std::vector<std::string> errors;
  std::vector<std::string> warnings;
  auto loaded = load_configuration(options_.config_directory, {}, host_, errors, warnings);
  for (const std::string& line : warnings)
    problems.push_back("warning: " + line);
  for (const std::string& line : errors)
    problems.push_back("error: " + line);
  if (!loaded) return loaded.error();
  settings_.emplace(std::move(loaded->settings));
  plan_.emplace(std::move(loaded->plan));

  if (host_.root) sharing_ = sandbox::sharing_warning(*settings_);
  if (!sharing_.empty()) problems.push_back("warning: " + sharing_);
  ::umask(077);
  POSTRIDER_TRY_VOID(prepare_directories(*settings_, host_.root));
  POSTRIDER_TRY(lock_, InstanceLock::take(pid_path(*settings_), kLockPatience));
  daemon::raise_descriptor_limit(host_.root ? kDescriptorsWanted : 0);
  POSTRIDER_TRY(log_file_, open_log_file(*settings_, options_.foreground, host_.root));
  POSTRIDER_TRY(sockets_, open_listeners(*plan_, kBindPatience));
  POSTRIDER_TRY(const net::Address control, net::Address::unix_path(proto::kMasterSocket));
  if (inherited_) control_socket_ = inherited_->take_listener(control);
  if (!control_socket_) {
    POSTRIDER_TRY(control_socket_, net::listen(control, {.unix_mode = 0600}));
  }
  return {};
}

const Listener* Master::find_listener(const ListenAt& at) const {
  for (const auto& service : services_)
    for (const Listener& listener : service->listeners())
      if (listener.at() == at) return &listener;
  return nullptr;
}

Service* Master::find_service(std::string_view key) {
  const auto found = std::find_if(services_.begin(), services_.end(),
                                  [&](const auto& s) { return s->key() == key; });
  return found == services_.end() ? nullptr : found->get();
}

Result<Master::Sockets> Master::open_listeners(const Plan& plan, Duration patience) {
  Sockets out;
  for (const ServicePlan& service : plan.services) {
    std::vector<Listener> fresh;
    const Service* running = find_service(service.key);
    bool has_any = false;
    for (const ListenAt& at : service.listen) {
      const auto is_this = [&](const Listener& l) { return l.at() == at; };
      if (running != nullptr &&
          std::any_of(running->listeners().begin(), running->listeners().end(), is_this)) {
        has_any = true;
        continue;
      }
      if (Fd left = inherited_ ? inherited_->take_listener(at.address) : Fd()) {
        has_any = true;
        fresh.push_back(Listener::of(at, std::move(left)));
        continue;
      }
      const Listener* elsewhere = find_listener(at);
      auto opened = elsewhere != nullptr ? elsewhere->duplicate() : Listener::open(at, patience);
      if (!opened) {
        const int error = opened.error().saved_errno();
        if (at.may_be_absent && (error == EAFNOSUPPORT || error == EADDRNOTAVAIL)) continue;
        return Error(ErrorKind::io, "master.cf:" + std::to_string(service.entry.line) +
                                        ": service " + service.entry.name + ": " +
                                        opened.error().text());
      }
      has_any = true;
      fresh.push_back(std::move(*opened));
    }
    if (!has_any)
      return Error(ErrorKind::io, "master.cf:" + std::to_string(service.entry.line) +
                                      ": this host has none of the addresses to listen on");
    out.push_back(std::move(fresh));
  }
  return out;
}

std::vector<std::string> Master::make_environment() const {
  std::vector<std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::string_view name = text.substr(0, text.find('='));
    if (name == "MAIL_CONFIG" || name == "PATH" || name == proto::kGenerationVariable ||
        name == proto::kListenersVariable || name == kHandoverVariable)
      continue;
    if (!host_.root || may_pass_as_root(name)) out.emplace_back(text);
  }
  out.push_back("MAIL_CONFIG=" + options_.config_directory);
  out.emplace_back("PATH=/usr/bin:/bin");
  return out;
}

void Master::apply_settings() {
  log::start(daemon::log_setup(*settings_, "master", log_file_.get(),
                               options_.foreground && !log_file_, options_.verbose));
  around_->log = log_file_ ? log_file_.get() : -1;
  around_->keep_stderr = options_.foreground;
  around_->throttle_time = settings_->time("service_throttle_time");
  around_->silence_limit =
      std::min<Duration>(settings_->time("daemon_timeout"), proto::kSilenceLimit) +
      2 * proto::kAlivePeriod;
  around_->environment = make_environment();
}

void Master::add_service(ServicePlan plan, std::vector<Listener> listeners) {
  services_.push_back(std::make_unique<Service>(*around_, std::move(plan), std::move(listeners),
                                                [this] { service_stopped(); }));
}

int Master::run(const std::function<void()>& ready) {
  if (inherited_) {
    lifeline_read_ = inherited_->take_lifeline_read();
    lifeline_write_ = inherited_->take_lifeline_write();
  } else {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) log::fatal("pipe: cannot make the lifeline");
    lifeline_read_ = Fd(ends[0]);
    lifeline_write_ = Fd(ends[1]);
  }
  loop_ = std::make_unique<ev::Loop>();
  started_ = loop_->now();
  around_.emplace(
      Surroundings{.loop = *loop_,
                   .lifeline = lifeline_read_.get(),
                   .environment = {},
                   .accused = [this](std::string_view by, pid_t pid) { accused(by, pid); }});
  if (inherited_) around_->generation = inherited_->generation() + 1;
  apply_settings();
  if (auto written = lock_->write_pid(); !written) log::fatal(written.error().text());
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGUSR1, SIG_IGN);
  ::signal(SIGUSR2, SIG_IGN);
  loop_->on_signal(SIGCHLD, [this] { reap(); });
  loop_->on_signal(SIGTERM, [this] { stop(); });
  loop_->on_signal(SIGINT, [this] { stop(); });
  loop_->on_signal(SIGHUP, [this] {
    if (auto done = reload(); !done) {
    } // said in the log already
  });
  control_ = std::make_unique<Control>(*loop_, std::move(control_socket_), *this);
  for (std::size_t i = 0; i < plan_->services.size(); ++i)
    add_service(std::move(plan_->services[i]), std::move(sockets_[i]));
  plan_.reset();
  sockets_.clear();
  log::info("daemon started -- version " POSTRIDER_VERSION ", configuration " +
            options_.config_directory);
  log::info("sandbox of the processes: " + sandbox::describe_kernel() +
            (host_.root ? "" : "; all with the uid of this one"));
  if (!sharing_.empty()) log::warning(sharing_);
  if (inherited_) take_over_children();
  for (auto& service : services_)
    service->start();
  ready();
  loop_->run();
  control_.reset();
  ::unlink(proto::kMasterSocket);
  lock_->clear_pid();
  log::info("stopped");
  log::flush();
  return 0;
}

void Master::take_over_children() {
  inherited_->close_listeners();
  for (Inheritance::Child& child : inherited_->take_children()) {
    if (Service* service = find_service(child.service))
      service->inherit(child.pid, child.generation, std::move(child.status));
    else
      ::kill(child.pid, SIGTERM); // no longer in master.cf
  }
  inherited_.reset();
  reap(); // those that ended before we listened to the signal
}

Handover Master::make_handover() {
  Handover out;
  out.generation = around_->generation;
  out.lifeline_read = lifeline_read_.get();
  out.lifeline_write = lifeline_write_.get();
  out.listeners.push_back(control_->listener());
  for (const auto* services : {&services_, &leaving_})
    for (const auto& service : *services) {
      for (const Listener& listener : service->listeners())
        out.listeners.push_back(listener.fd());
      for (const auto& child : service->children())
        out.children.push_back({.pid = static_cast<std::uint32_t>(child->pid()),
                                .generation = child->born_generation(),
                                .status = child->status_fd(),
                                .service = service->key()});
    }
  return out;
}

Error Master::upgrade() {
  if (stopping_) return Error(ErrorKind::refused, "the mail system is stopping");
  std::vector<std::string> errors;
  std::vector<std::string> warnings;
  auto loaded = load_configuration(options_.config_directory, {}, host_, errors, warnings);
  if (!loaded)
    return Error(ErrorKind::config, errors.empty() ? loaded.error().text() : errors.front());
  const std::string program = loaded->settings.text("daemon_directory") + "/master";
  std::vector<std::string> arguments = {program, "-c", options_.config_directory};
  if (options_.foreground) arguments.emplace_back("-d");
  if (options_.verbose) arguments.emplace_back("-v");
  std::vector<std::string> trial = arguments;
  trial.emplace_back("-n");
  if (auto tried = try_out(program, trial, kTrialLimit); !tried) {
    log::error("upgrade refused: " + tried.error().text());
    return tried.error();
  }
  log::info("upgrade: generation " + std::to_string(around_->generation) + " gives way to " +
            program);
  log::flush();
  const Error failed = become(program, arguments, make_handover());
  log::error("upgrade refused: " + failed.text());
  return failed;
}

// Programs that speak with strangers, or with servers of others, could be made to accuse.
void Master::accused(std::string_view by, pid_t pid) {
  constexpr std::array<std::string_view, 4> kBelieved = {"qmgr", "anvil", "scache", "saslmgr"};
  if (std::find(kBelieved.begin(), kBelieved.end(), by) == kBelieved.end()) return;
  for (const auto* services : {&services_, &leaving_})
    for (const auto& service : *services)
      if (service->kill_misbehaving(pid, by)) return;
}

void Master::reap() {
  int status = 0;
  pid_t pid = 0;
  while ((pid = ::waitpid(-1, &status, WNOHANG)) > 0) {
    const auto takes = [&](const auto& service) { return service->reap(pid, status); };
    // Anyone else's is an orphan that came to us as process 1.
    if (std::none_of(services_.begin(), services_.end(), takes))
      std::any_of(leaving_.begin(), leaving_.end(), takes);
  }
  std::erase_if(leaving_, [](const auto& service) { return service->stopped(); });
}

Result<void> Master::reload() {
  if (stopping_) return Error(ErrorKind::refused, "the mail system is stopping");
  const auto refuse = [](const Error& error) {
    log::error(error.text());
    log::error("reload refused: the running configuration is kept");
    return error;
  };
  std::vector<std::string> errors;
  std::vector<std::string> warnings;
  auto loaded = load_configuration(options_.config_directory, {}, host_, errors, warnings);
  for (const std::string& line : warnings)
    log::warning(line);
  if (!loaded) {
    std::string all;
    for (const std::string& line : errors) {
      log::error(line);
      (all += all.empty() ? "" : "\n") += line;
    }
    log::error("reload refused: the running configuration is kept");
    return Error(ErrorKind::config, all.empty() ? loaded.error().text() : all);
  }
  if (loaded->settings.text("queue_directory") != settings_->text("queue_directory"))
    return refuse(Error(ErrorKind::config, "a new queue_directory needs stop and start"));
  for (const sandbox::Domain domain : sandbox::kDomains) { // files and processes are theirs
    const std::string name(sandbox::owner_parameter(domain));
    if (loaded->settings.find(name)->text != settings_->find(name)->text)
      return refuse(Error(ErrorKind::config, "a new " + name + " needs stop and start"));
  }
  auto log_file = open_log_file(loaded->settings, options_.foreground, host_.root);
  if (!log_file) return refuse(log_file.error());
  auto fresh = open_listeners(loaded->plan, Duration::zero());
  if (!fresh) return refuse(fresh.error());

  // Nothing below can fail.
  ++around_->generation;
  settings_.emplace(std::move(loaded->settings));
  log_file_ = std::move(*log_file);
  apply_settings();
  for (std::size_t i = services_.size(); i-- > 0;) {
    const auto still =
        std::any_of(loaded->plan.services.begin(), loaded->plan.services.end(),
                    [&](const auto& plan) { return plan.key == services_[i]->key(); });
    if (still) continue;
    leaving_.push_back(std::move(services_[i]));
    services_.erase(services_.begin() + static_cast<std::ptrdiff_t>(i));
    leaving_.back()->stop();
  }
  std::erase_if(leaving_, [](const auto& service) { return service->stopped(); });
  for (std::size_t i = 0; i < loaded->plan.services.size(); ++i) {
    ServicePlan& plan = loaded->plan.services[i];
    if (Service* running = find_service(plan.key)) {
      running->reload(std::move(plan), std::move((*fresh)[i]));
    } else {
      add_service(std::move(plan), std::move((*fresh)[i]));
      services_.back()->start();
    }
  }
  log::info("reload: generation " + std::to_string(around_->generation));
  return {};
}

void Master::stop() {
  if (stopping_) return;
  stopping_ = true;
  log::info("stopping");
  // All at once: programs that others lean on wait, within the limit, until their clients are gone.
  for (auto& service : services_)
    service->stop();
  service_stopped();
}

void Master::service_stopped() {
  if (!stopping_) return;
  const auto down = [](const auto& service) { return service->stopped(); };
  if (std::all_of(services_.begin(), services_.end(), down) &&
      std::all_of(leaving_.begin(), leaving_.end(), down))
    loop_->stop();
}

bool Master::is_worker(pid_t pid) const {
  for (const auto* services : {&services_, &leaving_})
    for (const auto& service : *services)
      if (service->has_child(pid)) return true;
  return false;
}

proto::MasterStatus Master::status() {
  proto::MasterStatus out;
  out.pid = static_cast<std::uint32_t>(::getpid());
  out.version = POSTRIDER_VERSION;
  out.generation = around_->generation;
  out.uptime_seconds = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::seconds>(loop_->now() - started_).count());
  out.stopping = stopping_;
  out.sharing = sharing_;
  for (const auto& service : services_)
    out.services.push_back(service->report());
  for (const auto& service : leaving_)
    out.services.push_back(service->report());
  return out;
}

} // namespace postrider::master
