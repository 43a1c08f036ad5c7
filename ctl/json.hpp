// SPDX-License-Identifier: MIT
// Answers as JSON. Times are unix time in seconds; bytes that are not UTF-8 become U+FFFD. The only
// file that knows the JSON library is json.cpp. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/settings.hpp"
#include "proto/ctl.hpp"
#include "proto/ctl_master.hpp"
#include "proto/tlsrpt.hpp"

namespace postrider::ctl::json {

std::string of_error(std::string_view text);
std::string of(const proto::QueueItem& item); // the names of Postfix's postqueue -j, and more
std::string of(const proto::QueueCounts& counts);
std::string of(const proto::WhyAnswer& answer);
std::string of(const std::vector<proto::WhyAnswer>& answers);
std::string of(const proto::CatAnswer& answer, std::string_view content);
std::string of(const proto::Acted& acted, std::string_view action, bool dry_run);
// Either may be null: not running, or not answering.
std::string of(const proto::MasterStatus* master, const proto::StatusAnswer* queue);

struct Parameter {
  std::string name;
  std::string value;
  std::string origin;   // "default", "main.cf", "override"
  std::size_t line = 0; // of main.cf
  std::string initial;  // the default
  std::string type;     // empty for a name of the user's
};
std::string of(const std::vector<Parameter>& parameters);
std::string of_findings(const std::vector<std::string>& errors,
                        const std::vector<std::string>& warnings);
std::string of(const std::vector<proto::TlsAccount>& accounts);
using Members = std::vector<std::pair<std::string, std::string>>;
std::string of_object(const Members& members);
std::string of_objects(const std::vector<Members>& objects); // an array of them

} // namespace postrider::ctl::json
