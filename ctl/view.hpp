// SPDX-License-Identifier: MIT
// Answers as people read them. Pure: `now` is passed in.
#pragma once

#include <string>

#include "proto/ctl.hpp"
#include "proto/ctl_master.hpp"

namespace postrider::ctl {

std::string view(const proto::QueueItem& item, std::int64_t now);
std::string view(const proto::QueueCounts& counts, std::string_view what);
std::string view(const proto::WhyAnswer& answer, std::int64_t now);
// "deleted 3 messages (would delete, with --dry-run)".
std::string view(const proto::Acted& acted, proto::Action action, bool dry_run);
std::string view(const proto::MasterStatus& master, std::int64_t now);
std::string view(const proto::StatusAnswer& queue, std::int64_t now);
// Processes with what they are busy with.
std::string view_sessions(const proto::MasterStatus& master, const proto::StatusAnswer* queue);
// The lines that `cat` prints before the content.
std::string view_envelope(const proto::CatAnswer& answer);

std::string_view verb_of(proto::Action action); // "delete"

} // namespace postrider::ctl
