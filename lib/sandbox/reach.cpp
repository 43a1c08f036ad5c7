// SPDX-License-Identifier: MIT
#include "sandbox/reach.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/stat.h>

#include "base/ascii.hpp"

namespace postrider::sandbox {

namespace {

std::string real_path(const std::string& path) {
  char* real = ::realpath(path.c_str(), nullptr);
  std::string out = real != nullptr ? real : "";
  ::free(real);
  return out;
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

bool is_below(std::string_view path, const std::string& directory) {
  return directory == "/" || path == directory ||
         (path.starts_with(directory) && path[directory.size()] == '/');
}

// The least that holds both.
Access together(Access one, Access other) {
  const Access most = std::max(one, other);
  return one != other && most == Access::read ? Access::write : most;
}

void add(std::map<std::string, Access>& to, const std::string& path, Access access) {
  const auto [at, fresh] = to.emplace(path, access);
  if (!fresh) at->second = together(at->second, access);
}

// What stands between white space, commas and braces, or behind a '=' or a table's type.
std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> out;
  for (const std::string_view word : split(text, " \t\r\n,{}"))
    if (!word.empty()) out.emplace_back(word);
  return out;
}

// "/etc/x", "texthash:/etc/x", "pipemap:texthash:/etc/x", "dir=/etc/x". A socket needs no file
// rights.
std::string path_in(const std::string& word) {
  if (word.front() == '/') return word;
  if (word.starts_with("unix:")) return {};
  const std::size_t at = word.find_first_of(":=");
  if (at == std::string::npos || at + 1 >= word.size()) return {};
  return path_in(word.substr(at + 1));
}

// Places of the suite, which are nobody's tables.
bool is_place(std::string_view name) {
  constexpr std::array<std::string_view, 7> kPlaces = {
      "config_directory",     "queue_directory", "data_directory",       "daemon_directory",
      "process_id_directory", "maillog_file",    "maillog_file_prefixes"};
  return std::find(kPlaces.begin(), kPlaces.end(), name) != kPlaces.end();
}

bool is_read_by(const config::Parameter& parameter, std::string_view program) {
  for (const std::string_view owner : split(parameter.owners, ", "))
    if (owner == program || owner == "all") return true;
  return false;
}

} // namespace

Reach::Reach(const config::Settings& settings, uid_t uid) {
  struct stat queue {};
  const std::string path = real_path(settings.text("queue_directory"));
  if (!path.empty() && ::stat(path.c_str(), &queue) == 0 && queue.st_uid == uid) queue_ = path;
}

bool Reach::holds_queue(const std::string& directory) const {
  return !queue_.empty() && is_below(queue_, directory) && !directories_.contains(queue_);
}

void Reach::directory(const std::string& path, Access access) {
  const std::string real = real_path(path);
  if (!real.empty()) add(directories_, real, access);
}

void Reach::file(const std::string& path, Access access) {
  const std::string real = real_path(path);
  struct stat facts {};
  if (real.empty() || ::stat(real.c_str(), &facts) != 0 || S_ISDIR(facts.st_mode)) return;
  add(files_, real, access);
  if (S_ISREG(facts.st_mode)) pins_[path] = {facts.st_dev, facts.st_ino, access};
}

void Reach::replaceable(const std::string& path, Access access) {
  for (const char* ending : {"", ".lmdb"}) {
    const std::string name = path + ending;
    const std::string real = real_path(name);
    struct stat facts {};
    const bool is_directory =
        !real.empty() && ::stat(real.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode);
    // Behind a symbolic link both places count: what it is, and where it leads.
    for (const std::string& place : {is_directory ? real : real_path(parent_of(name)),
                                     is_directory ? real : parent_of(real)}) {
      if (place.empty()) continue;
      if (place != "/" && !holds_queue(place)) add(directories_, place, access);
    }
    if (is_directory) continue;
    const std::string holder = real.empty() ? real_path(parent_of(name)) : parent_of(real);
    if (holder != "/" && !holds_queue(holder)) continue;
    if (real.empty())
      pins_[name] = {}; // when it comes, a successor is needed
    else
      file(name, access);
  }
}

bool Reach::is_stale() const {
  return std::any_of(pins_.begin(), pins_.end(), [](const auto& pinned) {
    const auto& [path, pin] = pinned;
    struct stat now {};
    const bool there = ::stat(path.c_str(), &now) == 0;
    return pin.access == Access::read && pin != (there ? Pin{now.st_dev, now.st_ino} : Pin{});
  });
}

void reach_system(Reach& reach) {
  for (const char* path :
       {"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo",
        "/usr/share/p11-kit", "/etc/ld.so.conf.d", "/etc/gnutls", "/etc/crypto-policies"})
    reach.directory(path, Access::read);
  for (const char* path : {"/dev/urandom", "/dev/random", "/dev/zero"})
    reach.file(path, Access::read);
  reach.file("/dev/null", Access::write);
  for (const char* path : {"/etc/ld.so.cache", "/etc/localtime"})
    reach.file(path, Access::read);
#if defined(__SANITIZE_ADDRESS__)
  reach.directory("/proc", Access::read); // the sanitizer looks for its own mappings and threads
  for (const char* name : {"ASAN_OPTIONS", "UBSAN_OPTIONS"}) { // and writes reports
    const char* options = std::getenv(name);
    for (const std::string_view option : split(options != nullptr ? options : "", ":"))
      if (option.starts_with("log_path=/"))
        reach.directory(parent_of(std::string(option.substr(option.find('=') + 1))), Access::own);
  }
#endif
}

void reach_configuration(Reach& reach, const config::Settings& settings, std::string_view program) {
  reach.replaceable(settings.config_directory() + "/main.cf");
  reach.replaceable(settings.config_directory() + "/master.cf");
  for (const config::Settings::Row& row : settings.all()) {
    const bool own = row.parameter == nullptr || is_read_by(*row.parameter, program);
    if (!own || is_place(row.name)) continue;
    for (const std::string& word : words_of(row.value->text)) {
      const std::string path = path_in(word);
      if (!path.empty()) {
        reach.replaceable(path);
      } else if (const std::size_t colon = word.rfind(':'); colon != std::string::npos) {
        // "texthash:table" is in the directory of main.cf; other words with a colon are no files.
        reach.replaceable(settings.config_directory() + "/" + word.substr(colon + 1));
      }
    }
  }
}

void reach_names(Reach& reach, const config::Settings& settings) {
  for (const char* path : {"/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf",
                           "/etc/resolv.conf", "/etc/services", "/etc/protocols"})
    reach.file(path, Access::read);
  for (const char* path : {"/usr/share/dns", "/etc/unbound", "/var/lib/unbound"})
    reach.directory(path, Access::read); // trust anchors
  reach.connect(53);
  for (const std::string& server : settings.words("dns_resolvers")) {
    const std::size_t at = server.find_last_of("@:");
    if (at == std::string::npos) continue;
    const auto port = parse_decimal(std::string_view(server).substr(at + 1));
    if (port && *port != 0 && *port <= 65535) reach.connect(static_cast<std::uint16_t>(*port));
  }
}

void reach_users(Reach& reach) { reach.directory("/etc", Access::read); }

void reach_roots(Reach& reach) {
  for (const char* path : {"/etc/ssl", "/etc/pki", "/etc/ca-certificates",
                           "/usr/share/ca-certificates", "/usr/local/share/ca-certificates"})
    reach.directory(path, Access::read);
}

void reach_servers(Reach& reach, const config::Settings& settings) {
  for (const config::Settings::Row& row : settings.all()) {
    for (const std::string& word : words_of(row.value->text)) {
      if (word.find(':') == std::string::npos) continue;
      for (std::string_view part : split(word, ":")) {
        part = part.substr(0, part.find('@')); // "inet:8891@localhost"
        if (const auto number = parse_decimal(part)) {
          if (*number != 0 && *number <= 65535) reach.connect(static_cast<std::uint16_t>(*number));
        } else if (word.find("inet:") != std::string::npos) {
          if (const servent* known = ::getservbyname(std::string(part).c_str(), "tcp"))
            reach.connect(ntohs(static_cast<std::uint16_t>(known->s_port)));
        }
      }
    }
  }
}

void reach_log(Reach& reach, const config::Settings& settings, bool rotated) {
  const std::string& path = settings.text("maillog_file");
  if (path.empty() || path.starts_with("/dev/")) return;
  if (rotated)
    reach.directory(parent_of(path), Access::append);
  else
    reach.file(path, Access::append);
}

void reach_database(Reach& reach, const std::string& path) {
  reach.directory(parent_of(path), Access::own);
}

} // namespace postrider::sandbox
