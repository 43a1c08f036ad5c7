// SPDX-License-Identifier: MIT
#include "dns/hosts_file.hpp"

#include <algorithm>

#include "base/ascii.hpp"
#include "base/log.hpp"

namespace postrider::dns {
namespace {

constexpr std::size_t kLargestFile = std::size_t{8} << 20;

// An IPv4-mapped address is the IPv4 one.
bool is_same_host(const net::Address& a, const net::Address& b) { return a.text() == b.text(); }

} // namespace

HostsFile::HostsFile(Clock& clock, std::string path)
    : clock_(clock), path_(std::move(path)), checked_(clock.steady() - std::chrono::hours(1)) {
  refresh();
}

void HostsFile::refresh() {
  const SteadyTime now = clock_.steady();
  if (now - checked_ < std::chrono::seconds(1)) return;
  checked_ = now;
  const auto stamp = stamp_of(path_);
  if (!stamp || stamp_ == *stamp) return;
  auto file = read_text_file(path_, kLargestFile);
  stamp_ = *stamp; // one warning for each change
  if (!file) {
    log::warning(path_ + ": " + file.error().text());
    return;
  }
  text_ = std::move(file->text);
  stamp_ = file->stamp;
}

// The next line that has an address and a name; nullopt: no more.
std::optional<HostsFile::Line> HostsFile::next_line(std::string_view& text) {
  while (!text.empty()) {
    const std::string_view whole = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), whole.size() + 1));
    auto words = split(whole.substr(0, whole.find('#')), " \t\r\v\f");
    if (words.size() < 2) continue;
    const auto address = net::Address::parse_ip(words.front(), 0);
    if (!address) continue;
    words.erase(words.begin());
    return Line{*address, std::move(words)};
  }
  return std::nullopt;
}

std::string HostsFile::name_of(const net::Address& address) {
  refresh();
  std::string_view rest = text_;
  while (const auto line = next_line(rest))
    if (is_same_host(line->address, address)) return std::string(line->names.front());
  return {};
}

std::vector<net::Address> HostsFile::addresses_of(std::string_view name, int family) {
  refresh();
  std::vector<net::Address> found;
  std::string_view rest = text_;
  while (const auto line = next_line(rest)) {
    if (line->address.family() != family) continue;
    for (const std::string_view one : line->names)
      if (iequals(one, name)) {
        found.push_back(line->address);
        break;
      }
  }
  return found;
}

} // namespace postrider::dns
