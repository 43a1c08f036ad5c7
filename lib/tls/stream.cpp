// SPDX-License-Identifier: MIT
#include "tls/stream.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <map>
#include <optional>

#include "base/ascii.hpp"
#include "net/address.hpp"
#include "tls/facts.hpp"
#include "tls/native.hpp"
#include "tls/session_data.hpp"
#include "tls/tickets.hpp"

namespace postrider::tls {

namespace {

constexpr std::size_t kRecord = 16 * 1024; // RFC 8446 section 5.1
// Bytes that a peer may send in a handshake, and later between two bytes of data (T3): tickets, key
// updates, empty records, warnings. A long chain is 20 kB, a ticket with one in it as much.
constexpr std::size_t kHandshakeLimit = 256 * 1024;
constexpr std::size_t kOverheadLimit = 64 * 1024;

// Parsed priorities: parsing is dear, and there are few of them.
struct Priorities {
  ~Priorities() { clear(); }
  void clear() {
    for (const auto& [text, parsed] : known)
      gnutls_priority_deinit(parsed);
    known.clear();
  }
  std::map<std::string, gnutls_priority_t> known;
};

Result<gnutls_priority_t> parsed(const std::string& priority) {
  static thread_local Priorities cache;
  if (const auto found = cache.known.find(priority); found != cache.known.end())
    return found->second;
  gnutls_priority_t made = nullptr;
  const char* where = nullptr;
  if (const int rc = gnutls_priority_init(&made, priority.c_str(), &where); rc < 0)
    return Error(ErrorKind::config, "TLS priority \"" + priority + "\": " + gnutls_text(rc) +
                                        " at \"" + (where != nullptr ? where : "") + "\"");
  if (cache.known.size() >= 64) cache.clear(); // sessions hold on to theirs
  cache.known.emplace(priority, made);
  return made;
}

// Plain text lands here and what came is copied out: an idle stream owns no buffer.
char* scratch() {
  static thread_local std::unique_ptr<char[]> buffer = std::make_unique<char[]>(kRecord);
  return buffer.get();
}

Error cut_off() { return Error(ErrorKind::closed, "TLS connection cut without close_notify"); }

} // namespace

struct TlsStream::Impl {
  Impl(std::unique_ptr<net::Stream> stream, std::shared_ptr<const Credentials> c, bool is_server)
      : below(std::move(stream)), credentials(std::move(c)), server(is_server) {}
  Impl(const Impl&) = delete;
  ~Impl() {
    if (session != nullptr) gnutls_deinit(session);
  }

  Result<void> prepare(const std::string& priority);
  Result<void> send_server_name();
  Error trouble(int code);
  void abandon(int code);

  static ssize_t push(gnutls_transport_ptr_t self, const giovec_t* pieces, int count);
  static ssize_t pull(gnutls_transport_ptr_t self, void* into, std::size_t size);
  static int may_pull(gnutls_transport_ptr_t self, unsigned);
  static int saw_hello(gnutls_session_t session, unsigned, unsigned when, unsigned,
                       const gnutls_datum_t* message);
  static int choose_identity(gnutls_session_t session);
  int use(const std::shared_ptr<const Credentials>& its);
  int enable_tickets();
  static int saw_ticket(gnutls_session_t session, unsigned, unsigned, unsigned,
                        const gnutls_datum_t*);

