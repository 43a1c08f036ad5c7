// SPDX-License-Identifier: MIT
#include "maps/map.hpp"

#include <algorithm>

#include "base/ascii.hpp"
#include "base/words.hpp"
#include "db/env.hpp"
#include "maps/cidr.hpp"
#include "maps/reloading.hpp"
#include "maps/text_table.hpp"

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

 private:
  TextTable table_;
};

Result<std::pair<TextTable, FileStamp>> read_text_table(const std::string& path) {
  POSTRIDER_TRY(const TextFile file, read_text_file(path));
  POSTRIDER_TRY(TextTable table, parse_text_table(file.text, path));
  return std::pair(std::move(table), file.stamp);
}

class TexthashMap final : public Map {
 public:
  TexthashMap(std::string path, Clock& clock) : file_(std::move(path), clock, &read_text_table) {}
  Answer lookup(std::string_view key) override {
    POSTRIDER_TRY(const TextTable* table, file_.current());
    const auto found = table->find(lowercase(key));
    return found == table->end() ? std::nullopt : std::optional(found->second);
  }

 private:
  Reloading<TextTable> file_;
};

Result<std::pair<CidrTable, FileStamp>> read_cidr_table(const std::string& path) {
  POSTRIDER_TRY(const TextFile file, read_text_file(path));
  POSTRIDER_TRY(CidrTable table, CidrTable::parse(file.text, path));
  return std::pair(std::move(table), file.stamp);
}

class CidrMap final : public Map {
 public:
  CidrMap(std::string path, Clock& clock) : file_(std::move(path), clock, &read_cidr_table) {}
  Answer lookup(std::string_view key) override {
    POSTRIDER_TRY(const CidrTable* table, file_.current());
    const auto address = parse_address(key);
    if (!address) return std::optional<std::string>();
    const auto found = table->find(*address);
    return found ? std::optional(std::string(*found)) : std::nullopt;
  }
  bool takes_parts() const override { return false; }

 private:
  Reloading<CidrTable> file_;
};

// The stamp comes first: when the file is replaced in between, it is opened once more.
Result<std::pair<db::Env, FileStamp>> open_table(const std::string& path) {
  POSTRIDER_TRY(const FileStamp stamp, stamp_of(path));
  POSTRIDER_TRY(db::Env env, db::Env::open({.path = path, .immutable = true}));
  return std::pair(std::move(env), stamp);
}

// A table made by build_lmdb: never written to, only replaced.
class LmdbMap final : public Map {
 public:
  LmdbMap(std::string path, Clock& clock) : file_(std::move(path), clock, &open_table) {}
  Answer lookup(std::string_view key) override {
    POSTRIDER_TRY(const db::Env* env, file_.current());
    POSTRIDER_TRY(const db::Txn txn, env->read());
    POSTRIDER_TRY(const std::optional<std::string_view> value, txn.get(lowercase(key)));
    return value ? std::optional(std::string(*value)) : std::nullopt;
  }

 private:
  Reloading<db::Env> file_;
};

std::string_view without_braces(std::string_view text) {
  if (text.size() >= 2 && text.front() == '{' && text.back() == '}')
    return trim(text.substr(1, text.size() - 2));
  return text;
}

Result<TextTable> parse_inline(std::string_view text) {
  TextTable table;
  POSTRIDER_TRY(const std::vector<std::string> rows, split_words(without_braces(text)));
  for (const std::string& row : rows) {
    const std::size_t equals = row.find('=');
    const std::string_view key = trim(std::string_view(row).substr(0, equals));
    if (equals == std::string::npos || key.empty())
      return bad("inline: \"" + row.substr(0, 60) +
                 "\": write inline:{key=value, { key = value }}");
    table.emplace(lowercase(key), std::string(trim(std::string_view(row).substr(equals + 1))));
  }
  return table;
}

} // namespace

Result<std::unique_ptr<Map>> open_map(std::string_view spec, const MapOptions& options) {
  spec = trim(spec);
  const std::size_t colon = spec.find(':');
  const std::string_view type = spec.substr(0, colon);
  if (colon == std::string_view::npos)
    return bad("table \"" + std::string(spec.substr(0, 60)) +
               "\": write type:name, such as texthash:/file");
  const std::string_view name = spec.substr(colon + 1);
  if (type == "static")
    return std::unique_ptr<Map>(std::make_unique<StaticMap>(std::string(without_braces(name))));
  if (type == "inline") {
    POSTRIDER_TRY(TextTable table, parse_inline(name));
    return std::unique_ptr<Map>(std::make_unique<InlineMap>(std::move(table)));
  }
  if (type != "texthash" && type != "cidr" && type != "lmdb")
    return bad("table type \"" + std::string(type.substr(0, 60)) +
               "\" is not known; use static, inline, texthash, cidr or lmdb" +
               (type == "hash" || type == "btree" || type == "cdb"
                    ? " (texthash reads the source of such a table, no compile step)"
                    : ""));
  if (name.empty()) return bad(std::string(type) + ": has no file name");
  std::string path(name);
  if (path.front() != '/') path = options.base_directory + "/" + path;
  if (type == "texthash")
    return std::unique_ptr<Map>(std::make_unique<TexthashMap>(path, *options.clock));
  if (type == "cidr") return std::unique_ptr<Map>(std::make_unique<CidrMap>(path, *options.clock));
  if (!path.ends_with(".lmdb")) path += ".lmdb";
  return std::unique_ptr<Map>(std::make_unique<LmdbMap>(path, *options.clock));
}

Result<MapList> open_maps(std::string_view specs, const MapOptions& options) {
  MapList list;
  POSTRIDER_TRY(std::vector<std::string> words, split_words(specs));
  for (std::string& spec : words) {
    POSTRIDER_TRY(auto map, open_map(spec, options));
    list.maps_.push_back({std::move(spec), std::move(map)});
  }
  return list;
}

bool MapList::may_wait() const {
  return std::any_of(maps_.begin(), maps_.end(), [](const Named& n) { return n.map->may_wait(); });
}

Answer MapList::lookup(std::string_view key, Key kind) {
  for (Named& named : maps_) {
    if (kind == Key::part && !named.map->takes_parts()) continue;
    auto answer = named.map->lookup(key);
    if (!answer) return answer.error().in(named.spec.substr(0, 80));
    if (!*answer) continue;
    if ((*answer)->empty())
      return bad(named.spec.substr(0, 80) + ": the answer for \"" + std::string(key.substr(0, 80)) +
                 "\" is empty");
    return answer;
  }
  return std::optional<std::string>();
}

} // namespace postrider::maps
