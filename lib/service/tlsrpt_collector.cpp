// SPDX-License-Identifier: MIT
#include "service/tlsrpt_collector.hpp"

#include <algorithm>

#include "base/log.hpp"

namespace postrider::service {
namespace {

CallerSetup caller_setup(const TlsrptSetup& setup) {
  CallerSetup out;
  out.name = setup.service;
  out.sockets = setup.sockets.empty() ? sockets_of(setup.service) : setup.sockets;
  out.protocol = proto::kTlsrptProtocol;
  out.version = proto::kTlsrptVersion;
  return out;
}

void cut(std::string& text, std::size_t most) {
  constexpr std::string_view kCut = "...";
  text = log::printable(text);
  if (text.size() > most) text.replace(most - kCut.size(), std::string::npos, kCut);
}

// The first ones that fit.
void cut(std::vector<std::string>& texts, std::size_t& room) {
  for (std::size_t i = 0; i < texts.size(); ++i) {
    cut(texts[i], proto::kLongestPolicy / 2);
    if (texts[i].size() + 4 > room) {
      texts.resize(i);
      texts.emplace_back("...");
      room = 0;
      return;
    }
    room -= texts[i].size() + 1;
  }
}

std::size_t size_of(const std::vector<std::string>& texts) {
  std::size_t sum = 0;
  for (const std::string& text : texts)
    sum += text.size() + 1;
  return sum;
}

bool is_clean(std::string_view text, std::size_t most) {
  return text.size() <= most && std::all_of(text.begin(), text.end(), [](char c) {
           const auto byte = static_cast<unsigned char>(c);
           return byte >= 0x20 && byte != 0x7f;
         });
}

} // namespace

void fit(proto::TlsEvent& event) {
  for (std::string* name : {&event.domain, &event.policy.domain, &event.mx_host, &event.mx_address,
                            &event.sending_address})
    cut(*name, proto::kLongestTlsName);
  cut(event.reason, proto::kLongestTlsReason);
  std::size_t room = proto::kLongestPolicy;
  cut(event.policy.strings, room);
  cut(event.policy.mx, room);
}

Result<void> check(const proto::TlsEvent& event) {
  const auto wrong = [](std::string_view what) {
    return Error(ErrorKind::protocol, "an event with a wrong " + std::string(what));
  };
  for (const std::string* name : {&event.domain, &event.policy.domain, &event.mx_host,
                                  &event.mx_address, &event.sending_address})
    if (!is_clean(*name, proto::kLongestTlsName)) return wrong("name");
  if (event.domain.empty() || event.policy.domain.empty()) return wrong("domain");
  if (!is_clean(event.reason, proto::kLongestTlsReason)) return wrong("reason");
  const std::size_t size = size_of(event.policy.strings) + size_of(event.policy.mx);
  if (size > proto::kLongestPolicy + 16) return wrong("policy");
  for (const auto* texts : {&event.policy.strings, &event.policy.mx})
    for (const std::string& text : *texts)
      if (!is_clean(text, proto::kLongestPolicy)) return wrong("policy");
  return {};
}

TlsrptCollector::TlsrptCollector(ev::Loop& loop, TlsrptSetup setup)
    : caller_(loop, caller_setup(setup)) {}

void TlsrptCollector::tell(proto::TlsEvent event) {
  fit(event);
  caller_.tell(event);
}

} // namespace postrider::service
