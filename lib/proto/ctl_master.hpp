// SPDX-License-Identifier: MIT
// What master can be asked, over private/master below the queue directory. Root and the user that
// master runs as may ask; others, mail_owner's programs too, find the connection closed.
//
//   client                              master
//                                       Hello{"master", 1}
//   MasterRequest{verb: status}         MasterStatus{...}
//   MasterRequest{verb: reload}         MasterDone{ok: no, text: "main.cf:7: ..."}
//   MasterRequest{verb: stop}           MasterDone{ok: yes} at once; the connection closes when
//                                       everything is down
//   MasterRequest{verb: upgrade}        MasterDone{ok: no, text: ...}, or the connection closes and
//                                       the new program answers the next one
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/fields.hpp"

namespace postrider::proto {

inline constexpr const char* kMasterProtocol = "master";
inline constexpr std::uint32_t kMasterVersion = 1;
inline constexpr const char* kMasterSocket = "private/master";

enum class MasterVerb : std::uint8_t { status, reload, stop, upgrade };
constexpr MasterVerb highest(MasterVerb) { return MasterVerb::upgrade; }

struct MasterRequest {
  static constexpr std::uint16_t kType = 10;
  MasterVerb verb = MasterVerb::status;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("verb", s.verb);
  }
};

struct MasterDone {
  static constexpr std::uint16_t kType = 11;
  bool ok = false;
  std::string text;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("ok", s.ok);
    v.optional("text", s.text);
  }
};

struct MasterChild {
  std::uint32_t pid = 0;
  std::string state; // starting, free, busy, leaving
  std::uint32_t generation = 0;
  std::uint64_t uptime_seconds = 0;
  std::uint32_t clients = 0;
  std::string jail; // "limits, user, no_new_privs"
  bool operator==(const MasterChild&) const = default;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("pid", s.pid);
    v("state", s.state);
    v("generation", s.generation);
    v("uptime_seconds", s.uptime_seconds);
    v.optional("clients", s.clients);
    v.optional("jail", s.jail);
  }
};

struct MasterService {
  std::string name;
  std::string type; // inet, unix
  std::string command;
  std::string state; // the words of master/service_state.hpp
  std::uint32_t limit = 0;
  std::vector<std::string> listen; // "127.0.0.1:25", "private/smtp"
  std::vector<MasterChild> children;
  std::uint64_t deaths = 0;           // since master started
  std::string last_death;             // cause; empty: none
  std::int64_t last_death_micros = 0; // unix time
  std::uint64_t backoff_millis = 0;   // left until the next try; throttled only
  bool operator==(const MasterService&) const = default;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("name", s.name);
    v("type", s.type);
    v("command", s.command);
    v("state", s.state);
    v("limit", s.limit);
    v.optional("listen", s.listen);
    v.optional("children", s.children);
    v.optional("deaths", s.deaths);
    v.optional("last_death", s.last_death);
    v.optional("last_death_micros", s.last_death_micros);
    v.optional("backoff_millis", s.backoff_millis);
  }
};

struct MasterStatus {
  static constexpr std::uint16_t kType = 12;
  std::uint32_t pid = 0;
  std::string version;
  std::uint32_t generation = 0;
  std::uint64_t uptime_seconds = 0;
  bool stopping = false;
  std::string sharing; // which programs share mail_owner's uid for want of users; empty: none
  std::vector<MasterService> services;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("pid", s.pid);
    v("version", s.version);
    v("generation", s.generation);
    v("uptime_seconds", s.uptime_seconds);
    v.optional("stopping", s.stopping);
    v.optional("sharing", s.sharing);
    v.optional("services", s.services);
  }
};

} // namespace postrider::proto
