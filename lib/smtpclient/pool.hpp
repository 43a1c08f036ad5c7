// SPDX-License-Identifier: MIT
// Idle sessions of this process, kept for a moment and used again: by destination (no look-up, no
// connect, no greeting) or by endpoint (two destinations behind one server). Bounded in number, age
// and uses. A destination's first message does not keep its connection unless qmgr says that more
// is waiting: servers need not hold one for every sender of one mail.
//
// For the second half of its time, and when the process retires, a session is given to scache where
// that is possible (handover.hpp); what this process does not have may come from there.
//
//   P1  a session is in the pool, with one delivery, or with scache, never in two places
//   P2  the keys hold everything that makes two sessions different: destination or endpoint, policy
//       for TLS, credentials. The source address is one for all of a process.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "ev/group.hpp"
#include "smtpclient/handover.hpp"
#include "smtpclient/session.hpp"

namespace postrider::smtpclient {

class Pool {
 public:
  // Sessions that go are sent QUIT by tasks of `group`. Null: sessions do not leave the process.
  Pool(ev::Group& group, const Options& options, Handover* handover = nullptr);

  // A session that is open and silent now; null when there is none. Dead ones are dropped on the
  // way. `policy` is TlsPlan::destination_digest(), `security` a security_key(): only sessions made
  // under the same policy, and with the same login, are good.
  std::unique_ptr<Session> take_for(std::string_view destination, std::string_view policy);
  std::unique_ptr<Session> take_at(const Peer& peer, std::string_view security);
  enum class Keep : std::uint8_t {
    if_busy, // when another one was given back just now
    hinted,  // more mail for the destination is waiting
    always,  // smtp_connection_cache_destinations
  };
  // WAITS for scache, where it is worth asking. Null: there is none.
  ev::Task<std::unique_ptr<Session>> fetch_for(std::string_view destination,
                                               std::string_view policy, Keep keep);
  ev::Task<std::unique_ptr<Session>> fetch_at(ev::Lent<const Peer> peer, std::string_view security,
                                              Keep keep);
  // Keeps the session or says goodbye.
  void give_back(std::unique_ptr<Session> session, std::string_view destination, Keep keep);
  void say_goodbye(std::unique_ptr<Session> session);
  // Says goodbye to all, or gives them to scache as far as that takes them.
  enum class Leave : std::uint8_t { quit, hand_over };
  void clear(Leave leave = Leave::quit);

  std::size_t idle() const { return by_destination_.size(); }
  // Of one server, whatever they are good for; drop_at() says goodbye to the oldest of them.
  std::size_t idle_at(const Peer& peer) const;
  void drop_at(const Peer& peer);

 private:
  struct Entry {
    std::unique_ptr<Session> session;
    std::string destination;
    std::string endpoint;
    SteadyTime until;
    bool stays = false; // is in staying_
  };
  using Entries = std::list<Entry>;
  using Place = Entries::iterator;
  using Keys = std::unordered_multimap<std::string, Place>;

  static bool leads_to(const Entry& entry, const Peer& peer);
  std::unique_ptr<Session> take(Keys& keys, std::string_view key);
  std::unique_ptr<Session> remove(Place place);
  bool is_worth_asking(Handover::By by, std::string_view key, Keep keep) const;
  bool hand_over(Place place);
  void arm();
  bool worth_keeping(std::string_view destination, Keep keep);
  void expire();

  ev::Group& group_;
  const Options& options_;
  Handover* handover_;
  const Duration last_part_; // of its time that a session spends with scache
  // The oldest first: all are kept equally long. In the second list are those that could have been
  // given to scache and could not.
  Entries entries_, staying_;
  Keys by_destination_;
  Keys by_endpoint_;
  std::unordered_map<std::string, SteadyTime> recent_; // when a destination last gave one back
  SteadyTime recent_swept_{};
  ev::Timer timer_;
};

} // namespace postrider::smtpclient
