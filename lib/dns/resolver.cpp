// SPDX-License-Identifier: MIT
#include "dns/resolver.hpp"

#include <event2/event.h>
#include <fstream>
#include <memory>
#include <unbound-event.h>
#include <unbound.h>
#include <unordered_map>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "ev/bridge.hpp"

namespace postrider::dns {
namespace {

constexpr int kMaxAbandoned = 10000; // look-ups nobody waits for; beyond: Answer "busy"
constexpr const char* kLoopback6 =
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa.";

Error config_error(std::string text) { return Error(ErrorKind::config, std::move(text)); }

Result<std::vector<std::string>> nameservers_of_host() {
  std::vector<std::string> servers;
  std::ifstream file("/etc/resolv.conf");
  std::string line;
  while (std::getline(file, line)) {
    const auto words = split(line, " \t\r");
    if (words.size() >= 2 && words[0] == "nameserver") servers.emplace_back(words[1]);
  }
  if (servers.empty()) servers.emplace_back("127.0.0.1"); // as resolv.conf(5) says
  return servers;
}

Result<std::vector<std::string>> read_anchors(const std::string& path) {
  std::ifstream file(path);
  if (!file) return config_error("cannot read the trust anchor file " + path);
  std::vector<std::string> anchors;
  std::string line;
  while (std::getline(file, line)) {
    const std::string_view record = trim(std::string_view(line).substr(0, line.find(';')));
    if (!record.empty()) anchors.emplace_back(record);
  }
  if (anchors.empty()) return config_error("no record in the trust anchor file " + path);
  return anchors;
}

} // namespace

Result<Setup> Setup::load(const std::vector<std::string>& servers, const std::string& anchor_file) {
  Setup setup;
  setup.forwarders = servers;
  if (servers.empty()) {
    POSTRIDER_TRY(setup.forwarders, nameservers_of_host());
  }
  if (!anchor_file.empty()) {
    POSTRIDER_TRY(setup.anchors, read_anchors(anchor_file));
  }
  return setup;
}

// ---- libunbound

struct UnboundResolver::Impl {
  struct Query {
    Impl* impl;
    std::string name;
    Type type;
    ev::Bridge<Answer>* waiter = nullptr; // null: nobody waits any more
  };
  explicit Impl(ev::Loop& l) : loop(l) {}
  ~Impl() {
    if (context) ub_ctx_delete(context);
  }
  static void on_answer(void* data, int rcode, void* packet, int length, int security, char* why,
                        int was_rate_limited);

