// SPDX-License-Identifier: MIT
// anvil: how many connections each client of each service has now, and how much it does in a time
// unit, over all processes. Socket private/anvil; the shape of all helper services (doc/ipc.md).
//
//   anvil                                      smtpd
//   Hello{anvil 1}  ----------------------->
//                      <--------------------  CountClient{1, "smtp", "192.0.2.1", connection}
//   ClientCount{1, connections=2, rate=7}  ->
//                      <--------------------  CountClient{2, "smtp", "192.0.2.1", message}
//   ClientCount{2, connections=2, rate=1}  ->
//                      <--------------------  ClientLeft{"smtp", "192.0.2.1"}   no answer
//
// The connections that a process has told end with the process. Messages are types 152-159.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace postrider::proto {

inline constexpr std::string_view kAnvilProtocol = "anvil";
inline constexpr std::uint32_t kAnvilVersion = 1;

inline constexpr std::size_t kLongestClientText = 255; // of a service's name, and of a client

enum class ClientEvent : std::uint8_t { connection, message, recipient, tls_session, auth };
constexpr ClientEvent highest(ClientEvent) { return ClientEvent::auth; }
inline constexpr std::size_t kClientEvents = 5;

struct CountClient {
  static constexpr std::uint16_t kType = 152;
  std::uint64_t number = 0;
  std::string service; // first column of master.cf
  std::string client;  // "192.0.2.1", "2001:db8::/84"
  ClientEvent event = ClientEvent::connection;
  bool only_asks = false; // nothing has happened yet
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v("service", s.service);
    v("client", s.client);
    v("event", s.event);
    v("only_asks", s.only_asks);
  }
};

struct ClientCount {
  static constexpr std::uint16_t kType = 153;
  std::uint64_t number = 0;
  std::uint64_t connections = 0; // now
  std::uint64_t rate = 0;        // events of this kind in the time unit
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("number", s.number);
    v("connections", s.connections);
    v("rate", s.rate);
  }
};

struct ClientLeft {
  static constexpr std::uint16_t kType = 154;
  std::string service;
  std::string client;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("service", s.service);
    v("client", s.client);
  }
};

} // namespace postrider::proto
