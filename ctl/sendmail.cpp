// SPDX-License-Identifier: MIT
// sendmail: how programs of this host hand in mail. It needs no privilege of any kind: it talks
// SMTP to the submit service, whose socket tells smtpd who is calling, and leaves with the exit
// status of sysexits.h. Of the configuration it reads only where that socket is.
#include "sendmail_run.hpp"

int main(int argc, char** argv) { return postrider::ctl::run_sendmail(argc, argv); }
