// SPDX-License-Identifier: MIT
#include "service.hpp"

#include <algorithm>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

#include "base/log.hpp"
#include "ipc/channel.hpp"
#include "maps/match_list.hpp"
#include "net/address.hpp"
#include "qmgr.hpp"
#include "route/transport.hpp"

namespace postrider::qmgr {

namespace {

std::int64_t micros(std::chrono::milliseconds time) { return time.count() * 1000; }

std::uint32_t small(std::int64_t number) {
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(number, 0, UINT32_MAX));
}

Result<Fd> connect_to(const std::string& path) {
  POSTRIDER_TRY(const net::Address address, net::Address::unix_path(path));
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return Error::from_errno("socket", errno);
  POSTRIDER_TRY_VOID(ipc::ask_for_senders(fd.get()));
  if (::connect(fd.get(), address.raw(), address.raw_length()) != 0)
    return Error::from_errno("connect to " + path, errno);
  // Who listens: master, which is root or of our user.
  const uid_t uid = ipc::peer_credentials(fd.get()).uid;
  if (uid != 0 && uid != ::geteuid())
    return Error(ErrorKind::refused, path + " belongs to uid " + std::to_string(uid));
  return fd;
}

// Agents and bounce listen in private/ as a rule; what the administrator made public works too.
Result<Fd> connect_service(const std::string& directory, const std::string& service) {
  if (service.empty() || service.find('/') != std::string::npos)
    return Error(ErrorKind::not_found, "unknown mail transport: '" + service + "'");
  auto connected = connect_to(directory + "/private/" + service);
  if (connected || connected.error().kind() != ErrorKind::not_found) return connected;
  auto public_one = connect_to(directory + "/public/" + service);
  if (public_one || public_one.error().kind() != ErrorKind::not_found) return public_one;
  if (service == "local")
    return Error(ErrorKind::not_found, "no local delivery: set local_transport");
  return Error(ErrorKind::not_found,
               "unknown mail transport: no service " + service + " in master.cf");
}

Result<Feedback> feedback_of(const config::Settings& settings, const std::string& transport,
                             std::string_view suffix) {
  return Feedback::parse(settings.per_transport_text(transport, suffix));
}

TransportLimits limits_of(const config::Settings& settings, const std::string& transport) {
  TransportLimits limits;
  const auto number = [&](std::string_view suffix) {
    return small(settings.per_transport(transport, suffix));
  };
  const auto time = [&](std::string_view suffix) {
    return std::chrono::milliseconds(settings.per_transport(transport, suffix));
  };
  limits.window.initial = std::max(1U, number("initial_destination_concurrency"));
  limits.window.limit = number("destination_concurrency_limit");
  limits.window.failed_cohorts = number("destination_concurrency_failed_cohort_limit");
  auto positive = feedback_of(settings, transport, "destination_concurrency_positive_feedback");
  auto negative = feedback_of(settings, transport, "destination_concurrency_negative_feedback");
  if (positive)
    limits.window.positive = *positive;
  else
    log::warning(transport + ": " + positive.error().text());
  if (negative)
    limits.window.negative = *negative;
  else
    log::warning(transport + ": " + negative.error().text());
  limits.turns.cost = number("delivery_slot_cost");
  limits.turns.loan = number("delivery_slot_loan");
  limits.turns.discount = std::min(number("delivery_slot_discount"), 99U);
  limits.turns.minimum = number("minimum_delivery_slots");
  limits.recipients = number("destination_recipient_limit");
  limits.destination_delay = time("destination_rate_delay");
  limits.transport_delay = time("transport_rate_delay");
  return limits;
}

std::vector<std::string> own_addresses() {
  std::vector<std::string> out;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return out;
  for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr) continue;
    const int family = one->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    const socklen_t length = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    out.push_back(net::Address::from_sockaddr(one->ifa_addr, length).text());
  }
  ::freeifaddrs(list);
  return out;
}

std::string qualified(const std::string& address, const std::string& domain) {
  return address.find('@') == std::string::npos ? address + "@" + domain : address;
}

// authorized_*_users: names, !names, /file, type:table, static:anyone; the first that fits decides.
std::function<bool(std::uint32_t)> user_test(const config::Settings& settings,
                                             const std::string& parameter,
                                             const std::string& users) {
  maps::MapOptions options;
  options.base_directory = settings.config_directory();
  auto opened = maps::MatchList::open(users, {}, options);
  if (!opened) {
    log::error(parameter + ": " + opened.error().text() + "; nobody else is authorized");
    return [](std::uint32_t) { return false; };
  }
  auto list = std::make_shared<maps::MatchList>(std::move(*opened));
  return [list, parameter](std::uint32_t uid) {
    const passwd* user = ::getpwuid(uid);
    const Result<bool> may = list->matches_domain(user != nullptr ? user->pw_name : "unknown");
    if (!may) log::warning(parameter + ": " + may.error().text());
    return may && *may;
  };
}

