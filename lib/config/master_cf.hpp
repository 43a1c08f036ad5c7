// SPDX-License-Identifier: MIT
// The syntax of master.cf: one service per logical line,
//   name  type  private  unprivileged  chroot  wakeup  limit  command [arguments]
// with '-' for a default. Pure: whether programs exist and names resolve is not asked here.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace postrider::config {

enum class ServiceType { inet, unix_ };
std::string_view to_string(ServiceType type);

// Type inet: where to listen, "smtp", "127.0.0.1:2525", "[::1]:2525", "host:submission".
struct ListenPoint {
  std::string host; // empty: the addresses of inet_interfaces
  std::string port; // digits, or a name for known_tcp_ports and services(5)
  bool operator==(const ListenPoint&) const = default;
};

struct ServiceEntry {
  std::string name; // the first column; type unix: the name of the socket below private/ or public/
  ServiceType type = ServiceType::unix_;
  ListenPoint listen;               // type inet
  bool is_private = true;           // type unix: private/ (the suite only) or public/
  bool unprivileged = true;         // runs as $mail_owner
  bool chroot = false;              // in $queue_directory
  std::chrono::seconds wakeup{0};   // 0: never
  bool wakeup_only_if_used = false; // '?': not before somebody used the service
  std::optional<unsigned> limit;    // of processes; none: as many as useful; 0: no limit
  std::string command;              // file name below $daemon_directory
  std::vector<std::pair<std::string, std::string>> overrides; // -o
  std::vector<std::string> arguments;                         // all others
  std::size_t line = 0;

  // "private/smtp", "public/qmgr": below $queue_directory. REQUIRES type unix.
  std::string socket_path() const { return (is_private ? "private/" : "public/") + name; }
};

struct MasterCf {
  std::vector<ServiceEntry> services; // in the order of the file
  std::vector<std::string> errors;    // "master.cf:3: ...: what to do"
};

// `file` is for messages only.
MasterCf parse_master_cf(std::string_view text, std::string_view file = "master.cf");

} // namespace postrider::config
