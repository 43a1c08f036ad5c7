// SPDX-License-Identifier: MIT
#include "smtpclient/open.hpp"

#include "base/log.hpp"
#include "net/tcp_stream.hpp"

namespace postrider::smtpclient {
ev::Task<Opened> open_session(ev::Loop& loop, const Options& options, Tables& tables,
                              ev::Lent<const Endpoint> endpoint,
                              ev::Lent<const Occasion> occasion) {
  Opened opened;
  const auto limit = options.timeout(smtp::Step::connect);
  const ev::Deadline deadline = limit.count() > 0 ? loop.after(limit) : ev::Deadline::never();
  const int family = endpoint->address.family();
  const net::Address source = family == AF_INET    ? options.bind4
                              : family == AF_INET6 ? options.bind6
                                                   : net::Address();
  Result<std::unique_ptr<net::TcpStream>> stream =
      co_await net::connect(loop, endpoint->address, source, deadline);
  const bool cannot_bind =
      !stream && source.family() != 0 && stream.error().text().starts_with("bind ");
  if (cannot_bind && !options.bind_enforce) {
    log::warning(stream.error().text());
    const net::Address any;
    stream = co_await net::connect(loop, endpoint->address, any, deadline);
  }
  if (!stream) {
    Trouble trouble = trouble_from(stream.error(), smtp::Step::connect);
    // "connect: Connection refused": the reader knows already what we did.
    if (trouble.detail.starts_with("connect: ")) trouble.detail.erase(0, 9);
    opened.trouble = std::move(trouble);
    co_return opened;
  }
  opened.session =
      std::make_unique<Session>(loop, std::move(*stream), options, tables, endpoint->peer());
  opened.trouble = co_await greet(*opened.session, occasion);
  co_return opened;
}

} // namespace postrider::smtpclient
