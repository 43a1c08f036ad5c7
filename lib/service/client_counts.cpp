// SPDX-License-Identifier: MIT
#include "service/client_counts.hpp"

namespace postrider::service {
namespace {

CallerSetup caller_setup(const ClientCountsSetup& setup) {
  CallerSetup out;
  out.name = setup.service;
  out.sockets = setup.sockets.empty() ? sockets_of(setup.service) : setup.sockets;
  out.protocol = proto::kAnvilProtocol;
  out.version = proto::kAnvilVersion;
  out.timeout = setup.timeout;
  return out;
}

proto::CountClient request_of(const std::string& service, const std::string& client,
                              proto::ClientEvent event) {
  proto::CountClient request;
  request.service = service.substr(0, proto::kLongestClientText);
  request.client = client.substr(0, proto::kLongestClientText);
  request.event = event;
  return request;
}

} // namespace

ClientCounts::ClientCounts(ev::Loop& loop, ClientCountsSetup setup)
    : caller_(loop, caller_setup(setup)) {}

ev::Task<Result<ClientCount>> ClientCounts::count(const std::string& service,
                                                  const std::string& client,
                                                  proto::ClientEvent event) {
  proto::CountClient request = request_of(service, client, event);
  Result<ClientCount> answer = co_await ask(request);
  co_return answer;
}

ev::Task<Result<ClientCount>> ClientCounts::look(const std::string& service,
                                                 const std::string& client,
                                                 proto::ClientEvent event) {
  proto::CountClient request = request_of(service, client, event);
  request.only_asks = true;
  Result<ClientCount> answer = co_await ask(request);
  co_return answer;
}

ev::Task<Result<ClientCount>> ClientCounts::ask(ev::Lent<proto::CountClient> request) {
  Result<Reply> reply = co_await caller_.call(*request);
  if (!reply) co_return reply.error();
  const Result<proto::ClientCount> answer = reply->as<proto::ClientCount>();
  if (!answer) co_return answer.error();
  co_return ClientCount{answer->connections, answer->rate};
}

void ClientCounts::left(const std::string& service, const std::string& client) {
  proto::ClientLeft message;
  message.service = service.substr(0, proto::kLongestClientText);
  message.client = client.substr(0, proto::kLongestClientText);
  caller_.tell(message);
}

} // namespace postrider::service
