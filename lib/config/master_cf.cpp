// SPDX-License-Identifier: MIT
#include "config/master_cf.hpp"

#include <algorithm>
#include <map>

#include "base/ascii.hpp"
#include "base/check.hpp"
#include "base/logical_lines.hpp"
#include "base/result.hpp"
#include "base/words.hpp"
#include "config/main_cf.hpp"
#include "config/units.hpp"

namespace postrider::config {

namespace {

constexpr std::string_view kBlanks = " \t\r\n\f\v";
constexpr std::size_t kColumns = 8;

Error bad(std::string text) { return {ErrorKind::config, std::move(text)}; }

std::string quoted(std::string_view text) {
  constexpr std::size_t kMost = 60;
  return "\"" + std::string(text.substr(0, kMost)) + (text.size() > kMost ? "...\"" : "\"");
}

Result<bool> parse_column(std::string_view column, std::string_view text, bool initial) {
  if (text == "-") return initial;
  if (text == "y") return true;
  if (text == "n") return false;
  return bad("column " + std::string(column) + " is " + quoted(text) + "; use y, n or -");
}

bool is_port(std::string_view text) {
  if (text.empty() || text.size() > 64) return false;
  if (auto number = parse_number(text)) return *number >= 1 && *number <= 65535;
  return std::any_of(text.begin(), text.end(), is_alpha) &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return is_alnum(c) || c == '-' || c == '_'; });
}

Result<ListenPoint> parse_listen(std::string_view name) {
  ListenPoint point;
  std::string_view rest = name;
  if (!rest.empty() && rest.front() == '[') {
    const std::size_t close = rest.find(']');
    if (close == std::string_view::npos || close == 1)
      return bad("service " + quoted(name) + ": write [address]:port");
    point.host = rest.substr(1, close - 1);
    rest.remove_prefix(close + 1);
    if (rest.empty() || rest.front() != ':')
      return bad("service " + quoted(name) + ": no port behind the address; write [address]:port");
    rest.remove_prefix(1);
  } else if (const std::size_t colon = rest.rfind(':'); colon != std::string_view::npos) {
    point.host = rest.substr(0, colon);
    rest.remove_prefix(colon + 1);
    if (point.host.find(':') != std::string::npos)
      return bad("service " + quoted(name) + ": put the IPv6 address in [ ]");
  }
  if (!is_port(rest))
    return bad("service " + quoted(name) +
               ": not a port; write a number from 1 to 65535 or the name of a service");
  point.port = rest;
  return point;
}

// A socket's name becomes a path: nothing may lead out of the directory.
bool is_socket_name(std::string_view name) {
  return !name.empty() && name.size() <= 80 && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return is_alnum(c) || c == '-' || c == '_' || c == '.' || c == '+';
         });
}

Result<void> parse_wakeup(std::string_view text, ServiceEntry& entry) {
  if (text == "-") return {};
  if (text.ends_with('?')) {
    entry.wakeup_only_if_used = true;
    text.remove_suffix(1);
  }
  constexpr std::int64_t kWeek = 7 * 86400;
  const auto seconds = parse_number(text);
  if (!seconds || *seconds > kWeek)
    return bad("column wakeup is " + quoted(text) + "; write seconds (0 is never), a ? may follow");
  entry.wakeup = std::chrono::seconds(*seconds);
  return {};
}

Result<void> parse_limit(std::string_view text, ServiceEntry& entry) {
  constexpr std::int64_t kMost = 100'000;
  if (text == "-") return {};
  const auto limit = parse_number(text);
  if (!limit || *limit > kMost)
    return bad("column limit is " + quoted(text) +
               "; write a number up to 100000, 0 for no limit, or -");
  entry.limit = static_cast<unsigned>(*limit);
  return {};
}

Result<void> parse_override(std::string_view text, ServiceEntry& entry) {
  const std::size_t equals = text.find('=');
  const std::string_view name = trim(text.substr(0, equals));
  if (equals == std::string_view::npos || !is_parameter_name(name))
    return bad("-o " + quoted(text) + ": write -o name=value or -o { name = value }");
  entry.overrides.emplace_back(name, trim(text.substr(equals + 1)));
  return {};
}

