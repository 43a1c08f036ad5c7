// SPDX-License-Identifier: MIT
// Tokens by name: got when first asked for, kept while they are good, got again ahead of their end.
// One request to a source at a time, however many ask; after a failure a pause that grows.
//
// A token of refresh: is renewed in the background after three quarters of its life, and a little
// more, so that not all are renewed at once. One that nobody has asked for since a day is renewed
// once a day: refresh tokens that are never used expire.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "base/random.hpp"
#include "ev/group.hpp"
#include "maps/map.hpp"
#include "source.hpp"

namespace postrider::tokenmgr {

class Tokens {
 public:
  static constexpr std::size_t kMost = 10000; // names
  static constexpr Duration kSourceLimit = std::chrono::seconds(30);
  static constexpr Duration kFirstPause = std::chrono::seconds(5);
  static constexpr Duration kLongestPause = std::chrono::hours(1);
  static constexpr Duration kUnknownLife = std::chrono::minutes(5); // of a source that does not say
  static constexpr Duration kRefusedAnew =
      std::chrono::seconds(60); // younger ones are not replaced
  static constexpr Duration kIdle = std::chrono::hours(24);

  // Gets a token from a source; get_grant(), or a test's own. The source outlives the task.
  using Get = std::function<ev::Task<Result<Grant>>(ev::Lent<const Source>, ev::Deadline)>;
  Tokens(ev::Loop& loop, maps::MapList sources, Get get);

  // WAITS. `refused`: SHA-256 of a token that a server did not take. Errors say why there is none.
  ev::Task<Result<Secret>> get(const std::string& name, const std::string& refused,
                               ev::Deadline deadline);
  void stop(); // before the loop ends

 private:
  struct Entry {
    Entry(ev::Loop& loop, std::string n) : name(std::move(n)), changed(loop) {}
    const std::string name;
    std::string text; // of the table
    Source source;
    Secret token;
    SteadyTime got{}, expires{};
    SteadyTime renew = SteadyTime::max(); // in the background
    SteadyTime next_try{};
    Duration pause = kFirstPause;
    SteadyTime asked{};
    std::string problem;
    bool fetching = false;
    ev::Condition changed;
  };
  Result<std::shared_ptr<Entry>> entry(const std::string& name, const std::string& text);
  void begin(const std::shared_ptr<Entry>& entry);
  ev::RootTask fetch(std::shared_ptr<Entry> entry);
  void took(Entry& entry, Grant grant);
  void failed(Entry& entry, const Error& error);
  void renew();
  void arm();

  ev::Loop& loop_;
  maps::MapList sources_;
  Get get_;
  std::unordered_map<std::string, std::shared_ptr<Entry>> entries_;
  Jitter jitter_;
  ev::Timer timer_;
  ev::Group group_;
};

} // namespace postrider::tokenmgr
