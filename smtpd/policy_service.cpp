// SPDX-License-Identifier: MIT
#include "policy_service.hpp"

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "base/words.hpp"
#include "config/units.hpp"
#include "ev/wait.hpp"

namespace postrider::smtpd {

namespace {

Error config_error(std::string text) { return Error(ErrorKind::config, std::move(text)); }

Result<void> set_option(PolicyOptions& out, std::string_view name, const std::string& value) {
  const auto wrong = [&] {
    return config_error("check_policy_service: " + std::string(name) + " = " + value +
                        " is not understood");
  };
  struct Time {
    std::string_view name;
    Duration PolicyOptions::*field;
  };
  for (const Time& time :
       {Time{"timeout", &PolicyOptions::timeout}, Time{"max_idle", &PolicyOptions::max_idle},
        Time{"max_ttl", &PolicyOptions::max_ttl},
        Time{"retry_delay", &PolicyOptions::retry_delay}}) {
    if (name != time.name) continue;
    const auto length = config::parse_time(value, 's');
    if (!length) return wrong();
    out.*time.field = std::chrono::milliseconds(*length);
    return {};
  }
  if (name == "request_limit" || name == "try_limit") {
    const auto number = parse_decimal(value);
    if (!number || *number > 1'000'000'000 || (name == "try_limit" && *number == 0)) return wrong();
    (name == "try_limit" ? out.try_limit : out.request_limit) = static_cast<std::int64_t>(*number);
    return {};
  }
  if (name == "default_action") {
    out.default_action = value;
    return {};
  }
  if (name == "policy_context") {
    out.context = value;
    return {};
  }
  return config_error("check_policy_service: \"" + std::string(name) +
                      "\" is none of timeout, max_idle, max_ttl, retry_delay, request_limit, "
                      "try_limit, default_action, policy_context");
}

} // namespace

Result<PolicyOptions> PolicyOptions::parse(std::string_view spec, const PolicyOptions& defaults) {
  PolicyOptions out = defaults;
  POSTRIDER_TRY(std::vector<std::string> words, split_words(spec));
  if (words.empty()) return config_error("check_policy_service: no server is named");
  out.server = words.front();
  for (std::size_t i = 1; i < words.size(); ++i) {
    std::string item = words[i];
    // name = value, with blanks round the sign
    while (i + 1 < words.size() &&
           (item.find('=') == std::string::npos || item.back() == '=' || words[i + 1] == "="))
      item += words[++i];
    const std::size_t equals = item.find('=');
    if (equals == std::string::npos)
      return config_error("check_policy_service: \"" + item + "\" is no name=value");
    POSTRIDER_TRY_VOID(set_option(out, trim(std::string_view(item).substr(0, equals)),
                                  std::string(trim(std::string_view(item).substr(equals + 1)))));
  }
  return out;
}

Result<std::shared_ptr<PolicyService>> PolicyService::open(PolicyOptions options) {
  auto service = std::make_shared<PolicyService>(std::move(options));
  const PolicyOptions& with = service->options_;
  std::string server = with.server;
  if (!server.starts_with("unix:") && !server.starts_with("inet:")) server = "inet:" + server;
  if (server.starts_with("inet::")) server = "inet:localhost" + server.substr(5);
  POSTRIDER_TRY(service->server_,
                net::AskedServer::open(
                    server, {kMostConnections, with.max_idle, with.max_ttl, with.request_limit}));
  return service;
}

ev::Task<std::string> PolicyService::ask(ev::Loop& loop, const std::string& request) {
  const std::string bytes = request + "\n";
  for (std::int64_t tries = 1;; ++tries) {
    Result<std::string> action = co_await attempt(loop, bytes);
    if (action) co_return std::move(*action);
    const bool last = tries >= options_.try_limit || action.error().kind() == ErrorKind::cancelled;
    log::warning("problem talking to server " + options_.server + ": " + action.error().text());
    if (last) co_return options_.default_action;
    Result<void> slept = co_await ev::sleep_for(loop, options_.retry_delay);
    if (!slept) co_return options_.default_action;
  }
}

ev::Task<Result<std::string>> PolicyService::attempt(ev::Loop& loop, const std::string& bytes) {
  const ev::Deadline deadline = loop.after(options_.timeout);
  Result<net::AskedServer::Place> place = co_await server_->place(loop, deadline);
  if (!place) co_return place.error();
  while (true) {
    auto connection = server_->take_idle();
    const bool used_before = connection.has_value();
    if (!connection) {
      auto made = co_await server_->connect(loop, deadline);
      if (!made) co_return made.error();
      connection = std::move(*made);
    }
    net::TcpStream& stream = *connection->stream;
    Result<void> sent = co_await stream.write(bytes, deadline);
    std::string action;
    Result<void> done = sent;
    while (done) { // attributes until an empty line
      Result<net::Stream::Line> line = co_await stream.read_line(kLongestAnswer, deadline);
      if (!line) {
        done = line.error();
      } else if (line->text.empty()) {
        if (action.empty()) done = Error(ErrorKind::protocol, "the answer has no action");
        break;
      } else if (line->text.starts_with("action=")) {
        action = trim(std::string_view(line->text).substr(7));
      } else if (line->text.find('=') == std::string::npos) {
        done = Error(ErrorKind::protocol, "the answer is no name=value");
      }
    }
    if (done) {
      server_->keep(std::move(*connection));
      co_return action;
    }
    // It was closed between two questions: that is no failure.
    if (!used_before || done.error().kind() != ErrorKind::closed) co_return done.error();
  }
}

} // namespace postrider::smtpd
