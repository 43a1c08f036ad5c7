// SPDX-License-Identifier: MIT
// The values of all parameters, read once at start and once at each reload. A program asks by name,
// copies what it needs into structs of its own, and keeps no Settings in its working paths.
// Immutable after load(), so it may be shared; nothing here waits on anything but the local disk.
//
//   settings.time("smtp_helo_timeout")     the name and its type are checked by the compiler
//   settings.client("lmtp").time("helo_timeout")   the mirror of a client parameter: at run time
//   settings.per_transport("relay", "destination_concurrency_limit")
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "config/main_cf.hpp"
#include "config/parameter.hpp"

namespace postrider::config {

using Override = std::pair<std::string, std::string>; // name, value

// Where a value comes from.
struct Origin {
  enum class Kind { initial, main_cf, override_ };
  Kind kind = Kind::initial;
  std::size_t line = 0; // of main.cf
};

struct Value {
  std::string raw;         // as written
  std::string text;        // after $name expansion
  std::int64_t number = 0; // flag: 0 or 1; time: milliseconds
  std::vector<std::string> words;
  Origin origin;
};

// What load() has to say, each "main.cf:12: name = value: what is wrong; what to do".
struct Findings {
  std::vector<std::string> errors;
  std::vector<std::string> warnings;
};

// What the defaults need to know about this host. Tests make their own.
struct Machine {
  std::string hostname;
  std::vector<std::string> addresses; // of the network interfaces: "192.0.2.1", "2001:db8::1"
  bool has_ipv6 = true;
  static Machine here();
};

struct Source {
  std::string config_directory;
  std::vector<Override> overrides; // -o name=value, later ones win
  std::string process_name = "postrider";
  std::string service_name = {};
  std::string hostname = {}; // of this host; empty: as the system says
};

namespace detail {
template <Type... kinds>
struct Known {
  std::size_t index;
  template <std::size_t size>
  consteval Known(const char (&name)[size]) : index(index_of(std::string_view(name, size - 1))) {
    if (index == kNoParameter) throw "parameters.def has no such name";
    if (kParameters[index].status != Status::live && kParameters[index].status != Status::read_only)
      throw "this parameter has no value: it is an alias or has no effect";
    if (!((kParameters[index].type == kinds) || ...)) throw "the parameter is of another type";
  }
};
} // namespace detail

class Settings {
 public:
  // Reads main.cf, and master.cf for the names of the transports. Everything that is wrong is put
  // into findings.errors; the Error repeats the first. REQUIRES config_directory is absolute.
  static Result<Settings> load(const Source& source, Findings& findings);
  // The same from text; `transports` are the service names of master.cf.
  static Result<Settings> parse(std::string_view main_cf, const Source& source,
                                const std::vector<std::string>& transports, const Machine& machine,
                                Findings& findings);

  const std::string& text(detail::Known<Type::text, Type::choice> name) const {
    return values_[name.index].text;
  }
  const std::vector<std::string>& words(detail::Known<Type::words> name) const {
    return values_[name.index].words;
  }
  // A list as it stands, for lib/maps: "texthash:/a, inline:{...}".
  const std::string& list(detail::Known<Type::words> name) const {
    return values_[name.index].text;
  }
  bool flag(detail::Known<Type::flag> name) const { return values_[name.index].number != 0; }
  std::chrono::milliseconds time(detail::Known<Type::time> name) const {
    return std::chrono::milliseconds(values_[name.index].number);
  }
  std::int64_t number(detail::Known<Type::number> name) const { return values_[name.index].number; }
  std::uint64_t size(detail::Known<Type::size> name) const {
    return static_cast<std::uint64_t>(values_[name.index].number);
  }

  // Parameters of the SMTP and LMTP client, which differ by prefix only ("helo" is "lhlo" in lmtp).
  // REQUIRES that the parameter exists and has the type: a mistake of ours stops the program.
  class Client {
   public:
    const std::string& text(std::string_view suffix) const;
    const std::vector<std::string>& words(std::string_view suffix) const;
    const std::string& list(std::string_view suffix) const;
    bool flag(std::string_view suffix) const;
    std::chrono::milliseconds time(std::string_view suffix) const;
    std::int64_t number(std::string_view suffix) const;
    std::uint64_t size(std::string_view suffix) const;

   private:
    friend class Settings;
    Client(const Settings& settings, std::string_view prefix)
        : settings_(settings), prefix_(prefix) {}
    const Value& value(std::string_view suffix, Type type, Type other) const;
    const Settings& settings_;
    std::string prefix_;
  };
  // `prefix` is "smtp" or "lmtp". The Settings must outlive what this returns.
  Client client(std::string_view prefix) const { return {*this, prefix}; }

  // "<transport>_<suffix>" when it is set, else its default. Numbers, sizes as they are, times in
  // milliseconds. REQUIRES suffix is one of transport_suffixes().
  std::int64_t per_transport(std::string_view transport, std::string_view suffix) const;
  const std::string& per_transport_text(std::string_view transport, std::string_view suffix) const;

  // By run-time name, known to parameters.def or set by the user; null when there is none.
  const Value* find(std::string_view name) const;

  // For `postrider conf`: parameters with a value by name, then those of users and transports.
  struct Row {
    std::string_view name;
    const Value* value;
    const Parameter* parameter; // null for a name that the user made or a transport's
    std::string initial;        // the default before expansion
  };
  std::vector<Row> all() const;

  const std::string& config_directory() const { return config_directory_; }

 private:
  Settings() = default;
  friend class SettingsBuilder;
  const Value& transport_value(std::string_view transport, std::string_view suffix) const;

  std::string config_directory_;
  std::vector<Value> values_; // by index into kParameters
  std::map<std::string, Value, std::less<>> extra_;
};

} // namespace postrider::config
