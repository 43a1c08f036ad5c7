// SPDX-License-Identifier: MIT
// The body of every message between the operator's commands, qmgr and master: the first byte
// chooses the type, the rest is the body.
#include "fuzz/ipc_types.hpp"
#include "proto/ctl.hpp"
#include "proto/ctl_master.hpp"

FUZZ(input) {
  using namespace postrider;
  using namespace postrider::proto;
  using All = fuzz::Types<ListQueue, QueuePage, CountQueue, QueueCounts, Why, WhyAnswer, Cat,
                          CatAnswer, Act, Acted, AskStatus, StatusAnswer, Refused, Trigger,
                          MasterRequest, MasterDone, MasterStatus>;
  const unsigned which = fuzz::take_byte(input);
  All::run(which, input);
}
