// SPDX-License-Identifier: MIT
// smtp: delivers mail to other hosts over SMTP. Holds connections to strangers and read-only
// descriptors of the content it is to send; opens no file after its start; talks to qmgr only. If
// it were taken over it could read the segments it was handed and lie about what was delivered.
// Protocol: lib/proto/deliver.hpp. Engine: lib/smtpclient.
#include "smtpclient/program.hpp"

int main(int argc, char** argv) {
  return postrider::smtpclient::run_program(argc, argv, "smtp",
                                            postrider::smtpclient::Flavor::smtp);
}
