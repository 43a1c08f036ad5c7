// SPDX-License-Identifier: MIT
#include "sts_source.hpp"

#include "base/ascii.hpp"

namespace postrider::tlsmgr {
namespace {

// The strings of one TXT record, put together (RFC 8461 section 3.1).
std::string text_of(std::string_view rdata) {
  std::string out;
  while (!rdata.empty()) {
    const auto length = static_cast<unsigned char>(rdata[0]);
    out += rdata.substr(1, length);
    rdata.remove_prefix(std::min<std::size_t>(1 + length, rdata.size()));
  }
  return out;
}

Result<mail::StsPolicy> read_policy(const http::Response& response) {
  // Section 3.3: 200 and nothing else; redirects are not followed.
  if (response.status != 200)
    return Error(ErrorKind::protocol, "status " + std::to_string(response.status));
  const std::string_view type =
      trim(std::string_view(response.content_type).substr(0, response.content_type.find(';')));
  if (!iequals(type, "text/plain"))
    return Error(ErrorKind::protocol,
                 "content type \"" + response.content_type + "\" in place of text/plain");
  return mail::parse_sts_policy(response.body);
}

} // namespace

NetworkSource::NetworkSource(ev::Loop& loop, NetworkSourceSetup setup)
    : loop_(loop), setup_(std::move(setup)), fetcher_(loop) {}

Result<void> NetworkSource::begin() {
  if (resolver_) return {};
  POSTRIDER_TRY(resolver_, dns::UnboundResolver::create(loop_, setup_.dns));
  return {};
}

ev::Task<Result<std::string>> NetworkSource::id(const std::string& domain, ev::Deadline deadline) {
  Result<void> begun = begin();
  if (!begun) co_return begun.error();
  const std::string name = "_mta-sts." + domain;
  Result<dns::Answer> answer = co_await resolver_->query(name, dns::Type::txt, deadline);
  if (!answer) co_return answer.error();
  if (answer->status == dns::Status::temporary)
    co_return Error(ErrorKind::busy, "DNS: " + answer->reason);
  std::vector<std::string> texts;
  for (const dns::Record& record : answer->records)
    texts.push_back(text_of(record.data));
  co_return mail::parse_sts_record(texts);
}

ev::Task<Result<std::vector<std::string>>> NetworkSource::addresses(const std::string& host,
                                                                    ev::Deadline deadline) {
  std::vector<std::string> found;
  std::string reason = "has no address";
  for (const dns::Type type : {dns::Type::aaaa, dns::Type::a}) {
    if (!(type == dns::Type::a ? setup_.ipv4 : setup_.ipv6)) continue;
    Result<dns::Answer> answer = co_await resolver_->query(host, type, deadline);
    if (!answer) co_return answer.error();
    if (answer->status == dns::Status::temporary) reason = "DNS: " + answer->reason;
    for (const dns::Record& record : answer->records)
      if (found.size() < kMostAddresses) found.push_back(dns::address_of(record, type).text());
  }
  if (found.empty()) co_return Error(ErrorKind::not_found, host + ": " + reason);
  co_return std::move(found);
}

ev::Task<Result<mail::StsPolicy>> NetworkSource::policy(const std::string& domain,
                                                        ev::Deadline deadline) {
  Result<void> begun = begin();
  if (!begun) co_return begun.error();
  const std::string host = "mta-sts." + domain;
  Result<std::vector<std::string>> known = co_await addresses(host, deadline);
  if (!known) co_return known.error();
  http::Request request;
  request.url = "https://" + host + (setup_.port == 443 ? "" : ":" + std::to_string(setup_.port)) +
                "/.well-known/mta-sts.txt";
  request.addresses = std::move(*known);
  request.ca_file = setup_.ca_file;
  request.most = mail::kStsLongestPolicy;
  Result<http::Response> response = co_await fetcher_.fetch(request, deadline);
  if (!response) co_return response.error().in(request.url);
  Result<mail::StsPolicy> policy = read_policy(*response);
  if (!policy) co_return policy.error().in(request.url);
  co_return std::move(*policy);
}

} // namespace postrider::tlsmgr
