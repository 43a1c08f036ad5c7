// SPDX-License-Identifier: MIT
// One connection to a delivery agent process, or to bounce (proto/deliver.hpp). Owned by its
// Transport. What the agent says is gossip: slots and counts are checked against our own table, and
// whoever breaks the protocol is disconnected, which is the same as its death.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "ipc/channel.hpp"
#include "message.hpp"
#include "parts.hpp"
#include "proto/deliver.hpp"

namespace postrider::qmgr {

struct Transport;

// The flight board: shared memory in which the agent says, without a system call per message, what
// it is doing with each slot. Ours to read only.
class Board {
 public:
  static Result<std::unique_ptr<Board>> create(std::uint32_t slots);
  ~Board();
  Board(const Board&) = delete;
  Board& operator=(const Board&) = delete;

  Result<Fd> share() const { return fd_.duplicate(); }
  proto::SlotState at(std::uint32_t slot) const;
  // The slot whose delivery the agent's code works on, or worked on when it died.
  std::optional<std::uint32_t> running() const;
  void clear(std::uint32_t slot);

 private:
  Board(Fd fd, unsigned char* bytes, std::uint32_t slots)
      : fd_(std::move(fd)), bytes_(bytes), slots_(slots) {}
  Fd fd_;
  unsigned char* bytes_;
  std::uint32_t slots_;
};

class Agent {
 public:
  // Slots that we take from one agent at most, whatever it offers.
  static constexpr std::uint32_t kMostSlots = 16384;

  Agent(Parts& parts, Transport& transport, Fd fd);
  ~Agent();

  // WAITS for Hello and Ready.
  ev::Task<Result<void>> greet();
  // WAITS for the agent's frames until the connection ends; says why it did.
  ev::Task<Error> listen();
  void close() { channel_.close(); }
  // Whether it has had a delivery for longer than `limit`.
  bool is_stuck(Duration limit) const;
  void give_up(); // listen() says so

  bool ready() const { return ready_; }
  bool retiring() const { return retiring_; }
  std::uint32_t capacity() const { return capacity_; }
  std::uint32_t in_flight() const { return in_flight_; }
  bool has_room() const { return ready_ && !retiring_ && !free_.empty(); }
  std::uint32_t room() const { return has_room() ? static_cast<std::uint32_t>(free_.size()) : 0; }
  // The agent puts mail into mailboxes (LMTP) instead of passing it on.
  bool is_final() const { return final_; }
  pid_t pid() const { return channel_.peer().pid; } // who spoke; before that: who listens
  Transport& transport() { return transport_; }
  const Transport& transport() const { return transport_; }

  // Sends the request. REQUIRES has_room(). Error: the content cannot be opened now.
  Result<void> send(Entry& entry, bool cache_hint);

  // When the agent is gone: what it had, and how far each delivery was.
  struct Left {
    Entry* entry;
    proto::SlotState state;
    bool running; // the agent died in the code of this one
  };
  std::vector<Left> take_left();

  // Gives up descriptors of segments that nobody writes any more and this agent does not read now.
  void close_idle_contents();

 private:
  struct Content {
    std::uint64_t key = 0;
    std::uint64_t handle = 0;
    std::uint32_t uses = 0;
    queue::Place place;
  };
  struct Slot {
    Entry* entry = nullptr;
    Content* content = nullptr;
    SteadyTime since{};
  };
  Result<void> take(ipc::Frame& frame);
  Result<void> take_delivered(const proto::Delivered& message);
  Result<void> take_reported(const proto::Reported& message);
  Result<Slot> give_back(std::uint32_t slot);
  Result<Content*> open_content(const Message& message);
  void release(Content* content);
  void drop_content(std::uint64_t key);
  static std::uint64_t key_of(const Message& message);

  Parts& parts_;
  Transport& transport_;
  ipc::Channel channel_;
  std::unique_ptr<Board> board_;
  bool ready_ = false;
  bool retiring_ = false;
  bool final_ = false;
  bool given_up_ = false;
  std::uint32_t capacity_ = 0;
  std::uint32_t in_flight_ = 0;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::unordered_map<std::uint64_t, Content> contents_; // by segment loan tag or message id
  std::uint64_t next_handle_ = 1;
};

} // namespace postrider::qmgr
