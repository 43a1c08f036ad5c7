// SPDX-License-Identifier: MIT
// Whose processes may speak to this one as parts of the suite: root, our own uid, and those that
// were named once at the start, where the suite has a uid per trust domain
// (lib/sandbox/domain.hpp).
#pragma once

#include <sys/types.h>
#include <vector>

namespace postrider::ipc {

bool is_colleague(uid_t uid);
// REQUIRES: no other threads yet.
void set_colleagues(std::vector<uid_t> uids);

} // namespace postrider::ipc
