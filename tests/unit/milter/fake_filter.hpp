// SPDX-License-Identifier: MIT
// A filter at the other end of a stream in memory. It writes down what it is told and answers as
// the test says.
#pragma once

#include <gtest/gtest.h>

#include "ev/group.hpp"
#include "milter/chain.hpp"
#include "support/memory_stream.hpp"
#include "support/run_task.hpp"

namespace postrider::milter {

// One packet of a filter; `data` may hold zero bytes.
inline std::string answer_packet(char code, std::string_view data = {}) {
  std::string out;
  put_u32(out, static_cast<std::uint32_t>(data.size() + 1));
  out.push_back(code);
  return out.append(data);
}
inline std::string strings(std::initializer_list<std::string_view> all) {
  std::string out;
  for (std::string_view one : all)
    put_string(out, one);
  return out;
}
inline std::string indexed(std::uint32_t index, std::string_view name, std::string_view value) {
  std::string out;
  put_u32(out, index);
  return out + strings({name, value});
}

class TestMacros final : public Macros {
 public:
  std::optional<std::string> value(std::string_view name) const override {
    if (name == "j") return "mx.example";
    if (name == "daemon_name") return "here";
    if (name == "i") return "4Qabc";
    return std::nullopt;
  }
};

// A connection and what happened over it. "M <a@b>|SIZE=1": code, blank, strings with '|' between.
class FakeFilter final : public Dialer {
 public:
  explicit FakeFilter(ev::Loop& l) : loop(l), group(l) {}
  ~FakeFilter() override { group.tear_down(); }

  ev::Task<Result<std::unique_ptr<net::Stream>>> dial(ev::Loop&, ev::Lent<const FilterOptions>,
                                                      ev::Deadline) override {
    if (refuses) co_return Error(ErrorKind::refused, "Connection refused");
    auto pair = test::MemoryStream::make(loop, to_us, {});
    ++connections;
    group.spawn(serve(std::move(pair.second)), "filter");
    co_return std::unique_ptr<net::Stream>(std::move(pair.first));
  }

  ev::Loop& loop;
  ev::Group group;
  bool refuses = false;
  std::uint32_t version = 6, actions = 0x1ff, steps = 0;
  std::string macro_lists;                // behind the three numbers
  std::map<char, std::string> answers;    // by command; without one: 'c'
  std::map<char, std::string> handshakes; // 'O': in place of ours
  test::MemoryStream::Mode to_us;
  std::vector<std::string> heard;
  std::string body;
  int connections = 0;
  bool closed = false;

 private:
  static std::string shown(const Packet& packet) {
    std::string text(1, packet.code);
    std::string data = packet.data;
    if (packet.code == 'C') return text + " " + data.substr(0, data.find('\0'));
    if (packet.code == 'B' || packet.code == 'O') return text;
    for (char& c : data)
      if (c == '\0') c = '|';
    if (!data.empty()) data.pop_back();
    return data.empty() ? text : text + " " + data;
  }
  ev::RootTask serve(std::unique_ptr<test::MemoryStream> stream) {
    while (true) {
      Result<Packet> packet = co_await read_packet(*stream, ev::Deadline::never());
      if (!packet) break;
      heard.push_back(shown(*packet));
      if (packet->code == 'B') body += packet->data;
      std::string out;
      if (packet->code == 'O') {
        std::string data;
        put_u32(data, version);
        put_u32(data, actions);
        put_u32(data, steps);
        const auto other = handshakes.find('O');
        out = other != handshakes.end() ? other->second : answer_packet('O', data + macro_lists);
      } else if (const auto found = answers.find(packet->code); found != answers.end()) {
        out = found->second;
      } else if (std::string_view("DAQ").find(packet->code) == std::string_view::npos) {
        out = answer_packet('c');
      }
      if (out.empty()) continue;
      Result<void> written = co_await stream->write(out, ev::Deadline::never());
      if (!written) break;
    }
    closed = true;
  }
};

class MilterTest : public testing::Test {
 protected:
  MilterTest() : fake(loop) {
    setup = std::make_shared<FilterSet>();
    FilterOptions options;
    options.name = "inet:filter:1";
    setup->filters.push_back(options);
    const auto stage = [&](Stage s) -> auto& { return setup->macros[static_cast<std::size_t>(s)]; };
    stage(Stage::connect) = {"j", "daemon_name", "nothing"};
    stage(Stage::end_of_data) = {"i"};
    envelope.sender = "a@b.example";
    envelope.recipients.push_back({.address = "u@ours.example"});
    (void)!content.append("From: a@b.example\r\nSubject: one\r\n two\r\nX:  y\r\n\r\nbody\r\n")
        .ok();
  }
  void start() { chain.emplace(loop, fake, setup, 100'000); }
  Verdict tell(const Event& event) {
    return test::run_task<Verdict>(loop, [&] { return chain->tell(event, macros); });
  }
  // All there is in front of the message.
  void envelope_events() {
    EXPECT_TRUE(
        tell(connect_event("c.example", *net::Address::parse_ip("192.0.2.1", 25))).goes_on());
    EXPECT_TRUE(tell(helo_event("helo.example")).goes_on());
    EXPECT_TRUE(tell(mail_event("<a@b.example>", "SIZE=10 BODY=7BIT")).goes_on());
    EXPECT_TRUE(tell(rcpt_event("<u@ours.example>", "")).goes_on());
    EXPECT_TRUE(tell(data_event()).goes_on());
  }
  Verdict message() {
    draft.emplace(*Draft::parse("Received: ours\r\n", content, envelope));
    return test::run_task<Verdict>(loop, [&] { return chain->message(*draft, macros); });
  }
  // What would be stored, with our own Received: field.
  std::string stored() {
    std::string out = draft->head();
    for (std::uint64_t at = 0;;) {
      const Result<ByteView> piece = draft->read_body(at, 1000);
      if (!piece || piece->empty()) return out;
      at += piece->size();
      out += *piece;
    }
  }

  ev::Loop loop;
  FakeFilter fake;
  TestMacros macros;
  std::shared_ptr<FilterSet> setup;
  mail::Envelope envelope;
  Spool content;
  std::optional<Draft> draft;
  std::optional<Chain> chain;
};

} // namespace postrider::milter
