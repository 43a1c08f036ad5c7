// SPDX-License-Identifier: MIT
// An agent that lies to qmgr: smtp, lmtp, or bounce. It never says "delivered" of what it was
// given: that lie is in the nature of an agent, and nobody could tell.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abuse.hpp"
#include "ipc/channel.hpp"
#include "proto/deliver.hpp"
#include "proto/intake.hpp"

namespace postrider::evil {

namespace {

constexpr int kMoment = 4000; // milliseconds

// More than qmgr ever uses: kNotGiven is one that it did not give.
constexpr std::uint32_t kCapacity = 1000;
constexpr std::uint32_t kNotGiven = 900;

void greet(Wire& wire, std::uint32_t capacity = kCapacity) {
  ipc::Hello hello;
  hello.protocol = proto::kDeliverProtocol;
  hello.version = proto::kDeliverVersion;
  wire.say(hello);
  proto::Ready ready;
  ready.program = "evil";
  ready.capacity = capacity;
  wire.say(ready);
}

mail::Outcome delivered() {
  mail::Outcome out;
  out.verdict = mail::Verdict::delivered;
  out.dsn = "2.0.0";
  out.text = "250 ok";
  return out;
}

// The first delivery or report that comes, with what came before it.
struct Work {
  std::uint32_t slot = 0;
  std::size_t recipients = 0;
  bool is_report = false;
  Fd board;
  Fd content;
};
std::optional<Work> wait_for_work(Wire& wire) {
  Work out;
  while (std::optional<Heard> heard = wire.hear(kMoment)) {
    if (heard->type == proto::Board::kType && !heard->fds.empty())
      out.board = std::move(heard->fds[0]);
    if (heard->type == proto::OpenContent::kType && !heard->fds.empty())
      out.content = std::move(heard->fds[0]);
    if (heard->type == proto::Deliver::kType) {
      const auto request = decode<proto::Deliver>(heard->body);
      if (!request) return {};
      out.slot = request->slot;
      out.recipients = request->envelope.recipients.size();
      return out;
    }
    if (heard->type == proto::Report::kType) {
      const auto request = decode<proto::Report>(heard->body);
      if (!request) return {};
      out.slot = request->slot;
      out.recipients = request->envelope.recipients.size();
      out.is_report = true;
      return out;
    }
  }
  return {};
}

bool may_open(int fd, int flags) {
  const int again = ::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), flags | O_CLOEXEC);
  if (again >= 0) ::close(again);
  return again >= 0;
}

using Deed = std::function<std::string(Wire&, Work&)>;
Answer at_work(std::string channel, const char* name, Deed deed) {
  return {std::move(channel), name, [deed = std::move(deed)](const Target&, Wire& wire) {
            greet(wire);
            std::optional<Work> work = wait_for_work(wire);
            if (!work) return std::string(wire.closed() ? "closed" : "no-work");
            return deed(wire, *work);
          }};
}
Answer at_first(std::string channel, const char* name, std::function<void(Wire&)> deed) {
  return {std::move(channel), name, [deed = std::move(deed)](const Target&, Wire& wire) {
            deed(wire);
            return ending(wire, 2000);
          }};
}

} // namespace

