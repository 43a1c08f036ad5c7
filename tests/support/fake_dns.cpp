// SPDX-License-Identifier: MIT
#include "support/fake_dns.hpp"

#include <arpa/inet.h>

#include "base/ascii.hpp"
#include "base/check.hpp"

namespace postrider::test {

FakeDns::FakeDns(ev::Loop& loop, std::string_view zone) : released_(loop) {
  for (const std::string_view line : split(zone, "\n")) {
    auto words = split(line, " \t");
    if (words.empty()) continue;
    const bool secure = words.back() == "SECURE";
    if (secure) words.pop_back();
    const std::string name(words[0]);
    POSTRIDER_CHECK(words.size() >= 2, name);
    names_.insert(name);
    dns::Record record;
    dns::Type type = dns::Type::a;
    if (words[1] == "NXDOMAIN") {
      whole_names_[name].status = dns::Status::no_domain;
      continue;
    }
    if (words[1] == "TEMPORARY") {
      whole_names_[name].reason = words.size() > 2 ? std::string(words[2]) : "SERVFAIL";
      continue;
    }
    if (words[1] == "BOGUS") {
      whole_names_[name].security = dns::Security::bogus;
      whole_names_[name].reason = "DNSSEC validation failed";
      continue;
    }
    if (words[1] == "UNUSABLE") {
      dns::Answer& answer = answers_[{name, dns::Type::mx}];
      answer.status = dns::Status::unusable;
      continue;
    }
    if (words[1] == "CNAME") {
      aliases_[name] = {std::string(words[2]), secure};
      continue;
    }
    record.ttl = 300;
    if (words[1] == "TLSA") {
      type = dns::Type::tlsa;
      for (const int i : {2, 3, 4})
        record.data.push_back(
            static_cast<char>(parse_decimal(words[static_cast<std::size_t>(i)]).value()));
      for (std::size_t i = 0; i + 1 < words[5].size(); i += 2)
        record.data.push_back(
            static_cast<char>(std::stoi(std::string(words[5].substr(i, 2)), nullptr, 16)));
    } else if (words[1] == "MX") {
      type = dns::Type::mx;
      record.preference = static_cast<std::uint16_t>(parse_decimal(words[2]).value());
      record.data = words[3] == "." ? "" : std::string(words[3]);
    } else if (words[1] == "PTR" || words[1] == "NS") {
      type = words[1] == "NS" ? dns::Type::ns : dns::Type::ptr;
      record.data = words[2];
    } else if (words[1] == "TXT") {
      type = dns::Type::txt;
      record.data = std::string(1, static_cast<char>(words[2].size())).append(words[2]);
    } else {
      type = words[1] == "AAAA" ? dns::Type::aaaa : dns::Type::a;
      unsigned char bytes[16];
      const int family = type == dns::Type::a ? AF_INET : AF_INET6;
      POSTRIDER_CHECK(inet_pton(family, std::string(words[2]).c_str(), bytes) == 1, name);
      record.data.assign(reinterpret_cast<char*>(bytes), type == dns::Type::a ? 4 : 16);
    }
    dns::Answer& answer = answers_[{name, type}];
    answer.status = dns::Status::ok;
    answer.canonical = name;
    answer.security = secure ? dns::Security::secure : dns::Security::insecure;
    answer.records.push_back(std::move(record));
  }
}

void FakeDns::release() {
  held_ = false;
  released_.notify_all();
}

ev::Task<Result<dns::Answer>> FakeDns::query(std::string_view name, dns::Type type,
                                             ev::Deadline deadline) {
  asked_.push_back(std::string(dns::to_string(type)) + " " + std::string(name));
  while (held_) {
    Result<void> woken = co_await released_.wait(deadline, "the fake name server");
    if (woken) continue;
    if (woken.error().kind() != ErrorKind::timeout) co_return woken.error();
    dns::Answer late;
    late.reason = "time limit exceeded";
    co_return late;
  }
  std::string key(name);
  bool secure = true;
  for (auto alias = aliases_.find(key); alias != aliases_.end(); alias = aliases_.find(key)) {
    key = alias->second.target;
    secure = secure && alias->second.secure;
  }
  if (key != name) {
    dns::Answer answer;
    answer.status = type != dns::Type::cname && names_.count(key) == 0 ? dns::Status::no_domain
                                                                       : dns::Status::no_data;
    const auto found = answers_.find({key, type});
    if (found != answers_.end()) answer = found->second;
    answer.canonical = key;
    const bool all =
        secure && (found == answers_.end() || found->second.security == dns::Security::secure);
    answer.security = all ? dns::Security::secure : dns::Security::insecure;
    co_return answer;
  }
  if (const auto whole = whole_names_.find(key); whole != whole_names_.end())
    co_return whole->second;
  if (const auto found = answers_.find({key, type}); found != answers_.end())
    co_return found->second;
  dns::Answer nothing;
  nothing.status = names_.count(key) > 0 ? dns::Status::no_data : dns::Status::no_domain;
  co_return nothing;
}

} // namespace postrider::test
