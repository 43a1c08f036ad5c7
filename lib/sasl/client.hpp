// SPDX-License-Identifier: MIT
// The client side of one SASL dialogue, by Cyrus SASL, with XOAUTH2 and OAUTHBEARER of our own.
// Plug-ins may block: every call of one runs on the offload pool, one at a time for each dialogue.
// Passwords are wiped when the object goes, and stand in no Error and no log line.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ev/offload.hpp"

namespace postrider::sasl {

struct Identity {
  std::string user;
  std::string password;     // or the token, for XOAUTH2 and OAUTHBEARER
  std::string authorize_as; // empty: nobody else
  bool has_token = false;
};

struct Dialogue {
  std::string service = "smtp"; // or "lmtp"
  std::string server;           // host name: for GSSAPI, DIGEST-MD5
  std::string local;            // "192.0.2.1;25", or empty
  std::string remote;
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

  // Once in a process, before the jail: reads the plug-ins. Blocks.
  static Result<void> initialize(const std::string& plugin_path, const std::string& config_path);

  Client(ev::Offload& offload, Dialogue dialogue);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  struct Begun {
    std::string mechanism;
    std::optional<std::string> initial; // response, not base64; absent: wait for a challenge
    Begun() {}
  };
  // WAITS. Error not_found: none of the mechanisms can be used.
  ev::Task<Result<Begun>> begin(ev::Deadline deadline);
  // WAITS. The response to a challenge (neither in base64). Error protocol: it makes no sense.
  ev::Task<Result<std::string>> respond(std::string_view challenge, ev::Deadline deadline);
  // The server said yes, with these data if any: what it owed us (mutual_auth) is there. WAITS.
  ev::Task<Result<void>> finish(std::string_view data, ev::Deadline deadline);

 private:
  struct State;
  std::shared_ptr<State> state_; // shared with a job that outlives a deadline
};

} // namespace postrider::sasl
