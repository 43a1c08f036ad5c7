// SPDX-License-Identifier: MIT
#include "smtpclient/name_service.hpp"

#include <algorithm>
#include <arpa/inet.h>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "mail/domain.hpp"
#include "maps/ask.hpp"
#include "tls/verify.hpp"

namespace postrider::smtpclient {

std::vector<std::string> completions(std::string_view name, const Options& options) {
  const bool is_short = name.find('.') == std::string_view::npos;
  std::vector<std::string> names;
  if (!is_short) names.emplace_back(name);
  std::string_view domain = options.my_domain;
  if (options.search_parents || (is_short && options.complete_names)) {
    while (!domain.empty()) {
      names.push_back(std::string(name) + "." + std::string(domain));
      // The parents end where one label would be left: nobody means a top-level domain's host.
      const std::size_t dot = domain.find('.');
      if (!options.search_parents || dot == std::string_view::npos) break;
      domain.remove_prefix(dot + 1);
      if (domain.find('.') == std::string_view::npos) break;
    }
  }
  if (is_short) names.emplace_back(name);
  return names;
}

std::string record_text(const dns::Answer& answer, const dns::Record& record, dns::Type type) {
  std::string text = answer.canonical + ". " + std::to_string(record.ttl) + " IN " +
                     std::string(dns::to_string(type)) + " ";
  if (type == dns::Type::mx)
    return text + std::to_string(record.preference) + " " + record.data + ".";
  const bool four = type == dns::Type::a && record.data.size() == 4;
  if (four || (type == dns::Type::aaaa && record.data.size() == 16)) {
    char buffer[INET6_ADDRSTRLEN] = "";
    ::inet_ntop(four ? AF_INET : AF_INET6, record.data.data(), buffer, sizeof buffer);
    return text + buffer;
  }
  if (type == dns::Type::tlsa) {
    const auto tlsa = tls::parse_tlsa(record.data);
    return text + (tlsa ? tls::to_string(*tlsa) : "?");
  }
  return text + record.data;
}

namespace {

// Services stand below their hosts, as _25._tcp.mx.example.
std::string_view host_part(std::string_view name, dns::Type type) {
  for (int labels = type == dns::Type::tlsa ? 2 : 0; labels > 0 && name.starts_with('_'); --labels)
    name = name.substr(std::min(name.find('.'), name.size() - 1) + 1);
  return name;
}

} // namespace

ev::Task<Result<dns::Answer>> NameService::ask(std::string_view name, dns::Type type,
                                               ev::Deadline deadline) {
  dns::Answer answer;
  if (!mail::is_hostname(host_part(name, type))) {
    answer.status = dns::Status::no_domain;
    answer.reason = "invalid host or domain name";
    co_return answer;
  }
  Result<dns::Answer> asked = co_await resolver_.query(name, type, deadline);
  if (!asked || asked->status != dns::Status::ok || filter_.empty()) co_return std::move(asked);
  answer = std::move(*asked);
  std::vector<dns::Record> kept;
  for (dns::Record& record : answer.records) {
    const std::string text = record_text(answer, record, type);
    maps::Answer found = co_await maps::ask(loop_, filter_, text, maps::Key::whole, deadline);
    if (!found && found.error().kind() == ErrorKind::cancelled) co_return found.error();
    if (found && !*found) {
      kept.push_back(std::move(record));
      continue;
    }
    const std::string_view action = found ? std::string_view(**found) : std::string_view();
    if (found && iequals(action.substr(0, action.find_first_of(" \t")), "IGNORE")) {
      log::info("ignoring DNS RR: " + text);
      continue;
    }
    const std::string why =
        found ? "unknown DNS filter action: \"" + std::string(action) + "\"" : found.error().text();
    log::warning("dns_reply_filter: " + text + ": " + why);
    answer.status = dns::Status::temporary;
    answer.reason = "DNS reply filter: " + why;
    answer.records.clear();
    co_return answer;
  }
  answer.records = std::move(kept);
  if (answer.records.empty()) answer.status = dns::Status::filtered;
  co_return answer;
}

// As in Postfix only addresses are looked for in other domains: an MX record names hosts of its
// own.
ev::Task<Result<dns::Answer>> NameService::query(std::string_view name, dns::Type type,
                                                 ev::Deadline deadline) {
  const bool completes = options_.complete_names || options_.search_parents;
  if (!completes || (type != dns::Type::a && type != dns::Type::aaaa)) {
    Result<dns::Answer> answer = co_await ask(name, type, deadline);
    co_return std::move(answer);
  }
  dns::Answer own; // what the name as it is written has
  const std::vector<std::string> names = completions(name, options_);
  for (const std::string& candidate : names) {
    Result<dns::Answer> answer = co_await ask(candidate, type, deadline);
    if (!answer) co_return answer.error();
    const bool missing =
        answer->status == dns::Status::no_domain || answer->status == dns::Status::no_data;
    if (!missing) co_return std::move(answer);
    if (candidate == name) own = std::move(*answer);
  }
  co_return own;
}

} // namespace postrider::smtpclient