Params params_of(const config::Settings& settings) {
  Params params;
  params.retry.minimal = micros(settings.time("minimal_backoff_time"));
  params.retry.maximal =
      std::max(micros(settings.time("maximal_backoff_time")), params.retry.minimal);
  params.retry.lifetime = micros(settings.time("maximal_queue_lifetime"));
  params.retry.bounce_lifetime = micros(settings.time("bounce_queue_lifetime"));
  params.retry.delay_warning = micros(settings.time("delay_warning_time"));
  params.active_limit = static_cast<std::size_t>(settings.number("qmgr_message_active_limit"));
  params.recipient_limit =
      static_cast<std::size_t>(settings.number("qmgr_message_recipient_limit"));
  params.recipient_delimiter = settings.text("recipient_delimiter");
  params.residence = settings.time("journal_residence_time");
  params.transport_retry = settings.time("transport_retry_time");
  params.ipc_limit = settings.time("qmgr_ipc_timeout");
  // An agent ends a delivery by itself after daemon_timeout; this one does not.
  params.agent_limit = settings.time("daemon_timeout") + params.ipc_limit;
  params.min_free = std::max<std::uint64_t>(settings.size("queue_minfree"),
                                            settings.size("message_size_limit") * 3 / 2);
  for (const std::string& word : settings.words("defer_transports"))
    params.defer_transports.insert(word);
  params.soft_bounce = params.log.soft_bounce = settings.flag("soft_bounce");
  params.confirm_delay_cleared = settings.flag("confirm_delay_cleared");
  params.log.decimals = static_cast<int>(settings.number("delay_logging_resolution_limit"));
  params.log.internal_addresses = settings.text("info_log_address_format") == "internal";
  const std::string& origin = settings.text("myorigin");
  params.double_bounce_sender =
      qualified(settings.text("double_bounce_sender"), settings.text("myhostname"));
  const auto& classes = settings.words("notify_classes");
  if (std::find(classes.begin(), classes.end(), "2bounce") != classes.end())
    params.double_bounce_recipient = qualified(settings.text("2bounce_notice_recipient"), origin);
  params.agents = std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, 64);
  params.owner = ::geteuid();
  params.may_list =
      user_test(settings, "authorized_mailq_users", settings.list("authorized_mailq_users"));
  params.may_flush =
      user_test(settings, "authorized_flush_users", settings.list("authorized_flush_users"));
  return params;
}

class Service final : public daemon::Service {
 public:
  Service(daemon::Context& context, route::Router router)
      : context_(context), router_(std::move(router)) {}
  ~Service() override { stop(); }

  Result<void> start() {
    const config::Settings& settings = context_.settings();
    const std::string directory = settings.text("queue_directory");
    queue::Options options;
    options.directory = directory;
    options.pool.segment_size = settings.size("journal_segment_size");
    options.pool.max_segments = small(settings.number("journal_segment_limit"));
    options.pool.min_free_bytes = params_of(settings).min_free;
    options.ledger.room = std::max<std::uint64_t>(settings.size("ledger_size_limit") / 2, 1U << 20);
    options.ledger.max_delay = settings.time("ledger_sync_window");
    options.ledger.max_marks = small(settings.number("ledger_sync_count"));
    Surroundings around;
    around.route = [this](const std::string& recipient, const mail::Envelope& envelope) {
      return resolve(recipient, envelope);
    };
    around.routes_wait = router_.may_wait();
    around.connect = [directory](const std::string& service) {
      return connect_service(directory, service);
    };
    around.misbehaves = [this](pid_t pid) { context_.accuse(pid); };
    around.limits = [this](const std::string& transport) {
      return limits_of(context_.settings(), transport);
    };
    POSTRIDER_TRY(core_, Core::open(context_.loop(), context_.offload(), real_file_system(),
                                    std::move(options), params_of(settings), std::move(around)));
    return {};
  }

  void accept(daemon::Client client) override {
    Fd fd = std::move(client.fd);
    core_->converse(std::move(fd), std::make_shared<daemon::Client>(std::move(client)));
  }
  void drain(daemon::Drain) override { core_->begin_stop(); }
  std::size_t pending() const override { return core_ && !core_->may_stop() ? 1 : 0; }
  void stop() override {
    if (core_) core_->finish_stop();
  }

 private:
  Result<Route> resolve(const std::string& recipient, const mail::Envelope& envelope) {
    POSTRIDER_TRY(route::Route found, envelope.filter.empty()
                                          ? router_.resolve(recipient, envelope.sender)
                                          : router_.resolve_filter(envelope.filter, recipient));
    return Route{.transport = std::move(found.transport),
                 .nexthop = std::move(found.nexthop),
                 .recipient = std::move(found.recipient)};
  }

  daemon::Context& context_;
  route::Router router_;
  std::unique_ptr<Core> core_;
};

} // namespace

Result<std::unique_ptr<daemon::Service>> create_service(daemon::Context& context) {
  POSTRIDER_TRY(route::Router router,
                route::Router::create(context.settings(), own_addresses(), context.clock()));
  auto service = std::make_unique<Service>(context, std::move(router));
  POSTRIDER_TRY_VOID(service->start());
  return std::unique_ptr<daemon::Service>(std::move(service));
}

} // namespace postrider::qmgr
