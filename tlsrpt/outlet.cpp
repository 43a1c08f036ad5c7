// SPDX-License-Identifier: MIT
#include "outlet.hpp"

#include "record.hpp"

namespace postrider::tlsrpt {

NetworkOutlet::NetworkOutlet(ev::Loop& loop, ev::Offload& offload, NetworkOutletSetup setup)
    : loop_(loop), offload_(offload), setup_(std::move(setup)), fetcher_(loop) {}

Result<void> NetworkOutlet::begin() {
  if (resolver_) return {};
  POSTRIDER_TRY(resolver_, dns::UnboundResolver::create(loop_, setup_.dns));
  return {};
}

ev::Task<Result<std::vector<std::string>>> NetworkOutlet::addresses(const std::string& domain,
                                                                    ev::Deadline deadline) {
  Result<void> begun = begin();
  if (!begun) co_return begun.error();
  const std::string name = "_smtp._tls." + domain;
  Result<std::vector<std::string>> texts = co_await dns::find_texts(*resolver_, name, deadline);
  if (!texts) co_return texts.error();
  co_return parse_record(*texts);
}

ev::Task<Result<std::string>> NetworkOutlet::mail(const Composed& report) {
  if (!submitter_) {
    submitter_ =
        std::make_unique<submit::Submitter>(loop_, offload_, real_file_system(), setup_.submit);
    submitter_->start();
  }
  const submit::MakeHead head = [this](queue::Id id) {
    return "Received: by " + setup_.hostname + " (" + setup_.mail_name + ")\r\n\tid " + id.text() +
           "; " + rfc5322_date(loop_.clock().wall()) + "\r\n";
  };
  submit::Message message(*submitter_, report.envelope, head);
  message.pending() = report.content;
  if (message.wants_spill()) {
    Result<void> spilled = co_await message.spill();
    if (!spilled) co_return spilled.error();
  }
  const ev::Lent<const mail::ContentFacts> facts(report.facts);
  Result<queue::Id> id = co_await message.commit(facts);
  if (!id) co_return id.error();
  co_return id->text();
}

ev::Task<Result<std::string>> NetworkOutlet::post(const std::string& url, const std::string& packed,
                                                  ev::Deadline deadline) {
  Result<void> begun = begin();
  if (!begun) co_return begun.error();
  const std::string host = https_host(url).value_or("");
  Result<std::vector<std::string>> known =
      co_await dns::find_addresses(*resolver_, host, setup_.families, deadline);
  if (!known) co_return known.error();
  http::Request request;
  request.url = url;
  request.addresses = std::move(*known);
  request.ca_file = setup_.ca_file;
  request.headers = {"Content-Type: " + std::string(kGzipType), "Expect:"};
  request.form = packed;
  Result<http::Response> response = co_await fetcher_.fetch(request, deadline);
  if (!response) co_return response.error();
  const std::string status = "status " + std::to_string(response->status);
  if (response->status < 200 || response->status > 299)
    co_return Error(ErrorKind::protocol, status);
  co_return status;
}

} // namespace postrider::tlsrpt
