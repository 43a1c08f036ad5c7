// SPDX-License-Identifier: MIT
#include "forward/target.hpp"

#include <optional>

#include "base/ascii.hpp"

namespace postrider::forward {
namespace {

Error wrong(std::string_view word, std::string_view why) {
  return Error(ErrorKind::config, std::string(word) + ": " + std::string(why));
}

bool take(std::string_view& text, std::string_view prefix) {
  if (!istarts_with(text, prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

Result<Target> parse_one(std::string_view word, const KindOptions& options) {
  std::string_view rest = word;
  std::optional<Kind> kind;
  if (take(rest, "smtp:"))
    kind = Kind::smtp;
  else if (take(rest, "lmtp:"))
    kind = Kind::lmtp;
  bool is_path = false;
  if (take(rest, "unix://") || (kind && take(rest, "unix:"))) {
    is_path = true;
    if (!kind) kind = Kind::lmtp;
  } else if (take(rest, "tcp://")) {
    if (!kind) kind = Kind::smtp;
  } else if (take(rest, "tls://")) {
    if (kind == Kind::lmtp) return wrong(word, "there is no LMTP with TLS from the first byte");
    kind = Kind::smtps;
  } else if (kind == Kind::lmtp) {
    (void)take(rest, "inet:");
  }
  if (!kind) return wrong(word, "neither smtp:, lmtp:, tcp://, tls:// nor unix://");
  Target target;
  target.kind = *kind;
  target.text = word;
  if (is_path) {
    if (rest.empty() || rest.find('\0') != std::string_view::npos)
      return wrong(word, "missing path");
    target.hop = {smtpclient::Nexthop::Kind::unix_socket, std::string(rest), 0, std::string(rest)};
    return target;
  }
  auto hops = smtpclient::parse_nexthops(rest, options[index_of(*kind)]);
  if (!hops) return wrong(word, hops.error().text());
  target.hop = std::move(hops->front());
  target.hop.kind = smtpclient::Nexthop::Kind::host;
  return target;
}

} // namespace

Result<Targets> parse_targets(std::string_view text, const KindOptions& options) {
  Targets targets;
  for (const std::string_view word : split(text, ", \t\r\n")) {
    POSTRIDER_TRY(Target target, parse_one(word, options));
    targets.push_back(std::move(target));
  }
  if (targets.empty()) return Error(ErrorKind::config, "no next server");
  return targets;
}

} // namespace postrider::forward
