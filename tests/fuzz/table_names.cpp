// SPDX-License-Identifier: MIT
// type:name, and lists of them, as main.cf has them: tables without a file, and a list in one. The
// first line is a key.
#include <fstream>

#include "base/ascii.hpp"
#include "fuzz/target.hpp"
#include "maps/map.hpp"
#include "maps/match_list.hpp"
#include "support/scratch_dir.hpp"

FUZZ(input) {
  using namespace postrider;
  const unsigned options = fuzz::take_byte(input);
  const std::size_t end = std::min(input.find('\n'), input.size());
  const std::string key(input.substr(0, end));
  const std::string spec(input.substr(std::min(input.size(), end + 1)).substr(0, 1000));
  // Files of this host, and hosts, are none of an input's business.
  const bool has_file = spec.find('/') != spec.npos && spec.find('{') == spec.npos;
  for (const std::string_view type : {"socketmap", "hash", "btree", "dbm", "cdb", "lmdb"})
    if (lowercase(spec).find(type) != spec.npos) return;
  if (has_file) return;
  for (std::size_t at = spec.find(":/"); at != spec.npos; at = spec.find(":/", at + 1))
    return;

  maps::MapOptions map_options;
  map_options.warn = [](std::string_view text) { POSTRIDER_CHECK(!text.empty()); };
  map_options.substitution = (options & 1) != 0;
  if (auto list = maps::open_maps(spec, map_options)) {
    if ((options & 2) != 0) list->take_empty_answers();
    POSTRIDER_CHECK(!list->may_wait(), "nobody is asked");
    for (const maps::Key kind : {maps::Key::whole, maps::Key::part}) {
      const auto answer = list->lookup(key, kind);
      if (!answer) POSTRIDER_CHECK(!answer.error().text().empty());
      if (answer && *answer && (options & 2) == 0) POSTRIDER_CHECK(!(*answer)->empty());
    }
  }
  if (auto one = maps::open_map(spec, map_options))
    (void)(*one)->list([](std::string_view, std::string_view) {}).ok();
  if (spec.find('/') != spec.npos) return; // of a list it may be a file's name
  std::string list_spec = spec;
  if ((options & 8) != 0) {
    static const test::ScratchDir directory;
    list_spec = directory.path() + "/list";
    std::ofstream(list_spec) << spec;
  }
  if (auto list =
          maps::MatchList::open(list_spec, {.parents_match = (options & 4) != 0}, map_options)) {
    POSTRIDER_CHECK(!list->may_wait(), "nobody is asked");
    (void)list->matches_domain(key).ok();
    (void)list->matches_address(key).ok();
    (void)list->matches_host(key, "192.0.2.1").ok();
  }
}