std::vector<Answer> abuses_of_agents(const std::string& role) {
  const std::string channel = "qmgr-deliver";
  const bool reports = role == "bounce";
  std::vector<Answer> out;
  out.push_back(at_work(channel, "open_content_for_writing", [](Wire& wire, Work& work) {
    if (::pwrite(work.content.get(), "x", 1, 0) >= 0) return std::string("DONE");
    if (may_open(work.content.get(), O_WRONLY)) return std::string("DONE");
    if (may_open(work.content.get(), O_RDWR)) return std::string("DONE");
    wire.raw("left");
    return std::string("denied");
  }));
  out.push_back(
      at_first(channel, "noise_for_a_greeting", [](Wire& w) { w.raw(std::string(500, '\xee')); }));
  out.push_back(at_first(channel, "another_protocol", [](Wire& w) {
    ipc::Hello hello;
    hello.protocol = "tlsmgr";
    hello.version = 1;
    w.say(hello);
  }));
  out.push_back(at_first(channel, "another_version", [](Wire& w) {
    ipc::Hello hello;
    hello.protocol = proto::kDeliverProtocol;
    hello.version = 99;
    w.say(hello);
  }));
  out.push_back(at_first(channel, "no_capacity", [](Wire& w) { greet(w, 0); }));
  out.push_back(at_work(channel, "capacity_without_end", [](Wire& wire, Work&) {
    greet(wire, 0xffffffff);
    return ending(wire);
  }));
  out.push_back(
      at_work(channel, "a_delivery_that_it_was_not_given", [reports](Wire& wire, Work& w) {
        if (reports) {
          proto::Reported lie;
          lie.slot = kNotGiven;
          lie.ok = true;
          wire.say(lie);
        } else {
          proto::Delivered lie;
          lie.slot = kNotGiven;
          lie.outcomes = {delivered()};
          wire.say(lie);
        }
        return ending(wire);
      }));
  out.push_back(at_work(channel, "a_slot_beyond_the_board", [](Wire& wire, Work&) {
    proto::Delivered lie;
    lie.slot = 0xffffffff;
    lie.outcomes = {delivered()};
    wire.say(lie);
    return ending(wire);
  }));
  out.push_back(at_work(channel, "more_recipients_than_given", [](Wire& wire, Work& w) {
    proto::Delivered lie;
    lie.slot = w.slot;
    lie.outcomes.assign(w.recipients + 1, delivered());
    wire.say(lie);
    return ending(wire);
  }));
  out.push_back(at_work(channel, "fewer_recipients_than_given", [](Wire& wire, Work& w) {
    proto::Delivered lie;
    lie.slot = w.slot;
    wire.say(lie);
    return ending(wire);
  }));
  out.push_back(at_work(channel, "the_answer_of_another_errand", [reports](Wire& wire, Work& w) {
    if (reports) {
      proto::Delivered lie;
      lie.slot = w.slot;
      lie.outcomes.assign(w.recipients, delivered());
      wire.say(lie);
    } else {
      proto::Reported lie;
      lie.slot = w.slot;
      lie.ok = true;
      wire.say(lie);
    }
    return ending(wire);
  }));
  out.push_back(at_work(channel, "one_answer_twice", [reports](Wire& wire, Work& w) {
    if (reports) {
      proto::Reported no;
      no.slot = w.slot;
      no.text = "evil";
      wire.raw(frame(proto::Reported::kType, encode(no)) +
               frame(proto::Reported::kType, encode(no)));
    } else {
      mail::Outcome later = delivered();
      later.verdict = mail::Verdict::deferred;
      later.dsn = "4.3.0";
      later.text = "450 evil";
      proto::Delivered answer;
      answer.slot = w.slot;
      answer.outcomes.assign(w.recipients, later);
      wire.raw(frame(proto::Delivered::kType, encode(answer)) +
               frame(proto::Delivered::kType, encode(answer)));
    }
    return ending(wire);
  }));
  out.push_back(at_work(channel, "a_verdict_that_there_is_not", [](Wire& wire, Work& w) {
    proto::Delivered answer;
    answer.slot = w.slot;
    answer.outcomes.assign(w.recipients, delivered());
    std::string body = encode(answer);
    const std::size_t at = body.find("verdict");
    if (at != std::string::npos) body[at + 12] = '\x7f';
    wire.raw(frame(proto::Delivered::kType, body));
    return ending(wire);
  }));
  out.push_back(at_work(channel, "requests_of_a_writer", [](Wire& wire, Work&) {
    wire.say(proto::WantSegment{});
    return ending(wire);
  }));
  out.push_back(at_work(channel, "a_descriptor_that_is_not_due", [](Wire& wire, Work&) {
    wire.say(proto::Retiring{}, {0});
    return ending(wire);
  }));
  out.push_back(at_work(channel, "noise_in_the_middle", [](Wire& wire, Work&) {
    wire.raw(std::string(1000, '\x99'));
    return ending(wire);
  }));
  out.push_back(at_work(channel, "a_board_of_noise_and_death", [](Wire& wire, Work& work) {
    const off_t size = ::lseek(work.board.get(), 0, SEEK_END);
    void* bytes = ::mmap(nullptr, static_cast<std::size_t>(size), PROT_READ | PROT_WRITE,
                         MAP_SHARED, work.board.get(), 0);
    if (bytes == MAP_FAILED) return std::string("no-board");
    std::memset(bytes, 0x6b, static_cast<std::size_t>(size));
    const bool cut = ::ftruncate(work.board.get(), 0) == 0;
    wire.raw(std::string(64, '\xff'));
    return cut ? "BOARD-CUT" : ending(wire);
  }));
  out.push_back(at_work(channel, "an_end_in_the_middle_of_a_frame", [](Wire& wire, Work&) {
    wire.raw(header(5000, proto::Delivered::kType, 1, 0) + "x");
    return std::string("left");
  }));
  out.push_back(at_work(channel, "retiring_and_going_on", [](Wire& wire, Work& w) {
    wire.say(proto::Retiring{});
    proto::Delivered lie;
    lie.slot = kNotGiven;
    lie.outcomes = {delivered()};
    wire.say(lie);
    return ending(wire);
  }));
  // Last: qmgr waits as long as daemon_timeout and qmgr_ipc_timeout.
  out.push_back(
      at_work(channel, "no_answer_at_all", [](Wire& wire, Work&) { return ending(wire, 60'000); }));
  return out;
}

} // namespace postrider::evil
