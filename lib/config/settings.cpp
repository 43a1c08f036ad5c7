// SPDX-License-Identifier: MIT
#include "config/settings.hpp"

#include <algorithm>
#include <set>
#include <unistd.h>
#include <unordered_set>

#include "base/ascii.hpp"
#include "base/check.hpp"
#include "base/text_file.hpp"
#include "base/words.hpp"
#include "config/expand.hpp"
#include "config/master_cf.hpp"
#include "config/value_rules.hpp"

namespace postrider::config {

namespace {

// Programs are installed in <prefix>/libexec/postrider, commands in <prefix>/bin or sbin.
std::string own_daemon_directory() {
  char path[4096];
  const ssize_t size = ::readlink("/proc/self/exe", path, sizeof path);
  if (size > 0 && static_cast<std::size_t>(size) < sizeof path) {
    std::string directory(path, static_cast<std::size_t>(size));
    directory.erase(directory.rfind('/'));
    if (directory.ends_with("/libexec/postrider")) return directory;
    const std::string beside = directory.substr(0, directory.rfind('/')) + "/libexec/postrider";
    if (::access((beside + "/master").c_str(), X_OK) == 0) return beside;
  }
  return "/usr/libexec/postrider";
}

const TransportSuffix* suffix_row(std::string_view suffix) {
  for (const TransportSuffix& row : transport_suffixes())
    if (row.suffix == suffix) return &row;
  return nullptr;
}

// Values whose $names are those of a client or a message: the program that uses them expands them.
bool is_expanded_late(std::string_view name) {
  return name == "default_rbl_reply" || name == "smtpd_reject_footer";
}

} // namespace

// Builds one Settings. Names are resolved in this order: -o, main.cf, the default.
class SettingsBuilder {
 public:
  SettingsBuilder(const Source& source, const std::vector<std::string>& transports,
                  const Machine& machine, Findings& findings)
      : source_(source), machine_(machine), findings_(findings),
        transports_(transports.begin(), transports.end()) {}

  Result<Settings> build(std::string_view main_cf) {
    collect(main_cf);
    settings_.config_directory_ = source_.config_directory;
    settings_.values_.resize(kParameterCount);
    for (std::size_t i = 0; i < kParameterCount; ++i)
      set_parameter(i);
    for (const auto& [name, written] : written_)
      if (find_parameter(name) == nullptr) set_extra(name, written);
    cross_check();
    // A default that is wrong takes it from a value that is; that one is reported.
    if (findings_.errors.empty()) move_to(findings_.errors, consequences_);
    if (findings_.errors.empty()) return std::move(settings_);
    const std::size_t more = findings_.errors.size() - 1;
    return Error(ErrorKind::config,
                 findings_.errors.front() +
                     (more == 0 ? "" : " (and " + std::to_string(more) + " more)"));
  }

 private:
  struct Written {
    std::string value;
    Origin origin;
  };

  void collect(std::string_view main_cf) {
    MainCf parsed = parse_main_cf(main_cf, source_.config_directory + "/main.cf");
    move_to(findings_.errors, parsed.errors);
    move_to(findings_.warnings, parsed.warnings);
    for (Entry& entry : parsed.entries)
      take(entry.name, {std::move(entry.value), {Origin::Kind::main_cf, entry.line}});
    for (const Override& o : source_.overrides) {
      if (!is_parameter_name(o.first)) {
        findings_.errors.push_back("-o " + shown(o.first) + ": not a parameter name");
        continue;
      }
      take(o.first, {o.second, {Origin::Kind::override_, 0}});
    }
  }

  static void move_to(std::vector<std::string>& to, std::vector<std::string>& from) {
    for (std::string& text : from)
      to.push_back(std::move(text));
  }

  void take(const std::string& name, Written written) {
    const Parameter* known = find_parameter(name);
    if (known != nullptr && known->status != Status::live) {
      note_status(*known, written);
      if (known->status == Status::read_only) return;
      // What replaces it counts more when both are given.
      if (known->status == Status::alias && written_.count(std::string(known->about)) == 0)
        aliased_[std::string(known->about)] = written;
    }
    written_[name] = std::move(written);
  }

