// SPDX-License-Identifier: MIT
#include "service.hpp"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.hpp"
#include "base/log.hpp"
#include "daemon/jail.hpp"
#include "spawn.hpp"

namespace postrider::master {

namespace {

std::string cause_of(int status) {
  if (WIFSIGNALED(status)) {
    const int number = WTERMSIG(status);
    const char* name = ::sigabbrev_np(number);
    return "killed by signal " + std::to_string(number) +
           (name != nullptr ? " (SIG" + std::string(name) + ")" : "");
  }
  if (WEXITSTATUS(status) == 127) return "the program cannot be executed";
  return "exit status " + std::to_string(WEXITSTATUS(status));
}

std::string seconds_text(Duration pause) {
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(pause).count();
  return std::to_string(millis / 1000) + "." + std::to_string(millis / 100 % 10) + " s";
}

} // namespace

Service::Service(Surroundings& around, ServicePlan plan, std::vector<Listener> listeners,
                 std::function<void()> stopped)
    : around_(around), plan_(std::move(plan)), listeners_(std::move(listeners)),
      on_stopped_(std::move(stopped)), deaths_(around.throttle_time),
      backoff_(
          around.loop, [](void* self) { static_cast<Service*>(self)->apply(Event::backoff_over); },
          this),
      wakeup_(around.loop, [this] {
        if (plan_.entry.wakeup_only_if_used && !used_) return;
        if (has_room() && count(Child::State::free) == 0) apply(Event::demand);
      }) {
  wakeup_.set(plan_.entry.wakeup);
}

void Service::apply(Event event) {
  const Next next = step(state_, event);
  state_ = next.state;
  perform(next.act);
}

void Service::perform(Act act) {
  switch (act) {
  case Act::none: return;
  case Act::watch: return watch();
  case Act::fork: return fork_child();
  case Act::unwatch: return unwatch();
  case Act::arm_backoff:
    unwatch();
    backoff_until_ = around_.loop.now() + next_pause_;
    return backoff_.arm(ev::Deadline::at(backoff_until_));
  case Act::terminate:
    unwatch();
    backoff_.disarm();
    wakeup_.set(std::chrono::seconds(0));
    for (Listener& listener : listeners_)
      listener.remove_path();
    listeners_.clear();
    for (auto& child : children_)
      child->stop();
    if (children_.empty()) apply(Event::all_gone);
    return;
  case Act::finish: return on_stopped_();
  }
  POSTRIDER_UNREACHABLE();
}

std::size_t Service::count(Child::State state) const {
  return static_cast<std::size_t>(std::count_if(
      children_.begin(), children_.end(), [&](const auto& c) { return c->state() == state; }));
}

bool Service::has_room() const {
  if (plan_.exclusive) return children_.empty(); // S2
  return children_.size() - count(Child::State::leaving) < plan_.limit;
}

void Service::watch() {
  unwatch();
  if (count(Child::State::free) != 0) return apply(Event::has_free);
  if (!has_room()) return;
  if (plan_.resident) return apply(Event::demand);
  for (const Listener& listener : listeners_)
    watches_.push_back(std::make_unique<ev::FdWatch>(
        around_.loop, listener.fd(),
        [](void* self, bool readable, bool) {
          auto* service = static_cast<Service*>(self);
          service->used_ = true;
          if (readable) service->apply(Event::demand);
        },
        this));
}

void Service::fork_child() {
  unwatch();
  int ends[2];
  Result<pid_t> pid = Error(ErrorKind::io, "");
  Fd read_end;
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    pid = Error::from_errno("pipe", errno);
  } else {
    read_end = Fd(ends[0]);
    const Fd write_end(ends[1]);
    SpawnRequest request{.path = plan_.path,
                         .arguments = plan_.arguments,
                         .environment = around_.environment,
                         .status = write_end.get(),
                         .lifeline = around_.lifeline,
                         .log = around_.log,
                         .keep_stderr = around_.keep_stderr,
                         .listeners = {}};
    request.environment.push_back(std::string(proto::kGenerationVariable) + "=" +
                                  std::to_string(around_.generation));
    for (const Listener& listener : listeners_)
      request.listeners.push_back(listener.fd());
    auto ready = set_nonblocking(read_end.get());
    pid = ready ? spawn(request) : Result<pid_t>(ready.error());
  }
  if (!pid) {
    log::warning(title() + ": " + pid.error().text());
    died(pid.error().text(), Duration(-1), false);
    return settle();
  }
  children_.push_back(std::make_unique<Child>(
      around_.loop, *pid, around_.generation, std::move(read_end), around_.silence_limit,
      [this](Child& child, Child::News what) { news(child, what); }));
}

