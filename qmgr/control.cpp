// SPDX-License-Identifier: MIT
#include "control.hpp"

#include "dispatch.hpp"
#include "intake.hpp"
#include "maps/ask.hpp"
#include "store.hpp"

namespace postrider::qmgr {

namespace {

using namespace std::chrono_literals;

proto::Refused refuse(proto::Refusal why, std::string text) {
  proto::Refused refused;
  refused.why = why;
  refused.text = std::move(text);
  return refused;
}

bool is_empty(const proto::Selector& select) { return select == proto::Selector{}; }

} // namespace

// The uid of the owner may be that of a worker, too.
bool Control::allowed(const ipc::Channel& channel, const Asker& asker, Right right) const {
  const std::uint32_t uid = channel.peer().uid;
  if (uid == parts_.params.owner ? asker.is_owner : uid == 0) return true;
  switch (right) {
  case Right::list: return parts_.params.may_list && parts_.params.may_list(uid);
  case Right::flush: return parts_.params.may_flush && parts_.params.may_flush(uid);
  case Right::everything: return false;
  }
  return false;
}

ev::Task<void> Control::serve(ipc::Channel& channel) {
  Asker asker;
  while (true) {
    Result<ipc::Frame> frame = co_await channel.receive(parts_.loop.after(10min));
    if (!frame) break;
    Result<void> answered = co_await answer(channel, *frame, asker);
    if (!answered) {
      channel.send(refuse(proto::Refusal::no_sense, answered.error().text()));
      break;
    }
  }
  for (const queue::Place& place : asker.opened)
    parts_.queue.close_content(place);
}

ev::Task<void> Control::serve_trigger(ipc::Channel& channel) {
  Result<ipc::Frame> frame = co_await channel.receive(parts_.loop.after(10s));
  if (!frame) co_return;
  Result<proto::Trigger> trigger = ipc::as<proto::Trigger>(*frame);
  if (!trigger || !allowed(channel, {}, Right::flush)) co_return;
  if (trigger->kind == proto::TriggerKind::flush)
    flush({});
  else
    parts_.intake->look_at_disk();
}

void Control::flush(const std::string& domain) {
  parts_.dispatch->flush(domain);
  if (domain.empty()) parts_.intake->want_all();
  parts_.dispatch->pump();
}

ev::Task<Result<void>> Control::answer(ipc::Channel& channel, const ipc::Frame& frame,
                                       Asker& asker) {
  const auto not_allowed = [&](Right right) {
    if (allowed(channel, asker, right)) return false;
    channel.send(refuse(proto::Refusal::not_allowed, "you are not allowed to do that"));
    return true;
  };
  const auto not_found = [&](const Error& error) {
    channel.send(refuse(proto::Refusal::not_found, error.text()));
  };
  if (frame.type == proto::ListQueue::kType || frame.type == proto::CountQueue::kType ||
      frame.type == proto::Act::kType) {
    // What was parked a moment ago must not be missing; a slow disk is no reason not to answer.
    Result<void> indexed = co_await parts_.store->wait_indexed(parts_.loop.after(2s));
    if (!indexed && indexed.error().kind() != ErrorKind::timeout) co_return indexed.error();
  }
  switch (frame.type) {
  case proto::OwnerProof::kType: {
    POSTRIDER_CO_TRY_VOID(ipc::as<proto::OwnerProof>(frame));
    asker.is_owner = parts_.queue.is_lock_file(frame.fds[0]);
    co_return Result<void>();
  }
  case proto::ListQueue::kType: {
    POSTRIDER_CO_TRY(const auto request, ipc::as<proto::ListQueue>(frame));
    if (!not_allowed(Right::list)) channel.send(list(request));
    co_return Result<void>();
  }
  case proto::CountQueue::kType: {
    POSTRIDER_CO_TRY(const auto request, ipc::as<proto::CountQueue>(frame));
    if (!not_allowed(Right::list)) channel.send(count(request));
    co_return Result<void>();
  }
  case proto::AskStatus::kType: {
    POSTRIDER_CO_TRY(const auto request, ipc::as<proto::AskStatus>(frame));
    if (!not_allowed(Right::list)) channel.send(status(request));
    co_return Result<void>();
  }
  case proto::Why::kType: {
    POSTRIDER_CO_TRY(const auto request, ipc::as<proto::Why>(frame));
    if (not_allowed(Right::list)) co_return Result<void>();
    // Routes may be in tables that have to be waited for. Where they are slow, none is shown.
    const std::function<Result<proto::WhyAnswer>()> question = [&] { return why(request.id); };
    const ev::Deadline limit = parts_.loop.after(2s);
    Result<proto::WhyAnswer> found =
        co_await maps::ask<proto::WhyAnswer>(parts_.loop, question, limit);
    if (!found &&
        (found.error().kind() == ErrorKind::timeout || found.error().kind() == ErrorKind::limit))
      found = why(request.id);
    if (found)
      channel.send(*found);
    else
      not_found(found.error());
    co_return Result<void>();
  }
  case proto::Cat::kType: {
    POSTRIDER_CO_TRY(const auto request, ipc::as<proto::Cat>(frame));
    if (not_allowed(Right::everything)) co_return Result<void>();
    Fd fd;
    const auto found = cat(request.id, fd, asker.opened);
    if (found)
      channel.send(*found, std::move(fd));
    else
      not_found(found.error());
    co_return Result<void>();
  }
  case proto::Act::kType: {
    POSTRIDER_CO_TRY(const proto::Act request, ipc::as<proto::Act>(frame));
    const bool is_flush = request.action == proto::Action::flush;
    if (not_allowed(is_flush ? Right::flush : Right::everything)) co_return Result<void>();
    if (!is_flush && is_empty(request.select)) {
      channel.send(refuse(proto::Refusal::no_sense, "say which messages, or ALL"));
      co_return Result<void>();
    }
    const ev::Lent<const proto::Act> lent(request);
    Result<proto::Acted> acted = co_await act(lent);
    if (acted)
      channel.send(*acted);
    else
      channel.send(refuse(proto::Refusal::not_now, acted.error().text()));
    co_return Result<void>();
  }
  default: co_return Error(ErrorKind::protocol, "unknown request " + std::to_string(frame.type));
  }
}

} // namespace postrider::qmgr
