// SPDX-License-Identifier: MIT
#include "maps/map.hpp"

#include <algorithm>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "base/words.hpp"
#include "maps/types.hpp"

namespace postrider::maps {

namespace {

constexpr std::size_t kMostInMessages = 80; // bytes of a name or a key

struct Type {
  std::string_view name;
  Opened (*open)(std::string_view name, const MapOptions& options);
};

constexpr Type kTypes[] = {
    {"cidr", &open_cidr},           {"environ", &open_environ}, {"fail", &open_fail},
    {"inline", &open_inline},       {"lmdb", &open_lmdb},       {"pcre", &open_pcre},
    {"pipemap", &open_pipemap},     {"randmap", &open_randmap}, {"regexp", &open_regexp},
    {"socketmap", &open_socketmap}, {"static", &open_static},   {"texthash", &open_texthash},
    {"unionmap", &open_unionmap},
};

// Postfix's, of libraries that are not used here; made from text files.
constexpr std::string_view kCompiledTypes[] = {"btree", "cdb", "dbm", "hash", "sdbm"};

template <typename List>
std::string joined(const List& names) {
  std::string out;
  for (const std::string_view name : names)
    out += (out.empty() ? "" : " ") + std::string(name);
  return out;
}

} // namespace

void log_warning(std::string_view text) { log::warning(text); }

Result<void> Map::list(const Visit&) {
  return Error(ErrorKind::config, "tables of this type cannot be listed");
}

std::vector<std::string_view> map_types() {
  std::vector<std::string_view> names;
  for (const Type& type : kTypes)
    names.push_back(type.name);
  return names;
}

bool is_map_type(std::string_view name) {
  const auto types = map_types();
  return std::find(types.begin(), types.end(), name) != types.end() ||
         std::find(std::begin(kCompiledTypes), std::end(kCompiledTypes), name) !=
             std::end(kCompiledTypes);
}

Result<std::unique_ptr<Map>> open_map(std::string_view spec, const MapOptions& options) {
  spec = trim(spec);
  const std::size_t colon = spec.find(':');
  if (colon == std::string_view::npos)
    return Error(ErrorKind::config, "table \"" + std::string(spec.substr(0, kMostInMessages)) +
                                        "\": write type:name, such as texthash:/file");
  const std::string_view type = spec.substr(0, colon);
  const std::string_view name = spec.substr(colon + 1);
  for (const Type& known : kTypes) {
    if (known.name != type) continue;
    auto opened = known.open(name, options);
    if (!opened) return opened.error().in(spec.substr(0, kMostInMessages));
    return opened;
  }
  if (is_map_type(type)) return open_source_of(type, name, options);
  return Error(ErrorKind::config, "table type \"" + std::string(type.substr(0, kMostInMessages)) +
                                      "\" is not known; there are: " + joined(map_types()));
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
    if (!answer) return answer.error().in(named.spec.substr(0, kMostInMessages));
    if (!*answer) continue;
    if ((*answer)->empty() && !empty_is_answer_)
      return Error(ErrorKind::config,
                   named.spec.substr(0, kMostInMessages) + ": the answer for \"" +
                       std::string(key.substr(0, kMostInMessages)) + "\" is empty");
    return answer;
  }
  return std::optional<std::string>();
}

} // namespace postrider::maps
