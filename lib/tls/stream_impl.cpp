// SPDX-License-Identifier: MIT
#include "tls/stream_impl.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <map>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "net/address.hpp"
#include "tls/session_data.hpp"
#include "tls/tickets.hpp"

namespace postrider::tls {
namespace {

constexpr int kMostTraced = 200; // lines

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

} // namespace

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

void TlsStream::Impl::trace_line(std::string_view what) {
  if (trace.empty() || ++traced > kMostTraced) return;
  log::info(trace + ": " + (traced < kMostTraced ? std::string(what) : "no more of it is logged"));
}

void TlsStream::Impl::trace_alert(std::string_view direction, gnutls_alert_description_t alert) {
  const char* name = gnutls_alert_get_name(alert);
  trace_line(std::string(direction) + " alert: " + (name != nullptr ? name : "unknown"));
}

// Behind a message that was sent or taken. Each ticket is kept as it comes: GnuTLS itself remembers
// the last one only.
int TlsStream::Impl::saw_message(gnutls_session_t session, unsigned type, unsigned,
                                 unsigned incoming, const gnutls_datum_t* message) {
  Impl& tls = *static_cast<Impl*>(gnutls_transport_get_ptr(session));
  const auto kind = static_cast<gnutls_handshake_description_t>(type);
  const char* name = gnutls_handshake_description_get_name(kind);
  tls.trace_line(std::string(incoming != 0 ? "received " : "sent ") +
                 (name != nullptr ? name : "an unknown message") + ", " +
                 std::to_string(message->size) + " bytes");
  if (kind != GNUTLS_HANDSHAKE_NEW_SESSION_TICKET || incoming == 0 || !tls.established) return 0;
  std::string packed = tls.packed_session();
  if (packed.empty()) return 0;
  if (tls.tickets.size() >= kMostSessions) tls.tickets.erase(tls.tickets.begin());
  tls.tickets.push_back(std::move(packed));
  return 0;
}

std::string TlsStream::Impl::packed_session() {
  gnutls_datum_t data{};
  if (gnutls_session_get_data2(session, &data) < 0) return {};
  std::string packed = pack_session(priority, server_name,
                                    ByteView(reinterpret_cast<const char*>(data.data), data.size));
  gnutls_free(data.data);
  return packed;
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
    trace_alert("received", gnutls_alert_get(session));
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
  if (code != GNUTLS_E_FATAL_ALERT_RECEIVED && gnutls_alert_send_appropriate(session, code) == 0) {
    int level = 0;
    const int alert = gnutls_error_to_alert(code, &level);
    if (alert >= 0) trace_alert("sent", static_cast<gnutls_alert_description_t>(alert));
  }
  (void)below->write_now(out);
  std::string().swap(out);
}

} // namespace postrider::tls
