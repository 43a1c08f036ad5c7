// SPDX-License-Identifier: MIT
#include "failures.hpp"

#include <algorithm>
#include <cstring>
#include <netinet/in.h>

#include "base/ascii.hpp"
#include "net/address.hpp"

namespace postrider::saslmgr {
namespace {

std::string account_key(std::string_view account) { return "a" + lowercase(account); }
std::string prefix_key(std::string_view prefix) { return "p" + std::string(prefix); }
std::string pair_key(std::string_view account, std::string_view prefix) {
  return "b" + std::string(prefix) + " " + lowercase(account);
}

} // namespace

std::string prefix_of(std::string_view address) {
  const auto parsed = net::Address::parse_ip(address, 0);
  if (!parsed) return {};
  const std::string text = parsed->text();
  if (text.find(':') == std::string::npos) return text;
  sockaddr_in6 v6{};
  std::memcpy(&v6, parsed->raw(), sizeof v6);
  std::memset(v6.sin6_addr.s6_addr + 8, 0, 8);
  v6.sin6_scope_id = 0;
  return net::Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&v6), sizeof v6).text() +
         "/64";
}

Failures::Counter* Failures::Table::find(const std::string& key) {
  const auto place = places_.find(key);
  return place == places_.end() ? nullptr : &place->second->second;
}

Failures::Counter& Failures::Table::put(const std::string& key) {
  const auto place = places_.find(key);
  if (place != places_.end()) {
    order_.splice(order_.end(), order_, place->second);
    return place->second->second;
  }
  if (places_.size() >= kMost) {
    places_.erase(order_.front().first);
    order_.pop_front();
  }
  order_.emplace_back(key, Counter{});
  places_.emplace(key, std::prev(order_.end()));
  return order_.back().second;
}

double Failures::level(const Counter& counter, SteadyTime now) const {
  if (time_ <= Duration::zero()) return 0;
  const double gone = std::chrono::duration<double>(now - counter.since) / time_;
  return std::max(0.0, counter.level - gone * static_cast<double>(limit_));
}

bool Failures::is_over(const std::string& key, SteadyTime now) {
  const Counter* counter = counters_.find(key);
  return counter != nullptr && level(*counter, now) > static_cast<double>(limit_) - 1;
}

bool Failures::may_try(std::string_view account, std::string_view prefix, SteadyTime now) {
  if (limit_ == 0) return true;
  const std::string pair = pair_key(account, prefix);
  if (known_.find(pair) != nullptr) return !is_over(pair, now);
  return !is_over(account_key(account), now) && !is_over(prefix_key(prefix), now);
}

bool Failures::count(const std::string& key, SteadyTime now) {
  Counter& counter = counters_.put(key);
  const double before = level(counter, now);
  counter = {before + 1, now};
  const auto over = static_cast<double>(limit_) - 1;
  return before <= over && before + 1 > over;
}

bool Failures::add(std::string_view account, std::string_view prefix, SteadyTime now) {
  if (limit_ == 0) return false;
  const std::string pair = pair_key(account, prefix);
  if (known_.find(pair) != nullptr) return count(pair, now);
  const bool by_account = !account.empty() && count(account_key(account), now);
  const bool by_prefix = !prefix.empty() && count(prefix_key(prefix), now);
  return by_account || by_prefix;
}

void Failures::succeeded(std::string_view account, std::string_view prefix) {
  if (limit_ == 0 || account.empty() || prefix.empty()) return;
  known_.put(pair_key(account, prefix));
}

} // namespace postrider::saslmgr
