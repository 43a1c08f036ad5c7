// SPDX-License-Identifier: MIT
#include "tls/stream.hpp"

#include <algorithm>

#include "tls/facts.hpp"
#include "tls/session_data.hpp"
#include "tls/stream_impl.hpp"

namespace postrider::tls {

namespace {

constexpr std::size_t kRecord = 16 * 1024; // RFC 8446 section 5.1
// Bytes that a peer may send in a handshake, and later between two bytes of data (T3): tickets, key
// updates, empty records, warnings. A long chain is 20 kB, a ticket with one in it as much.
constexpr std::size_t kHandshakeLimit = 256 * 1024;
constexpr std::size_t kOverheadLimit = 64 * 1024;

// Plain text lands here and what came is copied out: an idle stream owns no buffer.
char* scratch() {
  static thread_local std::unique_ptr<char[]> buffer = std::make_unique<char[]>(kRecord);
  return buffer.get();
}

Error cut_off() { return Error(ErrorKind::closed, "TLS connection cut without close_notify"); }

} // namespace

TlsStream::TlsStream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsStream::~TlsStream() = default;

ev::Task<Result<std::unique_ptr<TlsStream>>>
TlsStream::connect(std::unique_ptr<net::Stream>& below, ev::Lent<const ClientHandshake> handshake,
                   ev::Deadline deadline) {
  auto impl = std::make_unique<Impl>(std::move(below), handshake->credentials, false);
  Result<void> done = impl->prepare(handshake->priority);
  if (!done) co_return done.error();
  impl->priority = handshake->priority;
  impl->server_name = handshake->server_name;
  done = impl->send_server_name();
  if (!done) co_return done.error();
  const auto old = unpack_session(handshake->session, impl->priority, impl->server_name);
  if (!old.empty()) (void)gnutls_session_set_data(impl->session, old.data(), old.size());
  impl->trace = handshake->trace;
  impl->trace_data = handshake->trace_data;
  unsigned seen = GNUTLS_HANDSHAKE_NEW_SESSION_TICKET;
  if (!impl->trace.empty()) seen = GNUTLS_HANDSHAKE_ANY;
  gnutls_handshake_set_hook_function(impl->session, seen, GNUTLS_HOOK_POST, Impl::saw_message);
  std::unique_ptr<TlsStream> stream(new TlsStream(std::move(impl)));
  done = co_await stream->shake_hands(deadline);
  if (!done) co_return done.error();
  co_return std::move(stream);
}

ev::Task<Result<std::unique_ptr<TlsStream>>>
TlsStream::accept(std::unique_ptr<net::Stream>& below, ev::Lent<const ServerHandshake> handshake,
                  ev::Deadline deadline) {
  auto impl = std::make_unique<Impl>(std::move(below), handshake->credentials, true);
  Result<void> done = impl->prepare(handshake->priority);
  if (!done) co_return done.error();
  if (handshake->ask_certificate)
    gnutls_certificate_server_set_request(impl->session, GNUTLS_CERT_REQUEST);
  impl->asked = &*handshake; // it outlives this coroutine
  gnutls_handshake_set_hook_function(impl->session, GNUTLS_HANDSHAKE_CLIENT_HELLO, GNUTLS_HOOK_PRE,
                                     Impl::saw_hello);
  gnutls_handshake_set_post_client_hello_function(impl->session, Impl::choose_identity);
  std::unique_ptr<TlsStream> stream(new TlsStream(std::move(impl)));
  done = co_await stream->shake_hands(deadline);
  stream->impl_->asked = nullptr;
  if (!done) co_return done.error();
  co_return std::move(stream);
}

ev::Task<Result<void>> TlsStream::shake_hands(ev::Deadline deadline) {
  Impl& tls = *impl_;
  if (!tls.below->buffered().empty()) // T1
    co_return Error(ErrorKind::protocol, "data came before the TLS handshake");
  while (true) {
    const std::size_t before = tls.taken;
    tls.starved = false;
    const int rc = gnutls_handshake(tls.session);
    const bool goes_on =
        rc == GNUTLS_E_AGAIN || rc == GNUTLS_E_INTERRUPTED || rc == GNUTLS_E_WARNING_ALERT_RECEIVED;
    if (rc != GNUTLS_E_SUCCESS && !goes_on) {
      tls.abandon(rc);
      co_return *tls.read_end;
    }
    if (tls.taken > kHandshakeLimit)
      co_return Error(ErrorKind::protocol, "the TLS handshake is too long");
    Result<void> sent = co_await flush(deadline);
    if (!sent) co_return sent.error();
    if (rc == GNUTLS_E_SUCCESS) break;
    if (!tls.starved && tls.taken > before) continue;
    Result<void> more = co_await tls.below->fill(deadline);
    if (!more) co_return more.error();
  }
  tls.established = true;
  tls.taken = 0;
  tls.facts = describe(tls.session, tls.server);
  if (tls.server) tls.facts.server_name = tls.server_name;
  tls.has_session = gnutls_protocol_get_version(tls.session) < GNUTLS_TLS1_3;
  co_return Result<void>();
}

ev::Task<Result<void>> TlsStream::flush(ev::Deadline deadline) {
  if (impl_->out.empty()) co_return Result<void>();
  Result<void> sent = co_await impl_->below->write(impl_->out, deadline);
  std::string().swap(impl_->out);
  if (!sent) impl_->write_end = sent.error(); // part of a record may be gone
  co_return std::move(sent);
}

// Takes what `below` has buffered, as long as there is room. True: data came. The Error is for
// good; data that came before it is told first.
Result<bool> TlsStream::decrypt() {
  Impl& tls = *impl_;
  bool some = false;
  while (room() > 0 && !tls.read_end) {
    const std::size_t before = tls.taken;
    tls.starved = false;
    const ssize_t n = gnutls_record_recv(tls.session, scratch(), std::min(room(), kRecord));
    if (n > 0) {
      received(ByteView(scratch(), static_cast<std::size_t>(n)));
      if (tls.trace_data) tls.trace_line("received data, " + std::to_string(n) + " bytes");
      tls.taken = 0;
      some = true;
    } else if (n == 0) {
      tls.read_end = Error(ErrorKind::closed, "TLS connection closed by peer");
      tls.trace_alert("received", GNUTLS_A_CLOSE_NOTIFY);
    } else if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED) {
      if (tls.starved || tls.taken == before) break;
    } else if (n == GNUTLS_E_REHANDSHAKE && !tls.server) {
      // A client may ignore a HelloRequest (RFC 5246 section 7.4.1.1).
    } else if (n == GNUTLS_E_WARNING_ALERT_RECEIVED) {
      tls.trace_alert("received", gnutls_alert_get(tls.session));
    } else {
      tls.abandon(static_cast<int>(n));
    }
    if (tls.taken > kOverheadLimit) {
      tls.abandon(GNUTLS_E_TOO_MANY_EMPTY_PACKETS);
      tls.read_end = Error(ErrorKind::protocol, "too many TLS records without data");
    }
  }
  if (!some && tls.read_end) return *tls.read_end;
  return some;
}

