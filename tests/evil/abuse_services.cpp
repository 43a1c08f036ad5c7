// SPDX-License-Identifier: MIT
// A helper service that lies to those who ask it, or a qmgr that lies to its agents' listeners.
// Mail goes on without a helper; so it does with one that talks nonsense.
#include <sys/socket.h>
#include <unistd.h>

#include "abuse.hpp"
#include "ipc/channel.hpp"
#include "proto/anvil.hpp"
#include "proto/intake.hpp"
#include "proto/saslmgr.hpp"
#include "proto/scache.hpp"
#include "proto/tlsmgr.hpp"
#include "proto/tlsrpt.hpp"
#include "proto/tokenmgr.hpp"

namespace postrider::evil {

namespace {

constexpr int kMoment = 2500; // milliseconds

struct Numbered {
  std::uint64_t number = 0;
  template <typename V, typename S>
  static void fields(V& v, S& s) {
    v.optional("number", s.number);
  }
};
std::uint64_t number_of(const Heard& heard) {
  const auto read = decode<Numbered>(heard.body);
  return read ? read->number : 0;
}
std::string numbered(std::uint64_t number) {
  Numbered out;
  out.number = number;
  return encode(out);
}

void greet(Wire& wire, const std::string& protocol, std::uint32_t version = 1) {
  ipc::Hello hello;
  hello.protocol = protocol;
  hello.version = version;
  wire.say(hello);
}

// After a greeting as it should be: answers everything that is asked by `reply`.
std::string serve(Wire& wire, const std::string& protocol,
                  const std::function<void(Wire&, const Heard&)>& reply) {
  greet(wire, protocol == "qmgr" ? "qmgr" : protocol);
  bool asked = false;
  for (int i = 0; i < 50; ++i) {
    std::optional<Heard> heard = wire.hear(kMoment);
    if (!heard) break;
    asked = true;
    reply(wire, *heard);
  }
  if (wire.closed()) return "closed";
  return asked ? "goes-on" : "nobody-asked";
}

} // namespace

std::vector<Answer> abuses_of_services(const std::string& role) {
  const std::string channel = role + "-clients";
  std::vector<Answer> out;
  const auto add = [&](const char* name, std::function<std::string(Wire&)> deed) {
    out.push_back({channel, name,
                   [deed = std::move(deed)](const Target&, Wire& wire) { return deed(wire); }});
  };
  const auto add_reply = [&](const char* name, std::function<void(Wire&, const Heard&)> reply) {
    add(name, [role, reply = std::move(reply)](Wire& wire) { return serve(wire, role, reply); });
  };
  add("noise_for_a_greeting", [](Wire& wire) {
    wire.raw(std::string(3000, '\xcc'));
    return ending(wire);
  });
  add("another_protocol", [](Wire& wire) {
    greet(wire, "nonsense");
    return ending(wire);
  });
  add("another_version", [role](Wire& wire) {
    greet(wire, role, 4711);
    return ending(wire);
  });
  add("no_greeting", [](Wire& wire) { return ending(wire, 3000); });
  add_reply("noise_for_an_answer",
            [](Wire& wire, const Heard&) { wire.raw(std::string(100, '\xdd')); });
  add_reply("answers_that_nobody_asked_for",
            [](Wire& wire, const Heard&) { wire.raw(frame(9000, numbered(1ULL << 40))); });
  add_reply("an_answer_of_an_unknown_type", [](Wire& wire, const Heard& heard) {
    wire.raw(frame(9001, numbered(number_of(heard))));
  });
  add_reply("an_answer_without_its_fields", [](Wire& wire, const Heard& heard) {
    wire.raw(frame(static_cast<std::uint16_t>(heard.type + 1), numbered(number_of(heard))));
  });
  add_reply("the_question_for_an_answer",
            [](Wire& wire, const Heard& heard) { wire.raw(frame(heard.type, heard.body)); });
  add_reply("a_length_of_4_gigabytes", [](Wire& wire, const Heard& heard) {
    wire.raw(header(0xffffffff, static_cast<std::uint16_t>(heard.type + 1), 1, 0));
  });
  add_reply("descriptors_that_are_not_due", [](Wire& wire, const Heard& heard) {
    wire.raw(frame(static_cast<std::uint16_t>(heard.type + 1), numbered(number_of(heard)), 3),
             {0, 1, 0});
  });
  add_reply("no_answer", [](Wire&, const Heard&) {});
  add_reply("an_end_for_an_answer",
            [](Wire& wire, const Heard&) { ::shutdown(wire.fd(), SHUT_RDWR); });
  if (role == "tlsmgr") {
    add_reply("sessions_and_keys_of_noise", [](Wire& wire, const Heard& heard) {
      if (heard.type == proto::TakeSession::kType) {
        proto::Session session;
        session.number = number_of(heard);
        session.session = std::string(4000, '\x17');
        wire.say(session);
      } else if (heard.type == proto::AskTicketKeys::kType) {
        proto::TicketKeys keys;
        keys.number = number_of(heard);
        keys.keys = {"short", std::string(100000, 'x')};
        wire.say(keys);
      } else {
        wire.raw(frame(static_cast<std::uint16_t>(heard.type + 1), numbered(number_of(heard))));
      }
    });
  }
  if (role == "scache") {
    add_reply("connections_that_are_none", [](Wire& wire, const Heard& heard) {
      proto::Found found;
      found.number = number_of(heard);
      found.facts = std::string(2000, '\x19');
      wire.say(found, {0}); // /dev/null
    });
    add_reply("connections_to_another_place", [](Wire& wire, const Heard& heard) {
      int ends[2];
      if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return;
      proto::Found found;
      found.number = number_of(heard);
      found.facts = "x";
      wire.say(found, {ends[0]});
      ::close(ends[0]);
      ::close(ends[1]);
    });
  }
  if (role == "anvil")
    add_reply("counts_without_end", [](Wire& wire, const Heard& heard) {
      proto::ClientCount count;
      count.number = number_of(heard);
      count.connections = ~0ULL;
      count.rate = ~0ULL;
      wire.say(count);
    });
  if (role == "qmgr") {
    add_reply("a_segment_that_is_none", [](Wire& wire, const Heard& heard) {
      if (heard.type != proto::WantSegment::kType) {
        proto::QueueState state;
        wire.say(state);
        return;
      }
      proto::SegmentLent lent;
      lent.info.segment = 1;
      lent.info.loan = 1;
      lent.info.tag = 1;
      lent.info.size = 1U << 20;
      wire.say(lent, {0}); // /dev/null
    });
    add_reply("a_queue_that_is_full", [](Wire& wire, const Heard&) {
      proto::QueueState state;
      state.accepting = false;
      state.reason = std::string(100000, 'x') + "\r\n250 ok";
      wire.say(state);
    });
  }
  return out;
}

} // namespace postrider::evil
