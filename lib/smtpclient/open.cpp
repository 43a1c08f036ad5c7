// SPDX-License-Identifier: MIT
#include "smtpclient/open.hpp"

#include "base/log.hpp"
#include "net/tcp_stream.hpp"

namespace postrider::smtpclient {
namespace {

// A source that cannot be bound is passed over with a warning, unless smtp_bind_address_enforce
// forbids it. A virtual host speaks from its own address.
Result<Fd> prepare_socket(int family, const Options& options) {
  POSTRIDER_TRY(Fd socket, net::client_socket(family, options.tcp_window));
  const net::Address none;
  const auto choose = [&](const net::Address& four, const net::Address& six) {
    return family == AF_INET ? four : family == AF_INET6 ? six : none;
  };
  const net::Address asked = choose(options.bind4, options.bind6);
  const net::Address source = asked.family() != 0 ? asked : choose(options.own4, options.own6);
  if (source.family() == 0) return socket;
  if (auto bound = net::bind_source(socket, source); !bound) {
    log::warning(bound.error().text());
    if (asked.family() != 0 && options.bind_enforce)
      return Error(ErrorKind::config, "server configuration error: " + bound.error().text());
  }
  return socket;
}

} // namespace

ev::Task<Opened> open_session(ev::Loop& loop, const Options& options, Tables& tables,
                              TlsClient& tls, Authenticator* authenticator,
                              ev::Lent<const Endpoint> endpoint,
                              ev::Lent<const Occasion> occasion) {
  Opened opened;
  Result<Fd> socket = prepare_socket(endpoint->address.family(), options);
  if (!socket) {
    opened.trouble = trouble_from(socket.error(), smtp::Step::connect);
    if (socket.error().kind() == ErrorKind::config) opened.trouble->cause = Cause::cannot_bind;
    co_return opened;
  }
  const auto limit = options.timeout(smtp::Step::connect);
  const ev::Deadline deadline = limit.count() > 0 ? loop.after(limit) : ev::Deadline::never();
  Result<std::unique_ptr<net::TcpStream>> stream =
      co_await net::connect(loop, *socket, endpoint->address, deadline);
  if (!stream) {
    Trouble trouble = trouble_from(stream.error(), smtp::Step::connect);
    // "connect: Connection refused": the reader knows already what we did.
    if (trouble.detail.starts_with("connect: ")) trouble.detail.erase(0, 9);
    opened.trouble = std::move(trouble);
    co_return opened;
  }
  const std::string own_address =
      occasion->subject ? net::Address::local_of((*stream)->fd()).text() : std::string();
  opened.session =
      std::make_unique<Session>(loop, std::move(*stream), options, tables, endpoint->peer());
  opened.session->own_address = own_address;
  if (occasion->login) opened.session->login_key = occasion->login->key;
  opened.trouble = co_await greet_securely(*opened.session, tls, occasion);
  if (!opened.trouble && occasion->login)
    opened.trouble = co_await authenticator->log_in(*opened.session, occasion->login);
  co_return opened;
}

} // namespace postrider::smtpclient