  std::unique_ptr<net::Stream> below;
  std::shared_ptr<const Credentials> credentials;
  bool server;
  gnutls_session_t session = nullptr;
  std::string priority, server_name; // of a client, for take_session; of a server: if we know it
  const ServerHandshake* asked = nullptr; // of a server, during the handshake
  std::string ticket_name;                // of the key of the ticket that the client has
  bool makes_tickets = false;
  bool established = false;
  std::string out;                          // records that `below` has not taken yet
  bool starved = false;                     // GnuTLS asked for more than `below` has buffered
  std::size_t taken = 0;                    // bytes of records since the last byte of data
  std::optional<char> first_byte;           // of what the peer sent
  bool has_ticket = false;                  // one that take_session has not given away
  std::optional<Error> read_end, write_end; // no more of either
  Facts facts;
};

ssize_t TlsStream::Impl::push(gnutls_transport_ptr_t self, const giovec_t* pieces, int count) {
  std::string& out = static_cast<Impl*>(self)->out;
  const std::size_t before = out.size();
  for (int i = 0; i < count; ++i)
    out.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
  return static_cast<ssize_t>(out.size() - before);
}

ssize_t TlsStream::Impl::pull(gnutls_transport_ptr_t self, void* into, std::size_t size) {
  Impl& impl = *static_cast<Impl*>(self);
  const ByteView have = impl.below->buffered();
  if (have.empty()) {
    impl.starved = true;
    gnutls_transport_set_errno(impl.session, EAGAIN);
    return -1;
  }
  const std::size_t count = std::min(size, have.size());
  if (!impl.first_byte) impl.first_byte = have[0];
  std::memcpy(into, have.data(), count);
  impl.below->consume(count);
  impl.taken += count;
  return static_cast<ssize_t>(count);
}

int TlsStream::Impl::may_pull(gnutls_transport_ptr_t self, unsigned) {
  return static_cast<Impl*>(self)->below->buffered().empty() ? 0 : 1;
}

int TlsStream::Impl::saw_ticket(gnutls_session_t session, unsigned, unsigned, unsigned,
                                const gnutls_datum_t*) {
  static_cast<Impl*>(gnutls_transport_get_ptr(session))->has_ticket = true;
  return 0;
}

int TlsStream::Impl::use(const std::shared_ptr<const Credentials>& its) {
  const Credentials::Native& native = its->native();
  POSTRIDER_CHECK((native.anonymous_server != nullptr) == server, "credentials of the other side");
  int rc = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, native.handle);
  if (rc >= 0)
    rc = server ? gnutls_credentials_set(session, GNUTLS_CRD_ANON, native.anonymous_server)
                : gnutls_credentials_set(session, GNUTLS_CRD_ANON, native.anonymous_client);
  credentials = its;
  return rc;
}

// Hooks of a server. The first sees the ClientHello as it came, the second what GnuTLS read there,
// before it chooses certificate and cipher and looks at tickets.
int TlsStream::Impl::saw_hello(gnutls_session_t session, unsigned, unsigned when, unsigned,
                               const gnutls_datum_t* message) {
  Impl& impl = *static_cast<Impl*>(gnutls_transport_get_ptr(session));
  if (when == GNUTLS_HOOK_PRE && message != nullptr) impl.ticket_name = ticket_key_name(*message);
  return 0;
}

int TlsStream::Impl::choose_identity(gnutls_session_t session) {
  Impl& impl = *static_cast<Impl*>(gnutls_transport_get_ptr(session));
  if (impl.asked == nullptr) return GNUTLS_E_REHANDSHAKE; // T3
  char name[256];
  std::size_t size = sizeof name;
  unsigned type = 0;
  if (impl.asked->named && gnutls_server_name_get(session, name, &size, &type, 0) >= 0 &&
      type == GNUTLS_NAME_DNS) {
    const std::string_view wanted(name, strnlen(name, size));
    if (const auto its = impl.asked->named(wanted)) {
      impl.server_name = wanted;
      if (const int rc = impl.use(its); rc < 0) return rc;
    }
  }
  return impl.enable_tickets();
}

int TlsStream::Impl::enable_tickets() {
  if (asked->ticket_keys.empty() || makes_tickets) return 0; // a second ClientHello comes here, too
  makes_tickets = true;
  const auto life = static_cast<unsigned>(asked->session_life.count());
  gnutls_db_set_cache_expiration(session, static_cast<int>(life));
  std::string chosen;
  for (const std::string& key : asked->ticket_keys) {
    std::string bound = bind_ticket_key(key, asked->ticket_context, credentials->digest());
    const bool opens = has_name(bound, ticket_name, std::time(nullptr), life);
    if (chosen.empty() || opens) chosen = std::move(bound);
    if (opens) break;
  }
  const gnutls_datum_t key{reinterpret_cast<unsigned char*>(chosen.data()),
                           static_cast<unsigned>(chosen.size())};
  return gnutls_session_ticket_enable_server(session, &key);
}

// Smaller groups have been broken once for all who use them (Logjam, 2015).
constexpr unsigned kLeastDhBits = 1024;

