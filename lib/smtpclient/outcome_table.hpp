// SPDX-License-Identifier: MIT
// The outcome table (failure.hpp) as people read it: every failure that can happen, at every step
// at which it can, and what becomes of the mail. For `postrider outcomes` and the tests. Pure.
#pragma once

#include <string_view>
#include <vector>

#include "smtpclient/failure.hpp"

namespace postrider::smtpclient {

std::string_view name_of(smtp::Step step);
std::string_view name_of(Cause cause);
std::string_view meaning_of(Cause cause);
bool can_happen(Cause cause, smtp::Step step);
// False: the dialogue goes on (EHLO, XFORWARD), or over another session (RSET, QUIT).
bool concerns_mail(Cause cause, smtp::Step step);

struct TableLine {
  std::string_view step;
  std::string_view failure;
  std::string_view outcome; // "deferred", "bounced", "unknown", "none"
  std::string_view dsn;     // of the outcome, unless the server gives one; empty: no outcome
  std::string_view next;    // "next host", "next session", "HELO", "MAIL", "-"
  std::string_view scope;   // what qmgr holds back; empty: no outcome
  std::string_view meaning;
};
// In the order of a dialogue.
std::vector<TableLine> outcome_table();

} // namespace postrider::smtpclient
