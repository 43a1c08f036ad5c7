// SPDX-License-Identifier: MIT
// The hosts file (hosts(5)): what the system asks before the DNS. Read again after a change, which
// is looked for at most once a second; a file that cannot be read any more leaves what it said
// before (after a chroot, say). As in the C library a look-up goes through the file from its
// beginning.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/text_file.hpp"
#include "net/address.hpp"

namespace postrider::dns {

class HostsFile {
 public:
  explicit HostsFile(Clock& clock, std::string path = "/etc/hosts");

  // The first name of the first line with this address; empty: it is not there.
  std::string name_of(const net::Address& address);
  // Those of one family (AF_INET, AF_INET6) on the lines with this name; port 0.
  std::vector<net::Address> addresses_of(std::string_view name, int family);

 private:
  struct Line {
    net::Address address;
    std::vector<std::string_view> names;
  };
  void refresh();
  static std::optional<Line> next_line(std::string_view& text);

  Clock& clock_;
  std::string path_;
  SteadyTime checked_;
  std::optional<FileStamp> stamp_;
  std::string text_;
};

} // namespace postrider::dns