Result<void> TlsStream::Impl::prepare(const std::string& text) {
  POSTRIDER_CHECK(credentials != nullptr);
  POSTRIDER_TRY(gnutls_priority_t chosen, parsed(text));
  // One key share, as OpenSSL: a second costs a tenth of a handshake, and is seldom asked for.
  const unsigned role = server ? GNUTLS_SERVER : GNUTLS_CLIENT | GNUTLS_KEY_SHARE_TOP;
  int rc = gnutls_init(&session, role | GNUTLS_NONBLOCK);
  if (rc >= 0) rc = gnutls_priority_set(session, chosen);
  if (rc >= 0) rc = use(credentials);
  if (rc < 0) return Error(ErrorKind::config, "TLS: " + gnutls_text(rc));
  if (!server) gnutls_dh_set_prime_bits(session, kLeastDhBits);
  gnutls_session_set_ptr(session, const_cast<Credentials*>(credentials.get()));
  gnutls_transport_set_ptr(session, this);
  gnutls_transport_set_vec_push_function(session, push);
  gnutls_transport_set_pull_function(session, pull);
  gnutls_transport_set_pull_timeout_function(session, may_pull);
  return {};
}

// RFC 6066 section 3: host names only, without the last dot. An address is not sent, nor is a name
// with an underscore: GnuTLS's own server ends the handshake over it.
Result<void> TlsStream::Impl::send_server_name() {
  std::string_view name = server_name;
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty() || name.find('_') != name.npos || net::Address::parse_ip(name, 0)) return {};
  const bool good = name.size() <= 253 && std::all_of(name.begin(), name.end(), [](char c) {
                      return is_alnum(c) || c == '-' || c == '.';
                    });
  if (!good || gnutls_server_name_set(session, GNUTLS_NAME_DNS, name.data(), name.size()) < 0)
    return Error(ErrorKind::config, "TLS server name \"" + server_name + "\" is no host name");
  return {};
}

Error TlsStream::Impl::trouble(int code) {
  if (code == GNUTLS_E_FATAL_ALERT_RECEIVED) {
    const char* alert = gnutls_alert_get_name(gnutls_alert_get(session));
    return Error(ErrorKind::protocol,
                 gnutls_text(code) + ": " + (alert != nullptr ? alert : "unknown"));
  }
  // Handshake records and alerts are 22 and 21 (RFC 8446 section 5.1).
  if (!established && first_byte && *first_byte != 22 && *first_byte != 21)
    return Error(ErrorKind::protocol, "the peer does not speak TLS");
  return Error(ErrorKind::protocol, gnutls_text(code));
}

// The end, for a reason of ours: the peer is told, as far as that goes without waiting.
void TlsStream::Impl::abandon(int code) {
  read_end = trouble(code);
  if (write_end) return;
  write_end = read_end;
  if (code != GNUTLS_E_FATAL_ALERT_RECEIVED) gnutls_alert_send_appropriate(session, code);
  (void)below->write_now(out);
  std::string().swap(out);
}

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
  gnutls_handshake_set_hook_function(impl->session, GNUTLS_HANDSHAKE_NEW_SESSION_TICKET,
                                     GNUTLS_HOOK_POST, Impl::saw_ticket);
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
  if (gnutls_protocol_get_version(tls.session) < GNUTLS_TLS1_3) tls.has_ticket = true;
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
      tls.taken = 0;
      some = true;
    } else if (n == 0) {
      tls.read_end = Error(ErrorKind::closed, "TLS connection closed by peer");
    } else if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED) {
      if (tls.starved || tls.taken == before) break;
    } else if (n == GNUTLS_E_REHANDSHAKE && !tls.server) {
      // A client may ignore a HelloRequest (RFC 5246 section 7.4.1.1).
    } else if (n != GNUTLS_E_WARNING_ALERT_RECEIVED) {
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

std::string TlsStream::take_session() {
  Impl& tls = *impl_;
  if (tls.server || !std::exchange(tls.has_ticket, false)) return {};
  gnutls_datum_t data{};
  if (gnutls_session_get_data2(tls.session, &data) < 0) return {};
  std::string packed = pack_session(tls.priority, tls.server_name,
                                    ByteView(reinterpret_cast<const char*>(data.data), data.size));
  gnutls_free(data.data);
  return packed;
}

} // namespace postrider::tls
