// SPDX-License-Identifier: MIT
#include "base/ascii.hpp"
#include "base/words.hpp"
#include "db/env.hpp"
#include "maps/cidr.hpp"
#include "maps/pattern_table.hpp"
#include "maps/reloading.hpp"
#include "maps/text_table.hpp"
#include "maps/types.hpp"

namespace postrider::maps {

namespace {

Error bad(std::string text) { return {ErrorKind::config, std::move(text)}; }

Result<std::string> path_of(std::string_view name, const MapOptions& options) {
  if (name.empty()) return bad("has no file name");
  if (name.front() == '/') return std::string(name);
  return options.base_directory + "/" + std::string(name);
}

// How each kind of content is read and asked. kParts: whether parts of addresses may be asked for.
struct Text {
  static constexpr bool kParts = true;
  static Text parse(std::string_view text, Problems& problems) {
    return {parse_text_table(text, problems)};
  }
  Answer find(std::string_view key) const {
    const auto found = table.find(lowercase(key));
    return found == table.end() ? std::nullopt : std::optional(found->second);
  }
  void list(const Map::Visit& visit) const {
    for (const auto& [key, value] : table)
      visit(key, value);
  }
  TextTable table;
};

struct Cidr {
  static constexpr bool kParts = false;
  static Cidr parse(std::string_view text, Problems& problems) {
    return {CidrTable::parse(text, problems)};
  }
  Answer find(std::string_view key) const {
    const auto address = parse_address(key);
    if (!address) return std::optional<std::string>();
    const auto found = table.find(*address);
    return found ? std::optional(std::string(*found)) : std::nullopt;
  }
  CidrTable table;
};

template <const Dialect& dialect, bool substitution>
struct Patterns {
  static constexpr bool kParts = false;
  static Patterns parse(std::string_view text, Problems& problems) {
    return {PatternTable::parse(text, dialect, problems, substitution)};
  }
  Answer find(std::string_view key) const { return table.find(key); }
  PatternTable table;
};

template <typename Content>
class FileMap final : public Map {
 public:
  FileMap(std::string path, const MapOptions& options) : file_(std::move(path), options, &read) {}
  Answer lookup(std::string_view key) override {
    POSTRIDER_TRY(const Content* content, file_.current());
    return content->find(key);
  }
  Result<void> list(const Visit& visit) override {
    if constexpr (requires(const Content& content) { content.list(visit); }) {
      POSTRIDER_TRY(const Content* content, file_.current());
      content->list(visit);
      return {};
    } else {
      return Map::list(visit);
    }
  }
  bool takes_parts() const override { return Content::kParts; }

 private:
  static Result<Loaded<Content>> read(const std::string& path) {
    POSTRIDER_TRY(const TextFile file, read_text_file(path));
    Problems problems(path);
    Content content = Content::parse(file.text, problems);
    return Loaded<Content>{std::move(content), file.stamp, problems.texts()};
  }
  Reloading<Content> file_;
};

template <typename Content>
class MemoryMap final : public Map {
 public:
  explicit MemoryMap(Content content) : content_(std::move(content)) {}
  Answer lookup(std::string_view key) override { return content_.find(key); }
  bool takes_parts() const override { return Content::kParts; }