void Service::inherit(pid_t pid, std::uint32_t generation, Fd status) {
  children_.push_back(std::make_unique<Child>(
      around_.loop, pid, generation, std::move(status), around_.silence_limit,
      [this](Child& child, Child::News what) { news(child, what); }));
  children_.back()->dismiss();
}

void Service::news(Child& child, Child::News what) {
  if (what == Child::News::hangs) {
    log::error(title() + ": process " + std::to_string(child.pid()) +
               " gives no sign of life: killed");
    child.kill();
    return; // its death follows
  }
  if (what == Child::News::alive) {
    look_at_listeners();
    return;
  }
  if (what == Child::News::accuses) {
    const std::string& command = plan_.entry.command;
    return around_.accused(command.substr(0, command.find(' ')), child.accused());
  }
  settle();
}

// Any of its processes may have done it, and none of them is of use without the socket: all go, and
// the next ones are held back as after any misbehaviour.
bool Service::look_at_listeners(pid_t dead) {
  if (state_ == State::stopping || state_ == State::stopped) return false;
  std::string harm;
  for (Listener& listener : listeners_) {
    const std::string_view done = listener.harm();
    if (done.empty()) continue;
    unwatch();
    (harm += harm.empty() ? "" : ", ") += listener.name() + " was " + std::string(done);
    if (auto opened = listener.open_anew(); !opened) // tried again at the next death
      harm += " (" + opened.error().text() + ")";
  }
  if (harm.empty()) return false;
  std::string holders = dead != 0 ? ", by process " + std::to_string(dead) : "";
  for (const auto& child : children_) {
    (holders += holders.empty() ? ", by process " : " or process ") += std::to_string(child->pid());
    child->give_up();
  }
  log::error(title() + " misbehaves: " + harm + holders + "; it is opened anew");
  died("spoiled a listening socket", Duration(-1), false);
  settle();
  return true;
}

bool Service::has_child(pid_t pid) const {
  return std::any_of(children_.begin(), children_.end(),
                     [&](const auto& c) { return c->pid() == pid; });
}

bool Service::kill_misbehaving(pid_t pid, std::string_view accuser) {
  const auto found = std::find_if(children_.begin(), children_.end(),
                                  [&](const auto& c) { return c->pid() == pid; });
  if (found == children_.end()) return false;
  if ((*found)->disgraced()) return true;
  log::error(title() + ": process " + std::to_string(pid) + " misbehaves, says " +
             std::string(accuser) + ": killed");
  (*found)->disgrace();
  (*found)->kill(); // its death follows
  return true;
}

void Service::settle() {
  if (count(Child::State::free) != 0)
    apply(Event::has_free);
  else if (count(Child::State::starting) == 0)
    apply(Event::none_free);
}

bool Service::reap(pid_t pid, int status) {
  const auto find = [&] {
    return std::find_if(children_.begin(), children_.end(),
                        [&](const auto& c) { return c->pid() == pid; });
  };
  if (find() == children_.end()) return false;
  (*find())->drain_status(); // what it said last counts; may start a sibling
  const auto found = find();
  const std::unique_ptr<Child> child = std::move(*found);
  children_.erase(found);
  const bool spoiled = look_at_listeners(pid);
  const bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  const bool expected =
      child->state() == Child::State::leaving || child->asked_to_go() || state_ == State::stopping;
  // Before it could handle the signal: stopped all the same.
  const bool obeyed =
      state_ == State::stopping && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM;
  if ((!well && !obeyed) || !expected) {
    const std::string cause = well ? "ended without being asked" : cause_of(status);
    log::warning(title() + ": process " + plan_.path + " pid " + std::to_string(pid) + ": " +
                 cause);
    // One that was killed because it would not drain is no reason to hold its successor back; one
    // that broke the rules is, however long it had served before.
    if (child->disgraced())
      died("misbehaved", Duration(-1), false);
    else if (!expected && !spoiled)
      died(cause, child->ready_for(), child->clients() > 0);
  }
  settle();
  if (children_.empty()) apply(Event::all_gone);
  return true;
}

