// SPDX-License-Identifier: MIT
#include "service.hpp"

#include "base/log.hpp"

namespace postrider::tokenmgr {
namespace {

constexpr std::uint64_t kLongestTtl = std::uint64_t{10} * 366 * 86400; // seconds

Result<std::string> file_of(const std::string& name, const char* parameter) {
  if (name.empty()) return std::string();
  if (!name.starts_with("lmdb:/"))
    return Error(ErrorKind::config, std::string(parameter) + ": expected lmdb: and a path");
  return name.substr(5);
}

std::shared_ptr<Refusals> open_refusals(const std::string& path, WallTime now) {
  if (path.empty()) return nullptr;
  Result<Refusals> opened = Refusals::open(path, now);
  if (opened) return std::make_shared<Refusals>(std::move(*opened));
  log::warning(path + ": " + opened.error().text() + "; refused logins are not kept");
  return nullptr;
}

Result<void> check_digest(std::string_view key) {
  if (key.size() == proto::kLoginDigest) return {};
  return Error(ErrorKind::protocol, "a digest of " + std::to_string(key.size()) + " bytes");
}

} // namespace

Result<Options> Options::load(const config::Settings& settings) {
  Options out;
  maps::MapOptions where;
  where.base_directory = settings.config_directory();
  auto sources = maps::open_maps(settings.list("oauth_token_sources"), where);
  if (!sources) { // refused logins are kept all the same
    const std::string why = sources.error().in("oauth_token_sources").text();
    log::error(why + "; mail that needs a token waits");
    sources = maps::open_maps("fail:oauth_token_sources", where);
  }
  if (!sources) return sources.error();
  out.sources = std::move(*sources);
  out.ca_file = settings.text("oauth_CAfile");
  for (const char* parameter : {"smtp_sasl_auth_cache_name", "lmtp_sasl_auth_cache_name"}) {
    std::string& file = out.refusals[parameter[0] == 's' ? 0 : 1];
    const auto client = settings.client(parameter[0] == 's' ? "smtp" : "lmtp");
    POSTRIDER_TRY(file, file_of(client.text("sasl_auth_cache_name"), parameter));
  }
  return out;
}

Service::Service(ev::Loop& loop, Options options)
    : loop_(loop), fetcher_(loop), tools_{loop, fetcher_, std::move(options.ca_file)},
      tokens_(loop, std::move(options.sources),
              [this](ev::Lent<const Source> source, ev::Deadline deadline) {
                return get(source, deadline);
              }),
      server_(
          loop, *this,
          {.protocol = std::string(proto::kTokenmgrProtocol), .version = proto::kTokenmgrVersion}) {
  const WallTime now = loop.clock().wall();
  refusals_[0] = open_refusals(options.refusals[0], now);
  refusals_[1] = options.refusals[0] == options.refusals[1]
                     ? refusals_[0]
                     : open_refusals(options.refusals[1], now);
}

void Service::stop() {
  server_.stop();
  tokens_.stop();
}

ev::Task<Result<Grant>> Service::get(ev::Lent<const Source> source, ev::Deadline deadline) {
  Result<Grant> grant = co_await get_grant(tools_, source, deadline);
  co_return grant;
}

Refusals* Service::refusals(proto::RefusalCache cache) {
  return refusals_[cache == proto::RefusalCache::smtp ? 0 : 1].get();
}

ev::RootTask Service::answer(service::Peer& peer, proto::GetToken request) {
  Result<Secret> token =
      co_await tokens_.get(request.name, request.refused, loop_.after(kAnswerLimit));
  proto::Token answer;
  answer.number = request.number;
  if (token)
    answer.token = token->view();
  else
    answer.problem = token.error().text();
  peer.channel.send(answer);
  wipe(answer.token);
}

Result<void> Service::take(service::Peer& peer, ipc::Frame& frame) {
  switch (frame.type) {
  case proto::GetToken::kType: {
    POSTRIDER_TRY(auto request, ipc::as<proto::GetToken>(frame));
    if (request.name.empty() || request.name.size() > proto::kLongestTokenName)
      return Error(ErrorKind::protocol,
                   "a name of " + std::to_string(request.name.size()) + " bytes");
    peer.tasks.spawn(answer(peer, std::move(request)), "token");
    return {};
  }
  case proto::AskRefusal::kType: {
    POSTRIDER_TRY(const auto request, ipc::as<proto::AskRefusal>(frame));
    POSTRIDER_TRY_VOID(check_digest(request.key));
    proto::KnownRefusal answer;
    answer.number = request.number;
    Refusals* known = refusals(request.cache);
    if (known != nullptr) {
      std::optional<std::string> text = known->find(request.key, loop_.clock().wall());
      answer.known = text.has_value();
      answer.text = std::move(text).value_or(std::string());
    }
    peer.channel.send(answer);
    return {};
  }
  case proto::TellRefusal::kType: {
    POSTRIDER_TRY(const auto message, ipc::as<proto::TellRefusal>(frame));
    POSTRIDER_TRY_VOID(check_digest(message.key));
    if (message.text.size() > proto::kLongestRefusal || message.ttl > kLongestTtl)
      return Error(ErrorKind::protocol, "a refusal beyond its bounds");
    Refusals* known = refusals(message.cache);
    if (known == nullptr) return {};
    const Result<void> added = known->add(message.key, message.text,
                                          loop_.clock().wall() + std::chrono::seconds(message.ttl));
    if (!added) log::warning("a refused login cannot be kept: " + added.error().text());
    return {};
  }
  default: return Error(ErrorKind::protocol, "unexpected message");
  }
}

} // namespace postrider::tokenmgr
