// SPDX-License-Identifier: MIT
#include "source.hpp"

#include <algorithm>
#include <charconv>
#include <fcntl.h>

#include "base/ascii.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/text_file.hpp"
#include "command.hpp"
#include "json.hpp"
#include "proto/tokenmgr.hpp"

namespace postrider::tokenmgr {
namespace {

using Members = std::map<std::string, std::string>;

constexpr std::size_t kMostOfAFile = 64 * 1024;
constexpr std::size_t kMostOfWords = 300; // of an endpoint, for the log

// RFC 6750 section 2.1, and what else providers give out: printable ASCII.
bool is_token(std::string_view text) {
  return !text.empty() && text.size() <= proto::kLongestToken &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

Result<std::string> read_secret_file(const std::string& path) {
  POSTRIDER_TRY(TextFile file, read_text_file(path, kMostOfAFile));
  const Result<FileStat> info = real_file_system().stat(path);
  if (info && (info->mode & 0077) != 0)
    log::warning(path + ": may be read by others than its owner");
  return std::move(file.text);
}

std::string member(const Members& members, const std::string& name) {
  const auto found = members.find(name);
  return found == members.end() ? std::string() : found->second;
}

Result<Grant> grant_from(const Members& members) {
  const std::string token = member(members, "access_token");
  if (!is_token(token)) return Error(ErrorKind::protocol, "no access_token in the answer");
  Grant grant;
  grant.token = Secret(token);
  if (const auto life = parse_decimal(member(members, "expires_in")))
    grant.life = std::chrono::seconds(std::min<std::uint64_t>(*life, 366 * 86400));
  return grant;
}

// A reader sees the old file or the new one, and after a crash one of both is there.
Result<void> replace_file(const std::string& path, std::string_view text) {
  FileSystem& fs = real_file_system();
  const std::string fresh = path + ".new";
  POSTRIDER_TRY(Fd file, fs.open(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  POSTRIDER_TRY_VOID(fs.pwrite(file.get(), text, 0));
  POSTRIDER_TRY_VOID(fs.fsync(file.get()));
  POSTRIDER_TRY_VOID(fs.close(std::move(file)));
  POSTRIDER_TRY_VOID(fs.rename(fresh, path));
  return fs.sync_directory(path.substr(0, path.rfind('/') + 1));
}

// RFC 6749 section 5.2: error, and words for people.
Error refusal_of(const http::Response& response) {
  std::string why = "status " + std::to_string(response.status);
  bool no_good = false;
  if (const Result<Members> members = members_of(response.body)) {
    const std::string error = member(*members, "error");
    if (!error.empty()) why += ": " + error;
    const std::string words = member(*members, "error_description");
    if (!words.empty()) why += ": " + words;
    // What does not become better by waiting.
    no_good = error == "invalid_grant" || error == "invalid_client" ||
              error == "unauthorized_client" || error == "invalid_scope";
  }
  return Error(no_good ? ErrorKind::refused : ErrorKind::io,
               log::printable(why.substr(0, kMostOfWords)));
}

ev::Task<Result<Grant>> refresh(ev::Lent<const SourceTools> tools, const std::string& path,
                                ev::Deadline deadline) {
  Result<std::string> file = read_secret_file(path);
  if (!file) co_return file.error();
  Result<Members> known = members_of(*file);
  if (!known) co_return known.error().in(path);
  for (const char* name : {"token_endpoint", "client_id", "refresh_token"})
    if (member(*known, name).empty()) co_return Error(ErrorKind::config, path + ": no " + name);
  std::vector<std::pair<std::string, std::string>> fields = {{"grant_type", "refresh_token"}};
  for (const char* name : {"refresh_token", "client_id", "client_secret", "scope"})
    if (std::string value = member(*known, name); !value.empty()) fields.emplace_back(name, value);
  http::Request request;
  request.url = member(*known, "token_endpoint");
  request.ca_file = tools->ca_file;
  request.headers = {"Accept: application/json"};
  request.form = form_of(fields);
  Result<http::Response> response = co_await tools->fetcher.fetch(request, deadline);
  wipe(request.form);
  if (!response) co_return response.error().in(request.url);
  if (response->status != 200) co_return refusal_of(*response).in(request.url);
  const Result<Members> answer = members_of(response->body);
  wipe(response->body);
  if (!answer) co_return answer.error().in(request.url);
  const std::string rotated = member(*answer, "refresh_token");
  if (!rotated.empty() && rotated != member(*known, "refresh_token")) {
    // The old one may be good no more: who cannot keep the new one is locked out at the next turn.
    const Result<void> kept = replace_file(path, with_member(*file, "refresh_token", rotated));
    if (!kept)
      log::error("a new refresh token cannot be kept: " + kept.error().in(path).text() +
                 "; the old one may be refused the next time");
  }
  wipe(*file);
  Result<Grant> grant = grant_from(*answer);
  if (!grant) co_return grant.error().in(request.url);
  co_return grant;
}

} // namespace

Result<Source> Source::parse(std::string_view text) {
  text = trim(text);
  const std::size_t colon = text.find(':');
  const std::string_view kind = text.substr(0, colon);
  const Error wrong(ErrorKind::config, "expected file:/path, command:/path or refresh:/path");
  if (colon == std::string_view::npos) return wrong;
  Source source;
  const std::string_view rest = trim(text.substr(colon + 1));
  if (kind == "command") {
    source.kind = Kind::command;
    for (const std::string_view word : split(rest, " \t"))
      source.words.emplace_back(word);
    if (!source.words.empty()) source.path = source.words[0];
  } else if (kind == "file" || kind == "refresh") {
    source.kind = kind == "file" ? Kind::file : Kind::refresh;
    source.path = rest;
  }
  if (!source.path.starts_with('/')) return wrong;
  return source;
}

std::string form_of(const std::vector<std::pair<std::string, std::string>>& fields) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const auto& [name, value] : fields) {
    if (!out.empty()) out.push_back('&');
    out.append(name).push_back('=');
    for (const char c : value) {
      const auto byte = static_cast<unsigned char>(c);
      if (is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~')
        out.push_back(c);
      else
        out.append({'%', kDigits[byte >> 4], kDigits[byte & 15]});
    }
  }
  return out;
}

Result<Grant> parse_grant(std::string_view text) {
  text = trim(text);
  if (text.starts_with('{')) {
    POSTRIDER_TRY(const Members members, members_of(text));
    return grant_from(members);
  }
  if (!is_token(text)) return Error(ErrorKind::protocol, "no token: not one word of ASCII");
  Grant grant;
  grant.token = Secret(text);
  return grant;
}

ev::Task<Result<Grant>> get_grant(ev::Lent<const SourceTools> tools, ev::Lent<const Source> source,
                                  ev::Deadline deadline) {
  Result<std::string> text = std::string();
  switch (source->kind) {
  case Source::Kind::refresh: {
    Result<Grant> grant = co_await refresh(tools, source->path, deadline);
    co_return grant;
  }
  case Source::Kind::command:
    text = co_await run_command(tools->loop, source->words, deadline);
    break;
  case Source::Kind::file: text = read_secret_file(source->path); break;
  }
  if (!text) co_return text.error().in(source->path);
  Result<Grant> grant = parse_grant(*text);
  wipe(*text);
  if (!grant) co_return grant.error().in(source->path);
  co_return grant;
}

} // namespace postrider::tokenmgr
