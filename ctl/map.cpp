// SPDX-License-Identifier: MIT
// map: makes lmdb: tables, asks and lists tables of any type.
#include <algorithm>
#include <iostream>

#include "base/text_file.hpp"
#include "command.hpp"
#include "ev/loop.hpp"
#include "json.hpp"
#include "maps/ask.hpp"
#include "maps/build.hpp"
#include "text.hpp"

namespace postrider::ctl {

namespace {

using Found = std::optional<std::string>;

maps::MapOptions options_here() {
  maps::MapOptions options;
  options.base_directory = "."; // as for `map build`
  options.warn = [](std::string_view text) { complain("warning: " + shown(text)); };
  return options;
}

// "lmdb:/etc/x" names the source "/etc/x" and the table "/etc/x.lmdb", and so does "/etc/x".
int build(const Invocation& in, const std::vector<std::string>& names) {
  if (names.empty()) return fail(in, exit_usage, "map build: name the text tables");
  int status = exit_ok;
  for (const std::string& name : names) {
    std::string source = name.starts_with("lmdb:") ? name.substr(5) : name;
    if (source.ends_with(".lmdb")) source.resize(source.size() - 5);
    auto text = read_text_file(source);
    if (!text) {
      status = fail(in, text.error());
      continue;
    }
    const std::string target = source + ".lmdb";
    auto built = maps::build_lmdb(text->text, source, target);
    if (!built) {
      status = fail(in, built.error());
      continue;
    }
    for (const std::string& problem : built->problems)
      complain("warning: " + shown(problem));
    if (in.json)
      print(json::of_object({{"table", target},
                             {"entries", std::to_string(built->entries)},
                             {"doubles", std::to_string(built->doubles)}}) +
            "\n");
    else
      print(shown(target) + ": " + std::to_string(built->entries) + " entries" +
            (built->doubles == 0
                 ? ""
                 : ", " + std::to_string(built->doubles) + " keys given again (the first counts)") +
            "\n");
  }
  return status;
}

// Tables as one: the first that has an answer gives it.
class Tables {
 public:
  explicit Tables(ev::Loop& loop) : loop_(loop) {}

  Result<void> open(const std::vector<std::string>& specs) {
    for (const std::string& spec : specs) {
      POSTRIDER_TRY(auto map, maps::open_map(spec, options_here()));
      maps_.push_back(std::move(map));
    }
    return {};
  }

  maps::Answer lookup(const std::string& key) {
    const std::function<maps::Answer()> question = [&]() -> maps::Answer {
      for (const auto& map : maps_) {
        POSTRIDER_TRY(Found found, map->lookup(key));
        if (found) return found;
      }
      return Found();
    };
    return maps::ask_now<Found>(loop_, question, ev::Deadline::never());
  }

  Result<void> list(const maps::Map::Visit& visit) {
    for (const auto& map : maps_)
      POSTRIDER_TRY_VOID(map->list(visit));
    return {};
  }

 private:
  ev::Loop& loop_;
  std::vector<std::unique_ptr<maps::Map>> maps_;
};

int print_pairs(const Invocation& in,
                const std::vector<std::pair<std::string, std::string>>& pairs) {
  if (in.json) {
    print(json::of_object(pairs) + "\n");
  } else {
    for (const auto& [key, value] : pairs)
      print(shown_lines(key) + "\t" + shown_lines(value) + "\n");
  }
  return pairs.empty() ? exit_failed : exit_ok;
}

int query(const Invocation& in, const std::vector<std::string>& specs,
          const std::vector<std::string>& keys, bool only_values) {
  ev::Loop loop;
  Tables tables(loop);
  if (auto opened = tables.open(specs); !opened) return fail(in, opened.error());
  std::vector<std::pair<std::string, std::string>> found;
  for (const std::string& key : keys) {
    auto value = tables.lookup(key);
    if (!value) return fail(in, exit_try_again, value.error().text());
    if (*value) found.emplace_back(key, **value);
  }
  if (in.json || !only_values) {
    print_pairs(in, found);
  } else {
    for (const auto& [key, value] : found)
      print(shown_lines(value) + "\n");
  }
  return found.size() == keys.size() ? exit_ok : exit_failed;
}

// As postmap -q -: keys are lines, and what is found is printed with its key, as soon as it is.
int query_input(const Invocation& in, const std::vector<std::string>& specs) {
  ev::Loop loop;
  Tables tables(loop);
  if (auto opened = tables.open(specs); !opened) return fail(in, opened.error());
  bool any = false;
  std::string key;
  while (std::getline(std::cin, key)) {
    auto value = tables.lookup(key);
    if (!value) return fail(in, exit_try_again, value.error().text());
    if (!*value) continue;
    any = true;
    print_pairs(in, {{key, **value}});
  }
  return any ? exit_ok : exit_failed;
}

int list(const Invocation& in, const std::vector<std::string>& specs) {
  if (specs.empty()) return fail(in, exit_usage, "map list: name a table");
  ev::Loop loop;
  Tables tables(loop);
  if (auto opened = tables.open(specs); !opened) return fail(in, opened.error());
  std::vector<std::pair<std::string, std::string>> pairs;
  auto listed = tables.list(
      [&](std::string_view key, std::string_view value) { pairs.emplace_back(key, value); });
  if (!listed) return fail(in, listed.error());
  std::sort(pairs.begin(), pairs.end());
  print_pairs(in, pairs);
  return exit_ok;
}

int run_map(const Invocation& in) {
  std::vector<std::string> words = in.words();
  if (in.has("query")) {
    if (words.empty()) return fail(in, exit_usage, "map -q: name a table");
    const std::string key = in.value("query");
    return key == "-" ? query_input(in, words) : query(in, words, {key}, true);
  }
  if (in.has("sequence")) return list(in, words);
  const std::string verb = words.empty() ? "" : words.front();
  if (verb.starts_with("lmdb:")) return build(in, words); // as postmap
  if (!words.empty()) words.erase(words.begin());
  if (verb == "build") return build(in, words);
  if (verb == "list") return list(in, words);
  if (verb == "query") {
    if (words.size() < 2) return fail(in, exit_usage, "map query: name a table and keys");
    return query(in, {words.front()}, {words.begin() + 1, words.end()}, words.size() == 2);
  }
  return fail(in, exit_usage, "map: expected build, query or list");
}

} // namespace

const std::vector<Command>& map_commands() {
  static const std::vector<Command> commands = {
      {"map",
       "build FILE... | query TABLE KEY... | list TABLE | -q KEY TABLE... | -s TABLE",
       "make lmdb: tables, ask and list any table",
       {{"query,q", "KEY",
         "what the first of the tables says that knows KEY; -: of each line read"},
        {"sequence,s", "", "the same as list"}},
       run_map},
  };
  return commands;
}

} // namespace postrider::ctl
