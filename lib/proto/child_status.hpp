// SPDX-License-Identifier: MIT
// master <-> child: what a worker finds when it starts, and what it tells master.
//
// Descriptors (all others are closed before exec):
//   0 1      /dev/null                           2   the log file, or master's own stderr
//   3        status: the child writes records    4   lifeline: EOF when master is gone
//   5        the log file (maillog_file), else /dev/null
//   6 ...    the service's listening sockets, non-blocking, kGenerationVariable's companion
//            kListenersVariable says how many; in the order in which master.cf names addresses
//
// Signals to the child: SIGTERM stop (drain with a short limit), SIGUSR1 a new configuration is
// there (apply it in place and report `reloaded`, or retire: drain with a long limit and exit),
// SIGUSR2 retire (another master's child takes its place), SIGKILL when none of these helps.
//
// Status is a pipe of its own per child, so that no child can speak for another; even so a record
// is a rumour: master checks pid and generation against its own table and ignores what cannot be.
//
//   record = pid(4) generation(4) state(2) jail(2) clients(4), little-endian
//
// `accuses` has a process number in the place of clients: who broke the rules of a conversation.
// Master kills that one, if it is its child and the accuser is one to be believed, and takes it for
// one that died as soon as it started: its successor waits, longer each time.
//
// A child first says `ready`: it has opened what it needs and serves from now on. An event-driven
// child says `busy` when it would welcome a sibling; it goes on accepting as long as it can.
// `alive` comes every kAlivePeriod: a child silent for the watchdog's limit hangs and is killed.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.hpp"

namespace postrider::proto {

inline constexpr int kStatusFd = 3;
inline constexpr int kLifelineFd = 4;
inline constexpr int kLogFd = 5;
inline constexpr int kFirstListenerFd = 6;

inline constexpr const char* kGenerationVariable = "POSTRIDER_GENERATION";
inline constexpr const char* kListenersVariable = "POSTRIDER_LISTENERS";
inline constexpr std::uint32_t kMostListeners = 256;

inline constexpr std::chrono::seconds kAlivePeriod{5};
// Longest silence that is believed to be work: a blocking sync of a sick disk takes up to a minute.
inline constexpr std::chrono::seconds kSilenceLimit{300};
// How long a child told to stop may drain; master kills a little later.
inline constexpr std::chrono::seconds kStopLimit{8};
inline constexpr std::chrono::seconds kKillAfter{12};

enum class ChildState : std::uint16_t {
  ready, // once, first
  busy,  // another process would help
  free,
  alive,    // no change; proof of life
  reloaded, // serves with the new configuration, in place of a successor
  leaving,  // accepts no more; exits when its work is done
  accuses,  // `clients` is the number of a process that misbehaves
};
constexpr ChildState highest(ChildState) { return ChildState::accuses; }

// What the jail has closed (lib/daemon/jail.hpp), as bits.
enum JailBit : std::uint16_t {
  kJailLimits = 1,
  kJailUser = 2,
  kJailChroot = 4,
  kJailNoNewPrivileges = 8,
  kJailNotDumpable = 16,
  kJailOwnUser = 32,      // of its trust domain alone; without it the domain shares mail_owner
  kJailCapabilities = 64, // none, and none to be had
  kJailFiles = 128,       // Landlock
  kJailPorts = 256,       // TCP: connects to those of the configuration alone
  kJailScopes = 512,
  kJailNeverCalls = 1024, // seccomp: some kill
  kJailCalls = 2048,      // and all but those of a list are refused
  kJailBind = 4096,       // Landlock: listens on no TCP port
};

struct StatusRecord {
  std::uint32_t pid = 0;
  std::uint32_t generation = 0;
  ChildState state = ChildState::ready;
  std::uint16_t jail = 0;
  std::uint32_t clients = 0;
  bool operator==(const StatusRecord&) const = default;
};

inline constexpr std::size_t kStatusRecordSize = 16;

inline std::array<char, kStatusRecordSize> to_bytes(const StatusRecord& record) {
  std::string text;
  put_le(text, record.pid);
  put_le(text, record.generation);
  put_le(text, static_cast<std::uint16_t>(record.state));
  put_le(text, record.jail);
  put_le(text, record.clients);
  std::array<char, kStatusRecordSize> out{};
  text.copy(out.data(), out.size());
  return out;
}

// Nothing when the state is none of ours. REQUIRES bytes.size() == kStatusRecordSize.
inline std::optional<StatusRecord> from_bytes(ByteView bytes) {
  const auto state = get_le<std::uint16_t>(bytes.substr(8));
  if (state > static_cast<std::uint16_t>(highest(ChildState{}))) return std::nullopt;
  return StatusRecord{.pid = get_le<std::uint32_t>(bytes),
                      .generation = get_le<std::uint32_t>(bytes.substr(4)),
                      .state = static_cast<ChildState>(state),
                      .jail = get_le<std::uint16_t>(bytes.substr(10)),
                      .clients = get_le<std::uint32_t>(bytes.substr(12))};
}

} // namespace postrider::proto
