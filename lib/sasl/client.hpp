// SPDX-License-Identifier: MIT
// The client side of one SASL dialogue, by Cyrus SASL, with XOAUTH2 and OAUTHBEARER of our own
// (sasl/bearer.hpp). Plug-ins may block: every call of one runs on the offload pool, one at a time
// for each dialogue. Security layers are never negotiated: TLS is what protects a session.
// Passwords are wiped when the object goes, and stand in no Error and no log line.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/secret.hpp"
#include "ev/offload.hpp"

namespace postrider::sasl {

struct Identity {
  std::string user;
  Secret password;          // or the token, for XOAUTH2 and OAUTHBEARER
  std::string authorize_as; // empty: nobody else
  bool has_token = false;   // then no other mechanism is used
};

struct Dialogue {
  std::string service = "smtp";        // or "lmtp"
  std::string server;                  // host name: for GSSAPI, DIGEST-MD5
  std::uint16_t port = 0;              // for OAUTHBEARER
  std::vector<std::string> mechanisms; // offered, and allowed by the filter
  std::vector<std::string> security;   // "noplaintext", "noactive", "nodictionary", "noanonymous",
                                       // "mutual_auth"
  bool client_certificate = false;     // TLS showed one: EXTERNAL is possible
  Identity identity;
};

class Client {
 public:
  // Longest challenge and response, base64 taken off.
  static constexpr std::size_t kMost = 64 * 1024;
  // Mechanisms of a server that are looked at.
  static constexpr std::size_t kMostMechanisms = 64;

  // Once in a process, before the jail: reads the plug-ins, of `plugin_path` unless it is empty.
  // Blocks.
  static Result<void> initialize(const std::string& plugin_path);

  // REQUIRES: initialize() was called; `offload` outlives the object.
  Client(ev::Offload& offload, Dialogue dialogue);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  struct Begun {
    std::string mechanism;
    std::optional<Secret> initial; // response, not base64; absent: wait for a challenge
    Begun() {}
  };
  // WAITS. Error not_found: none of the mechanisms can be used. After Error timeout or cancelled
  // the object is of no more use: a plug-in may be running still, and owns what it works on.
  ev::Task<Result<Begun>> begin(ev::Deadline deadline);
  // WAITS. The response to a challenge (neither in base64). Error protocol: it makes no sense, or
  // comes when the mechanism has nothing more to say; limit: one of them is too long.
  ev::Task<Result<Secret>> respond(std::string_view challenge, ev::Deadline deadline);
  // The server said yes. Error protocol: before the mechanism was through, so that a server that
  // had to prove itself (mutual_auth) did not.
  Result<void> finish() const;
  // Of a dialogue whose call has missed its deadline, to be asked when the Client is gone: lives as
  // long as that call occupies a thread of the pool.
  std::weak_ptr<const void> hung() const;
  // What the server told of the reason for its refusal (RFC 7628 section 3.2.2), printable.
  const std::string& explanation() const;

 private:
  struct State;
  std::shared_ptr<State> state_; // shared with a job that outlives a deadline
};

} // namespace postrider::sasl
