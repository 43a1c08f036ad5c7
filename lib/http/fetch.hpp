// SPDX-License-Identifier: MIT
// Fetcher: one HTTPS request at a time of each caller, on the loop, by libcurl. For small texts
// from strangers: policies of MTA-STS, tokens. Only https; certificates are verified, with the
// name; no redirects, no cookies, no proxies, no connection is kept; size and time are bounded.
// libcurl reads `ca_file` for each request, so that a renewed one counts.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ev/task.hpp"

namespace postrider::http {

struct Request {
  std::string url;                    // "https://host[:port]/path"
  std::vector<std::string> addresses; // of the host, tried in order; empty: curl looks it up
  std::string ca_file;                // PEM
  std::vector<std::string> headers;   // "Name: value", without line ends
  std::string form; // not empty: a POST of this; urlencoded unless `headers` have a Content-Type
  std::size_t most = std::size_t{64} << 10; // bytes of the body
};

struct Response {
  int status = 0;
  std::string content_type; // as sent; empty: none
  std::string body;
  Response() {}
};

class Fetcher {
 public:
  static constexpr std::size_t kMostAtATime = 64; // further ones: Error busy

  explicit Fetcher(ev::Loop& loop);
  ~Fetcher(); // REQUIRES: nothing is under way
  Fetcher(const Fetcher&) = delete;
  Fetcher& operator=(const Fetcher&) = delete;

  // WAITS for the whole answer, whatever its status. Errors, with curl's reason: timeout,
  // closed (no connection, or no longer), refused (the certificate), limit (a larger body),
  // protocol (not HTTP), busy.
  ev::Task<Result<Response>> fetch(ev::Lent<const Request> request, ev::Deadline deadline);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

} // namespace postrider::http
