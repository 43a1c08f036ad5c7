// SPDX-License-Identifier: MIT
#include "selector.hpp"

#include "queue/id.hpp"
#include "text.hpp"

namespace postrider::ctl {

const std::vector<Option>& selector_options() {
  static const std::vector<Option> options = {
      {"destination", "DOMAIN", "mail with an open recipient there, or with this next hop"},
      {"sender", "ADDRESS", "mail from this address; @domain for a domain, <> for the null sender"},
      {"recipient", "ADDRESS", "mail to this address; @domain for a domain"},
      {"reason", "TEXT", "mail whose last reply contains the text"},
      {"state", "STATE", "incoming, active, deferred or hold; may be given again"},
  };
  return options;
}

Result<std::string> parse_id(std::string_view text) {
  if (!queue::Id::parse(text))
    return Error(ErrorKind::config, "\"" + shown(text, 40) + "\" is not a queue id");
  return std::string(text);
}

Result<proto::Selector> parse_selector(const Arguments& arguments, Empty when_empty) {
  proto::Selector out;
  for (const std::string& word : arguments.words()) {
    if (word == "ALL") {
      out.all = true;
      continue;
    }
    POSTRIDER_TRY(std::string id, parse_id(word));
    out.ids.push_back(std::move(id));
  }
  const auto take = [&](const char* name, std::string& into) -> Result<void> {
    if (!arguments.has(name)) return {};
    if (arguments.values(name).size() > 1)
      return Error(ErrorKind::config, std::string("--") + name + ": given more than once");
    into = arguments.value(name);
    if (into.empty()) return Error(ErrorKind::config, std::string("--") + name + ": is empty");
    if (into.size() > 1024)
      return Error(ErrorKind::config, std::string("--") + name + ": is too long");
    if (into.find('\0') != std::string::npos || into.find('\n') != std::string::npos)
      return Error(ErrorKind::config, std::string("--") + name + ": holds a line break");
    return {};
  };
  POSTRIDER_TRY_VOID(take("destination", out.destination));
  POSTRIDER_TRY_VOID(take("sender", out.sender));
  POSTRIDER_TRY_VOID(take("recipient", out.recipient));
  POSTRIDER_TRY_VOID(take("reason", out.reason));
  for (const std::string& state : arguments.values("state")) {
    bool known = false;
    for (const proto::Where where : {proto::Where::incoming, proto::Where::active,
                                     proto::Where::deferred, proto::Where::held}) {
      if (state != proto::to_string(where)) continue;
      out.where.push_back(where);
      known = true;
    }
    if (!known)
      return Error(ErrorKind::config,
                   "--state " + shown(state, 40) + ": expected incoming, active, deferred or hold");
  }
  const bool filtered = !out.destination.empty() || !out.sender.empty() || !out.recipient.empty() ||
                        !out.reason.empty() || !out.where.empty();
  if (out.all && (filtered || !out.ids.empty()))
    return Error(ErrorKind::config, "ALL stands alone: leave out the other selections");
  if (!out.all && !filtered && out.ids.empty()) {
    if (when_empty == Empty::is_error)
      return Error(ErrorKind::config,
                   "nothing selected: name queue ids, ALL, or an option such as --destination");
    out.all = true;
  }
  return out;
}

} // namespace postrider::ctl
