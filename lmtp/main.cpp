// SPDX-License-Identifier: MIT
// lmtp: delivers mail to mailbox stores over LMTP. Holds connections to them and read-only
// descriptors of the content it is to send; opens no file after its start; talks to qmgr only. If
// it were taken over it could read the segments it was handed and lie about what was delivered.
// Protocol: lib/proto/deliver.hpp. Engine: lib/smtpclient.
#include "smtpclient/program.hpp"

int main(int argc, char** argv) {
  return postrider::smtpclient::run_program(argc, argv, "lmtp",
                                            postrider::smtpclient::Flavor::lmtp);
}