  void note_status(const Parameter& known, const Written& written) {
    const std::string line = where(known.name, written);
    switch (known.status) {
    case Status::live: return;
    case Status::alias:
      findings_.warnings.push_back(line + "write " + std::string(known.about) + " instead");
      return;
    case Status::obsolete:
      findings_.warnings.push_back(line + "has no effect: " + std::string(known.about));
      return;
    case Status::missing:
      findings_.warnings.push_back(line + "has no effect in this version");
      return;
    case Status::unsafe: return; // judged when its value is known
    case Status::read_only:
      findings_.errors.push_back(line + "is set by the program; remove the line");
      return;
    }
  }

  std::string where(std::string_view name, const Written& written) const {
    const std::string what = std::string(name) + " = " + shown(written.value) + ": ";
    switch (written.origin.kind) {
    case Origin::Kind::initial: return "default of " + what;
    case Origin::Kind::main_cf:
      return source_.config_directory + "/main.cf:" + std::to_string(written.origin.line) + ": " +
             what;
    case Origin::Kind::override_: return "-o " + what;
    }
    POSTRIDER_UNREACHABLE();
  }

  const Written* find_written(std::string_view name) const {
    if (auto found = written_.find(name); found != written_.end()) return &found->second;
    if (auto found = aliased_.find(name); found != aliased_.end()) return &found->second;
    return nullptr;
  }

  std::string computed(std::string_view marker) {
    if (marker == "@config_directory") return source_.config_directory;
    if (marker == "@daemon_directory") return own_daemon_directory();
    if (marker == "@hostname") {
      if (machine_.hostname.find('.') != std::string::npos) return machine_.hostname;
      const Written* domain = find_written("mydomain");
      const std::string host = machine_.hostname.empty() ? "localhost" : machine_.hostname;
      return host + (domain == nullptr ? ".localdomain" : ".$mydomain");
    }
    if (marker == "@mydomain") return own_domain();
    if (marker == "@mynetworks") return own_networks();
    return {};
  }

  std::string own_domain() {
    if (in_domain_) domain_loops_ = true; // myhostname = mx.$mydomain
    if (in_domain_) return {};
    in_domain_ = true;
    domain_loops_ = false;
    const auto full = expand("$myhostname", lookup());
    in_domain_ = false;
    if (domain_loops_) return "$myhostname"; // whoever expands that finds the loop, and names it
    const std::string host = full.ok() ? *full : std::string();
    const std::size_t dot = host.find('.');
    return dot == std::string::npos || dot + 1 == host.size() ? "localdomain"
                                                              : host.substr(dot + 1);
  }

  std::string own_networks() const {
    std::string text;
    for (const std::string& address : machine_.addresses) {
      const bool six = address.find(':') != std::string::npos;
      text += (text.empty() ? "" : ", ") + (six ? "[" + address + "]/128" : address + "/32");
    }
    return text.empty() ? "127.0.0.1/32" : text;
  }

  Lookup lookup() {
    return [this](std::string_view name) -> std::optional<std::string> {
      if (const Written* written = find_written(name)) return written->value;
      const Parameter* known = find_parameter(name);
      if (known != nullptr) {
        if (name == "process_name") return source_.process_name;
        if (name == "process_id") return std::to_string(::getpid());
        if (name == "service_name") return source_.service_name;
        if (name == "mail_version") return POSTRIDER_VERSION;
        if (known->initial.starts_with('@')) return computed(known->initial);
        return std::string(known->initial);
      }
      if (const Parameter* shape = transport_shape(name)) return std::string(shape->initial);
      return std::nullopt;
    };
  }

  // The default_ parameter behind "<transport>_<suffix>", for a transport of master.cf.
  const Parameter* transport_shape(std::string_view name) const {
    for (const TransportSuffix& row : transport_suffixes()) {
      if (name.size() <= row.suffix.size() + 1 || !name.ends_with(row.suffix)) continue;
      const std::string_view head = name.substr(0, name.size() - row.suffix.size());
      if (head.back() != '_') continue;
      if (transports_.count(std::string(head.substr(0, head.size() - 1))) != 0)
        return find_parameter(row.fallback);
    }
    return nullptr;
  }

  void set_parameter(std::size_t index) {
    const Parameter& p = kParameters[index];
    const Written* written = find_written(p.name);
    Written initial{std::string(p.initial), {}};
    if (p.name == "config_directory") written = nullptr;
    if (written == nullptr) {
      if (auto value = lookup()(p.name)) initial.value = *value;
      if (p.name == "config_directory") initial.value = source_.config_directory;
      written = &initial;
    }
    settings_.values_[index] = convert(p, p.name, *written);
  }

