// SPDX-License-Identifier: MIT
// Nonsense of every kind to every socket of the suite.
#include <algorithm>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abuse.hpp"
#include "ipc/channel.hpp"
#include "proto/anvil.hpp"
#include "proto/ctl_master.hpp"
#include "proto/intake.hpp"
#include "proto/saslmgr.hpp"
#include "proto/scache.hpp"
#include "proto/tlsmgr.hpp"
#include "proto/tlsrpt.hpp"
#include "proto/tokenmgr.hpp"

namespace postrider::evil {

namespace {

constexpr int kMoment = 1500; // milliseconds, for an answer

std::string junk(std::size_t size) {
  std::string out(size, '\0');
  std::uint32_t state = 12345;
  for (char& c : out)
    c = static_cast<char>((state = state * 1103515245 + 12345) >> 16);
  return out;
}

// Fields as on the wire, not as they should be.
std::string field(std::string_view name, char kind, std::string_view value) {
  std::string out;
  out.push_back(static_cast<char>(name.size()));
  out.append(name);
  out.push_back(kind);
  put_le(out, static_cast<std::uint32_t>(value.size()));
  return out.append(value);
}
std::string eight(std::uint64_t number) {
  std::string out;
  put_le(out, number);
  return out;
}

struct Kind {
  const char* name;
  std::string (*commit)(Wire& wire, std::uint16_t type);
};

// `type`: of a request that this service takes.
const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = {
      {"random_bytes",
       [](Wire& w, std::uint16_t) {
         w.raw(junk(4096));
         return ending(w);
       }},
      {"half_a_header",
       [](Wire& w, std::uint16_t type) {
         w.raw(header(10, type, 1, 0).substr(0, 5));
         ::shutdown(w.fd(), SHUT_WR);
         return ending(w);
       }},
      {"half_a_body",
       [](Wire& w, std::uint16_t type) {
         w.raw(header(1000, type, 1, 0) + junk(10));
         ::shutdown(w.fd(), SHUT_WR);
         return ending(w);
       }},
      {"length_of_4_gigabytes",
       [](Wire& w, std::uint16_t type) {
         w.raw(header(0xffffffff, type, 1, 0) + junk(100));
         return ending(w);
       }},
      {"length_one_beyond_the_limit",
       [](Wire& w, std::uint16_t type) {
         w.raw(header((8U << 20) + 1, type, 1, 0) + junk(100));
         return ending(w);
       }},
      {"another_frame_version",
       [](Wire& w, std::uint16_t type) {
         w.raw(header(0, type, 7, 0));
         return ending(w);
       }},
      {"descriptors_announced_and_not_sent",
       [](Wire& w, std::uint16_t type) {
         w.raw(header(0, type, 1, 8));
         return ending(w);
       }},
      {"255_descriptors_announced",
       [](Wire& w, std::uint16_t type) {
         w.raw(header(0, type, 1, 255));
         return ending(w);
       }},
      {"253_descriptors",
       [](Wire& w, std::uint16_t type) {
         w.raw(frame(type, ""), std::vector<int>(253, 0));
         return ending(w);
       }},
      {"flood_of_descriptors",
       [](Wire& w, std::uint16_t) {
         for (int i = 0; i < 100 && !w.closed(); ++i)
           w.raw(std::string("\0\0\0\1", 4), {0, 1, 0, 1});
         return ending(w);
       }},
      {"a_descriptor_that_is_not_due",
       [](Wire& w, std::uint16_t type) {
         w.raw(frame(type, field("number", 'n', eight(1)), 1), {0});
         return ending(w);
       }},
      {"unknown_type",
       [](Wire& w, std::uint16_t) {
         w.raw(frame(9999, ""));
         return ending(w);
       }},
      {"type_zero",
       [](Wire& w, std::uint16_t) {
         w.raw(frame(0, ""));
         return ending(w);
       }},
      {"type_of_another_conversation",
       [](Wire& w, std::uint16_t) {
         w.raw(frame(36 /* Deliver */, field("slot", 'n', eight(0))));
         return ending(w);
       }},
      {"greeting_of_a_server",
       [](Wire& w, std::uint16_t) {
         ipc::Hello hello;
         hello.protocol = "qmgr";
         hello.version = 1;
         w.say(hello);
         return ending(w);
       }},
      {"no_fields",
       [](Wire& w, std::uint16_t type) {
         w.raw(frame(type, ""));
         return ending(w);
       }},
      {"field_beyond_the_end",
       [](Wire& w, std::uint16_t type) {
         std::string body = field("number", 'n', eight(1));
         body += "\xff"
                 "name";
         w.raw(frame(type, body));
         return ending(w);
       }},
      {"value_longer_than_the_frame",
       [](Wire& w, std::uint16_t type) {
         std::string body = field("number", 'b', "12345678");
         body[8] = '\x7f';
         w.raw(frame(type, body));
         return ending(w);
       }},
      {"fields_of_wrong_kinds",
       [](Wire& w, std::uint16_t type) {
         w.raw(frame(type, field("number", 'l', "\1\0\0\0x") + field("key", 'n', eight(7)) +
                               field("domain", 'r',
                                     "\x03"
                                     "abc") +
                               field("role", 'z', "")));
         return ending(w);
       }},
      {"fields_twice",
       [](Wire& w, std::uint16_t type) {
         w.raw(frame(type, field("number", 'n', eight(1)) + field("number", 'n', eight(2))));
         return ending(w);
       }},
      {"enormous_list",
       [](Wire& w, std::uint16_t type) {
         std::string list;
         put_le(list, std::uint32_t{0xffffffff});
         w.raw(frame(type, field("number", 'n', eight(1)) + field("records", 'l', list)));
         return ending(w);
       }},
      {"zero_bytes_and_line_ends_in_texts",
       [](Wire& w, std::uint16_t type) {
         const std::string text("a\0b\r\nRCPT TO:<x>\n\x1b[2J", 22);
         std::string body = field("number", 'n', eight(1));
         for (const char* name : {"service", "client", "domain", "key", "name", "program",
                                  "endpoint", "mechanism", "host", "facts", "text"})
           body += field(name, 'b', text);
         w.raw(frame(type, body));
         return ending(w);
       }},
      {"a_request_of_8_megabytes_less_one",
       [](Wire& w, std::uint16_t type) {
         w.raw(frame(type, field("key", 'b', std::string((8U << 20) - 20, 'x'))));
         return ending(w);
       }},
      {"number_used_twice",
       [](Wire& w, std::uint16_t type) {
         const std::string body = field("number", 'n', eight(1)) + field("name", 'b', "x");
         w.raw(frame(type, body) + frame(type, body));
         return ending(w);
       }},
      {"frames_without_end_and_no_reading",
       [](Wire& w, std::uint16_t type) {
         std::string many;
         for (int i = 1; i <= 2000; ++i)
           many += frame(type, field("number", 'n', eight(static_cast<std::uint64_t>(i))));
         for (int i = 0; i < 50 && !w.closed(); ++i)
           w.raw(many);
         return ending(w);
       }},
      {"one_byte_and_silence",
       [](Wire& w, std::uint16_t) {
         w.raw("x");
         static std::vector<Wire> held; // for as long as this process lives
         held.push_back(std::move(w));
         return std::string("held");
       }},
  };
  return all;
}

struct Door {
  const char* name;
  const char* path;
  std::uint16_t request;
};
const std::vector<Door>& doors() {
  static const std::vector<Door> all = {
      {"qmgr", "public/qmgr", proto::Open::kType},
      {"anvil", "private/anvil", proto::CountClient::kType},
      {"saslmgr", "private/saslmgr", proto::BeginLogin::kType},
      {"tlsmgr", "private/tlsmgr", proto::TakeSession::kType},
      {"scache", "private/scache", proto::Find::kType},
      {"tokenmgr", "private/tokenmgr", proto::GetToken::kType},
      {"tlsrpt", "private/tlsrpt", proto::AskAccounts::kType},
      {"smtp", "private/smtp", 36},
      {"lmtp", "private/lmtp", 36},
      {"bounce", "private/bounce", 40},
      {"master", "private/master", proto::MasterRequest::kType},
  };
  return all;
}

// Whom a program asks as its work (doc/ipc.md); smtpd those of smtp as well, where it forwards.
bool speaks_with(std::string_view role, std::string_view service) {
  const auto one_of = [](std::string_view word, std::initializer_list<std::string_view> words) {
    return std::find(words.begin(), words.end(), word) != words.end();
  };
  if (role == "smtpd")
    return one_of(service, {"qmgr", "anvil", "saslmgr", "tlsmgr", "scache", "tokenmgr", "tlsrpt"});
  if (role == "smtp") return one_of(service, {"tlsmgr", "scache", "tokenmgr", "tlsrpt"});
  if (role == "lmtp") return one_of(service, {"tlsmgr", "scache", "tokenmgr"});
  if (role == "bounce" || role == "tlsrpt") return service == "qmgr";
  if (role == "qmgr") return one_of(service, {"smtp", "lmtp", "bounce"});
  return false;
}

// Doors that are open to it for another reason: programs of one trust domain have one user, and so
// the doors of each other; qmgr has that of the operator; and qmgr's own is everybody's.
bool may_pass(std::string_view role, std::string_view service) {
  using Domain = std::initializer_list<std::string_view>;
  static const Domain kDomains[] = {
      {"smtpd", "anvil"}, {"smtp", "lmtp", "tlsrpt"}, {"saslmgr", "tokenmgr"}};
  if (service == "qmgr" || (role == "qmgr" && (service == "tlsmgr" || service == "tlsrpt")))
    return true;
  for (const Domain domain : kDomains) {
    if (std::find(domain.begin(), domain.end(), role) == domain.end()) continue;
    return std::any_of(domain.begin(), domain.end(), [&](std::string_view other) {
      return other == service || speaks_with(other, service);
    });
  }
  return false;
}

std::string knock(const Target& target, const Door& door, const Kind& kind) {
  Result<Wire> wire = Wire::connect(target.at("queue") + "/" + door.path);
  if (!wire) return "no-access";
  if (!wire->hear(kMoment)) return wire->closed() ? "turned-away" : "no-greeting";
  return kind.commit(*wire, door.request);
}

std::string crowd(const Target& target, const Door& door) {
  std::vector<Wire> all;
  std::size_t closed = 0;
  for (int i = 0; i < 200; ++i) {
    Result<Wire> wire = Wire::connect(target.at("queue") + "/" + door.path);
    if (!wire) return "no-access";
    all.push_back(std::move(*wire));
  }
  for (Wire& wire : all)
    if (wire.wait_closed(5)) ++closed;
  return closed > 0 ? "bounded" : "goes-on";
}

// Doors that are none of the worker's: whether one opens.
std::string try_handle(const Target& target, const Door& door) {
  Result<Wire> wire = Wire::connect(target.at("queue") + "/" + door.path);
  if (!wire) return "no-access";
  return wire->hear(kMoment) ? "GREETED" : "turned-away";
}

} // namespace

std::string ending(Wire& wire, int milliseconds) {
  return wire.wait_closed(milliseconds) ? "closed" : "goes-on";
}

std::vector<Abuse> abuses_of_sockets(const std::string& role) {
  std::vector<Abuse> out;
  for (const Door& door : doors()) {
    if (role == door.name) continue;
    if (!speaks_with(role, door.name)) {
      if (may_pass(role, door.name)) continue;
      out.push_back({door.name, "a_door_of_others",
                     [&door](const Target& target) { return try_handle(target, door); }});
      continue;
    }
    for (const Kind& kind : kinds())
      out.push_back({door.name, kind.name,
                     [&door, &kind](const Target& target) { return knock(target, door, kind); }});
    out.push_back({door.name, "two_hundred_connections",
                   [&door](const Target& target) { return crowd(target, door); }});
  }
  return out;
}

} // namespace postrider::evil
