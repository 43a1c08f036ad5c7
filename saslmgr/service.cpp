// SPDX-License-Identifier: MIT
#include "service.hpp"

#include <algorithm>

#include "base/ascii.hpp"
#include "base/log.hpp"

namespace postrider::saslmgr {
namespace {

constexpr std::string_view kTooMany = "too many logins at a time";
constexpr std::string_view kNoAnswer = "no answer from the password verification";

// RFC 4422 section 3.1.
bool is_mechanism(std::string_view name) {
  return !name.empty() && name.size() <= 20 && std::all_of(name.begin(), name.end(), [](char c) {
    return is_alnum(c) || c == '-' || c == '_';
  });
}

bool is_text(std::string_view text) {
  return text.size() <= proto::kLongestLoginText &&
         std::none_of(text.begin(), text.end(), [](char c) { return c >= 0 && c < ' '; });
}

Result<void> check(const proto::LoginFacts& facts) {
  const bool good = is_text(facts.service) && is_text(facts.hostname) && is_text(facts.realm) &&
                    is_text(facts.client) && is_text(facts.server) && is_text(facts.external) &&
                    facts.security.size() <= proto::kMostLoginWords &&
                    std::all_of(facts.security.begin(), facts.security.end(), is_text);
  if (good) return {};
  return Error(ErrorKind::protocol, "facts of a login beyond their bounds");
}

Result<void> check_data(std::string_view data) {
  if (data.size() <= proto::kLongestLoginData) return {};
  return Error(ErrorKind::protocol, "a response of " + std::to_string(data.size()) + " bytes");
}

proto::LoginAnswer failed(std::string_view reason) {
  proto::LoginAnswer answer;
  answer.stage = proto::LoginStage::failed;
  answer.reason = reason;
  return answer;
}

} // namespace

Result<Options> Options::load(const config::Settings& settings) {
  Options out;
  out.worker.application = settings.text("smtpd_sasl_path");
  const std::string& name = out.worker.application;
  if (name.empty() || name.find('/') != std::string::npos)
    return Error(ErrorKind::config, "smtpd_sasl_path: \"" + name +
                                        "\": expected NAME of a file NAME.conf, without a path");
  out.worker.config_path = settings.text("cyrus_sasl_config_path");
  if (out.worker.config_path.empty())
    out.worker.config_path = settings.config_directory() + "/sasl:/etc/sasl2:/usr/lib/sasl2";
  out.limits.answer = settings.time("smtpd_sasl_time_limit");
  out.failure_limit = static_cast<std::uint64_t>(settings.number("smtpd_sasl_failure_limit"));
  out.failure_time = settings.time("smtpd_sasl_failure_time");
  return out;
}

Service::Service(ev::Loop& loop, const Options& options, Workers::Make make)
    : loop_(loop), failures_(options.failure_limit, options.failure_time),
      workers_(loop, std::move(make), options.limits),
      server_(loop, *this,
              {.protocol = std::string(proto::kSaslmgrProtocol),
               .version = proto::kSaslmgrVersion,
               .limits = {.frame = proto::kLongestLoginFrame,
                          .unsent = 4 * proto::kLongestLoginFrame,
                          .descriptors = 0}}) {}

void Service::stop() {
  server_.stop();
  workers_.stop();
}

Result<void> Service::take(service::Peer& peer, ipc::Frame& frame) {
  switch (frame.type) {
  case proto::ListMechanisms::kType: {
    POSTRIDER_TRY(auto request, ipc::as<proto::ListMechanisms>(frame));
    POSTRIDER_TRY_VOID(check(request.facts));
    peer.tasks.spawn(list(peer, std::move(request)), "mechanisms");
    return {};
  }
  case proto::BeginLogin::kType: {
    POSTRIDER_TRY(auto request, ipc::as<proto::BeginLogin>(frame));
    POSTRIDER_TRY_VOID(check(request.facts));
    POSTRIDER_TRY_VOID(check_data(request.initial));
    if (!is_mechanism(request.mechanism))
      return Error(ErrorKind::protocol, "a malformed name of a mechanism");
    peer.tasks.spawn(begin(peer, std::move(request)), "login");
    return {};
  }
  case proto::StepLogin::kType: {
    POSTRIDER_TRY(auto request, ipc::as<proto::StepLogin>(frame));
    POSTRIDER_TRY_VOID(check_data(request.response));
    const auto found = logins_.find(request.login);
    if (found != logins_.end() && (found->second.peer != &peer || found->second.answering))
      return Error(ErrorKind::protocol, "a step of a login that does not wait for it");
    if (found != logins_.end()) found->second.answering = true;
    peer.tasks.spawn(step(peer, std::move(request)), "step of a login");
    return {};
  }
  case proto::CancelLogin::kType: {
    POSTRIDER_TRY(const auto message, ipc::as<proto::CancelLogin>(frame));
    const auto found = logins_.find(message.login);
    if (found != logins_.end() && found->second.peer == &peer && !found->second.answering)
      forget(message.login);
    return {};
  }
  default: return Error(ErrorKind::protocol, "unexpected message");
  }
}

void Service::left(service::Peer& peer) {
  for (auto it = logins_.begin(); it != logins_.end();) {
    const std::uint64_t login = it->first;
    const bool its = (it++)->second.peer == &peer;
    if (its) forget(login);
  }
}

void Service::forget(std::uint64_t login) {
  const auto found = logins_.find(login);
  if (found == logins_.end()) return;
  const std::shared_ptr<WorkerProcess> worker = found->second.worker;
  logins_.erase(found);
  if (!worker) return;
  --worker->logins;
  Forget message;
  message.login = login;
  if (!worker->gone) worker->channel.send(message);
}

// smtpd lets none live as long as this.
void Service::forget_old() {
  const SteadyTime now = loop_.now();
  for (auto it = logins_.begin(); it != logins_.end();) {
    const std::uint64_t login = it->first;
    const Login& one = (it++)->second;
    if (!one.answering && now - one.since >= kLongestLogin) forget(login);
  }
}

ev::Task<Result<Answer>> Service::converse(Workers::Lease& lease, ev::Lent<const Login> login) {
  const std::string mechanism = login->mechanism;
  const std::string prefix = login->prefix;
  const ev::Deadline deadline = loop_.after(workers_.limits().answer);
  ipc::Channel& channel = lease.worker()->channel;
  while (true) {
    Result<ipc::Frame> frame = co_await channel.receive(deadline);
    if (!frame && frame.error().kind() != ErrorKind::cancelled)
      log::warning("a SASL worker is given up during " + mechanism + ": " +
                   (frame.error().kind() == ErrorKind::timeout ? "it does not answer"
                                                               : frame.error().text()));
    if (!frame) co_return frame.error();
    if (frame->type != AskAccount::kType) {
      Result<Answer> answer = ipc::as<Answer>(*frame);
      if (answer) lease.well();
      co_return answer;
    }
    Result<AskAccount> question = ipc::as<AskAccount>(*frame);
    if (!question) co_return question.error();
    MayTry may;
    may.yes = failures_.may_try(question->account, prefix, loop_.now());
    channel.send(may);
  }
}

proto::LoginAnswer Service::conclude(std::uint64_t login, Result<Answer>& answer) {
  const auto found = logins_.find(login);
  POSTRIDER_CHECK(found != logins_.end());
  Login& one = found->second;
  proto::LoginAnswer out;
  if (!answer) {
    forget(login);
    return failed(kNoAnswer);
  }
  one.answering = false;
  out.username = answer->stage == sasl::Stage::done ? answer->username : answer->account;
  out.reason = answer->reason;
  if (!answer->trouble.empty())
    log::warning("SASL authentication " +
                 std::string(answer->stage == sasl::Stage::failed ? "problem: " : "failure: ") +
                 answer->trouble);
  const SteadyTime now = loop_.now();
  switch (answer->stage) {
  case sasl::Stage::challenge:
    out.stage = proto::LoginStage::challenge;
    out.login = login;
    out.challenge = std::move(answer->challenge);
    one.since = now;
    return out;
  case sasl::Stage::done:
    out.stage = proto::LoginStage::done;
    failures_.succeeded(answer->account, one.prefix);
    break;
  case sasl::Stage::refused:
    out.stage = proto::LoginStage::refused;
    if (answer->guess && failures_.add(answer->account, one.prefix, now))
      log::warning("too many failed logins: " + answer->account + " from " + one.prefix +
                   ": more of them are not tried for a while");
    break;
  case sasl::Stage::failed:
  case sasl::Stage::forbidden: out.stage = proto::LoginStage::failed; break;
  }
  forget(login);
  return out;
}

ev::RootTask Service::list(service::Peer& peer, proto::ListMechanisms request) {
  proto::Mechanisms out;
  out.number = request.number;
  Result<Workers::Lease> lease = co_await workers_.any();
  if (lease) {
    DoList question;
    question.facts = std::move(request.facts);
    lease->worker()->channel.send(question);
    Result<ipc::Frame> frame =
        co_await lease->worker()->channel.receive(loop_.after(workers_.limits().answer));
    Result<Names> names = frame ? ipc::as<Names>(*frame) : Result<Names>(frame.error());
    if (names) {
      lease->well();
      out.names = std::move(names->names);
      out.problem = std::move(names->problem);
    } else {
      out.problem = kNoAnswer;
    }
  } else {
    out.problem = lease.error().text();
  }
  peer.channel.send(out);
}

ev::RootTask Service::begin(service::Peer& peer, proto::BeginLogin request) {
  proto::LoginAnswer out = failed(kTooMany);
  if (logins_.size() >= kMostLogins) forget_old();
  if (logins_.size() < kMostLogins) {
    Result<Workers::Lease> lease = co_await workers_.any();
    if (lease) {
      const std::uint64_t id = next_login_++;
      Login& login = logins_[id];
      login.peer = &peer;
      login.worker = lease->worker();
      login.mechanism = request.mechanism;
      login.prefix = prefix_of(request.facts.client);
      login.answering = true;
      ++login.worker->logins;
      DoBegin question;
      question.login = id;
      question.facts = std::move(request.facts);
      question.mechanism = std::move(request.mechanism);
      question.has_initial = request.has_initial;
      question.initial = request.initial;
      lease->worker()->channel.send(question);
      wipe(question.initial);
      Result<Answer> answer = co_await converse(*lease, login);
      out = conclude(id, answer);
    }
  }
  wipe(request.initial);
  out.number = request.number;
  peer.channel.send(out);
}

ev::RootTask Service::step(service::Peer& peer, proto::StepLogin request) {
  const std::uint64_t id = request.login;
  proto::LoginAnswer out = failed("the login is not known any more");
  const auto found = logins_.find(id);
  if (found != logins_.end()) {
    Result<Workers::Lease> lease = co_await workers_.again(found->second.worker);
    Result<Answer> answer = Error(ErrorKind::closed, "");
    if (lease) {
      DoStep question;
      question.login = id;
      question.response = request.response;
      lease->worker()->channel.send(question);
      wipe(question.response);
      answer = co_await converse(*lease, found->second);
    }
    out = conclude(id, answer);
  }
  wipe(request.response);
  out.number = request.number;
  peer.channel.send(out);
}

} // namespace postrider::saslmgr
