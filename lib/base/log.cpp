// SPDX-License-Identifier: MIT
#include "base/log.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/ascii.hpp"
#include "base/display.hpp"

namespace postrider::log {

namespace {

struct State {
  Setup setup;
  std::string host;
  std::string pending;
  Fd syslog;
  std::time_t stamp_second = 0;
  char stamp[48] = {};
};

State& state() {
  static State instance;
  return instance;
}

constexpr std::size_t kFlushAt = 64 * 1024;

std::string_view word(Level level) {
  switch (level) {
  case Level::debug:
  case Level::info: return "";
  case Level::warning: return "warning: ";
  case Level::error: return "error: ";
  case Level::fatal: return "fatal: ";
  case Level::panic: return "panic: ";
  }
  return "";
}

int syslog_severity(Level level) {
  switch (level) {
  case Level::debug: return 7;
  case Level::info: return 6;
  case Level::warning: return 4;
  case Level::error: return 3;
  case Level::fatal:
  case Level::panic: return 2;
  }
  return 6;
}

std::string_view syslog_stamp(State& s) {
  const std::time_t now = std::time(nullptr);
  if (now != s.stamp_second) {
    std::tm local{};
    localtime_r(&now, &local);
    std::strftime(s.stamp, sizeof s.stamp, "%b %e %H:%M:%S", &local);
    s.stamp_second = now;
  }
  return s.stamp;
}

void append_json(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      char hex[8];
      std::snprintf(hex, sizeof hex, "\\u%04x", byte);
      out += hex;
    } else {
      out += c;
    }
  }
  out += '"';
}

void connect_syslog(State& s) {
  Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, s.setup.syslog_socket.c_str(), sizeof address.sun_path - 1);
  if (fd && ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0)
    s.syslog = std::move(fd);
}

void send_syslog(State& s, Level level, std::string_view line) {
  if (!s.syslog) connect_syslog(s);
  if (!s.syslog) return;
  char prefix[16];
  std::snprintf(prefix, sizeof prefix, "<%d>", s.setup.facility * 8 + syslog_severity(level));
  std::string packet = prefix;
  packet += syslog_stamp(s);
  packet += ' ';
  packet += s.setup.tag + "[" + std::to_string(::getpid()) + "]: ";
  packet += line;
  if (::send(s.syslog.get(), packet.data(), packet.size(), MSG_NOSIGNAL) < 0) s.syslog.reset();
}

void emit(Level level, std::string_view text, std::string_view name, std::string_view id,
          std::initializer_list<Field> fields) {
  State& s = state();
  if (s.setup.format == Format::json) {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    std::tm utc{};
    gmtime_r(&now.tv_sec, &utc);
    char stamp[40];
    const std::size_t used = std::strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    std::snprintf(stamp + used, sizeof stamp - used, ".%06ldZ", now.tv_nsec / 1000);
    std::string line = "{\"time\":\"";
    line += stamp;
    line += "\",\"host\":";
    append_json(line, s.host);
    line += ",\"program\":";
    append_json(line, s.setup.tag);
    line += ",\"pid\":" + std::to_string(::getpid()) + ",\"event\":";
    append_json(line, name.empty() ? "log" : name);
    if (level >= Level::warning) {
      line += ",\"level\":";
      append_json(line, trim_right(word(level).substr(0, word(level).find(':'))));
    }
    if (!id.empty()) {
      line += ",\"id\":";
      append_json(line, id);
    }
    if (fields.size() == 0) {
      line += ",\"text\":";
      append_json(line, printable(text));
    }
    for (const Field& field : fields) {
      line += ',';
      append_json(line, field.first);
      line += ':';
      append_json(line, printable(field.second));
    }
    line += '}';
    if (s.setup.target == Target::syslog) {
      send_syslog(s, level, line);
      return;
    }
    s.pending += line;
    s.pending += '\n';
  } else if (s.setup.target == Target::syslog) {
    std::string line(word(level));
    if (!id.empty()) (line += id) += ": ";
    line += printable(text);
    send_syslog(s, level, line);
    return;
  } else {
    s.pending += syslog_stamp(s);
    s.pending += ' ';
    s.pending += s.host;
    s.pending += ' ';
    s.pending += s.setup.tag;
    s.pending += '[';
    s.pending += std::to_string(::getpid());
    s.pending += "]: ";
    s.pending += word(level);
    if (!id.empty()) (s.pending += id) += ": ";
    s.pending += printable(text);
    s.pending += '\n';
  }
  if (level >= Level::warning || s.pending.size() >= kFlushAt) flush();
}

} // namespace

void start(Setup setup) {
  State& s = state();
  flush();
  s.setup = std::move(setup);
  char host[256] = "localhost";
  ::gethostname(host, sizeof host - 1);
  s.host = std::string_view(host).substr(0, std::string_view(host).find('.'));
  s.syslog.reset();
  if (s.setup.target == Target::syslog) connect_syslog(s); // a chroot may follow
}

bool verbose() { return state().setup.verbose; }

void write(Level level, std::string_view text) { emit(level, text, {}, {}, {}); }

void event(std::string_view name, std::string_view id, std::string_view text,
           std::initializer_list<Field> fields) {
  emit(Level::info, text, name, id, fields);
}

void flush() {
  State& s = state();
  std::string_view rest = s.pending;
  const int fd = s.setup.target == Target::descriptor ? s.setup.descriptor : 2;
  while (!rest.empty()) {
    const ssize_t n = ::write(fd, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break; // a full log disk must not stop the mail
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
  s.pending.clear();
}

void fatal(std::string_view text) {
  write(Level::fatal, text);
  flush();
  ::sleep(1);
  ::_exit(1);
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const std::string_view character = text.substr(0, length);
    if (length == 0 || is_control_character(character))
      out += '?';
    else
      out.append(character);
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

} // namespace postrider::log
