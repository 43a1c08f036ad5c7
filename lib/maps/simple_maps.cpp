// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdlib>

#include "base/ascii.hpp"
#include "base/random.hpp"
#include "base/words.hpp"
#include "maps/socketmap.hpp"
#include "maps/text_table.hpp"
#include "maps/types.hpp"

namespace postrider::maps {

namespace {

Error bad(std::string text) { return {ErrorKind::config, std::move(text)}; }

class StaticMap final : public Map {
 public:
  explicit StaticMap(std::string value) : value_(std::move(value)) {}
  Answer lookup(std::string_view) override { return std::optional(value_); }

 private:
  std::string value_;
};

class InlineMap final : public Map {
 public:
  explicit InlineMap(TextTable table) : table_(std::move(table)) {}
  Answer lookup(std::string_view key) override {
    const auto found = table_.find(lowercase(key));
    return found == table_.end() ? std::nullopt : std::optional(found->second);
  }
  Result<void> list(const Visit& visit) override {
    for (const auto& [key, value] : table_)
      visit(key, value);
    return {};
  }

 private:
  TextTable table_;
};

// Variables of this process; master has passed on what it lets its workers have.
class EnvironMap final : public Map {
 public:
  Answer lookup(std::string_view key) override {
    const char* value = std::getenv(std::string(key).c_str());
    return value == nullptr ? std::nullopt : std::optional(std::string(value));
  }
};

// Each lookup is temporary trouble, for tests of what happens then.
class FailMap final : public Map {
 public:
  Answer lookup(std::string_view) override {
    return Error(ErrorKind::io, "a fail: table fails always");
  }
  bool takes_parts() const override { return false; }
};

class RandomMap final : public Map {
 public:
  explicit RandomMap(std::vector<std::string> values) : values_(std::move(values)) {}
  Answer lookup(std::string_view) override {
    return std::optional(values_[dice_.below(values_.size())]);
  }
  bool takes_parts() const override { return false; }

 private:
  std::vector<std::string> values_;
  Jitter dice_;
};

// The first table says whether parts may be asked for.
class Tables : public Map {
 public:
  explicit Tables(std::vector<std::unique_ptr<Map>> tables) : tables_(std::move(tables)) {}
  bool takes_parts() const override { return tables_.front()->takes_parts(); }
  bool may_wait() const override {
    return std::any_of(tables_.begin(), tables_.end(), [](const auto& t) { return t->may_wait(); });
  }

 protected:
  std::vector<std::unique_ptr<Map>> tables_;
};

// All answers, with commas between.
class UnionMap final : public Tables {
 public:
  using Tables::Tables;
  Answer lookup(std::string_view key) override {
    std::string all;
    for (const auto& table : tables_) {
      POSTRIDER_TRY(const std::optional<std::string> one, table->lookup(key));
      if (!one) continue;
      if (!all.empty()) all += ',';
      all += *one;
    }
    return all.empty() ? std::nullopt : std::optional(std::move(all));
  }
};

// Each answer is the key for the next table.
class PipeMap final : public Tables {
 public:
  using Tables::Tables;
  Answer lookup(std::string_view key) override {
    std::string at(key);
    for (const auto& table : tables_) {
      POSTRIDER_TRY(std::optional<std::string> next, table->lookup(at));
      if (!next) return std::optional<std::string>();
      at = std::move(*next);
    }
    return std::optional(std::move(at));
  }
};

Result<std::vector<std::string>> items_of(std::string_view name, std::string_view example) {
  const auto braced = in_braces(name);
  const Error syntax = bad("write " + std::string(example));
  if (!braced) return syntax;
  POSTRIDER_TRY(std::vector<std::string> items, split_words(*braced));
  if (items.empty()) return syntax;
  return items;
}

template <typename Kind>
Opened open_tables(std::string_view name, std::string_view example, const MapOptions& options) {
  POSTRIDER_TRY(const std::vector<std::string> specs, items_of(name, example));
  std::vector<std::unique_ptr<Map>> tables;
  for (const std::string& spec : specs) {
    POSTRIDER_TRY(auto table, open_map(spec, options));
    tables.push_back(std::move(table));
  }
  return std::unique_ptr<Map>(std::make_unique<Kind>(std::move(tables)));
}

} // namespace

std::optional<std::string_view> in_braces(std::string_view text) {
  if (text.size() < 2 || text.front() != '{' || text.back() != '}') return std::nullopt;
  return trim(text.substr(1, text.size() - 2));
}

Opened open_static(std::string_view name, const MapOptions&) {
  if (name.empty()) return bad("write static:text");
  return std::unique_ptr<Map>(
      std::make_unique<StaticMap>(std::string(in_braces(name).value_or(name))));
}

Opened open_inline(std::string_view name, const MapOptions&) {
  constexpr std::string_view kExample = "inline:{key=value, { key = value }}";
  POSTRIDER_TRY(const std::vector<std::string> rows, items_of(name, kExample));
  TextTable table;
  for (const std::string& row : rows) {
    const std::size_t equals = row.find('=');
    const std::string_view key = trim(std::string_view(row).substr(0, equals));
    if (equals == std::string::npos || key.empty())
      return bad("\"" + row.substr(0, 60) + "\": write " + std::string(kExample));
    // The last value of a key counts, unlike in files.
    table[lowercase(key)] = trim(std::string_view(row).substr(equals + 1));
  }
  return std::unique_ptr<Map>(std::make_unique<InlineMap>(std::move(table)));
}

Opened open_environ(std::string_view, const MapOptions&) {
  return std::unique_ptr<Map>(std::make_unique<EnvironMap>());
}

Opened open_fail(std::string_view, const MapOptions&) {
  return std::unique_ptr<Map>(std::make_unique<FailMap>());
}

Opened open_randmap(std::string_view name, const MapOptions&) {
  POSTRIDER_TRY(std::vector<std::string> values, items_of(name, "randmap:{text, text}"));
  return std::unique_ptr<Map>(std::make_unique<RandomMap>(std::move(values)));
}

Opened open_unionmap(std::string_view name, const MapOptions& options) {
  return open_tables<UnionMap>(name, "unionmap:{type:name, type:name}", options);
}

Opened open_pipemap(std::string_view name, const MapOptions& options) {
  return open_tables<PipeMap>(name, "pipemap:{type:name, type:name}", options);
}

Opened open_socketmap(std::string_view name, const MapOptions&) {
  POSTRIDER_TRY(std::unique_ptr<SocketMap> map, SocketMap::open(name));
  return std::unique_ptr<Map>(std::move(map));
}

} // namespace postrider::maps
