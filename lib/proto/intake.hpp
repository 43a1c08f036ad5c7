// SPDX-License-Identifier: MIT
// intake: how mail enters the queue. Spoken on qmgr's service socket by smtpd and bounce (client
// library: lib/submit). Only processes of the suite's own uid, or root, may speak it.
//
//   qmgr                                      writer
//   Hello{qmgr 1}  ------------------------->
//                  <-------------------------  Open{intake, "smtpd"}
//   QueueState{accepting, reason}  --------->   at once, and again whenever it changes
//                  <-------------------------  WantSegment
//   SegmentLent{loan, ...} + write-only fd ->   or NoRoom
//                  <-------------------------  Committed{loan, records}      after fdatasync
//                  <-------------------------  SegmentDone{loan}             it is full
// Large mail:
//                  <-------------------------  WantFile{id}
//   FileLent{id} + write-only fd  ---------->   or NoRoom
//                  <-------------------------  FileWritten{id}               after fsync
//   FileSafe{id}  -------------------------->   renamed, directory synced: accepted; or FileRefused
// qmgr is about to make room for its successor:
//   Leaving  ------------------------------->
//                  <-------------------------  what is on its way, SegmentDone for all; then the
//                                              writer closes, and connects to the successor
//
// qmgr reads back what a writer announces and checks every record; the announcement itself carries
// no facts that could differ from the record. When the connection ends, qmgr scans the loan for
// records that were durable but not announced. Messages are types 16-31.
#pragma once

#include <string>
#include <vector>

#include "base/fields.hpp"
#include "queue/journal.hpp"

namespace postrider::proto {

constexpr std::string_view kQmgrProtocol = "qmgr";
constexpr std::uint32_t kQmgrVersion = 1;

// First frame of every client of qmgr: which conversation follows.
enum class Role : std::uint8_t { intake, control, trigger };
constexpr Role highest(Role) { return Role::trigger; }

struct Open {
  static constexpr std::uint16_t kType = 16;
  Role role = Role::intake;
  std::string program;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("role", s.role);
    v("program", s.program);
  }
};

struct QueueState {
  static constexpr std::uint16_t kType = 17;
  bool accepting = true;
  std::string reason; // for the 452, when not accepting
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("accepting", s.accepting);
    v.optional("reason", s.reason);
  }
};

struct WantSegment {
  static constexpr std::uint16_t kType = 18;
  template <typename V, typename S>
  static void fields(V&, S&) {}
};

struct SegmentLent { // one descriptor, write-only
  static constexpr std::uint16_t kType = 19;
  static constexpr std::size_t kDescriptors = 1;
  queue::SegmentInfo info; // ids are queue::Id::make(info.loan, sequence)
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("info", s.info);
  }
};

struct NoRoom {
  static constexpr std::uint16_t kType = 20;
  std::string reason;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("reason", s.reason);
  }
};

struct Committed { // these records are durable; in the order in which they stand
  static constexpr std::uint16_t kType = 21;
  std::uint64_t loan = 0;
  std::vector<queue::Announced> records;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("loan", s.loan);
    v("records", s.records);
  }
};

struct SegmentDone {
  static constexpr std::uint16_t kType = 22;
  std::uint64_t loan = 0;
  bool failed = false; // a write or sync failed: no new mail into this segment ever again
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("loan", s.loan);
    v.optional("failed", s.failed);
  }
};

template <std::uint16_t Type>
struct AboutFile {
  static constexpr std::uint16_t kType = Type;
  static constexpr std::size_t kDescriptors = Type == 24 ? 1 : 0;
  std::uint64_t id = 0; // queue::Id::number(), made by the writer from its loan
  std::string reason;   // FileRefused, FileDropped
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("id", s.id);
    v.optional("reason", s.reason);
  }
};
using WantFile = AboutFile<23>;
using FileLent = AboutFile<24>; // one descriptor, write-only
using FileWritten = AboutFile<25>;
using FileSafe = AboutFile<26>;
using FileRefused = AboutFile<27>;
using FileDropped = AboutFile<28>; // the writer gives it up

struct Leaving {
  static constexpr std::uint16_t kType = 29;
  template <typename V, typename S>
  static void fields(V&, S&) {}
};

} // namespace postrider::proto
