// SPDX-License-Identifier: MIT
#include "service_state.hpp"

#include "base/check.hpp"

namespace postrider::master {

namespace {

using enum State;

constexpr Next from_stopped(Event event) {
  switch (event) {
  case Event::start: return {idle, Act::watch};
  case Event::demand:
  case Event::has_free:
  case Event::none_free:
  case Event::failed:
  case Event::backoff_over: return {stopped, Act::none};
  case Event::stop:
  case Event::all_gone: return {stopped, Act::finish};
  }
  POSTRIDER_UNREACHABLE();
}

constexpr Next from_idle(Event event) {
  switch (event) {
  case Event::demand: return {starting, Act::fork};
  case Event::has_free: return {serving, Act::unwatch};
  case Event::none_free:
  case Event::all_gone: return {idle, Act::watch}; // there may be room now
  case Event::failed: return {throttled, Act::arm_backoff};
  case Event::stop: return {stopping, Act::terminate};
  case Event::start:
  case Event::backoff_over: return {idle, Act::none};
  }
  POSTRIDER_UNREACHABLE();
}

constexpr Next from_starting(Event event) {
  switch (event) {
  case Event::demand: return {starting, Act::none}; // waits in the kernel's queue
  case Event::has_free: return {serving, Act::none};
  case Event::none_free:
  case Event::all_gone: return {idle, Act::watch};
  case Event::failed: return {throttled, Act::arm_backoff};
  case Event::stop: return {stopping, Act::terminate};
  case Event::start:
  case Event::backoff_over: return {starting, Act::none}; // a timer that lost the race
  }
  POSTRIDER_UNREACHABLE();
}

constexpr Next from_serving(Event event) {
  switch (event) {
  case Event::none_free:
  case Event::all_gone: return {idle, Act::watch};
  case Event::failed: return {throttled, Act::arm_backoff};
  case Event::stop: return {stopping, Act::terminate};
  case Event::start:
  case Event::demand:
  case Event::has_free:
  case Event::backoff_over: return {serving, Act::none};
  }
  POSTRIDER_UNREACHABLE();
}

constexpr Next from_throttled(Event event) {
  switch (event) {
  case Event::backoff_over: return {idle, Act::watch};
  case Event::stop: return {stopping, Act::terminate};
  case Event::start:
  case Event::demand:
  case Event::has_free:
  case Event::none_free:
  case Event::failed:
  case Event::all_gone: return {throttled, Act::none};
  }
  POSTRIDER_UNREACHABLE();
}

constexpr Next from_stopping(Event event) {
  switch (event) {
  case Event::all_gone: return {stopped, Act::finish};
  case Event::start:
  case Event::demand:
  case Event::has_free:
  case Event::none_free:
  case Event::failed:
  case Event::backoff_over:
  case Event::stop: return {stopping, Act::none};
  }
  POSTRIDER_UNREACHABLE();
}

} // namespace

Next step(State state, Event event) {
  switch (state) {
  case stopped: return from_stopped(event);
  case idle: return from_idle(event);
  case starting: return from_starting(event);
  case serving: return from_serving(event);
  case throttled: return from_throttled(event);
  case stopping: return from_stopping(event);
  }
  POSTRIDER_UNREACHABLE();
}

std::string_view to_string(State state) {
  switch (state) {
  case stopped: return "stopped";
  case idle: return "idle";
  case starting: return "starting";
  case serving: return "serving";
  case throttled: return "throttled";
  case stopping: return "stopping";
  }
  POSTRIDER_UNREACHABLE();
}

std::string_view to_string(Event event) {
  switch (event) {
  case Event::start: return "start";
  case Event::demand: return "demand";
  case Event::has_free: return "has_free";
  case Event::none_free: return "none_free";
  case Event::failed: return "failed";
  case Event::backoff_over: return "backoff_over";
  case Event::stop: return "stop";
  case Event::all_gone: return "all_gone";
  }
  POSTRIDER_UNREACHABLE();
}

} // namespace postrider::master