  void set_extra(const std::string& name, const Written& written) {
    static constexpr Parameter kPlain{.name = "", .type = Type::text};
    if (const Parameter* shape = transport_shape(name)) {
      settings_.extra_[name] = convert(*shape, name, written);
      return;
    }
    settings_.extra_[name] = convert(kPlain, name, written);
    names_of_users_.push_back(name);
  }

  Value convert(const Parameter& p, std::string_view name, const Written& written) {
    Value value{
        .raw = written.value, .text = {}, .number = 0, .words = {}, .origin = written.origin};
    if (is_expanded_late(name)) {
      value.text = std::string(trim(written.value));
      return value;
    }
    auto unknown = [&](std::string_view missing) {
      if (warned_.insert(std::string(name) + " " + std::string(missing)).second)
        findings_.warnings.push_back(where(name, written) + "$" + shown(missing) +
                                     " has no value; it counts as empty");
    };
    auto note_use = [&, ask = lookup()](std::string_view used) {
      used_.insert(std::string(used));
      return ask(used);
    };
    auto expanded = expand(written.value, note_use, unknown);
    if (!expanded) {
      fail(name, written, expanded.error().text());
      return value;
    }
    value.text = std::string(trim(*expanded));
    if (const Result<void> judged = judge_value(p, value); !judged)
      fail(name, written, judged.error().text());
    return value;
  }

  void fail(std::string_view name, const Written& written, std::string_view what) {
    auto& list = written.origin.kind == Origin::Kind::initial ? consequences_ : findings_.errors;
    list.push_back(where(name, written) + std::string(what));
  }

  const Value& at(std::string_view name) const { return settings_.values_[index_of(name)]; }
  void fail_pair(std::string_view name, std::string_view what) {
    const Written* written = find_written(name);
    fail(name, written == nullptr ? Written{at(name).raw, {}} : *written, what);
  }

  // Some classes of Postfix's have nobody here who would write the notice.
  void check_notify_classes() {
    const Written* written = find_written("notify_classes");
    if (written == nullptr) return;
    for (const std::string& word : at("notify_classes").words) {
      if (is_choice("policy|resource|software", word))
        findings_.warnings.push_back(where("notify_classes", *written) + "\"" + word +
                                     "\" has no effect in this version");
      else if (!is_choice("bounce|2bounce|data|delay|protocol", word))
        fail("notify_classes", *written, "\"" + shown(word) + "\" is no class of notices");
    }
  }

  // What one value alone does not tell.
  void cross_check() {
    const std::vector<std::string>& classes = at("smtpd_restriction_classes").words;
    used_.insert(classes.begin(), classes.end());
    for (const std::string& name : names_of_users_) {
      if (used_.count(name) != 0) continue;
      const std::string_view near = nearest_parameter(name);
      findings_.warnings.push_back(
          where(name, written_.find(name)->second) + "no such parameter" +
          (near.empty() ? "" : "; did you mean " + std::string(near) + "?"));
    }
    if (!iequals(at("mynetworks_style").text, "host") && find_written("mynetworks") == nullptr)
      findings_.warnings.push_back("mynetworks_style = " + at("mynetworks_style").text +
                                   ": only this host itself is trusted; list your networks in "
                                   "mynetworks");
    check_notify_classes();
    if (!findings_.errors.empty() || !consequences_.empty()) return;
    if (at("minimal_backoff_time").number > at("maximal_backoff_time").number)
      fail_pair("maximal_backoff_time", "is shorter than minimal_backoff_time");
    if (at("large_message_threshold").number > at("journal_segment_size").number / 2)
      fail_pair("large_message_threshold", "use at most half of journal_segment_size");
    if (at("myhostname").text.find_first_of(" \t<>@,;()\"") != std::string::npos ||
        at("myhostname").text.empty())
      fail_pair("myhostname", "is not the name of a host");
    for (std::string_view directory : {"queue_directory", "data_directory", "daemon_directory"})
      if (!at(directory).text.starts_with('/'))
        fail_pair(directory, "is not an absolute path; begin it with /");
  }

