// SPDX-License-Identifier: MIT
#include "service_table.hpp"

#include <algorithm>
#include <array>
#include <netdb.h>
#include <netinet/in.h>
#include <sched.h>
#include <unistd.h>

#include "base/ascii.hpp"
#include "base/text_file.hpp"

namespace postrider::master {

namespace {

constexpr unsigned kNoProcessLimit = 10'000;

class Planner {
 public:
  Planner(const config::Settings& settings, const Host& host, Plan& plan)
      : settings_(settings), host_(host), plan_(plan) {}

  void add(const config::ServiceEntry& entry) {
    where_ = "master.cf:" + std::to_string(entry.line) + ": ";
    ServicePlan service;
    service.key = entry.name + "/" + std::string(to_string(entry.type));
    if (is_disabled(service.key, to_string(entry.type))) return;
    service.entry = entry;
    service.limit = limit_of(entry);
    service.exclusive = entry.limit == 1U && !serves_many(entry);
    // Without qmgr nothing moves, whatever its line says about waking it up.
    service.resident =
        service.exclusive &&
        (entry.command == "qmgr" || (entry.wakeup.count() > 0 && !entry.wakeup_only_if_used));
    service.path = settings_.text("daemon_directory") + "/" + entry.command;
    if (::access(service.path.c_str(), X_OK) != 0)
      plan_.warnings.push_back(where_ + "there is no program " + service.path);
    service.arguments = arguments_of(entry);
    if (auto listen = listen_points(entry); listen)
      service.listen = std::move(*listen);
    else
      return plan_.errors.push_back(where_ + listen.error().text());
    if (service.listen.empty())
      return plan_.errors.push_back(where_ + "there is no address to listen on");
    for (const ListenAt& at : service.listen)
      for (const ServicePlan& other : plan_.services)
        if (at.address.port() != 0 || !at.address.is_ip())
          if (std::find(other.listen.begin(), other.listen.end(), at) != other.listen.end())
            return plan_.errors.push_back(where_ + "listens on the same address as line " +
                                          std::to_string(other.entry.line));
    plan_.services.push_back(std::move(service));
  }

 private:
  bool is_disabled(std::string_view key, std::string_view type) const {
    for (const std::string& word : settings_.words("master_service_disable"))
      if (word == key || word == type) return true;
    return false;
  }

  // Programs of which several processes may work side by side.
  static bool serves_many(const config::ServiceEntry& entry) {
    constexpr std::array<std::string_view, 3> kMany = {"smtpd", "smtp", "lmtp"};
    return std::find(kMany.begin(), kMany.end(), entry.command) != kMany.end();
  }

  unsigned limit_of(const config::ServiceEntry& entry) const {
    if (entry.limit) return *entry.limit == 0 ? kNoProcessLimit : *entry.limit;
    return serves_many(entry) ? host_.cores : 1;
  }

  std::vector<std::string> arguments_of(const config::ServiceEntry& entry) const {
    std::vector<std::string> out = {entry.command, "-n", entry.name, "-t",
                                    std::string(to_string(entry.type))};
    if (host_.root && entry.unprivileged) out.emplace_back("-u");
    if (host_.root && entry.chroot) out.emplace_back("-j");
    for (const auto& [name, value] : entry.overrides) {
      out.emplace_back("-o");
      out.push_back(name + "=" + value);
    }
    out.insert(out.end(), entry.arguments.begin(), entry.arguments.end());
    return out;
  }

  Result<std::vector<ListenAt>> listen_points(const config::ServiceEntry& entry) const {
    std::vector<ListenAt> out;
    if (entry.type == config::ServiceType::unix_) {
      POSTRIDER_TRY(const net::Address path, net::Address::unix_path(entry.socket_path()));
      out.push_back({.address = path});
      return out;
    }
    POSTRIDER_TRY(const std::uint16_t port, port_of(entry.listen.port));
    if (!entry.listen.host.empty()) {
      POSTRIDER_TRY_VOID(add_host(entry.listen.host, port, out));
      return out;
    }
    for (const std::string& word : settings_.words("inet_interfaces")) {
      if (iequals(word, "all")) {
        add_if_allowed("0.0.0.0", port, false, out);
        add_if_allowed("::", port, true, out);
      } else if (iequals(word, "loopback-only")) {
        add_if_allowed("127.0.0.1", port, false, out);
        add_if_allowed("::1", port, true, out);
      } else {
        POSTRIDER_TRY_VOID(add_host(word, port, out));
      }
    }
    return out;
  }

