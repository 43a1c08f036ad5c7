// SPDX-License-Identifier: MIT
// Logins that a server refused (535), so that they are not tried again with every message: servers
// lock accounts for less. By server, user and a digest of the password: a new password is a new
// login. Bounded; what is oldest goes first.
#pragma once

#include <list>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/clock.hpp"
#include "smtp/reply.hpp"

namespace postrider::smtpclient {

class AuthMemory {
 public:
  static constexpr std::size_t kMost = 10000;

  // A digest that is the same in every process.
  static std::string key(std::string_view server, std::string_view user, std::string_view password);

  void refused(const std::string& key, const smtp::Reply& reply, SteadyTime until);
  std::optional<smtp::Reply> find(const std::string& key, SteadyTime now);
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string key;
    smtp::Reply reply;
    SteadyTime until;
  };
  using Place = std::list<Entry>::iterator;
  std::list<Entry> entries_;
  std::unordered_map<std::string, Place> by_key_;
};

} // namespace postrider::smtpclient
