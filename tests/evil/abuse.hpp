// SPDX-License-Identifier: MIT
// What a worker that was taken over may do with the conversations it has: tables of abuses. Each
// runs to its end or until this process is killed for it; progress is in the report, so that the
// next process goes on with the next abuse.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "attempts.hpp"
#include "wire.hpp"

namespace postrider::evil {

// How it ended, as far as this side can see: "closed", "goes-on", "no-access", ...
struct Abuse {
  std::string channel;
  std::string name;
  std::function<std::string(const Target&)> commit;
};

// As a client of sockets of the suite.
std::vector<Abuse> abuses_of_sockets(const std::string& role);
// As a writer of mail: what qmgr lends.
std::vector<Abuse> abuses_of_intake();

// As an operator, which no worker is.
std::vector<Abuse> abuses_of_control();

// As the one who is connected to: an agent of qmgr, or a helper service. The Wire is a connection
// that was accepted on the service's own socket.
struct Answer {
  std::string channel;
  std::string name;
  std::function<std::string(const Target&, Wire&)> give;
};
std::vector<Answer> abuses_of_agents(const std::string& role);
std::vector<Answer> abuses_of_services(const std::string& role);

// What to say when the peer has, or has not, ended the conversation.
std::string ending(Wire& wire, int milliseconds = 700);

} // namespace postrider::evil