  ev::Loop& loop;
  ub_ctx* context = nullptr;
  std::unordered_map<Query*, std::unique_ptr<Query>> queries;
};

void UnboundResolver::Impl::on_answer(void* data, int rcode, void* packet, int length, int security,
                                      char* why, int /*was_rate_limited*/) {
  auto* query = static_cast<Query*>(data);
  auto found = query->impl->queries.find(query);
  POSTRIDER_CHECK(found != query->impl->queries.end());
  const std::unique_ptr<Query> owned = std::move(found->second);
  query->impl->queries.erase(found);
  if (!owned->waiter) return;
  Answer answer;
  if (security == 1) {
    answer.reason = log::printable(std::string("DNSSEC validation failed: ") + (why ? why : ""));
    answer.security = Security::bogus;
  } else if (rcode == 0 && packet && length > 0) { // else the buffer is that of another query
    answer = parse_reply(ByteView(static_cast<char*>(packet), static_cast<std::size_t>(length)),
                         owned->name, owned->type);
    if (security == 2) answer.security = Security::secure;
    if (!answer.complaint.empty()) log::warning(answer.complaint);
  } else {
    answer.reason = rcode == 2 ? "SERVFAIL" : "no answer (rcode " + std::to_string(rcode) + ")";
  }
  owned->waiter->complete(std::move(answer));
}

UnboundResolver::UnboundResolver(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
UnboundResolver::~UnboundResolver() = default;
std::size_t UnboundResolver::unanswered() const { return impl_->queries.size(); }

Result<std::unique_ptr<UnboundResolver>> UnboundResolver::create(ev::Loop& loop,
                                                                 const Setup& setup) {
  auto impl = std::make_unique<Impl>(loop);
  impl->context = ub_ctx_create_event(loop.base());
  if (!impl->context) return config_error("cannot start the DNS resolver");
  const auto option = [&](const char* name, const char* value) -> Result<void> {
    const int status = ub_ctx_set_option(impl->context, name, value);
    if (status != 0)
      return config_error(std::string("DNS resolver option ") + name + ": " + ub_strerror(status));
    return {};
  };
  // libunbound's defaults are those of a tool that asks one question.
  POSTRIDER_TRY_VOID(option("do-not-query-localhost:", "no"));
  POSTRIDER_TRY_VOID(option("num-queries-per-thread:", "4096"));
  POSTRIDER_TRY_VOID(option("outgoing-range:", "256"));
  POSTRIDER_TRY_VOID(option("use-syslog:", "no"));
  POSTRIDER_TRY_VOID(option("target-fetch-policy:", "0 0 0 0 0"));
  // A TTL of 0 would mean asking again for every message. The ceiling is libunbound's: a day.
  POSTRIDER_TRY_VOID(option("cache-min-ttl:", "5"));
  // A name server that was down is asked again soon after it is back, not a quarter of an hour
  // later.
  POSTRIDER_TRY_VOID(option("infra-host-ttl:", "30"));
  POSTRIDER_TRY_VOID(option("infra-keep-probing:", "yes"));
  if (setup.anchors.empty()) POSTRIDER_TRY_VOID(option("module-config:", "iterator"));
  ub_ctx_debuglevel(impl->context, 0);
  for (const std::string& server : setup.forwarders) {
    const int status = ub_ctx_set_fwd(impl->context, server.c_str());
    if (status != 0) return config_error("dns_resolvers: " + server + ": " + ub_strerror(status));
  }
  for (const std::string& anchor : setup.anchors) {
    const int status = ub_ctx_add_ta(impl->context, anchor.c_str());
    if (status != 0) return config_error("trust anchor \"" + anchor + "\": " + ub_strerror(status));
  }
  // libunbound answers for private addresses, and for these, by itself (RFC 6303, RFC 6761, RFC
  // 8375). Here the name servers that were configured are the ones to know. The first such call
  // also completes the context, so that a malformed anchor is found now.
  POSTRIDER_TRY_VOID(option("unblock-lan-zones:", "yes"));
  for (const char* zone : {"test.", "home.arpa.", "127.in-addr.arpa.", kLoopback6}) {
    const int status = ub_ctx_zone_remove(impl->context, zone);
    if (status != 0)
      return config_error(std::string("cannot start the DNS resolver: ") + ub_strerror(status));
  }
  return std::unique_ptr<UnboundResolver>(new UnboundResolver(std::move(impl)));
}

ev::Task<Result<Answer>> UnboundResolver::query(std::string_view name, Type type,
                                                ev::Deadline deadline) {
  Answer answer;
  if (impl_->queries.size() >= kMaxAbandoned) {
    answer.reason = "too many DNS queries under way";
    co_return answer;
  }
  ev::Bridge<Answer> bridge(impl_->loop);
  auto owned = std::make_unique<Impl::Query>();
  Impl::Query* query = owned.get();
  query->impl = impl_.get();
  query->name = name;
  query->type = type;
  query->waiter = &bridge;
  impl_->queries.emplace(query, std::move(owned));
  // May call back before it returns.
  const int status = ub_resolve_event(impl_->context, query->name.c_str(), static_cast<int>(type),
                                      1, query, Impl::on_answer, nullptr);
  if (status != 0) {
    impl_->queries.erase(query);
    answer.reason = ub_strerror(status);
    co_return answer;
  }
  // The frame may be destroyed while it waits: then the query must forget the bridge as well.
  struct Leave {
    Impl& impl;
    Impl::Query* query; // answered and freed, perhaps; its place may hold another's by now
    const ev::Bridge<Answer>* bridge;
    Leave(Impl& i, Impl::Query* q, const ev::Bridge<Answer>* b) : impl(i), query(q), bridge(b) {}
    ~Leave() {
      const auto found = impl.queries.find(query);
      if (found != impl.queries.end() && found->second->waiter == bridge)
        found->second->waiter = nullptr;
    }
  };
  const Leave leave(*impl_, query, &bridge);
  Result<Answer> got = co_await bridge.wait(deadline, "a DNS answer");
  if (got) co_return std::move(got);
  if (got.error().kind() != ErrorKind::timeout) co_return got.error();
  answer.reason = "time limit exceeded";
  co_return answer;
}

} // namespace postrider::dns
