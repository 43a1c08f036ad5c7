// SPDX-License-Identifier: MIT
// Lookup tables: from a key to a text, as type:name.
//
//   static:text            inline:{k=v, {k = v}}   environ:         fail:
//   texthash:/file         lmdb:/file.lmdb         randmap:{text, text}
//   cidr:/file             regexp:/file            pcre:/file       also type:{ {rule}, {rule} }
//   unionmap:{type:name, type:name}                pipemap:{type:name, type:name}
//   socketmap:inet:host:port:name                  socketmap:unix:path:name
// hash:, btree:, dbm:, sdbm: and cdb: read the text file that they are made from, with a warning.
//
// A table in a file is looked at for changes at most once a second, when it is used; when the new
// content cannot be read, the old stays in force, with a warning. A table that never could be read
// answers each lookup with an Error. Lines that are wrong are left out, with a warning.
// A lookup blocks on the local disk at most; a table that asks another process has to be waited for
// (may_wait), with maps/ask.hpp. One thread.
#pragma once

#include <functional>
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
  // Shows each entry, in any order. Error config: a table of this type has no list of them.
  using Visit = std::function<void(std::string_view key, std::string_view value)>;
  virtual Result<void> list(const Visit& visit);
  // Whether parts of an address (its domain, its user) may be looked up: not in pattern tables.
  virtual bool takes_parts() const { return true; }
  // Whether its answers have to be waited for, with ask() (maps/ask.hpp).
  virtual bool may_wait() const { return false; }
};

// Told of what is wrong with tables that can be used all the same.
using Warn = std::function<void(std::string_view text)>;
void log_warning(std::string_view text);

struct MapOptions {
  std::string base_directory; // of relative file names
  Clock* clock = &system_clock();
  Warn warn = &log_warning;
  // $1 in results of pattern tables. Not where what a stranger wrote must not choose the result:
  // transports and relay hosts. A rule that has it is left out there, as in Postfix.
  bool substitution = true;
};

// One table. Error config: no such type, or no file name. A file that cannot be read is no error
// here: its lookups are.
Result<std::unique_ptr<Map>> open_map(std::string_view spec, const MapOptions& options);

std::vector<std::string_view> map_types();
// Also of the types that are read from their source.
bool is_map_type(std::string_view name);

enum class Key { whole, part };

// "texthash:/a, cidr:/b": asked in order, the first answer counts. An empty answer is an Error:
// no table here has a use for it, and it is always a slip.
class MapList {
 public:
  Answer lookup(std::string_view key, Key kind = Key::whole);
  bool empty() const { return maps_.empty(); }
  bool may_wait() const;
  // An empty answer is a mistake of the table's, unless the caller says what it means.
  void take_empty_answers() { empty_is_answer_ = true; }

 private:
  friend Result<MapList> open_maps(std::string_view specs, const MapOptions& options);
  struct Named {
    std::string spec;
    std::unique_ptr<Map> map;
  };
  std::vector<Named> maps_;
  bool empty_is_answer_ = false;
};

Result<MapList> open_maps(std::string_view specs, const MapOptions& options);

} // namespace postrider::maps
