// SPDX-License-Identifier: MIT
// `postrider import`: what the configuration of another mail system becomes here. Each reader is
// pure: text in, lines of main.cf and master.cf out, with a remark for each thing it found.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "init.hpp"

namespace postrider::ctl {

enum class Fate {
  works,       // the same here
  differs,     // there is something like it; the remark says what is different
  no_effect,   // not needed here
  unsupported, // mail would be handled in another way: somebody has to decide
};
std::string_view to_string(Fate fate);

// One thing that the other configuration says.
struct Item {
  std::string place; // "smtp_forward.ini:12"
  std::string said;
  Fate fate;
  std::string remark;
};

using Setting = std::pair<std::string, std::string>; // name, value

struct ForeignService {
  std::string columns;           // "127.0.0.1:2525 inet n - n - - smtpd"
  std::vector<Setting> settings; // its -o lines
};

struct Imported {
  std::vector<Item> items;
  std::vector<Setting> main;
  std::vector<ForeignService> services;
  std::vector<InstanceFile> files;
  // A whole configuration of Postfix: its other lines and services need no additions of ours.
  bool complete = false;

  void note(std::string place, std::string said, Fate fate, std::string remark = "") {
    items.push_back({std::move(place), std::move(said), fate, std::move(remark)});
  }
};

// `file` is for places only. Error config names the line that cannot be understood at all.
// smtp_forward.ini of Haraka's queue/smtp_forward.
Result<Imported> import_haraka(std::string_view text, std::string_view file);
// The target.smtp, target.lmtp and deliver_to blocks of a maddy.conf.
Result<Imported> import_maddy(std::string_view text, std::string_view file);
// NAME=VALUE lines, as in a script that starts mailfront.
Result<Imported> import_mailfront(std::string_view text, std::string_view file);
// main.cf and master.cf of Postfix.
Result<Imported> import_postfix(std::string_view main_cf, std::string_view master_cf,
                                std::string_view directory);

std::string main_cf_lines(const Imported& imported);
std::string master_cf_lines(const Imported& imported);

} // namespace postrider::ctl
