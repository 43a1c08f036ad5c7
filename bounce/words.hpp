// SPDX-License-Identifier: MIT
// The sentences of a report that are for people. Pure.
#pragma once

#include <string>
#include <string_view>

#include "proto/deliver.hpp"

namespace postrider::bounce {

std::string_view subject_of(proto::ReportKind kind, bool for_postmaster);
// The paragraphs before the list of recipients, without line breaks inside a paragraph; paragraphs
// are divided by '\n'.
std::string introduction(proto::ReportKind kind, bool for_postmaster, std::string_view hostname,
                         std::string_view mail_name, bool whole_message_attached);
// What an enhanced status code means, as a sentence; empty when it says nothing useful.
std::string_view meaning_of(std::string_view dsn);

} // namespace postrider::bounce
