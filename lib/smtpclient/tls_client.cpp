// SPDX-License-Identifier: MIT
#include "smtpclient/tls_client.hpp"

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "maps/ask.hpp"

namespace postrider::smtpclient {
namespace {

Error config_error(std::string_view name, const Error& error) {
  return Error(ErrorKind::config, std::string(name) + ": " + error.text());
}

tls::CredentialFiles credential_files(const TlsOptions& options) {
  tls::CredentialFiles files;
  files.chain_files = options.chain_files;
  if (files.chain_files.empty()) {
    if (!options.cert_file.empty()) files.pairs.push_back({options.cert_file, options.key_file});
    if (!options.eccert_file.empty())
      files.pairs.push_back({options.eccert_file, options.eckey_file});
  }
  files.ca_file = options.ca_file;
  files.ca_path = options.ca_path;
  files.default_ca = options.default_ca;
  return files;
}

service::TlsManagerSetup manager_setup(const Options& options) {
  service::TlsManagerSetup setup;
  setup.service = options.tls.manager;
  if (options.flavor == Flavor::lmtp) setup.cache = proto::SessionCache::lmtp;
  setup.sessions = !options.tls.session_cache.empty() && options.tls.session_timeout.count() > 0;
  setup.session_timeout = options.tls.session_timeout;
  return setup;
}

// Postfix's word for whatever is wrong with policies; the log says more.
Error no_policy() { return Error(ErrorKind::config, "client TLS configuration problem"); }

} // namespace

Result<TlsFiles> TlsFiles::open(const TlsOptions& options, const Tables& tables) {
  TlsFiles files;
  const bool used =
      options.level != TlsLevel::none || !tables.tls_policy.empty() || !tables.tls_per_site.empty();
  if (!used) return files;
  auto source = tls::CredentialSource::open(credential_files(options));
  if (!source) return source.error();
  files.credentials = std::make_shared<tls::CredentialSource>(std::move(*source));
  for (const TlsLevel level : {TlsLevel::may, TlsLevel::encrypt, TlsLevel::verify}) {
    TlsOptions plain = options;
    plain.wrapper = false;
    auto policy = make_policy(plain, level, nullptr);
    if (!policy) return policy.error();
    const auto priority = tls::to_priority(policy->ciphers);
    if (!priority)
      return config_error(level == TlsLevel::may
                              ? "tls_ciphers, tls_exclude_ciphers, tls_protocols or tls_priority"
                              : "tls_mandatory_ciphers, tls_mandatory_exclude_ciphers, "
                                "tls_mandatory_protocols or tls_mandatory_priority",
                          priority.error());
  }
  if (!options.trust_anchor_files.empty()) {
    auto anchors = tls::TrustAnchors::load(options.trust_anchor_files);
    if (!anchors) return config_error("tls_trust_anchor_file", anchors.error());
    files.anchors = std::move(*anchors);
  }
  return files;
}

TlsClient::TlsClient(ev::Loop& loop, const Options& options, Tables& tables, TlsFiles files,
                     ev::Offload* offload)
    : loop_(loop), options_(options), tables_(tables), files_(std::move(files)),
      look_again_(loop.now() + kRefreshTime), offload_(offload),
      manager_(loop, manager_setup(options)), group_(loop) {
  auto plain = std::make_shared<TlsPlan>();
  plain->policy.asked = to_string(TlsLevel::may);
  set_digest(plain->policy);
  plaintext_ = std::move(plain);
  if (options.tls.reports)
    reporter_ = std::make_unique<service::TlsrptCollector>(
        loop, service::TlsrptSetup{.service = options.tls.reporter});
}

TlsClient::~TlsClient() {
  group_.close();
  group_.tear_down();
}

const TlsOptions& TlsClient::options() const { return options_.tls; }

std::string TlsClient::parameter(std::string_view suffix) const {
  return (options_.flavor == Flavor::lmtp ? "lmtp_" : "smtp_") + std::string(suffix);
}

ev::Task<std::shared_ptr<const tls::Credentials>> TlsClient::credentials() {
  if (!files_.credentials) co_return nullptr;
  if (offload_ == nullptr || loop_.now() < look_again_) co_return files_.credentials->current();
  look_again_ = loop_.now() + kRefreshTime; // one looks, the others go on meanwhile
  struct Looked {
    std::optional<tls::CredentialSource> source;
    std::string problem;
  };
  std::function<Looked()> job = [copy = *files_.credentials]() mutable {
    Looked looked;
    const Result<bool> changed = copy.refresh();
    if (!changed) looked.problem = changed.error().text();
    looked.source = std::move(copy);
    return looked;
  };
  const ev::Deadline deadline = loop_.after(kRefreshLimit);
  Result<Looked> looked = co_await offload_->run<Looked>(job, deadline, "reading certificates");
  if (looked) {
    if (!looked->problem.empty())
      log::error(looked->problem + "; the certificates read before stay in use");
    *files_.credentials = std::move(*looked->source);
  } else if (looked.error().kind() != ErrorKind::cancelled) {
    log::warning("certificates were not looked at: " + looked.error().text());
  }
  co_return files_.credentials->current();
}

namespace {

// What TLS is remembered of.
std::string remembered_name(const Peer& peer) {
  const std::string host = lowercase(peer.host);
  return peer.port == 25 ? host : host + ":" + std::to_string(peer.port);
}

} // namespace

void TlsClient::remember(const Peer& peer, const Security& security) {
  if (options().downgrade_defer.count() <= 0) return;
  manager_.remember(remembered_name(peer), security.verified  ? proto::HostTls::verified
                                           : security.trusted ? proto::HostTls::trusted
                                                              : proto::HostTls::encrypted);
}

ev::Task<std::string> TlsClient::find_downgrade(ev::Lent<const Peer> peer, std::string_view what) {
  if (options().downgrade_defer.count() <= 0) co_return std::string();
  const std::string host = remembered_name(*peer); // a named local: lent to recall()
  const proto::HostMemory past = co_await manager_.recall(host);
  if (past.level == proto::HostTls::none) co_return std::string();
  manager_.remember(host, proto::HostTls::none);
  std::chrono::microseconds missing{0};
  if (past.missing_since != 0)
    missing = std::chrono::microseconds(to_unix_micros(loop_.clock().wall()) - past.missing_since);
  if (missing >= options().downgrade_defer) co_return std::string();
  const std::string text = "host " + peer->shown() + " had " +
                           (past.level == proto::HostTls::verified ? "verified TLS" : "TLS") +
                           " before, but now " + std::string(what);
  if (past.missing_since == 0)
    log::warning(text + "; its mail waits (" + parameter("tls_downgrade_defer_time") + ")");
  co_return text;
}

TlsPlanPtr TlsClient::opportunistic(const TlsPlanPtr& plan) {
  if (!is_mandatory(plan->policy.level)) return plan;
  const std::string key = "opportunistic";
  if (const auto known = plans_.find(key); known != plans_.end()) return known->second;
  auto made = make(TlsLevel::may, nullptr);
  if (!made) return plan;
  keep(key, *made);
  return *made;
}

void TlsClient::tell(proto::TlsEvent event) {
  if (reporter_) reporter_->tell(std::move(event));
}

std::string security_key(std::string_view policy_digest, std::string_view login_key) {
  return std::string(policy_digest) + "\n" + std::string(login_key);
}

Result<std::shared_ptr<TlsPlan>> TlsClient::make(TlsLevel level, const PolicyEntry* entry) {
  auto plan = std::make_shared<TlsPlan>();
  POSTRIDER_TRY(plan->policy, make_policy(options_.tls, level, entry));
  if (entry != nullptr) plan->entry = *entry;
  if (level == TlsLevel::none) return plan;
  if (!files_.credentials)
    return Error(ErrorKind::config, "TLS was not set up when this process started");
  POSTRIDER_TRY(plan->priority, tls::to_priority(plan->policy.ciphers));
  if (plan->policy.anchor_files == options_.tls.trust_anchor_files) {
    plan->anchors = files_.anchors;
  } else if (!plan->policy.anchor_files.empty()) { // of a table: read as whom we are by now
    POSTRIDER_TRY(plan->anchors, tls::TrustAnchors::load(plan->policy.anchor_files));
  }
  return plan;
}

void TlsClient::keep(std::string key, const TlsPlanPtr& plan) {
  if (plans_.size() >= kMostPlans) plans_.clear();
  plans_.emplace(std::move(key), plan);
}

Result<TlsPlanPtr> TlsClient::with_dane(const TlsPlanPtr& plan, const Dane& dane) {
  if (!dane.refusal.empty()) return Error(ErrorKind::refused, dane.refusal);
  if (dane.level == TlsLevel::dane) {
    auto made = std::make_shared<TlsPlan>(*plan);
    made->policy.level = TlsLevel::dane;
    made->policy.tlsa = dane.records;
    made->policy.match = dane.names;
    made->policy.server_name = dane.server_name;
    made->policy.half_dane = dane.half;
    made->before_dane = plan->policy.digest;
    set_digest(made->policy);
    return TlsPlanPtr(std::move(made));
  }
  const std::string key = "without\n" + std::string(to_string(dane.level)) + plan->policy.digest;
  const auto known = plans_.find(key);
  if (known != plans_.end()) return known->second;
  const PolicyEntry* entry = plan->entry ? &*plan->entry : nullptr;
  auto made = make(dane.level, entry);
  if (!made) {
    log::warning("without DANE: " + made.error().text());
    return no_policy();
  }
  (*made)->source = plan->source;
  // At level may, MTA-STS can have a say instead: it is asked for each message.
  if (dane.level != TlsLevel::may || !options().sts) (*made)->before_dane = plan->policy.digest;
  keep(key, *made);
  return TlsPlanPtr(std::move(*made));
}

ev::Task<Result<TlsPlanPtr>> TlsClient::plan(ev::Lent<const Nexthop> hop, std::string_view host) {
  if (!tables_.tls_policy.empty()) co_return co_await from_policy_maps(hop);
  if (!tables_.tls_per_site.empty()) co_return co_await from_per_site(hop, host);
  co_return make_from_entry("", *hop);
}

ev::Task<Result<TlsPlanPtr>> TlsClient::from_policy_maps(ev::Lent<const Nexthop> hop) {
  const std::vector<std::string> keys = policy_keys(hop->written);
  const std::function<maps::Answer()> question = [&]() -> maps::Answer {
    for (const std::string& key : keys) {
      POSTRIDER_TRY(std::optional<std::string> found, tables_.tls_policy.lookup(key));
      if (found) return found;
    }
    return std::optional<std::string>();
  };
  const ev::Deadline deadline = loop_.after(options_.timeout(smtp::Step::greeting));
  maps::Answer found = co_await maps::ask<std::optional<std::string>>(loop_, question, deadline);
  if (found) co_return make_from_entry(*found ? std::string_view(**found) : "", *hop);
  if (found.error().kind() == ErrorKind::cancelled) co_return found.error();
  log::warning(parameter("tls_policy_maps") + ", next-hop destination \"" + hop->written +
               "\": policy table lookup error: " + found.error().text());
  co_return no_policy();
}

Result<TlsPlanPtr> TlsClient::make_from_entry(std::string_view text, const Nexthop& hop) {
  const bool local = hop.kind == Nexthop::Kind::unix_socket;
  const std::string key = (local ? "unix\n" : "inet\n") + std::string(text);
  const auto known = plans_.find(key);
  if (known != plans_.end()) return known->second;
  const bool is_new = !bad_.contains(key);
  const auto complain = [&](std::string_view what) {
    if (!is_new) return;
    if (bad_.size() >= kMostPlans) bad_.clear();
    bad_.insert(key);
    const std::string where = text.empty() ? std::string()
                                           : parameter("tls_policy_maps") +
                                                 ", next-hop destination \"" + hop.written + "\": ";
    log::warning(where + std::string(what));
  };
  const PolicyEntry* entry = nullptr;
  Result<PolicyEntry> parsed = PolicyEntry();
  TlsLevel level = options_.tls.level;
  if (!text.empty()) {
    parsed = parse_policy_entry(text);
    if (!parsed) {
      complain(parsed.error().text());
      return no_policy();
    }
    entry = &*parsed;
    level = entry->level;
    for (const std::string& attribute : entry->ignored)
      complain("ignoring attribute \"" + attribute + "\" with TLS disabled");
  }
  if (local && level == TlsLevel::may) {
    complain("opportunistic TLS encryption is not appropriate for unix-domain destinations.");
    level = TlsLevel::none;
    entry = nullptr;
  }
  auto made = make(level, entry);
  if (!made) {
    complain(made.error().text());
    return no_policy();
  }
  if (!text.empty())
    (*made)->source = " (" + parameter("tls_policy_maps") + ": " + std::string(text) + ")";
  keep(key, *made);
  return TlsPlanPtr(std::move(*made));
}

Result<TlsPlanPtr> TlsClient::make_for_site(TlsLevel level) {
  const std::string key = "site\n" + std::string(to_string(level));
  const auto known = plans_.find(key);
  if (known != plans_.end()) return known->second;
  POSTRIDER_TRY(TlsPlanPtr made, make(level, nullptr));
  keep(key, made);
  return made;
}

// As before Postfix 2.3: the next hop and the host are looked up, and the stricter word counts.
ev::Task<Result<TlsPlanPtr>> TlsClient::from_per_site(ev::Lent<const Nexthop> hop,
                                                      std::string_view host) {
  std::vector<std::string> names = {hop->written};
  if (!host.empty() && host != hop->written) names.emplace_back(host);
  using Level = std::optional<TlsLevel>;
  const std::function<Result<Level>()> question = [&]() -> Result<Level> {
    Level level;
    for (const std::string& name : names) {
      POSTRIDER_TRY(const std::optional<std::string> word, tables_.tls_per_site.lookup(name));
      if (!word) continue;
      POSTRIDER_TRY(level, add_site_word(level, *word));
    }
    return level;
  };
  const ev::Deadline deadline = loop_.after(options_.timeout(smtp::Step::greeting));
  Result<Level> found = co_await maps::ask<Level>(loop_, question, deadline);
  if (!found && found.error().kind() == ErrorKind::cancelled) co_return found.error();
  Result<TlsPlanPtr> made = no_policy();
  if (found) {
    TlsLevel level = site_level(options_.tls.level, *found);
    if (hop->kind == Nexthop::Kind::unix_socket && level == TlsLevel::may) level = TlsLevel::none;
    made = make_for_site(level);
  }
  if (made) co_return made;
  log::warning(parameter("tls_per_site") + ", \"" + names.back() +
               "\": " + (found ? made.error().text() : found.error().text()));
  co_return no_policy();
}

} // namespace postrider::smtpclient
