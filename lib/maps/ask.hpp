// SPDX-License-Identifier: MIT
// Asking tables from a coroutine. Nearly all tables answer at once, from memory or the local disk.
// One that asks another process (socketmap:) has to be waited for; Map::may_wait tells.
//
//   const std::function<Result<Route>()> question = [&] { return router.resolve(to, from); };
//   Result<Route> route = co_await maps::ask<Route>(loop, question, deadline);
//
// A question is any function that looks things up; it knows nothing of waiting. When it needs an
// answer that has to be waited for, that lookup ends with an Error, ask() gets the answer, and
// calls the question again, which finds it now. A question without such tables is called once, and
// ask() does not suspend.
//
// Outside of ask() a table that has to be waited for answers each lookup with an Error (temporary
// trouble): a caller that was forgotten defers mail, but never blocks its loop.
#pragma once

#include <functional>
#include <map>
#include <utility>

#include "ev/group.hpp"
#include "maps/map.hpp"

namespace postrider::maps {

// Base of the tables that have to be waited for.
class WaitingMap : public Map {
 public:
  bool may_wait() const final { return true; }
  Answer lookup(std::string_view key) final;
  // Gets one answer. An Error is the answer as well.
  virtual ev::Task<Answer> fetch(ev::Loop& loop, std::string_view key, ev::Deadline deadline) = 0;
};

// The answers that one question has waited for so far.
class Answers {
 public:
  // Within `question`, lookups find what is here. True: the question lacked none of them.
  bool suffice_for(const std::function<void()>& question);
  // Gets the one that was lacking. Error: the deadline, cancellation, or too many of them.
  ev::Task<Result<void>> fetch(ev::Loop& loop, ev::Deadline deadline);

 private:
  friend class WaitingMap;
  using Lookup = std::pair<WaitingMap*, std::string>;
  static thread_local Answers* current;
  std::map<Lookup, Answer> known_;
  std::optional<Lookup> lacking_;
};

// REQUIRES: `question` has no effect but its result (it is called once more for each answer that
// had to be waited for), and the tables it asks live until ask() ends.
// Error timeout, cancelled: those of the wait; else what the question says.
template <typename R>
ev::Task<Result<R>> ask(ev::Loop& loop, const std::function<Result<R>()>& question,
                        ev::Deadline deadline) {
  Answers answers;
  std::optional<Result<R>> result;
  const std::function<void()> attempt = [&] { result.emplace(question()); };
  while (!answers.suffice_for(attempt)) {
    Result<void> fetched = co_await answers.fetch(loop, deadline);
    if (!fetched) co_return fetched.error();
  }
  co_return std::move(*result);
}

// The same for the simplest question: lists.lookup(key, kind).
ev::Task<Answer> ask(ev::Loop& loop, MapList& list, std::string_view key, Key kind,
                     ev::Deadline deadline);

// For programs that do nothing else meanwhile: runs `loop` until the question is answered.
template <typename R>
Result<R> ask_now(ev::Loop& loop, const std::function<Result<R>()>& question,
                  ev::Deadline deadline) {
  struct Root {
    static ev::RootTask run(ev::Loop& at, const std::function<Result<R>()>& asked,
                            ev::Deadline until, std::optional<Result<R>>& out) {
      Result<R> answer = co_await ask<R>(at, asked, until);
      out.emplace(std::move(answer));
    }
  };
  std::optional<Result<R>> answer;
  ev::Group group(loop);
  group.spawn(Root::run(loop, question, deadline, answer), "a lookup");
  while (!group.empty())
    loop.turn(true);
  return std::move(*answer);
}

} // namespace postrider::maps
