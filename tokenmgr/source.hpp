// SPDX-License-Identifier: MIT
// Where a token comes from, as oauth_token_sources says:
//
//   file:/path             the file's content, without blanks around it; read whenever it is asked
//   command:/path words    what the program writes: the token, or JSON with access_token and
//                          expires_in. No shell: words are cut at blanks
//   refresh:/path          a JSON file with token_endpoint, client_id, refresh_token, and if wanted
//                          client_secret and scope: RFC 6749 section 6. A refresh token that the
//                          endpoint replaces is written back before the new access token is used
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/secret.hpp"
#include "ev/task.hpp"
#include "http/fetch.hpp"

namespace postrider::tokenmgr {

struct Source {
  enum class Kind : std::uint8_t { file, command, refresh };
  Kind kind = Kind::file;
  std::string path;
  std::vector<std::string> words; // of a command, its path included

  static Result<Source> parse(std::string_view text);
};

struct Grant {
  Secret token;
  std::optional<std::chrono::seconds> life; // as the source says
  Grant() {}
};

// What sources need of their surroundings.
struct SourceTools {
  ev::Loop& loop;
  http::Fetcher& fetcher;
  std::string ca_file;
};

// WAITS. Error refused: the endpoint says that the refresh token is no good, with its words; a
// person has to log in again. All others are temporary or the administrator's. No Error has a
// secret in it.
ev::Task<Result<Grant>> get_grant(ev::Lent<const SourceTools> tools, ev::Lent<const Source> source,
                                  ev::Deadline deadline);

// application/x-www-form-urlencoded.
std::string form_of(const std::vector<std::pair<std::string, std::string>>& fields);
// A token, or JSON with one. Error protocol: neither.
Result<Grant> parse_grant(std::string_view text);

} // namespace postrider::tokenmgr
