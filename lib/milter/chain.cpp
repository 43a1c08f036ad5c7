// SPDX-License-Identifier: MIT
#include "milter/chain.hpp"

namespace postrider::milter {

Chain::Chain(ev::Loop& loop, Dialer& dialer, std::shared_ptr<const FilterSet> set,
             std::uint64_t most_body)
    : set_(std::move(set)) {
  for (const FilterOptions& options : set_->filters)
    filters_.emplace_back(loop, dialer, options, *set_, most_body);
}

ev::Task<Verdict> Chain::tell(const Event& event, const Macros& macros) {
  Verdict result;
  for (Filter& filter : filters_) {
    Verdict verdict = co_await filter.tell(event, macros);
    if (verdict.kind == Verdict::Kind::hold)
      result = std::move(verdict);
    else if (!verdict.goes_on())
      co_return verdict;
  }
  co_return result;
}

ev::Task<Verdict> Chain::message(Draft& draft, const Macros& macros) {
  Verdict result;
  for (Filter& filter : filters_) {
    Verdict verdict = co_await filter.message(draft, macros);
    if (verdict.kind == Verdict::Kind::hold)
      result = std::move(verdict);
    else if (!verdict.goes_on())
      co_return verdict;
  }
  co_return result;
}

void Chain::abort() {
  for (Filter& filter : filters_)
    filter.abort();
}

void Chain::quit() {
  for (Filter& filter : filters_)
    filter.quit();
}

} // namespace postrider::milter