void Service::died(std::string cause, Duration ready_for, bool had_clients) {
  next_pause_ = deaths_.record(
      {.when = around_.loop.now(), .date = around_.loop.clock().wall(), .cause = std::move(cause)},
      ready_for, had_clients);
  constexpr unsigned kAlarmAt = 5;
  if (deaths_.streak() >= kAlarmAt)
    log::error(title() + " is throttled: its processes die at once (" +
               std::to_string(deaths_.streak()) + " in a row); next try in " +
               seconds_text(next_pause_));
  // A child that serves, or is on its way, is better than a successor: no need to wait then.
  if (next_pause_ != Duration::zero() && count(Child::State::free) == 0 &&
      count(Child::State::starting) == 0)
    apply(Event::failed);
}

// Puts the sockets into the order of `wanted`. False when nothing changed.
bool Service::adopt(const std::vector<ListenAt>& wanted, std::vector<Listener> fresh) {
  std::vector<Listener> kept;
  bool changed = wanted.size() != listeners_.size() || !fresh.empty();
  for (const ListenAt& at : wanted) {
    for (std::vector<Listener>* from : {&listeners_, &fresh}) {
      const auto found =
          std::find_if(from->begin(), from->end(), [&](const Listener& l) { return l.at() == at; });
      if (found == from->end()) continue;
      changed = changed || found != from->begin();
      kept.push_back(std::move(*found));
      from->erase(found);
      break;
    }
  }
  for (Listener& dropped : listeners_)
    dropped.remove_path();
  listeners_ = std::move(kept);
  return changed;
}

void Service::reload(ServicePlan plan, std::vector<Listener> fresh) {
  unwatch();
  const bool same_command = plan.path == plan_.path && plan.arguments == plan_.arguments;
  const bool sockets_changed = adopt(plan.listen, std::move(fresh));
  plan_ = std::move(plan);
  deaths_.set_longest(around_.throttle_time);
  wakeup_.set(plan_.entry.wakeup);
  for (auto& child : children_) {
    // A process cannot take on another command line or other sockets.
    if (plan_.resident && (!same_command || sockets_changed))
      child->stop();
    else
      child->retire(around_.generation);
  }
  if (state_ == State::throttled) { // perhaps the new configuration is the cure
    backoff_.disarm();
    apply(Event::backoff_over);
  } else if (state_ == State::idle) {
    watch();
  }
}

proto::MasterService Service::report() const {
  proto::MasterService out;
  out.name = plan_.entry.name;
  out.type = config::to_string(plan_.entry.type);
  out.command = plan_.entry.command;
  out.state = to_string(state_);
  out.limit = plan_.limit;
  out.deaths = deaths_.total();
  for (const Listener& listener : listeners_)
    out.listen.push_back(listener.name());
  const SteadyTime now = around_.loop.now();
  for (const auto& child : children_)
    out.children.push_back(
        {.pid = static_cast<std::uint32_t>(child->pid()),
         .state = std::string(to_string(child->state())),
         .generation = child->generation(),
         .uptime_seconds = static_cast<std::uint64_t>(
             std::chrono::duration_cast<std::chrono::seconds>(now - child->started()).count()),
         .clients = child->clients(),
         .jail = child->jail() == 0 ? "" : daemon::describe_jail(child->jail())});
  if (!deaths_.recent().empty()) {
    out.last_death = deaths_.recent().back().cause;
    out.last_death_micros = to_unix_micros(deaths_.recent().back().date);
  }
  if (state_ == State::throttled && backoff_until_ > now)
    out.backoff_millis = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(backoff_until_ - now).count());
  return out;
}

} // namespace postrider::master
