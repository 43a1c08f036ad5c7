// SPDX-License-Identifier: MIT
#include "ev/group.hpp"

#include <string_view>

namespace postrider::ev {

void RootTask::promise_type::Finish::await_suspend(
    std::coroutine_handle<promise_type> self) const noexcept {
  self.promise().state.group->finished(self);
}

Group::~Group() { POSTRIDER_CHECK(tasks_.empty(), "a Group is destroyed with live tasks"); }

void Group::spawn(RootTask task, std::string label, std::uint32_t number) {
  if (closed_) return;
  const RootTask::Handle handle = std::exchange(task.handle_, nullptr);
  RootTask::promise_type& promise = handle.promise();
  promise.state.loop = &loop_;
  promise.state.group = this;
  promise.state.label = std::move(label);
  promise.state.number = number;
  promise.place = tasks_.insert(tasks_.end(), handle);
  loop_.resume_soon(handle);
}

void Group::finished(RootTask::Handle handle) {
  tasks_.erase(handle.promise().place);
  handle.destroy();
  if (tasks_.empty()) emptied_.notify_all();
}

void Group::cancel() {
  for (const RootTask::Handle handle : tasks_) {
    RootState& state = handle.promise().state;
    state.cancelled = true;
    if (state.wait != nullptr) state.wait->cancel();
  }
}

Task<Result<void>> Group::wait_empty(Deadline deadline) {
  while (!tasks_.empty()) {
    Result<void> woken = co_await emptied_.wait(deadline);
    if (!woken) co_return woken.error();
  }
  co_return Result<void>();
}

void Group::tear_down() {
  closed_ = true;
  while (!tasks_.empty()) {
    const RootTask::Handle handle = tasks_.front();
    tasks_.pop_front();
    handle.promise().state.torn_down = true;
    if (handle.promise().queued) loop_.forget(handle);
    handle.destroy();
  }
}

std::vector<Group::Line> Group::trace(std::size_t most) const {
  std::vector<Line> lines;
  for (const RootTask::Handle handle : tasks_) {
    if (lines.size() >= most) break;
    const RootState& state = handle.promise().state;
    Line line;
    line.label = state.label;
    if (state.wait != nullptr) {
      line.waits_for = state.wait->what();
      std::string_view file = state.wait->where().file_name();
      file.remove_prefix(std::min(file.rfind('/') + 1, file.size()));
      line.where = std::string(file) + ":" + std::to_string(state.wait->where().line());
      line.since = loop_.now() - state.wait->since();
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

} // namespace postrider::ev
