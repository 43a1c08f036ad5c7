// SPDX-License-Identifier: MIT
// One client without a master: on descriptor 0 when that is a socket, as inetd and a UCSPI server
// (tcpserver) leave it; else what comes from descriptor 0 and goes to descriptor 1, as with pipes,
// files and terminals, goes through a socket pair. A UCSPI server says who the client is in the
// environment.
#pragma once

#include "ev/group.hpp"
#include "net/address.hpp"

namespace postrider::daemon {

// PROTO, and with PROTO=TCP: TCPREMOTEIP, TCPREMOTEPORT, TCPREMOTEHOST, TCPLOCALIP, TCPLOCALPORT,
// TCPLOCALHOST. What is not there, or is no address, number or host name, is empty.
struct Ucspi {
  net::Address remote;
  net::Address local;
  std::string remote_host; // as its address claims
  std::string local_host;
};
Ucspi ucspi_environment();

// Keeps what this program writes to its standard error away from the client, who is there as well
// under inetd. True: it was the client's, or closed; now it leads nowhere.
bool detach_standard_error();

class Stdio {
 public:
  explicit Stdio(ev::Loop& loop) : loop_(loop), group_(loop) {}
  ~Stdio() { group_.tear_down(); }

  // The client's socket, non-blocking. Descriptors 0 and 1 are used up.
  Result<Fd> open();
  // Has everything that the service said gone out?
  bool is_done() const { return group_.empty(); }

 private:
  ev::RootTask take_in();
  ev::RootTask give_out();

  ev::Loop& loop_;
  Fd in_, out_, inner_; // where descriptors 0 and 1 lead, and the end of the pair that we keep
  ev::Group group_;
};

} // namespace postrider::daemon