ev::Task<Result<void>> TlsStream::fill(ev::Deadline deadline) {
  while (true) {
    if (room() == 0) co_return Error(ErrorKind::limit, "input buffer full");
    const Result<bool> some = decrypt();
    if (!some) co_return some.error();
    if (*some) co_return Result<void>();
    Result<void> more = co_await impl_->below->fill(deadline);
    if (more) continue;
    if (more.error().kind() != ErrorKind::closed) co_return more.error();
    impl_->read_end = cut_off();
  }
}

Result<bool> TlsStream::fill_now() {
  while (true) {
    if (room() == 0) return Error(ErrorKind::limit, "input buffer full");
    POSTRIDER_TRY(const bool some, decrypt());
    if (some) return true;
    const Result<bool> more = impl_->below->fill_now();
    if (!more && more.error().kind() == ErrorKind::closed)
      impl_->read_end = cut_off();
    else if (!more)
      return more.error();
    else if (!*more)
      return false;
  }
}

ev::Task<Result<std::size_t>> TlsStream::write_some(ByteView bytes, ev::Deadline deadline) {
  Impl& tls = *impl_;
  if (tls.write_end) co_return *tls.write_end;
  const ssize_t n = gnutls_record_send(tls.session, bytes.data(), std::min(bytes.size(), kRecord));
  if (n < 0) {
    tls.abandon(static_cast<int>(n));
    co_return *tls.write_end;
  }
  if (tls.trace_data) tls.trace_line("sent data, " + std::to_string(n) + " bytes");
  Result<void> sent = co_await flush(deadline);
  if (!sent) co_return sent.error();
  co_return static_cast<std::size_t>(n);
}

ev::Task<Result<void>> TlsStream::write(ByteView bytes, ev::Deadline deadline) {
  while (!bytes.empty()) {
    Result<std::size_t> sent = co_await write_some(bytes, deadline);
    if (!sent) co_return sent.error();
    bytes.remove_prefix(*sent);
  }
  co_return Result<void>();
}

void TlsStream::shutdown_write() {
  if (!impl_->write_end) {
    gnutls_bye(impl_->session, GNUTLS_SHUT_WR);
    impl_->trace_alert("sent", GNUTLS_A_CLOSE_NOTIFY);
    (void)impl_->below->write_now(impl_->out);
    std::string().swap(impl_->out);
    impl_->write_end = Error(ErrorKind::closed, "TLS connection shut down");
  }
  impl_->below->shutdown_write();
}

const Facts& TlsStream::facts() const { return impl_->facts; }

std::vector<std::string> TlsStream::chain() const {
  unsigned count = 0;
  const gnutls_datum_t* peers = gnutls_certificate_get_peers(impl_->session, &count);
  std::vector<std::string> chain;
  for (unsigned i = 0; peers != nullptr && i < count; ++i)
    chain.emplace_back(reinterpret_cast<const char*>(peers[i].data), peers[i].size);
  return chain;
}

std::vector<std::string> TlsStream::take_sessions() {
  Impl& tls = *impl_;
  if (tls.server) return {};
  std::vector<std::string> taken = std::exchange(tls.tickets, {});
  if (!std::exchange(tls.has_session, false)) return taken;
  std::string packed = tls.packed_session();
  if (!packed.empty()) taken.push_back(std::move(packed));
  return taken;
}

} // namespace postrider::tls
