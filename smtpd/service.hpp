// SPDX-License-Identifier: MIT
// All sessions of one smtpd process: admits clients, counts them, and lets them go when the process
// ends. Owns the connection to the queue that they share.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "client_names.hpp"
#include "config.hpp"
#include "daemon/program.hpp"
#include "ev/group.hpp"
#include "service/client_counts.hpp"
#include "service/sasl_manager.hpp"
#include "session.hpp"

namespace postrider::smtpd {

class Service final : public daemon::Service, private Clients {
 public:
  // Reads resolv.conf, where no other name servers are set.
  static Result<dns::Setup> name_servers(const config::Settings& settings);
  static Result<std::unique_ptr<daemon::Service>> create(daemon::Context& context,
                                                         const dns::Setup& servers, TlsConfig tls,
                                                         forward::Setup forward);
  Service(daemon::Context& context, std::shared_ptr<const Config> config, dns::Setup servers,
          std::unique_ptr<dns::Resolver> resolver);
  ~Service() override;

  void accept(daemon::Client client) override;
  void drain(daemon::Drain reason) override;
  void stop() override;
  bool reload(const config::Settings& settings) override;

 private:
  struct Open { // a session that goes on, as drain() sees it
    int fd;
    Session* session;
  };
  ev::Task<std::string> change(ev::Lent<const Peer> before, ev::Lent<Peer> after) override;
  ev::Task<std::uint64_t> count(ev::Lent<const Peer> peer, proto::ClientEvent event) override;
  ev::Task<std::uint64_t> tls_sessions(ev::Lent<const Peer> peer) override;
  // Counts a client that has come. WAITS for anvil, a moment at most. Why it is not served, as a
  // reply; empty: it is. Counted it is in any case, until leave().
  ev::Task<std::string> enter(ev::Lent<Peer> peer);
  void leave(const Peer& peer);
  // Finds out who it is, then decides whether to serve it.
  ev::RootTask meet(daemon::Client client, Peer peer, net::Address address,
                    std::shared_ptr<const Config> config);
  // smtpd_upstream_proxy_protocol: WAITS for what the proxy says of the client.
  ev::Task<Result<void>> ask_proxy(int fd, ev::Lent<Peer> peer, net::Address& address,
                                   ev::Lent<const Config> config);
  ev::Task<Result<void>> identify(ev::Lent<Peer> peer, net::Address address,
                                  ev::Lent<const Config> config);
  void admit(daemon::Client client, Peer peer);
  std::string with_name(std::string_view text) const;
  void refuse(daemon::Client client, Peer peer, std::string_view text);
  // smtpd_session_limit is reached: the stranger that has been idle here the longest goes. False:
  // there is none, or enough are going.
  bool make_room();
  ev::RootTask serve(daemon::Client client, Peer peer, std::shared_ptr<const Config> config);
  ev::RootTask turn_away(daemon::Client client, Peer peer, std::string reply);
  void update_busy();
  ev::RootTask look_after_certificates();
  std::size_t sessions() const { return meeting_.size() + group_.size(); }

  daemon::Context& context_;
  std::shared_ptr<const Config> config_;
  const bool began_as_root_; // as its successor will
  submit::Submitter submitter_;
  service::SaslManager sasl_;
  service::ClientCounts counts_;
  service::TicketKeys tickets_;
  Shared shared_;
  const dns::Setup servers_;
  std::unique_ptr<forward::Servers> forward_; // null: mail is queued
  const std::unique_ptr<dns::Resolver> resolver_;
  dns::HostsFile hosts_;
  ClientNames names_;
  ev::Group meeting_; // clients of whom it is not known yet who they are
  ev::Group group_;   // sessions, and clients that are turned away
  ev::Group upkeep_;
  std::list<Open> open_;      // the oldest first, but for those that make_room() passed over
  std::size_t dismissed_ = 0; // of them
  std::unordered_map<std::string, std::uint64_t> per_client_; // connections, by network
  bool busy_ = false;
};

} // namespace postrider::smtpd
