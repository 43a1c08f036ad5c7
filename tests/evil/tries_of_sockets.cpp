// SPDX-License-Identifier: MIT
// Attempts to make sockets of wrong kinds, to reach what is none of the worker's business, and to
// be reached.
#include <arpa/inet.h>
#include <cstddef>
#include <cstring>
#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

#include "proto/child_status.hpp"
#include "tries.hpp"

namespace postrider::evil {

namespace {

#define POSTRIDER_EVIL_TALKERS "smtpd smtp lmtp qmgr tlsmgr tokenmgr saslmgr tlsrpt"

int make_socket(int family, int type, int protocol = 0) {
  const int fd = ::socket(family, type | SOCK_CLOEXEC, protocol);
  const int result = outcome(fd);
  if (fd >= 0) ::close(fd);
  return result;
}

sockaddr_in place(std::uint16_t port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(port);
  out.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return out;
}

int connect_to_port(std::uint16_t port, int protocol = 0) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, protocol);
  if (fd < 0) return errno;
  const sockaddr_in to = place(port);
  return outcome(::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to),
                 {ECONNREFUSED, ETIMEDOUT});
}

std::pair<sockaddr_un, socklen_t> unix_place(std::string_view name) {
  sockaddr_un out{};
  out.sun_family = AF_UNIX;
  name.copy(out.sun_path, sizeof out.sun_path - 1);
  return {out, static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size())};
}

int connect_to_unix(std::string_view name, int type) {
  const int fd = ::socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  const auto [address, length] = unix_place(name);
  return outcome(::connect(fd, reinterpret_cast<const sockaddr*>(&address), length));
}

// master answers nobody but root and, without root, its own user: and no worker then.
int ask_master(const Target& t) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  const auto [address, length] = unix_place(text_of(t, "queue") + "/private/master");
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), length) != 0) return errno;
  char byte = 0;
  const ssize_t n = ::recv(fd, &byte, 1, 0);
  return n > 0 ? 0 : ECONNRESET;
}

// The socket that the service listens on.
int set_of_shared(int level, int option, const void* value, std::size_t size) {
  return outcome(
      ::setsockopt(proto::kFirstListenerFd, level, option, value, static_cast<socklen_t>(size)));
}

} // namespace

const std::vector<Attempt>& tries_of_sockets() {
  static const std::vector<Attempt> all = {
      {"raw_socket", "", [](const Target&) { return make_socket(AF_INET, SOCK_RAW, IPPROTO_TCP); }},
      {"raw_icmp_socket", "",
       [](const Target&) { return make_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP); }},
      {"raw_socket_ipv6", "",
       [](const Target&) { return make_socket(AF_INET6, SOCK_RAW, IPPROTO_TCP); }},
      {"packet_socket", "",
       [](const Target&) { return make_socket(AF_PACKET, SOCK_RAW, htons(3)); }},
      {"netlink_route", "", [](const Target&) { return make_socket(AF_NETLINK, SOCK_RAW, 0); }},
      {"netlink_filter", "", [](const Target&) { return make_socket(AF_NETLINK, SOCK_RAW, 12); }},
      {"netlink_audit", "", [](const Target&) { return make_socket(AF_NETLINK, SOCK_RAW, 9); }},
      {"crypto_socket", "", [](const Target&) { return make_socket(AF_ALG, SOCK_SEQPACKET); }},
      {"vsock", "", [](const Target&) { return make_socket(AF_VSOCK, SOCK_STREAM); }},
      {"key_socket", "", [](const Target&) { return make_socket(AF_KEY, SOCK_RAW, 2); }},
      {"multipath_tcp", "", [](const Target&) { return make_socket(AF_INET, SOCK_STREAM, 262); }},
      {"sctp", "", [](const Target&) { return make_socket(AF_INET, SOCK_STREAM, 132); }},
      {"dccp", "", [](const Target&) { return make_socket(AF_INET, 6, 33); }},
      {"tcp_socket", POSTRIDER_EVIL_TALKERS,
       [](const Target&) { return make_socket(AF_INET, SOCK_STREAM); }},
      {"tcp_socket_ipv6", POSTRIDER_EVIL_TALKERS,
       [](const Target&) { return make_socket(AF_INET6, SOCK_STREAM); }},
      {"udp_socket", POSTRIDER_EVIL_TALKERS,
       [](const Target&) { return make_socket(AF_INET, SOCK_DGRAM); }},
      {"connect_out", "smtp lmtp tokenmgr saslmgr tlsrpt",
       [](const Target& t) {
         return connect_to_port(static_cast<std::uint16_t>(std::atoi(path_of(t, "port"))));
       }},
      {"connect_to_smtp_port", "smtp lmtp tokenmgr saslmgr tlsrpt",
       [](const Target&) { return connect_to_port(25); }},
      {"listen_on_a_port", "",
       [](const Target& t) {
         const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
         if (fd < 0) return errno;
         const sockaddr_in at =
             place(static_cast<std::uint16_t>(std::atoi(path_of(t, "free_port"))));
         if (::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) return errno;
         return outcome(::listen(fd, 1));
       }},
      {"listen_on_a_path", "qmgr",
       [](const Target& t) {
         const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
         if (fd < 0) return errno;
         const std::string path = text_of(t, "queue") + "/public/evil";
         const auto [address, length] = unix_place(path);
         const int result =
             outcome(::bind(fd, reinterpret_cast<const sockaddr*>(&address), length));
         if (result == 0) ::unlink(path.c_str());
         return result;
       }},
      {"listen_on_an_abstract_name", "",
       [](const Target&) {
         const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
         if (fd < 0) return errno;
         const auto [address, length] =
             unix_place(std::string(1, '\0') + "postrider-evil" + std::to_string(::getpid()));
         if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), length) != 0) return errno;
         return outcome(::listen(fd, 1));
       }},
      {"abstract_socket", "",
       [](const Target& t) {
         return connect_to_unix(std::string(1, '\0') + text_of(t, "abstract"), SOCK_STREAM);
       }},
      {"abstract_datagram", "",
       [](const Target& t) {
         return connect_to_unix(std::string(1, '\0') + text_of(t, "abstract") + "-d", SOCK_DGRAM);
       }},
      {"ask_master", "", ask_master},
      // What would hold for master and all siblings, too. None of these does harm when it is done.
      {"filter_on_a_shared_socket", "",
       [](const Target&) {
         sock_filter take_all{.code = BPF_RET | BPF_K, .jt = 0, .jf = 0, .k = 0xffffffff};
         sock_fprog program{.len = 1, .filter = &take_all};
         const int done = set_of_shared(SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
         const int none = 0;
         if (done == 0) set_of_shared(SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none);
         return done;
       }},
      {"device_of_a_shared_socket", "",
       [](const Target&) { return set_of_shared(SOL_SOCKET, SO_BINDTODEVICE, "", 1); }},
      {"distance_of_a_shared_socket", "",
       [](const Target&) {
         const int any = 0;
         return set_of_shared(IPPROTO_IP, IP_MINTTL, &any, sizeof any);
       }},
      {"queue_of_a_shared_socket", "",
       [](const Target&) { return outcome(::listen(proto::kFirstListenerFd, SOMAXCONN)); }},
  };
  return all;
}

} // namespace postrider::evil
