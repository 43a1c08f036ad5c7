// SPDX-License-Identifier: MIT
// `postrider init`: a private instance that runs as it is. main.cf, master.cf, spool, data and log
// stand in one directory.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"

namespace postrider::ctl {

struct InstanceFile {
  std::string name; // beside main.cf
  std::string text;
  bool secret = false; // for the owner of the mail only
};

struct Instance {
  std::string directory;           // absolute
  std::vector<std::string> listen; // "127.0.0.1:2525", "[::1]:2525", "2525"
  std::string relayhost;
  std::string myhostname;
  std::string user; // mail_owner
  std::string log;  // maillog_file; empty: DIR/log/postrider.log
  // From another configuration: further lines of main.cf, services in place of the listeners
  // (those of the suite that they do not name are added), and tables.
  std::string main_lines;
  std::string master_lines;
  std::vector<InstanceFile> files;
};

// Pure. Error config names the option that cannot be used.
Result<std::string> main_cf_text(const Instance& instance);
Result<std::string> master_cf_text(const Instance& instance);

struct Made {
  std::vector<std::string> made;     // paths
  std::vector<std::string> warnings; // each a sentence
};
// Makes directories and files. Nothing is overwritten: Error busy when there is a main.cf already.
Result<Made> make_instance(const Instance& instance);

// What is wrong with keeping mail in this file system; empty when nothing is.
std::string file_system_trouble(const std::string& path);

} // namespace postrider::ctl
