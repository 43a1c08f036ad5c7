// SPDX-License-Identifier: MIT
// The answer section of a reply, read without trust in a single byte of it.
#include "dns/resolver.hpp"

#include <arpa/nameser.h>
#include <netinet/in.h>
#include <set>

#include "base/ascii.hpp"
#include "mail/domain.hpp"

namespace postrider::dns {

std::string_view to_string(Type type) {
  switch (type) {
  case Type::a: return "A";
  case Type::ns: return "NS";
  case Type::cname: return "CNAME";
  case Type::soa: return "SOA";
  case Type::ptr: return "PTR";
  case Type::mx: return "MX";
  case Type::txt: return "TXT";
  case Type::aaaa: return "AAAA";
  case Type::srv: return "SRV";
  case Type::tlsa: return "TLSA";
  }
  return "?";
}

namespace {

constexpr std::uint32_t kLongestTtl = 0x7fffffff;
constexpr std::size_t kMaxAliases = 16; // in a row

std::string without_root_dot(std::string_view name) {
  if (!name.empty() && name.back() == '.') name.remove_suffix(1);
  return std::string(name);
}

// A name out of a message as text, odd bytes escaped; false when it is not encoded as a name.
bool expand_name(const ns_msg& message, const unsigned char* at, std::string& out) {
  char buffer[NS_MAXDNAME];
  if (ns_name_uncompress(ns_msg_base(message), ns_msg_end(message), at, buffer, sizeof buffer) < 0)
    return false;
  out = without_root_dot(buffer);
  return true;
}

enum class Read { good, malformed, no_host };

// Escapes, blanks, slashes and the like have no business in a host name: it ends up in logs, cache
// keys and look-ups of tables. The root has a meaning in an MX record (RFC 7505), and a numeric
// address there works with other mail systems.
Read read_host(const ns_msg& message, const unsigned char* at, Type type, Record& out,
               Answer& answer) {
  if (!expand_name(message, at, out.data)) return Read::malformed;
  const bool is_mx = type == Type::mx;
  if ((is_mx && out.data.empty()) || mail::is_hostname(out.data)) return Read::good;
  const bool numeric = net::Address::parse_ip(out.data, 0).has_value();
  answer.complaint = (numeric ? "numeric" : "malformed") +
                     (" domain name in resource data of " + std::string(to_string(type))) +
                     " record for " + answer.canonical + ": " + out.data.substr(0, 100);
  return numeric && is_mx ? Read::good : Read::no_host;
}

Read read_record(const ns_msg& message, const ns_rr& rr, Type type, Record& out, Answer& answer) {
  const unsigned char* data = ns_rr_rdata(rr);
  const std::size_t length = ns_rr_rdlen(rr);
  const auto bytes = ByteView(reinterpret_cast<const char*>(data), length);
  out.ttl = ns_rr_ttl(rr) > kLongestTtl ? 0 : static_cast<std::uint32_t>(ns_rr_ttl(rr));
  const auto has = [&](bool form) {
    if (form) out.data.assign(bytes);
    return form ? Read::good : Read::malformed;
  };
  switch (type) {
  case Type::a: return has(length == 4);
  case Type::aaaa: return has(length == 16);
  case Type::ptr: return read_host(message, data, type, out, answer);
  case Type::ns: {
    const Read read = read_host(message, data, type, out, answer);
    out.data = lowercase(out.data);
    return read;
  }
  case Type::mx: {
    if (length < 3) return Read::malformed;
    out.preference = static_cast<std::uint16_t>(ns_get16(data));
    const Read read = read_host(message, data + 2, type, out, answer);
    out.data = lowercase(out.data);
    return read;
  }
  case Type::srv: return has(length >= 7);
  case Type::tlsa: return has(length >= 4);
  case Type::txt: return has(length >= 1);
  case Type::soa: return has(length >= 22);
  case Type::cname: break; // followed before this
  }
  return Read::malformed;
}

} // namespace

net::Address address_of(const Record& record, Type type) {
  if (type == Type::a) {
    sockaddr_in four{};
    four.sin_family = AF_INET;
    record.data.copy(reinterpret_cast<char*>(&four.sin_addr), sizeof four.sin_addr);
    return net::Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&four), sizeof four);
  }
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  record.data.copy(reinterpret_cast<char*>(&six.sin6_addr), sizeof six.sin6_addr);
  return net::Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&six), sizeof six);
}

Answer parse_reply(ByteView packet, std::string_view name, Type type) {
  Answer answer;
  answer.canonical = lowercase(without_root_dot(name));
  ns_msg message;
  const auto* bytes = reinterpret_cast<const unsigned char*>(packet.data());
  if (packet.size() > 65535 || ns_initparse(bytes, static_cast<int>(packet.size()), &message) < 0) {
    answer.reason = "malformed DNS reply";
    return answer;
  }
  const int count = ns_msg_count(message, ns_s_an);
  bool malformed = false;
  bool no_hosts = false;
  std::set<std::string> aliases = {answer.canonical};
  bool loops = false;
  for (int i = 0; i < count && answer.records.size() < kMaxRecords; ++i) {
    ns_rr rr;
    if (ns_parserr(&message, ns_s_an, i, &rr) < 0) {
      malformed = true;
      break;
    }
    if (ns_rr_type(rr) == ns_t_cname) {
      std::string target;
      if (!expand_name(message, ns_rr_rdata(rr), target) || !mail::is_domain(target)) continue;
      target = lowercase(target);
      loops = loops || !aliases.insert(target).second || aliases.size() > kMaxAliases;
      answer.canonical = target;
    } else if (static_cast<unsigned>(ns_rr_type(rr)) == static_cast<unsigned>(type)) {
      Record record;
      switch (read_record(message, rr, type, record, answer)) {
      case Read::good: answer.records.push_back(std::move(record)); break;
      case Read::malformed: malformed = true; break;
      case Read::no_host: no_hosts = true; break;
      }
    }
  }
  switch (ns_msg_getflag(message, ns_f_rcode)) {
  case ns_r_noerror:
    answer.status = answer.records.empty() ? Status::no_data : Status::ok;
    if (answer.records.empty() && (malformed || loops)) {
      answer.status = Status::temporary;
      answer.reason = malformed ? "malformed DNS reply" : "CNAME loop";
    } else if (answer.records.empty() && no_hosts) {
      answer.status = Status::unusable;
    }
    break;
  case ns_r_nxdomain: answer.status = Status::no_domain; break;
  case ns_r_servfail: answer.reason = "SERVFAIL"; break;
  case ns_r_refused: answer.reason = "REFUSED"; break;
  default: answer.reason = "DNS error " + std::to_string(ns_msg_getflag(message, ns_f_rcode));
  }
  return answer;
}

} // namespace postrider::dns
