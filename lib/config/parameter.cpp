// SPDX-License-Identifier: MIT
#include "config/parameter.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <unordered_map>
#include <vector>

namespace postrider::config {

namespace {

constexpr TransportSuffix kSuffixes[] = {
    {"destination_concurrency_limit", "default_destination_concurrency_limit"},
    {"destination_recipient_limit", "default_destination_recipient_limit"},
    {"destination_rate_delay", "default_destination_rate_delay"},
    {"transport_rate_delay", "default_transport_rate_delay"},
    {"initial_destination_concurrency", "initial_destination_concurrency"},
    {"destination_concurrency_positive_feedback",
     "default_destination_concurrency_positive_feedback"},
    {"destination_concurrency_negative_feedback",
     "default_destination_concurrency_negative_feedback"},
    {"destination_concurrency_failed_cohort_limit",
     "default_destination_concurrency_failed_cohort_limit"},
    {"delivery_slot_cost", "default_delivery_slot_cost"},
    {"delivery_slot_loan", "default_delivery_slot_loan"},
    {"delivery_slot_discount", "default_delivery_slot_discount"},
    {"minimum_delivery_slots", "default_minimum_delivery_slots"},
};

constexpr bool every_fallback_exists() {
  for (const TransportSuffix& row : kSuffixes)
    if (index_of(row.fallback) == kNoParameter) return false;
  return true;
}
static_assert(every_fallback_exists());

constexpr bool every_alias_leads_to_a_live_name() {
  for (const Parameter& p : kParameters) {
    if (p.status != Status::alias) continue;
    const std::size_t target = index_of(p.about);
    if (target == kNoParameter || kParameters[target].status != Status::live) return false;
  }
  return true;
}
static_assert(every_alias_leads_to_a_live_name());

// Edit distance (insert, delete, replace, swap of neighbours), or most + 1 when it is larger.
std::size_t distance(std::string_view a, std::string_view b, std::size_t most) {
  if ((a.size() > b.size() ? a.size() - b.size() : b.size() - a.size()) > most) return most + 1;
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j)
    last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        now[j] = std::min(now[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(now);
  }
  return last[b.size()];
}

} // namespace

const Parameter* find_parameter(std::string_view name) {
  static const auto* const index = [] {
    auto* map = new std::unordered_map<std::string_view, const Parameter*>;
    for (const Parameter& p : kParameters)
      map->emplace(p.name, &p);
    return map;
  }();
  const auto found = index->find(name);
  return found == index->end() ? nullptr : found->second;
}

std::span<const TransportSuffix> transport_suffixes() { return kSuffixes; }

std::string_view nearest_parameter(std::string_view name) {
  constexpr std::size_t kLongestName = 100;
  if (name.size() > kLongestName) return {};
  std::size_t least = std::max<std::size_t>(2, name.size() / 5) + 1;
  std::string_view nearest;
  for (const Parameter& p : kParameters) {
    if (p.status == Status::obsolete) continue;
    const std::size_t here = distance(name, p.name, least);
    if (here < least) {
      least = here;
      nearest = p.name;
    }
  }
  return nearest;
}

std::string_view to_string(Type type) {
  switch (type) {
  case Type::text: return "text";
  case Type::words: return "list";
  case Type::flag: return "yes or no";
  case Type::time: return "time";
  case Type::number: return "number";
  case Type::size: return "size";
  case Type::choice: return "word";
  }
  POSTRIDER_UNREACHABLE();
}

} // namespace postrider::config