  bool protocol_allowed(int family) const {
    const std::string protocols = lowercase(settings_.text("inet_protocols"));
    if (protocols == "all") return true;
    return protocols.find(family == AF_INET6 ? "ipv6" : "ipv4") != std::string::npos;
  }

  void add_if_allowed(std::string_view ip, std::uint16_t port, bool may_be_absent,
                      std::vector<ListenAt>& out) const {
    const auto address = net::Address::parse_ip(ip, port);
    if (!address || !protocol_allowed(address->family())) return;
    const ListenAt at{.address = *address,
                      .may_be_absent = may_be_absent,
                      .window = static_cast<int>(settings_.number("tcp_windowsize"))};
    if (std::find(out.begin(), out.end(), at) == out.end()) out.push_back(at);
  }

  Result<void> add_host(const std::string& host, std::uint16_t port,
                        std::vector<ListenAt>& out) const {
    if (net::Address::parse_ip(host, port)) {
      add_if_allowed(host, port, false, out);
      return {};
    }
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE;
    addrinfo* found = nullptr;
    if (const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &found); error != 0)
      return Error(ErrorKind::config, host + ": " + ::gai_strerror(error));
    for (const addrinfo* a = found; a != nullptr; a = a->ai_next)
      add_if_allowed(net::Address::from_sockaddr(a->ai_addr, a->ai_addrlen).text(), port, false,
                     out);
    ::freeaddrinfo(found);
    return {};
  }

  // known_tcp_ports: "smtps=submissions=465": all names before the last '=' stand for it.
  Result<std::uint16_t> port_of(const std::string& text) const {
    std::string port = text;
    for (const std::string& word : settings_.words("known_tcp_ports")) {
      const auto names = split(word, "=");
      if (names.size() > 1 && std::find(names.begin(), names.end() - 1, text) != names.end() - 1)
        port = names.back();
    }
    if (const auto number = parse_decimal(port)) {
      if (*number > 65535) return Error(ErrorKind::config, "port " + port + " is above 65535");
      return static_cast<std::uint16_t>(*number);
    }
    const servent* known = ::getservbyname(port.c_str(), "tcp");
    if (known == nullptr) return Error(ErrorKind::config, "no port is called " + port);
    return ntohs(static_cast<std::uint16_t>(known->s_port));
  }

  const config::Settings& settings_;
  const Host& host_;
  Plan& plan_;
  std::string where_;
};

} // namespace

Host Host::here() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int cores = ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  return {.cores = static_cast<unsigned>(std::max(1, cores)), .root = ::geteuid() == 0};
}

Plan make_plan(const config::MasterCf& master_cf, const config::Settings& settings,
               const Host& host) {
  Plan plan;
  plan.errors = master_cf.errors;
  Planner planner(settings, host, plan);
  for (const config::ServiceEntry& entry : master_cf.services)
    planner.add(entry);
  if (plan.errors.empty() && plan.services.empty())
    plan.errors.emplace_back("master.cf: no service is enabled");
  return plan;
}

Result<Configuration> load_configuration(const std::string& directory,
                                         const std::vector<config::Override>& overrides,
                                         const Host& host, std::vector<std::string>& errors,
                                         std::vector<std::string>& warnings) {
  config::Findings findings;
  auto settings = config::Settings::load({.config_directory = directory,
                                          .overrides = overrides,
                                          .process_name = "master",
                                          .service_name = "master"},
                                         findings);
  errors = std::move(findings.errors);
  warnings = std::move(findings.warnings);
  auto text = read_text_file(directory + "/master.cf");
  if (!text) errors.push_back(text.error().text());
  if (!settings) return settings.error();
  if (!text) return text.error();
  Plan plan = make_plan(config::parse_master_cf(text->text), *settings, host);
  errors.insert(errors.end(), plan.errors.begin(), plan.errors.end());
  warnings.insert(warnings.end(), plan.warnings.begin(), plan.warnings.end());
  if (!errors.empty()) return Error(ErrorKind::config, errors.front());
  return Configuration{std::move(*settings), std::move(plan)};
}

} // namespace postrider::master