 private:
  Content content_;
};

// "{ {rule}, {rule} }": the rules, as lines of a file that would hold them.
Result<std::string> lines_of(std::string_view braced) {
  std::string lines;
  POSTRIDER_TRY(const std::vector<std::string> rules, split_words(braced));
  for (const std::string& rule : rules)
    lines += rule + "\n";
  return lines;
}

template <typename Content>
Opened open_rules(std::string_view type, std::string_view name, const MapOptions& options) {
  if (const auto braced = in_braces(name)) {
    if (!braced->starts_with('{')) return bad("write " + std::string(type) + ":{ {rule}, {rule} }");
    POSTRIDER_TRY(const std::string lines, lines_of(*braced));
    Problems problems(std::string(type) + ":" + std::string(name.substr(0, 80)));
    auto map = std::make_unique<MemoryMap<Content>>(Content::parse(lines, problems));
    for (const std::string& text : problems.texts())
      options.warn(text);
    return std::unique_ptr<Map>(std::move(map));
  }
  POSTRIDER_TRY(std::string path, path_of(name, options));
  return std::unique_ptr<Map>(std::make_unique<FileMap<Content>>(std::move(path), options));
}

// A table made by build_lmdb: never written to, only replaced. One that Postfix's postmap made may
// have a zero byte behind each key and value.
class LmdbMap final : public Map {
 public:
  LmdbMap(std::string path, const MapOptions& options) : file_(std::move(path), options, &open) {}
  Answer lookup(std::string_view key) override {
    POSTRIDER_TRY(const db::Env* env, file_.current());
    POSTRIDER_TRY(const db::Txn txn, env->read());
    std::string at = lowercase(key);
    POSTRIDER_TRY(std::optional<std::string_view> value, txn.get(at));
    if (!value) {
      at.push_back('\0');
      POSTRIDER_TRY(value, txn.get(at));
    }
    return value ? std::optional(std::string(without_zero(*value))) : std::nullopt;
  }
  Result<void> list(const Visit& visit) override {
    POSTRIDER_TRY(const db::Env* env, file_.current());
    POSTRIDER_TRY(const db::Txn txn, env->read());
    return txn.prefix("", [&](std::string_view key, std::string_view value) {
      visit(without_zero(key), without_zero(value));
      return true;
    });
  }

 private:
  static std::string_view without_zero(std::string_view text) {
    if (text.ends_with('\0')) text.remove_suffix(1);
    return text;
  }
  // The stamp comes first: when the file is replaced in between, it is opened once more.
  static Result<Loaded<db::Env>> open(const std::string& path) {
    POSTRIDER_TRY(const FileStamp stamp, stamp_of(path));
    POSTRIDER_TRY(db::Env env, db::Env::open({.path = path, .immutable = true}));
    return Loaded<db::Env>{std::move(env), stamp, {}};
  }
  Reloading<db::Env> file_;
};

} // namespace

Opened open_texthash(std::string_view name, const MapOptions& options) {
  POSTRIDER_TRY(std::string path, path_of(name, options));
  return std::unique_ptr<Map>(std::make_unique<FileMap<Text>>(std::move(path), options));
}

Opened open_lmdb(std::string_view name, const MapOptions& options) {
  POSTRIDER_TRY(std::string path, path_of(name, options));
  if (!path.ends_with(".lmdb")) path += ".lmdb";
  return std::unique_ptr<Map>(std::make_unique<LmdbMap>(std::move(path), options));
}

Opened open_cidr(std::string_view name, const MapOptions& options) {
  return open_rules<Cidr>("cidr", name, options);
}

Opened open_regexp(std::string_view name, const MapOptions& options) {
  return options.substitution ? open_rules<Patterns<kRegexp, true>>("regexp", name, options)
                              : open_rules<Patterns<kRegexp, false>>("regexp", name, options);
}

Opened open_pcre(std::string_view name, const MapOptions& options) {
  return options.substitution ? open_rules<Patterns<kPcre, true>>("pcre", name, options)
                              : open_rules<Patterns<kPcre, false>>("pcre", name, options);
}

Opened open_source_of(std::string_view type, std::string_view name, const MapOptions& options) {
  POSTRIDER_TRY(const std::string path, path_of(name, options));
  const std::string spec = std::string(type) + ":" + std::string(name);
  if (auto stamp = stamp_of(path); !stamp)
    return bad(spec + ": there are no " + std::string(type) +
               ": tables here, and its source cannot be read (" + stamp.error().text() +
               "); use texthash:" + std::string(name) + " or lmdb:" + std::string(name));
  options.warn(spec + ": there are no " + std::string(type) + ": tables here; the text file " +
               path + " is read instead; write texthash:" + std::string(name));
  return open_texthash(name, options);
}

} // namespace postrider::maps