  const Source& source_;
  const Machine& machine_;
  Findings& findings_;
  std::unordered_set<std::string> transports_;
  Settings settings_;
  std::map<std::string, Written, std::less<>> written_;
  std::map<std::string, Written, std::less<>> aliased_;
  bool in_domain_ = false, domain_loops_ = false; // of own_domain()
  std::set<std::string, std::less<>> used_;
  std::set<std::string> warned_;
  std::vector<std::string> names_of_users_;
  std::vector<std::string> consequences_;
};

Result<Settings> Settings::parse(std::string_view main_cf, const Source& source,
                                 const std::vector<std::string>& transports, const Machine& machine,
                                 Findings& findings) {
  return SettingsBuilder(source, transports, machine, findings).build(main_cf);
}

Result<Settings> Settings::load(const Source& source, Findings& findings) {
  constexpr std::size_t kLargest = std::size_t{64} << 20;
  auto file = read_text_file(source.config_directory + "/main.cf", kLargest);
  if (!file) {
    findings.errors.push_back(file.error().text());
    return Error(ErrorKind::config, file.error().text());
  }
  std::vector<std::string> transports;
  // Errors in master.cf are master's to report; here only the names of services count.
  if (auto master = read_text_file(source.config_directory + "/master.cf", kLargest))
    for (const ServiceEntry& entry : parse_master_cf(master->text).services)
      transports.push_back(entry.name);
  Machine machine = Machine::here();
  if (!source.hostname.empty()) machine.hostname = source.hostname;
  return parse(file->text, source, transports, machine, findings);
}

const Value* Settings::find(std::string_view name) const {
  if (const Parameter* p = find_parameter(name))
    return &values_[static_cast<std::size_t>(p - kParameters)];
  const auto found = extra_.find(name);
  return found == extra_.end() ? nullptr : &found->second;
}

const Value& Settings::transport_value(std::string_view transport, std::string_view suffix) const {
  const TransportSuffix* row = suffix_row(suffix);
  POSTRIDER_CHECK(row != nullptr, suffix);
  const std::string name = std::string(transport) + "_" + std::string(suffix);
  if (const auto own = extra_.find(name); own != extra_.end()) return own->second;
  return *find(row->fallback);
}

std::int64_t Settings::per_transport(std::string_view transport, std::string_view suffix) const {
  return transport_value(transport, suffix).number;
}

const std::string& Settings::per_transport_text(std::string_view transport,
                                                std::string_view suffix) const {
  return transport_value(transport, suffix).text;
}

std::vector<Settings::Row> Settings::all() const {
  std::vector<Row> rows;
  for (std::size_t i = 0; i < kParameterCount; ++i) {
    const Parameter& p = kParameters[i];
    const bool has_value = p.status == Status::live || p.status == Status::read_only;
    if (!has_value && values_[i].origin.kind == Origin::Kind::initial) continue;
    rows.push_back({p.name, &values_[i], &p, std::string(p.initial)});
  }
  for (const auto& [name, value] : extra_)
    rows.push_back({name, &value, nullptr, {}});
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.name < b.name; });
  return rows;
}

const Value& Settings::Client::value(std::string_view suffix, Type type, Type other) const {
  const Parameter* p = find_parameter(prefix_ + "_" + std::string(suffix));
  if (p == nullptr && prefix_ == "lmtp") {
    std::string lhlo(suffix);
    if (const std::size_t at = lhlo.find("helo"); at != std::string::npos)
      lhlo.replace(at, 4, "lhlo");
    else if (const std::size_t ehlo = lhlo.find("ehlo"); ehlo != std::string::npos)
      lhlo.replace(ehlo, 4, "lhlo");
    p = find_parameter("lmtp_" + lhlo);
  }
  POSTRIDER_CHECK(p != nullptr, suffix);
  POSTRIDER_CHECK(p->type == type || p->type == other, p->name);
  return settings_.values_[static_cast<std::size_t>(p - kParameters)];
}

const std::string& Settings::Client::text(std::string_view suffix) const {
  return value(suffix, Type::text, Type::choice).text;
}
const std::vector<std::string>& Settings::Client::words(std::string_view suffix) const {
  return value(suffix, Type::words, Type::words).words;
}
const std::string& Settings::Client::list(std::string_view suffix) const {
  return value(suffix, Type::words, Type::words).text;
}
bool Settings::Client::flag(std::string_view suffix) const {
  return value(suffix, Type::flag, Type::flag).number != 0;
}
std::chrono::milliseconds Settings::Client::time(std::string_view suffix) const {
  return std::chrono::milliseconds(value(suffix, Type::time, Type::time).number);
}
std::int64_t Settings::Client::number(std::string_view suffix) const {
  return value(suffix, Type::number, Type::number).number;
}
std::uint64_t Settings::Client::size(std::string_view suffix) const {
  return static_cast<std::uint64_t>(value(suffix, Type::size, Type::size).number);
}

} // namespace postrider::config
