// SPDX-License-Identifier: MIT
#include "sasl/client.hpp"

#include <algorithm>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "sasl/bearer.hpp"
#include "sasl/cyrus.hpp"

namespace postrider::sasl {
namespace {

constexpr std::size_t kMostOfAnExplanation = 500;

// RFC 4422 section 3.1.
bool is_mechanism(std::string_view name) {
  return !name.empty() && name.size() <= 20 && std::all_of(name.begin(), name.end(), [](char c) {
    return is_alnum(c) || c == '-' || c == '_';
  });
}

// What Cyrus may choose from, blanks between. EXTERNAL without a certificate would claim an
// identity that nothing backs.
std::string for_cyrus(const Dialogue& dialogue) {
  std::string out;
  std::size_t count = 0;
  for (const std::string& name : dialogue.mechanisms) {
    if (count == Client::kMostMechanisms) break;
    if (!is_mechanism(name)) continue;
    if (iequals(name, "EXTERNAL") && !dialogue.client_certificate) continue;
    if (!out.empty()) out.push_back(' ');
    out += uppercase(name);
    ++count;
  }
  return out;
}

Error no_mechanism() { return Error(ErrorKind::not_found, "no mechanism available"); }
Error out_of_order() { return Error(ErrorKind::protocol, "protocol error"); }

} // namespace

// One job at a time: `busy` is set on the loop before a job begins, and stays set when its wait was
// given up, because the job has what it works on to itself until it ends.
struct Client::State {
  State(ev::Offload& pool, Dialogue what)
      : offload(pool), dialogue(std::move(what)), cyrus(dialogue) {}

  ev::Offload& offload;
  Dialogue dialogue;
  Cyrus cyrus;
  std::optional<Bearer> bearer;
  bool begun = false;
  bool busy = false;
  bool ended = false;   // the mechanism has nothing more to say
  bool refused = false; // a token: what comes is the failure
  std::string explanation;
};

Result<void> Client::initialize(const std::string& plugin_path) {
  return Cyrus::initialize(plugin_path);
}

Client::Client(ev::Offload& offload, Dialogue dialogue)
    : state_(std::make_shared<State>(offload, std::move(dialogue))) {}
Client::~Client() = default;

ev::Task<Result<Client::Begun>> Client::begin(ev::Deadline deadline) {
  State& state = *state_;
  if (std::exchange(state.begun, true)) co_return out_of_order();
  Begun begun;
  const Identity& identity = state.dialogue.identity;
  if (identity.has_token) {
    state.bearer = choose_bearer(state.dialogue.mechanisms, state.dialogue.security);
    if (!state.bearer) co_return no_mechanism();
    const BearerLogin login{identity.user, identity.password.view(), state.dialogue.server,
                            state.dialogue.port};
    begun.initial = initial_response(*state.bearer, login);
    if (!begun.initial) co_return Error(ErrorKind::protocol, "the user or the token is malformed");
    begun.mechanism = to_string(*state.bearer);
    state.ended = true;
    co_return begun;
  }
  const std::string mechanisms = for_cyrus(state.dialogue);
  if (mechanisms.empty()) co_return no_mechanism();
  state.busy = true;
  std::function<Cyrus::Step()> job = [own = state_, mechanisms] {
    return own->cyrus.start(mechanisms);
  };
  Result<Cyrus::Step> step = co_await state.offload.run(job, deadline, "a SASL plug-in");
  if (!step) co_return step.error();
  state.busy = false;
  if (Cyrus::failed(*step)) co_return Cyrus::error_of(*step);
  state.ended = Cyrus::ended(*step);
  begun.mechanism = std::move(step->mechanism);
  if (step->has_output) begun.initial = std::move(step->output);
  co_return begun;
}

ev::Task<Result<Secret>> Client::respond(std::string_view challenge, ev::Deadline deadline) {
  State& state = *state_;
  if (challenge.size() > kMost) co_return Error(ErrorKind::limit, "challenge too long");
  if (!state.begun || state.busy) co_return out_of_order();
  if (state.bearer) {
    if (std::exchange(state.refused, true)) co_return out_of_order();
    state.explanation = log::printable(challenge.substr(0, kMostOfAnExplanation));
    co_return Secret(closing_response(*state.bearer));
  }
  if (state.ended) co_return out_of_order();
  state.busy = true;
  std::function<Cyrus::Step()> job = [own = state_, said = std::string(challenge)] {
    return own->cyrus.step(said);
  };
  Result<Cyrus::Step> step = co_await state.offload.run(job, deadline, "a SASL plug-in");
  if (!step) co_return step.error();
  state.busy = false;
  if (Cyrus::failed(*step)) co_return Cyrus::error_of(*step);
  state.ended = Cyrus::ended(*step);
  if (step->output.view().size() > kMost) co_return Error(ErrorKind::limit, "response too long");
  co_return std::move(step->output);
}

Result<void> Client::finish() const {
  if (!state_->ended || state_->refused) return out_of_order();
  return {};
}

std::weak_ptr<const void> Client::hung() const {
  if (!state_->busy) return {};
  return state_;
}

const std::string& Client::explanation() const { return state_->explanation; }

} // namespace postrider::sasl
