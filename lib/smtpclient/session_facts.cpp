// SPDX-License-Identifier: MIT
#include "smtpclient/session_facts.hpp"

#include <algorithm>
#include <sys/socket.h>

#include "base/fields.hpp"
#include "net/address.hpp"

namespace postrider::smtpclient {
namespace {

constexpr std::size_t kMostName = 1024; // bytes of a host name, an address, a list of keywords

struct Written {
  std::string key;
  std::string host, address;
  std::uint16_t port = 0;
  bool esmtp = false, pipelining = false, eight_bit_mime = false, size = false;
  std::uint64_t size_limit = 0;
  bool dsn = false, smtputf8 = false, enhanced_status = false, chunking = false, starttls = false;
  bool offers_auth = false; // which may name no mechanism
  std::string auth, xforward;
  bool delay_dot = false;
  std::uint64_t uses = 0;
  std::int64_t opened = 0; // nanoseconds
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v("key", s.key);
    v("host", s.host);
    v("address", s.address);
    v("port", s.port);
    v("esmtp", s.esmtp);
    v("pipelining", s.pipelining);
    v("8bitmime", s.eight_bit_mime);
    v("size", s.size);
    v("size_limit", s.size_limit);
    v("dsn", s.dsn);
    v("smtputf8", s.smtputf8);
    v("enhanced_status", s.enhanced_status);
    v("chunking", s.chunking);
    v("starttls", s.starttls);
    v("offers_auth", s.offers_auth);
    v("auth", s.auth);
    v("xforward", s.xforward);
    v("delay_dot", s.delay_dot);
    v("uses", s.uses);
    v("opened", s.opened);
  }
};

bool is_clean(std::string_view text) {
  return text.size() <= kMostName && std::none_of(text.begin(), text.end(), [](unsigned char c) {
           return c < ' ' || c == 127;
         });
}

Error wrong(std::string text) { return Error(ErrorKind::protocol, std::move(text)); }

} // namespace

std::string encode_facts(const SessionFacts& facts) {
  const smtp::Features& f = facts.features;
  Written w;
  w.key = facts.key;
  w.host = facts.peer.host;
  w.address = facts.peer.address;
  w.port = facts.peer.port;
  w.esmtp = f.esmtp;
  w.pipelining = f.pipelining;
  w.eight_bit_mime = f.eight_bit_mime;
  w.size = f.size;
  w.size_limit = f.size_limit;
  w.dsn = f.dsn;
  w.smtputf8 = f.smtputf8;
  w.enhanced_status = f.enhanced_status;
  w.chunking = f.chunking;
  w.starttls = f.starttls;
  w.offers_auth = f.auth.has_value();
  w.auth = f.auth.value_or(std::string());
  w.xforward = f.xforward;
  w.delay_dot = facts.delay_dot;
  w.uses = facts.uses;
  w.opened =
      std::chrono::duration_cast<std::chrono::nanoseconds>(facts.opened.time_since_epoch()).count();
  return encode(w);
}

Result<SessionFacts> parse_facts(ByteView text, SteadyTime now) {
  POSTRIDER_TRY(Written w, decode<Written>(text));
  if (!is_clean(w.host) || !is_clean(w.address) || !is_clean(w.auth) || !is_clean(w.xforward) ||
      w.host.empty() || w.address.empty())
    return wrong("words of a session that make no sense");
  if (w.uses == 0) return wrong("a session that was never used");
  SessionFacts facts;
  facts.key = std::move(w.key);
  facts.opened = SteadyTime(std::chrono::nanoseconds(w.opened));
  if (w.opened < 0 || facts.opened > now) return wrong("a session that is not open yet");
  facts.peer = Peer{std::move(w.host), std::move(w.address), w.port};
  smtp::Features& f = facts.features;
  f.esmtp = w.esmtp;
  f.pipelining = w.pipelining;
  f.eight_bit_mime = w.eight_bit_mime;
  f.size = w.size;
  f.size_limit = w.size_limit;
  f.dsn = w.dsn;
  f.smtputf8 = w.smtputf8;
  f.enhanced_status = w.enhanced_status;
  f.chunking = w.chunking;
  f.starttls = w.starttls;
  if (w.offers_auth) f.auth = std::move(w.auth);
  f.xforward = std::move(w.xforward);
  facts.delay_dot = w.delay_dot;
  facts.uses = w.uses;
  return facts;
}

Result<void> check_leads_to(int fd, const Peer& peer) {
  int type = 0;
  socklen_t length = sizeof type;
  if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_STREAM)
    return wrong("what is no connection");
  const net::Address there = net::Address::peer_of(fd);
  if (there.family() == 0) return Error(ErrorKind::closed, "connection closed");
  if (!there.is_ip()) return wrong("a connection within this host");
  if (there.text() != peer.address || there.port() != peer.port)
    return wrong("a connection to " + there.text() + " instead of " + peer.address);
  return {};
}

} // namespace postrider::smtpclient
