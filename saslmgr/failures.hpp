// SPDX-License-Identifier: MIT
// Failed logins of the whole suite, by account and by where they come from: an IPv4 address, or the
// /64 of an IPv6 one. Once `limit` have failed, no more are tried until they are forgotten; each
// is forgotten after limit-th part of `time`, one after the other. Memory is bounded: what failed
// longest ago goes first. Pure.
//
// Where an account has logged in before it is judged by what failed for it there alone, so that
// strangers who guess at it do not lock its owner out.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.hpp"

namespace postrider::saslmgr {

// "192.0.2.1", "2001:db8:1:2::/64"; empty when it is no IP address.
std::string prefix_of(std::string_view address);

class Failures {
 public:
  static constexpr std::size_t kMost = 100000; // counters; and places where accounts have been

  // limit 0: nobody is held back.
  Failures(std::uint64_t limit, Duration time) : limit_(limit), time_(time) {}

  bool may_try(std::string_view account, std::string_view prefix, SteadyTime now);
  // True: with this one the limit is reached. An account that is not known is empty.
  bool add(std::string_view account, std::string_view prefix, SteadyTime now);
  void succeeded(std::string_view account, std::string_view prefix);

  std::size_t size() const { return counters_.size(); }

 private:
  struct Counter {
    double level = 0; // at `since`; sinks
    SteadyTime since{};
  };
  // The last one to be put in is the last one to go.
  class Table {
   public:
    Counter* find(const std::string& key);
    Counter& put(const std::string& key);
    std::size_t size() const { return places_.size(); }

   private:
    std::list<std::pair<std::string, Counter>> order_;
    std::unordered_map<std::string, std::list<std::pair<std::string, Counter>>::iterator> places_;
  };

  double level(const Counter& counter, SteadyTime now) const;
  bool is_over(const std::string& key, SteadyTime now);
  bool count(const std::string& key, SteadyTime now);

  std::uint64_t limit_;
  Duration time_;
  Table counters_;
  Table known_; // account and prefix
};

} // namespace postrider::saslmgr
