// SPDX-License-Identifier: MIT
// The way into the queue, for programs that receive or make mail (smtpd, bounce). A Submitter keeps
// one connection to qmgr and one lent journal segment; a Message gathers one message and commits
// it. Small mail goes into the segment and shares one fdatasync with everything that came
// meanwhile; mail beyond the threshold is streamed into a file of its own. Protocol:
// proto/intake.hpp. One Submitter per process, on its loop thread; only syncs run on pool threads.
// It opens no file: all descriptors come from qmgr.
//
//   A1  commit() returns an id only after the sync that covers the whole message has returned
//       success and qmgr, who will deliver it, was still there at that time. Whatever else happens,
//       it returns an Error, and the client is told to try again.
//   A2  no record is written into a segment after a write or sync of it failed, was overdue, or the
//       connection was lost under which it was lent.
//   A3  a qmgr that ends in good order is left in good order: what was begun is told to it; what
//   has
//       not been begun waits for its successor.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fs.hpp"
#include "ev/bridge.hpp"
#include "ev/group.hpp"
#include "ev/offload.hpp"
#include "mail/envelope.hpp"
#include "queue/id.hpp"
#include "queue/message_file.hpp"

namespace postrider::ipc {
class Channel;
struct Frame;
} // namespace postrider::ipc

namespace postrider::submit {

struct Options {
  // Paths of qmgr's service socket: the first that exists. Relative to the queue directory, which
  // is where programs of the suite run.
  std::vector<std::string> sockets = {"private/qmgr", "public/qmgr"};
  std::string program = "unknown";                       // who we are, for qmgr's log
  std::uint64_t file_threshold = 256U << 10;             // large_message_threshold
  Duration sync_limit = std::chrono::seconds(30);        // journal_sync_time_limit
  Duration answer_limit = std::chrono::seconds(20);      // for what qmgr does while we wait
  Duration retry_pause = std::chrono::milliseconds(100); // between attempts to connect; doubles
  std::size_t file_syncs = 2; // at a time, so that the pool keeps a thread for the journal
};

// What stands in front of the content. Called once the id is known; the text has CRLF line ends.
using MakeHead = std::function<std::string(queue::Id)>;

class Message;

class Submitter {
 public:
  Submitter(ev::Loop& loop, ev::Offload& offload, FileSystem& fs, Options options);
  ~Submitter(); // REQUIRES: no Message lives
  Submitter(const Submitter&) = delete;
  Submitter& operator=(const Submitter&) = delete;

  // Begins to connect; goes on for ever.
  void start();

  // Ok, or the reason for which new mail is refused for now: Error busy (queue full: 452), closed
  // (qmgr is not there: 451).
  Result<void> may_accept() const;
  bool connected() const { return channel_ != nullptr; }
  // Has qmgr said how the queue is? While it is being restarted, a client is better kept waiting
  // for a moment than sent away. WAITS until it is known, at most until the deadline.
  bool knows_queue() const { return channel_ && state_known_ && !leaving_; }
  ev::Task<Result<void>> wait_for_queue(ev::Deadline deadline);

  struct Counters {
    std::uint64_t messages = 0, files = 0, groups = 0, failed_groups = 0, segments = 0;
  };
  const Counters& counters() const { return counters_; }

 private:
  friend class Message;
  struct Batch;
  struct Lease;
  struct FileWait;

  ev::RootTask run();
  ev::Task<Result<void>> converse(const std::string& path);
  Result<void> take(ipc::Frame& frame);
  void lost();
  void want_segment();
  void take_leave();
  void no_room(std::string reason);
  void on_turn_end();
  void start_sync(const std::shared_ptr<Lease>& lease);
  void sync_ended(const std::shared_ptr<Lease>& lease, Result<void> result);
  void give_up(const std::shared_ptr<Lease>& lease, const Error& why);
  void settle_lease(const std::shared_ptr<Lease>& lease);
  bool qmgr_is_there() const;
  // WAITS for a segment that has room.
  ev::Task<Result<std::shared_ptr<Lease>>>
  lease_for(std::uint64_t content, ev::Lent<const mail::Envelope> envelope, ev::Deadline deadline);

  ev::Loop& loop_;
  ev::Offload& offload_;
  FileSystem& fs_;
  Options options_;
  ev::Group group_;
  std::size_t hook_;
  std::unique_ptr<ipc::Channel> channel_;
  std::uint64_t epoch_ = 0;  // counts connections
  bool state_known_ = false; // qmgr has told its state over this connection
  bool leaving_ = false;     // this qmgr makes room for its successor: nothing new to it
  bool accepting_ = false;
  std::string reason_;
  std::shared_ptr<Lease> current_;
  std::shared_ptr<Lease> next_;
  bool wanted_ = false; // a segment was asked for and has not come
  std::string no_room_; // why not, when that was the answer
  ev::Timer ask_again_;
  ev::Condition segments_changed_;
  std::vector<std::shared_ptr<Lease>> leases_; // current_, and those with something in flight
  std::map<std::uint64_t, FileWait*> files_;   // by id
  std::size_t file_syncs_ = 0;
  ev::Condition file_syncs_changed_;
  Counters counters_;
};

// One message on its way in. Destroyed before commit() succeeded, nothing of it remains.
// `envelope` and `make_head` belong to the caller and outlive the Message. The envelope is final
// when make_head has returned (it may still complete it).
class Message {
 public:
  Message(Submitter& submitter, const mail::Envelope& envelope, const MakeHead& make_head);
  ~Message();
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  // Content goes in at the end of this (CRLF line ends, no dot-stuffing); then call spill() when
  // wants_spill() says so, so that memory stays bounded.
  std::string& pending() { return pending_; }
  bool wants_spill() const {
    return pending_.size() > (file_ ? kFilePiece : submitter_.options_.file_threshold);
  }
  ev::Task<Result<void>> spill();

  // Gives the message its id ahead of commit(), for content that somebody else has to see first. It
  // then goes into a file of its own: records of a segment stand in the order of their ids.
  ev::Task<Result<queue::Id>> reserve();

  // `facts` are those of the content without the head. WAITS until the message is safe: A1.
  // Error busy: the queue is full (452); any other: 451.
  ev::Task<Result<queue::Id>> commit(ev::Lent<const mail::ContentFacts> facts);

 private:
  static constexpr std::size_t kFilePiece = 256U << 10;
  struct File;
  ev::Task<Result<void>> open_file();
  Result<void> begin_file();
  ev::Task<Result<queue::Id>> commit_record(ev::Lent<const mail::ContentFacts> facts);
  ev::Task<Result<queue::Id>> commit_file(ev::Lent<const mail::ContentFacts> facts);

  Submitter& submitter_;
  const mail::Envelope& envelope_;
  const MakeHead& make_head_;
  std::string pending_;
  std::unique_ptr<File> file_;
};

// The facts of the content with `head` in front, which is header lines; with an empty line at its
// end it is the whole header.
mail::ContentFacts with_head(mail::ContentFacts facts, ByteView head);

} // namespace postrider::submit
