// SPDX-License-Identifier: MIT
#include "base/clock.hpp"

#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace postrider {

namespace {

class SystemClock final : public Clock {
 public:
  SteadyTime steady() override { return std::chrono::steady_clock::now(); }
  WallTime wall() override { return std::chrono::system_clock::now(); }
};

} // namespace

Clock& system_clock() {
  static SystemClock instance;
  return instance;
}

std::int64_t to_unix_micros(WallTime time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}

WallTime from_unix_micros(std::int64_t micros) {
  return WallTime(std::chrono::microseconds(micros));
}

std::string rfc5322_date(WallTime time) {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm local{};
  localtime_r(&seconds, &local);
  const long minutes = std::labs(local.tm_gmtoff) / 60;
  char text[80];
  std::snprintf(text, sizeof text, "%s, %2d %s %04d %02d:%02d:%02d %c%02ld%02ld (%s)",
                kDays[local.tm_wday], local.tm_mday, kMonths[local.tm_mon], local.tm_year + 1900,
                local.tm_hour, local.tm_min, local.tm_sec, local.tm_gmtoff < 0 ? '-' : '+',
                minutes / 60, minutes % 60, local.tm_zone ? local.tm_zone : "");
  return text;
}

} // namespace postrider
