// SPDX-License-Identifier: MIT
// Idle sessions of this process, kept for a moment and used again: by destination (no look-up, no
// connect, no greeting) or by endpoint (two destinations behind one server). Bounded in number, age
// and uses. A destination's first message does not keep its connection unless qmgr says that more
// is waiting: servers need not hold one for every sender of one mail.
//
//   P1  a session is in the pool or with one delivery, never both
//   P2  the keys hold everything that makes two sessions different
#pragma once

#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "ev/group.hpp"
#include "smtpclient/session.hpp"

namespace postrider::smtpclient {

class Pool {
 public:
  // Sessions that go are sent QUIT by tasks of `group`.
  Pool(ev::Group& group, const Options& options);

  // A session that is open and silent now; null when there is none. Dead ones are dropped on the
  // way.
  std::unique_ptr<Session> take_for(std::string_view destination);
  std::unique_ptr<Session> take_at(const Peer& peer);
  // Keeps the session or says goodbye.
  enum class Keep : std::uint8_t {
    if_busy, // when another one was given back just now
    hinted,  // more mail for the destination is waiting
    always,  // smtp_connection_cache_destinations
  };
  void give_back(std::unique_ptr<Session> session, std::string_view destination, Keep keep);
  void say_goodbye(std::unique_ptr<Session> session);
  // Says goodbye to all.
  void clear();

  std::size_t idle() const { return entries_.size(); }

 private:
  struct Entry {
    std::unique_ptr<Session> session;
    std::string destination;
    std::string endpoint;
    SteadyTime until;
  };
  using Place = std::list<Entry>::iterator;
  using Keys = std::unordered_multimap<std::string, Place>;

  std::unique_ptr<Session> take(Keys& keys, std::string_view key);
  std::unique_ptr<Session> remove(Place place);
  bool worth_keeping(std::string_view destination, Keep keep);
  void expire();

  ev::Group& group_;
  const Options& options_;
  std::list<Entry> entries_; // the oldest first: all are kept equally long
  Keys by_destination_;
  Keys by_endpoint_;
  std::unordered_map<std::string, SteadyTime> recent_; // when a destination last gave one back
  SteadyTime recent_swept_{};
  ev::Timer timer_;
};

} // namespace postrider::smtpclient