Result<void> parse_arguments(const std::vector<std::string>& fields, ServiceEntry& entry) {
  for (std::size_t i = kColumns; i < fields.size(); ++i) {
    const std::string& argument = fields[i];
    if (argument == "-o") {
      if (++i == fields.size()) return bad("-o at the end of the line; write -o name=value");
      POSTRIDER_TRY_VOID(parse_override(fields[i], entry));
    } else if (argument.starts_with("-o") && argument.find('=') != std::string::npos) {
      POSTRIDER_TRY_VOID(parse_override(std::string_view(argument).substr(2), entry));
    } else {
      entry.arguments.push_back(argument);
    }
  }
  return {};
}

Result<ServiceEntry> parse_service(const LogicalLine& line) {
  if (is_space(line.text.front()))
    return bad("the line starts with white space but continues nothing; remove the white space");
  if (line.text.find('\0') != std::string::npos)
    return bad("the line holds a zero byte; write the file as plain text");
  POSTRIDER_TRY(const std::vector<std::string> fields, split_words(line.text, kBlanks));
  if (fields.size() < kColumns)
    return bad(quoted(fields.empty() ? "" : fields[0]) + " has " + std::to_string(fields.size()) +
               " columns; write name type private unprivileged chroot wakeup limit command");
  ServiceEntry entry;
  entry.line = line.number;
  entry.name = fields[0];
  if (fields[1] == "inet") {
    entry.type = ServiceType::inet;
    POSTRIDER_TRY(entry.listen, parse_listen(entry.name));
  } else if (fields[1] == "unix") {
    if (!is_socket_name(entry.name))
      return bad("service " + quoted(entry.name) +
                 ": use letters, digits, '-', '_', '+' and '.' in the name of a socket");
  } else {
    return bad("type " + quoted(fields[1]) + " is not known; use inet or unix" +
               (fields[1] == "unix-dgram" || fields[1] == "fifo" || fields[1] == "pass"
                    ? " (this suite needs no such service: remove the line)"
                    : ""));
  }
  POSTRIDER_TRY(entry.is_private,
                parse_column("private", fields[2], entry.type == ServiceType::unix_));
  if (entry.type == ServiceType::inet && entry.is_private)
    return bad("column private is y; a service of type inet is open to the network: use n");
  POSTRIDER_TRY(entry.unprivileged, parse_column("unprivileged", fields[3], true));
  POSTRIDER_TRY(entry.chroot, parse_column("chroot", fields[4], false));
  POSTRIDER_TRY_VOID(parse_wakeup(fields[5], entry));
  POSTRIDER_TRY_VOID(parse_limit(fields[6], entry));
  entry.command = fields[7];
  if (entry.command.empty() || entry.command.find('/') != std::string::npos ||
      entry.command.front() == '.' || entry.command.front() == '-')
    return bad("command " + quoted(entry.command) +
               ": write the name of a program in daemon_directory, without a path");
  POSTRIDER_TRY_VOID(parse_arguments(fields, entry));
  return entry;
}

} // namespace

std::string_view to_string(ServiceType type) {
  switch (type) {
  case ServiceType::inet: return "inet";
  case ServiceType::unix_: return "unix";
  }
  POSTRIDER_UNREACHABLE();
}

MasterCf parse_master_cf(std::string_view text, std::string_view file) {
  MasterCf parsed;
  std::map<std::pair<ServiceType, std::string>, std::size_t> seen;
  LogicalLines lines(text);
  while (auto line = lines.next()) {
    const std::string where = std::string(file) + ":" + std::to_string(line->number) + ": ";
    Result<ServiceEntry> entry = parse_service(*line);
    if (!entry) {
      parsed.errors.push_back(where + entry.error().text());
      continue;
    }
    const auto [place, fresh] = seen.emplace(std::pair(entry->type, entry->name), entry->line);
    if (!fresh) {
      parsed.errors.push_back(where + quoted(entry->name) + " stands in line " +
                              std::to_string(place->second) + " already; remove one of them");
      continue;
    }
    parsed.services.push_back(*std::move(entry));
  }
  return parsed;
}

} // namespace postrider::config
