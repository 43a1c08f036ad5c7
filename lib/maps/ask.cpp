// SPDX-License-Identifier: MIT
#include "maps/ask.hpp"

namespace postrider::maps {

namespace {

// The keys of an address with 127 labels in its domain, asked in several tables, are fewer.
constexpr std::size_t kMostAnswers = 1000;

} // namespace

thread_local Answers* Answers::current = nullptr;

Answer WaitingMap::lookup(std::string_view key) {
  Answers* answers = Answers::current;
  if (answers == nullptr)
    return Error(ErrorKind::busy, "this table cannot be used here: it has to be waited for");
  Answers::Lookup lookup(this, key);
  const auto known = answers->known_.find(lookup);
  if (known != answers->known_.end()) return known->second;
  if (!answers->lacking_) answers->lacking_ = std::move(lookup);
  return Error(ErrorKind::busy, "the answer has to be waited for");
}

bool Answers::suffice_for(const std::function<void()>& question) {
  Answers* const outer = std::exchange(current, this);
  lacking_.reset();
  question();
  current = outer;
  return !lacking_;
}

ev::Task<Result<void>> Answers::fetch(ev::Loop& loop, ev::Deadline deadline) {
  if (known_.size() >= kMostAnswers)
    co_return Error(ErrorKind::limit, "one question needs too many lookups");
  Answer answer = co_await lacking_->first->fetch(loop, lacking_->second, deadline);
  // A task that was told to stop does not go on with what it has.
  if (!answer && answer.error().kind() == ErrorKind::cancelled) co_return answer.error();
  known_.emplace(*lacking_, std::move(answer));
  co_return Result<void>();
}

ev::Task<Answer> ask(ev::Loop& loop, MapList& list, std::string_view key, Key kind,
                     ev::Deadline deadline) {
  if (!list.may_wait()) co_return list.lookup(key, kind);
  using Found = std::optional<std::string>;
  const std::function<Answer()> question = [&] { return list.lookup(key, kind); };
  co_return co_await ask<Found>(loop, question, deadline);
}

} // namespace postrider::maps
