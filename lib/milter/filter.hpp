// SPDX-License-Identifier: MIT
// One filter during one SMTP session: its connection, what it agreed to, and its answers. A session
// makes one per filter, tells it what happens, and does what it says.
//
//   M1  what a filter says counts once all of it was said: a filter that fails changes nothing
//   M2  a filter that failed is asked no more in this session; its default action stands for every
//       answer from then on
//   M3  each command has a deadline; a filter may ask for more time, up to kLongestWait
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "milter/draft.hpp"
#include "milter/options.hpp"

namespace postrider::milter {

// Something that happens in the session, ready to be sent.
struct Event {
  Command command;
  std::string data;
  bool refused = false; // a recipient that we refuse: for filters that want to know
  Event(Command c, std::string d) : command(c), data(std::move(d)) {}
};
// `address` is unspecified for a client without one. Over IPv4 and IPv6 only.
Event connect_event(std::string_view name, const net::Address& address);
Event helo_event(std::string_view name);
// The address in angle brackets, and the options as the client wrote them.
Event mail_event(std::string_view address, std::string_view options);
Event rcpt_event(std::string_view address, std::string_view options);
inline Event data_event() { return Event(Command::data, ""); }
Event unknown_event(std::string_view line);

// How connections are made; tests have another one.
class Dialer {
 public:
  virtual ~Dialer() = default;
  virtual ev::Task<Result<std::unique_ptr<net::Stream>>>
  dial(ev::Loop& loop, ev::Lent<const FilterOptions> filter, ev::Deadline deadline);
};

class Filter {
 public:
  static constexpr std::size_t kMostEdits = 20'000;
  static constexpr std::size_t kMostEditBytes = 8U << 20; // without the body
  static constexpr Duration kLongestWait = std::chrono::hours(1);

  // All of these outlive it. `most_body`: of a body that takes the place of ours; 0: no limit.
  Filter(ev::Loop& loop, Dialer& dialer, const FilterOptions& options, const FilterSet& set,
         std::uint64_t most_body);
  ~Filter() { quit(); }
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;

  // WAITS for the answer, and before Command::connect for the connection.
  ev::Task<Verdict> tell(const Event& event, const Macros& macros);
  // The whole message. What the filter changes is applied to the draft before this returns.
  ev::Task<Verdict> message(Draft& draft, const Macros& macros);
  // The message begun is no more; do not wait.
  void abort();
  void quit();

 private:
  ev::Task<Result<void>> open();
  ev::Task<Verdict> event(Command command, ByteView data, const Macros& macros);
  ev::Task<Verdict> header(Draft& draft, const Macros& macros);
  ev::Task<Verdict> body(Draft& draft, const Macros& macros);
  ev::Task<Result<Verdict>> answer(Command command, ev::Deadline deadline);
  Result<void> take_edit(const Packet& packet);
  void apply(Draft& draft);
  Verdict judge(Command command, Verdict verdict);
  Verdict broken(const Error& error);
  bool wants(Command command) const;
  bool answers(Command command) const;
  bool finished() const { return standing_ || passes_message_; }
  void send_now(Command command);

  ev::Loop& loop_;
  Dialer& dialer_;
  const FilterOptions& options_;
  const FilterSet& set_;
  const std::uint64_t most_body_;
  std::unique_ptr<net::Stream> stream_;
  Agreement agreement_;
  std::array<std::optional<std::vector<std::string>>, kStages> wanted_macros_;
  std::optional<Verdict> standing_; // for the rest of the session
  bool passes_message_ = false;     // wants to hear no more of this one
  bool in_message_ = false;         // heard of it, and not its end
  bool skips_ = false;              // the rest of the events of this kind
  // What it said so far at the end of the message.
  mail::Utf8 utf8_ = mail::Utf8::no;
  std::vector<Edit> edits_;
  std::size_t edit_bytes_ = 0;
  std::optional<Spool> new_body_;
  bool hold_ = false;
};

} // namespace postrider::milter
