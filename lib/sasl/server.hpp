// SPDX-License-Identifier: MIT
// The server side of SASL, by Cyrus SASL: one Exchange is one attempt of one client to log in.
// Everything here may block for as long as a plug-in or what stands behind it (saslauthd, LDAP)
// likes, and runs the code of plug-ins: it belongs into a process that can be killed (saslmgr). Not
// for two threads. Security layers are never negotiated: TLS is what protects a session.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/secret.hpp"

namespace postrider::sasl {

// What is known of the client's session.
struct ServerFacts {
  std::string service = "smtp";
  std::string hostname;
  std::string realm;                 // empty: none
  std::string client;                // IP addresses; empty: not told to plug-ins
  std::string server;                // likewise
  std::vector<std::string> security; // words of smtpd_sasl_security_options
  std::string external;              // who TLS says it is; empty: EXTERNAL is not possible
};

enum class Stage {
  challenge, // go on
  done,
  refused,   // by the mechanism or the password database
  failed,    // nobody can say: a backend is away, or answers nonsense
  forbidden, // Admit said no
};

struct ServerStep {
  Stage stage = Stage::failed;
  Secret challenge;
  std::string username;  // done: printable; who is logged in
  std::string account;   // whose password was asked for, as far as it is known; printable
  std::string reason;    // neither challenge nor done: for the client and the log
  std::string mechanism; // as Cyrus writes it
  std::string trouble;   // what Cyrus wants to be logged; empty: nothing
  bool guess = false;    // refused because of what was shown, rather than of how
};

class Exchange {
 public:
  // Longest account name, in bytes.
  static constexpr std::size_t kLongestName = 255;
  // Called before a password is looked at. False ends the attempt.
  using Admit = std::function<bool(const std::string& account)>;

  // Once in a process. `application` names the file "application.conf"; `config_path` is a list of
  // directories, colons between; empty: Cyrus's own.
  static Result<void> initialize(const std::string& application, const std::string& config_path);
  // What could be used, in Cyrus's order. Error not_found: nothing.
  static Result<std::vector<std::string>> mechanisms(const ServerFacts& facts);

  Exchange(ServerFacts facts, Admit admit);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  // `initial`: the response that came with AUTH, not base64; absent is not empty.
  ServerStep start(const std::string& mechanism, std::optional<std::string_view> initial);
  // REQUIRES: the last stage was `challenge`.
  ServerStep step(std::string_view response);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

} // namespace postrider::sasl
