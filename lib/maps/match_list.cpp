// SPDX-License-Identifier: MIT
#include "maps/match_list.hpp"

#include <algorithm>

#include "base/ascii.hpp"
#include "base/logical_lines.hpp"
#include "base/text_file.hpp"
#include "base/words.hpp"
#include "maps/keys.hpp"

namespace postrider::maps {

namespace {

constexpr int kDeepestFile = 10;
constexpr std::size_t kLargestFile = std::size_t{64} << 20;

bool looks_like_network(std::string_view text) {
  if (text.front() == '[') return true;
  for (const char c : text)
    if (!is_digit(c) && c != '.' && c != '/') return false;
  return text.find('.') != std::string_view::npos;
}

} // namespace

struct MatchList::Reader {
  MatchList& list;
  const MapOptions& options;

  Result<void> add_all(std::string_view text, bool negated, int depth) {
    POSTRIDER_TRY(const std::vector<std::string> words, split_words(text));
    for (const std::string& word : words)
      POSTRIDER_TRY_VOID(add(word, negated, depth));
    return {};
  }

  Result<void> add(std::string_view word, bool negated, int depth) {
    while (!word.empty() && word.front() == '!') {
      negated = !negated;
      word.remove_prefix(1);
    }
    if (word.empty()) return Error(ErrorKind::config, "a '!' without a pattern behind it");
    if (word.front() == '/') return add_file(std::string(word), negated, depth);
    Item item;
    item.negated = negated;
    item.name = word;
    if (looks_like_network(word) && word.find("]:") == std::string_view::npos) {
      auto network = parse_network(word);
      // "[mail.example.com]" is no network; a list of domains may hold such names.
      const bool may_be_name =
          word.front() == '[' && word.find_first_of(":/") == word.npos && !parse_address(word);
      if (!network && !may_be_name) return network.error();
      if (network) item.network = *network;
    } else if (word.find(':') != std::string_view::npos) {
      auto table = open_map(word, options);
      if (!table)
        return parse_address(word.substr(0, word.find('/')))
                   ? Error(ErrorKind::config, "\"" + std::string(word.substr(0, 60)) +
                                                  "\": write IPv6 addresses in [ ], before a /")
                   : table.error();
      item.table = *std::move(table);
    }
    if (!item.table) item.name = lowercase(word);
    list.items_.push_back(std::move(item));
    return {};
  }

  Result<void> add_file(const std::string& path, bool negated, int depth) {
    if (depth >= kDeepestFile)
      return Error(ErrorKind::config, path.substr(0, 200) + ": files name each other in a circle");
    POSTRIDER_TRY(const TextFile file, read_text_file(path, kLargestFile));
    LogicalLines lines(file.text);
    while (auto line = lines.next())
      if (auto added = add_all(line->text, negated, depth + 1); !added)
        return added.error().in(path + ":" + std::to_string(line->number));
    return {};
  }
};

Result<MatchList> MatchList::open(std::string_view spec, Rules rules, const MapOptions& options) {
  MatchList list;
  list.rules_ = rules;
  Reader reader{list, options};
  POSTRIDER_TRY_VOID(reader.add_all(spec, false, 0));
  return list;
}

bool MatchList::may_wait() const {
  return std::any_of(items_.begin(), items_.end(),
                     [](const Item& item) { return item.table && item.table->may_wait(); });
}

Result<bool> MatchList::item_has_domain(Item& item, std::string_view domain) const {
  if (item.table) {
    const auto keys = domain_keys(domain, {.parents_match = rules_.parents_match});
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (i > 0 && !item.table->takes_parts()) break;
      auto found = item.table->lookup(keys[i].text);
      if (!found) return found.error().in(item.name);
      if (*found) return true;
    }
    return false;
  }
  if (domain == item.name) return true;
  if (domain.empty() || domain.front() == '[') return false;
  if (item.name.front() == '.') return !rules_.parents_match && domain.ends_with(item.name);
  return rules_.parents_match && domain.size() > item.name.size() && domain.ends_with(item.name) &&
         domain[domain.size() - item.name.size() - 1] == '.';
}

Result<bool> MatchList::item_has_address(Item& item, std::string_view text,
                                         const Address& address) const {
  if (item.table) {
    auto found = item.table->lookup(text);
    if (!found) return found.error().in(item.name);
    return found->has_value();
  }
  return item.network && item.network->contains(address);
}

Result<bool> MatchList::matches_domain(std::string_view domain) {
  const std::string folded = lowercase(domain);
  for (Item& item : items_) {
    POSTRIDER_TRY(const bool has, item_has_domain(item, folded));
    if (has) return !item.negated;
  }
  return false;
}

Result<bool> MatchList::matches_address(std::string_view text) {
  const auto address = parse_address(text);
  if (!address) return false;
  for (Item& item : items_) {
    POSTRIDER_TRY(const bool has, item_has_address(item, text, *address));
    if (has) return !item.negated;
  }
  return false;
}

Result<bool> MatchList::matches_host(std::string_view name, std::string_view text) {
  const auto address = parse_address(text);
  const std::string folded = lowercase(name);
  for (Item& item : items_) {
    bool has = false;
    if (!item.network) {
      POSTRIDER_TRY(has, item_has_domain(item, folded));
    }
    if (!has && address) {
      POSTRIDER_TRY(has, item_has_address(item, text, *address));
    }
    if (has) return !item.negated;
  }
  return false;
}

} // namespace postrider::maps
