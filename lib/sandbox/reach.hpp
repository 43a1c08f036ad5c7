// SPDX-License-Identifier: MIT
// What a program may reach beyond its descriptors: files by path, TCP ports. Made from the
// configuration, before root's rights go; landlock.hpp enforces it. A value: two of them can be
// compared, to find out whether a new configuration needs more than the old one.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "config/settings.hpp"

namespace postrider::sandbox {

enum class Access : std::uint8_t {
  append, // to write files as they are, neither read nor cut: logs
  read,   // files, and what directories hold
  write,  // both, and to cut: no new ones
  own,    // and to create, rename, remove
};

// One file that is reached by itself. When another one takes its name, that is out of reach. All
// zero: there is none yet.
struct Pin {
  dev_t device = 0;
  ino_t number = 0;
  Access access = Access::read;
  bool operator==(const Pin&) const = default;
};

class Reach {
 public:
  // The process will run as `uid`. Where the queue belongs to the same user, only the sandbox keeps
  // the process out of it, and a directory that holds the queue is never reached as a whole.
  Reach(const config::Settings& settings, uid_t uid);

  // Everything below `path`. What is not there is left out.
  void directory(const std::string& path, Access access);
  // This file, as it is now.
  void file(const std::string& path, Access access);
  // A file that may be replaced by renaming another one over it: the directory that holds it,
  // unless the queue is in there; then the file, and the same name with each of the endings of
  // tables.
  void replaceable(const std::string& path, Access access = Access::read);

  void connect(std::uint16_t port) { ports_.insert(port); }
  void connect_anywhere() { any_port_ = true; }
  // Nothing is closed, for a documented reason.
  void leave_files_open() { files_open_ = true; }

  bool operator==(const Reach&) const = default;
  const std::map<std::string, Access>& directories() const { return directories_; }
  const std::map<std::string, Access>& files() const { return files_; }
  const std::set<std::uint16_t>& ports() const { return ports_; }
  bool any_port() const { return any_port_; }
  bool files_open() const { return files_open_; }
  // Whether a pinned file that is read has been made, replaced or removed. (One that is written,
  // the log, is open already.)
  bool is_stale() const;

 private:
  bool holds_queue(const std::string& directory) const;

  std::string queue_; // real path; empty when another user owns it
  std::map<std::string, Access> directories_;
  std::map<std::string, Access> files_;
  std::map<std::string, Pin> pins_;
  std::set<std::uint16_t> ports_;
  bool any_port_ = false;
  bool files_open_ = false;
};

// --- what profiles are made of
// --------------------------------------------------------------------

// Libraries that are loaded late (name services, character sets, plug-ins), time zones, /dev/null.
void reach_system(Reach& reach);
// main.cf and master.cf, and every table, certificate and key that a parameter of the program
// names: they are read again when they change.
void reach_configuration(Reach& reach, const config::Settings& settings, std::string_view program);
// Names of hosts: the system's files about them, and port 53 and those of dns_resolvers.
void reach_names(Reach& reach, const config::Settings& settings);
// Names of users, which the system may replace at any time.
void reach_users(Reach& reach);
// Roots of certificates that come with the system.
void reach_roots(Reach& reach);
// The ports of every "inet:host:port" in the configuration: policy services, filters, socketmaps.
void reach_servers(Reach& reach, const config::Settings& settings);
// The log, when a reload opens it anew: the file, or with `rotated` the one that takes its place,
// too.
void reach_log(Reach& reach, const config::Settings& settings, bool rotated);
// An LMDB file of the program's own: it, its lock, and its successor, by renaming.
void reach_database(Reach& reach, const std::string& path);

} // namespace postrider::sandbox
