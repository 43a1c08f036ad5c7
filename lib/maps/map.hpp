// SPDX-License-Identifier: MIT
// Lookup tables: from a key to a text. Types: static inline texthash cidr lmdb.
//
//   static:text            texthash:/file      text table, searched in memory
//   inline:{k=v, {k = v}}  cidr:/file          network patterns, first match counts
//                          lmdb:/file.lmdb     made by `postrider map`
// A table in a file is looked at for changes at most once a second, when it is used; when the new
// content cannot be read or is wrong, the old stays in force, with a warning. A table that never
// could be read answers each lookup with an Error.
// A lookup blocks on the local disk at most; a table that asks another process has to be waited for
// (may_wait), with maps/ask.hpp. One thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace postrider::maps {

// nullopt: not there. An Error is temporary trouble: the caller defers, it never decides.
using Answer = Result<std::optional<std::string>>;

class Map {
 public:
  virtual ~Map() = default;
  virtual Answer lookup(std::string_view key) = 0;
  // Whether parts of an address (its domain, its user) may be looked up: not in pattern tables.
  virtual bool takes_parts() const { return true; }
  // Whether its answers have to be waited for, with ask() (maps/ask.hpp).
  virtual bool may_wait() const { return false; }
};

struct MapOptions {
  std::string base_directory; // of relative file names
  Clock* clock = &system_clock();
};

// One table. Error config: no such type, or no file name. A file that cannot be read is no error
// here: its lookups are.
Result<std::unique_ptr<Map>> open_map(std::string_view spec, const MapOptions& options);

enum class Key { whole, part };

// "texthash:/a, cidr:/b": asked in order, the first answer counts. An empty answer is an Error:
// no table here has a use for it, and it is always a slip.
class MapList {
 public:
  Answer lookup(std::string_view key, Key kind = Key::whole);
  bool empty() const { return maps_.empty(); }
  bool may_wait() const;

 private:
  friend Result<MapList> open_maps(std::string_view specs, const MapOptions& options);
  struct Named {
    std::string spec;
    std::unique_ptr<Map> map;
  };
  std::vector<Named> maps_;
};

Result<MapList> open_maps(std::string_view specs, const MapOptions& options);

} // namespace postrider::maps
