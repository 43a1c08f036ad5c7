// SPDX-License-Identifier: MIT
// Who the client is, as far as the system, the name service, TLS and AUTH tell us.
#pragma once

#include <cstdint>
#include <string>

#include "base/secret.hpp"
#include "dns/client_name.hpp"

namespace postrider::smtpd {

// TLS of the connection.
struct PeerTls {
  std::string protocol; // "TLSv1.3"; empty: no TLS
  std::string cipher;   // "TLS_AES_256_GCM_SHA384"
  int bits = 0;         // of the cipher, in use and of the algorithm
  int algorithm_bits = 0;
  std::string details;            // "key-exchange X25519 ..." or empty
  bool asked_certificate = false; // of the client
  bool has_certificate = false;
  bool trusted = false; // it leads to a root of ours
  std::string subject;  // common names
  std::string issuer;
  std::string fingerprint; // "AB:CD:..." of the certificate, and of its public key
  std::string key_fingerprint;
};

// A successful AUTH.
struct PeerLogin {
  std::string method; // "PLAIN"; empty: nobody logged in
  std::string user;
  // As the client said them, for smtpd_forward_auth = forward and for nothing else: in memory, as
  // long as the session.
  std::string said_user;
  Secret said_password;
};

struct Peer {
  std::string name = "unknown";         // verified
  std::string reverse_name = "unknown"; // what its address claims, verified or not
  dns::NameStatus name_status = dns::NameStatus::not_found;
  dns::NameStatus reverse_name_status = dns::NameStatus::not_found;
  std::string address; // empty: a process of this host, over a UNIX socket
  std::string port;
  std::string server_address; // where it connected to; empty: not known
  std::string server_port;
  std::uint32_t uid = 0; // of that process
  PeerTls tls;
  PeerLogin login;
  bool local = false;
  bool trusted = false; // in mynetworks, or local
  bool free_of_limits = false;
  bool bare_newlines_pass = false;
  bool may_submit = true;    // authorized_submit_users, of a local one
  bool may_xclient = false;  // smtpd_authorized_xclient_hosts
  bool may_xforward = false; // smtpd_authorized_xforward_hosts
  bool shows_port = false;   // smtpd_client_port_logging
  std::string network;       // as which it is counted for limits; empty: not counted
  bool told = false;         // to anvil, too

  // "mx.example[192.0.2.1]", "unknown[192.0.2.1]", "localhost[local]", with
  // smtpd_client_port_logging "mx.example[192.0.2.1]:4711": how log lines name it.
  std::string shown() const {
    std::string text = name + "[" + (local ? "local" : address) + "]";
    if (shows_port && !local) text += ":" + port;
    return text;
  }
};

inline Peer make_peer(const net::Address& client, const net::Address& server) {
  Peer peer;
  peer.address = client.text();
  peer.port = std::to_string(client.port());
  peer.server_address = server.text();
  peer.server_port = std::to_string(server.port());
  return peer;
}

inline void set_name(Peer& peer, const dns::ClientName& found) {
  peer.name = found.name;
  peer.reverse_name = found.reverse_name;
  peer.name_status = found.status;
  peer.reverse_name_status = found.reverse_status;
}

// What cannot be told from where it comes.
inline Peer make_unknown_peer() {
  Peer peer;
  peer.address = peer.port = "unknown";
  return peer;
}

inline Peer make_local_peer(std::uint32_t uid) {
  Peer peer;
  peer.name = peer.reverse_name = "localhost";
  peer.name_status = peer.reverse_name_status = dns::NameStatus::ok;
  peer.uid = uid;
  peer.local = true;
  peer.trusted = true;
  peer.free_of_limits = true;
  peer.bare_newlines_pass = true;
  return peer;
}

} // namespace postrider::smtpd
