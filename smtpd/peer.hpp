// SPDX-License-Identifier: MIT
// Who the client is, as far as the system tells us. Names are not looked up: a client is "unknown",
// or "localhost" for a loopback address or a process of this host.
#pragma once

#include <cstdint>
#include <string>

#include "net/address.hpp"

namespace postrider::smtpd {

struct Peer {
  std::string name = "unknown";
  std::string address; // empty: a process of this host, over a UNIX socket
  std::string port;
  std::uint32_t uid = 0; // of that process
  bool local = false;
  bool trusted = false; // in mynetworks, or local
  bool free_of_limits = false;
  bool bare_newlines_pass = false;
  bool may_submit = true; // authorized_submit_users, of a local one

  // "unknown[192.0.2.1]", "localhost[local]": how log lines name it.
  std::string shown() const { return name + "[" + (local ? "local" : address) + "]"; }
};

inline Peer make_peer(const net::Address& address) {
  Peer peer;
  peer.address = address.text();
  peer.port = std::to_string(address.port());
  if (address.is_loopback()) peer.name = "localhost";
  return peer;
}

inline Peer make_local_peer(std::uint32_t uid) {
  Peer peer;
  peer.name = "localhost";
  peer.uid = uid;
  peer.local = true;
  peer.trusted = true;
  peer.free_of_limits = true;
  peer.bare_newlines_pass = true;
  return peer;
}

} // namespace postrider::smtpd
