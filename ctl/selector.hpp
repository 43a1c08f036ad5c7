// SPDX-License-Identifier: MIT
// Which messages a command is about: queue ids, ALL, and options. Pure. Ids are checked here,
// before anything is asked of qmgr: a mistyped id must never become another message, or a file
// name.
#pragma once

#include "arguments.hpp"
#include "proto/ctl.hpp"

namespace postrider::ctl {

const std::vector<Option>& selector_options();

enum class Empty { is_all, is_error };

// Error config says what is wrong: no id, an empty text, both ALL and ids, nothing selected.
Result<proto::Selector> parse_selector(const Arguments& arguments, Empty when_empty);

// Exactly one queue id. Error config for anything else.
Result<std::string> parse_id(std::string_view text);

} // namespace postrider::ctl
