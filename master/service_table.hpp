// SPDX-License-Identifier: MIT
// From master.cf and main.cf to what master shall run. Made at start and at each reload, before
// anything is touched: a Plan either is complete or its errors are reported and nothing changes.
// Looks names up (services(5), getaddrinfo), so it may wait; master does so at these two moments
// only.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "config/master_cf.hpp"
#include "config/settings.hpp"
#include "net/address.hpp"

namespace postrider::master {

// A socket that the service listens on. Equal points keep their descriptor across a reload.
struct ListenAt {
  net::Address address;       // a UNIX path is relative to the queue directory
  bool may_be_absent = false; // IPv6 wildcard on a host without IPv6
  int window = 0;             // tcp_windowsize
  bool operator==(const ListenAt& other) const { return address == other.address; }
};

struct ServicePlan {
  std::string key; // "smtp/inet": unique
  config::ServiceEntry entry;
  std::vector<ListenAt> listen;
  unsigned limit = 1;
  // Limit 1 was asked for, of a program that is not made to have siblings: never two at one time,
  // not even while one leaves.
  bool exclusive = false;
  bool resident = false; // exclusive, and always there: qmgr, or what has a wake-up time
  std::string path;      // of the program
  std::vector<std::string> arguments; // argv
};

struct Plan {
  std::vector<ServicePlan> services;
  std::vector<std::string> errors;
  std::vector<std::string> warnings;
};

struct Host {
  unsigned cores = 1;
  bool root = false;
  static Host here();
};

Plan make_plan(const config::MasterCf& master_cf, const config::Settings& settings,
               const Host& host);

// Both files, read and understood, or what is wrong with them.
struct Configuration {
  config::Settings settings;
  Plan plan;
};
// Error config: every line of `errors` says file and line.
Result<Configuration> load_configuration(const std::string& directory,
                                         const std::vector<config::Override>& overrides,
                                         const Host& host, std::vector<std::string>& errors,
                                         std::vector<std::string>& warnings);

} // namespace postrider::master
