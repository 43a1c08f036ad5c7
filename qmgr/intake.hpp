// SPDX-License-Identifier: MIT
// How messages come into memory, and the map of those that are there. New mail arrives through
// writers (proto/intake.hpp); mail that is due comes from the disk. At most active_limit messages
// are active at a time; those that arrived and wait for room, and those loaded from the disk, enter
// in turn, one of each. Mail that waits for room too long goes to the disk, too.
//
// What a writer says is gossip: a record is read back and checked before anything is believed, and
// a writer may speak only of loans that it holds.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <unordered_map>
#include <vector>

#include "ipc/channel.hpp"
#include "message.hpp"
#include "parts.hpp"
#include "proto/intake.hpp"

namespace postrider::qmgr {

class Intake {
 public:
  explicit Intake(Parts& parts);
  ~Intake();

  Message* find(queue::Id id) const;
  const std::unordered_map<queue::Id, std::unique_ptr<Message>>& messages() const {
    return messages_;
  }
  std::size_t active() const { return active_; }
  std::size_t arrived() const { return fresh_count_; }

  // Takes a message into memory. `loaded`: it waited on the disk.
  void admit(queue::Arrived&& arrived, bool loaded);
  // Gone, or on the disk.
  void erase(Message& message);
  void parked(Message& message);
  void set_phase(Message& message, Phase phase);
  // It has something to do at once: to be routed, held or dropped.
  void again(Message& message);
  // Deferred, but its file could not be written: waits here.
  void rest(Message& message);

  // Lets messages in and out; once per turn of the loop. May route and destroy messages.
  void turn_end();
  // turn_end() left work for the next turn.
  bool has_more() const;
  // Every second: old mail to files, space on the disk, mail that is due.
  void tick();

  // What the operator wants of a message. Mail on the disk is loaded for it.
  enum class Wish : std::uint8_t { none, retry, hold, release, requeue, drop };
  void wish(queue::Id id, Wish wish, const std::string& reason = {});
  // All waiting mail, whatever its time.
  void want_all();
  std::size_t wishes() const { return wanted_.size() + loading_wishes_.size(); }
  void index_is_ready() { look_at_disk(); }
  void look_at_disk() { next_look_ = 0; }

  // WAITS until the writer is gone.
  ev::Task<void> serve(ipc::Channel& channel, std::string_view program);

  bool has_writer(pid_t pid) const;
  // What to make of mail under this loan that says it is a report.
  queue::ReportClaim judge_report(std::uint64_t loan, const mail::Envelope& report) const;
  // They end what they have begun and go. Until then they get what they need for that.
  void dismiss_writers();
  bool accepting() const { return accepting_; }
  const std::string& refuse_reason() const { return refuse_reason_; }
  std::uint64_t free_bytes() const { return free_bytes_; }
  bool loading() const { return loading_; }

 private:
  struct Wanted {
    queue::Id id;
    Wish wish = Wish::retry;
    std::string reason;
  };
  struct Writer;
  Result<void> take(std::shared_ptr<Writer> writer, const ipc::Frame& frame);
  Result<void> take_committed(Writer& writer, const proto::Committed& message);
  void writer_gone(Writer& writer);
  void leave_if_read(const std::shared_ptr<Writer>& writer);
  ev::RootTask lend(std::shared_ptr<Writer> writer);
  ev::RootTask accept_file(std::shared_ptr<Writer> writer, std::uint64_t id);
  bool may_lend(const Writer& writer, Duration waited) const;
  bool has_room() const;
  void activate(Message& message);
  ev::RootTask route_slowly(queue::Id id, std::uint64_t number);
  Message* next_in_turn();
  void load_due();
  void start_load(const std::vector<queue::Id>& ids);
  void end_load(queue::LoadJob& job);
  void fulfil(Message& message, const Wanted& wanted);
  void check_space();
  void tell_writers();
  void age();

  Parts& parts_;
  std::unordered_map<queue::Id, std::unique_ptr<Message>> messages_;
  std::deque<queue::Id> fresh_, loaded_; // arrived; may name messages that are gone
  std::size_t fresh_count_ = 0, loaded_count_ = 0;
  bool turn_of_loaded_ = false;
  std::size_t active_ = 0, storing_ = 0;
  std::uint64_t routings_ = 0; // begun so far
  std::size_t active_recipients_ = 0;
  std::deque<queue::Id> again_;
  std::multimap<std::int64_t, queue::Id> resting_;
  std::deque<std::pair<SteadyTime, queue::Id>> by_age_; // those that came through the journal
  std::deque<Wanted> wanted_;
  std::unordered_map<queue::Id, Wanted> loading_wishes_;
  std::optional<queue::Id> want_all_after_; // how far the index has been gone through
  std::int64_t want_all_from_ = 0;          // when that begins at the latest
  bool loading_ = false;
  std::int64_t next_look_ = 0;     // schedule time at which something may be due
  std::int64_t next_far_look_ = 0; // for tries that no clock of ours can have set
  std::set<std::shared_ptr<Writer>> writers_;
  std::uint64_t next_holder_ = 1;
  bool accepting_ = true;
  bool dismissed_ = false;
  std::string refuse_reason_;
  std::uint64_t free_bytes_ = 0;
  SteadyTime next_space_check_{};
};

} // namespace postrider::qmgr
