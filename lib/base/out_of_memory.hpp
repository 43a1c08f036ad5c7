// SPDX-License-Identifier: MIT
// What a program does when there is no memory left.
#pragma once

namespace postrider {

// For std::set_new_handler: says so, as far as there is memory for that, and exits 1. Who was
// promised nothing yet is told nothing; what was promised is on the disk, and a successor finds it
// there.
[[noreturn]] void out_of_memory();

} // namespace postrider
