// SPDX-License-Identifier: MIT
// tokenmgr's side of lib/proto/tokenmgr.hpp.
#pragma once

#include <memory>

#include "config/settings.hpp"
#include "http/fetch.hpp"
#include "proto/tokenmgr.hpp"
#include "refusals.hpp"
#include "service/server.hpp"
#include "tokens.hpp"

namespace postrider::tokenmgr {

struct Options {
  maps::MapList sources; // oauth_token_sources
  std::string ca_file;
  // smtp_sasl_auth_cache_name, lmtp_sasl_auth_cache_name: files; empty: none
  std::string refusals[2];
  // Opens tables. Error config names the parameter.
  static Result<Options> load(const config::Settings& settings);
};

class Service final : public daemon::Service, private service::Handler {
 public:
  static constexpr Duration kAnswerLimit = std::chrono::seconds(60);

  Service(ev::Loop& loop, Options options);

  void accept(daemon::Client client) override { server_.accept(std::move(client)); }
  void drain(daemon::Drain reason) override { server_.drain(reason); }
  void stop() override;

 private:
  Result<void> take(service::Peer& peer, ipc::Frame& frame) override;
  ev::RootTask answer(service::Peer& peer, proto::GetToken request);
  ev::Task<Result<Grant>> get(ev::Lent<const Source> source, ev::Deadline deadline);
  Refusals* refusals(proto::RefusalCache cache);

  ev::Loop& loop_;
  http::Fetcher fetcher_;
  SourceTools tools_;
  Tokens tokens_;
  std::shared_ptr<Refusals> refusals_[2]; // one, where both name one file
  service::Server server_;
};

} // namespace postrider::tokenmgr
