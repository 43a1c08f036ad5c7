// SPDX-License-Identifier: MIT
#include "sts_source.hpp"

#include "base/ascii.hpp"

namespace postrider::tlsmgr {
namespace {

Result<mail::StsPolicy> read_policy(const http::Response& response) {
  // Section 3.3: 200 and nothing else; redirects are not followed.
  if (response.status != 200)
    return Error(ErrorKind::not_found, "status " + std::to_string(response.status));
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
  Result<std::vector<std::string>> texts = co_await dns::find_texts(*resolver_, name, deadline);
  if (!texts) co_return texts.error();
  co_return mail::parse_sts_record(*texts);
}

ev::Task<Result<mail::StsPolicy>> NetworkSource::policy(const std::string& domain,
                                                        ev::Deadline deadline) {
  Result<void> begun = begin();
  if (!begun) co_return begun.error();
  const std::string host = "mta-sts." + domain;
  Result<std::vector<std::string>> known =
      co_await dns::find_addresses(*resolver_, host, setup_.families, deadline);
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
