// SPDX-License-Identifier: MIT
#include "mail/sts.hpp"

#include <algorithm>
#include <optional>

#include "base/ascii.hpp"
#include "mail/domain.hpp"

namespace postrider::mail {
namespace {

Error bad(std::string text) { return {ErrorKind::protocol, std::move(text)}; }

std::string_view trim_blanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
    text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
    text.remove_suffix(1);
  return text;
}

// Section 3.1: sts-id = 1*32(ALPHA / DIGIT).
bool is_id(std::string_view text) {
  return !text.empty() && text.size() <= 32 && std::all_of(text.begin(), text.end(), is_alnum);
}

// "v=STSv1; id=20160831085700Z;", with fields in any order behind the version.
Result<std::string> id_of(std::string_view record) {
  std::optional<std::string_view> id;
  for (const std::string_view piece : split(record, ";")) {
    const std::string_view field = trim_blanks(piece);
    const std::size_t equals = field.find('=');
    if (field.empty() || equals == std::string_view::npos) continue;
    if (trim_blanks(field.substr(0, equals)) == "id" && !id)
      id = trim_blanks(field.substr(equals + 1));
  }
  if (!id) return bad("the TXT record has no id");
  if (!is_id(*id)) return bad("the id of the TXT record is malformed");
  return std::string(*id);
}

bool is_record(std::string_view text) {
  constexpr std::string_view kVersion = "v=STSv1";
  if (!text.starts_with(kVersion)) return false;
  const std::string_view rest = trim_blanks(text.substr(kVersion.size()));
  return rest.starts_with(';');
}

// "mx.example.com", "*.example.com". Names may be U-labels by mistake; all compare as A-labels.
std::optional<std::string> to_pattern(std::string_view text) {
  const bool wild = text.starts_with("*.");
  std::string_view name = wild ? text.substr(2) : text;
  if (name.ends_with('.')) name.remove_suffix(1);
  const Result<std::string> ascii = to_ascii(name);
  if (!ascii) return std::nullopt;
  return (wild ? "*." : "") + *ascii;
}

struct Draft {
  bool has_version = false;
  std::optional<StsMode> mode;
  std::optional<std::chrono::seconds> max_age;
  std::vector<std::string> mx;
};

Result<void> take(Draft& draft, std::string_view name, std::string_view value) {
  if (name == "version" && !draft.has_version) {
    if (value != "STSv1") return bad("version is not STSv1");
    draft.has_version = true;
  } else if (name == "mode" && !draft.mode) {
    for (const StsMode mode : {StsMode::none, StsMode::testing, StsMode::enforce})
      if (value == to_string(mode)) draft.mode = mode;
    if (!draft.mode) return bad("mode is none of enforce, testing and none");
  } else if (name == "max_age" && !draft.max_age) {
    // 1*10(DIGIT)
    const auto seconds = parse_decimal(value);
    if (!seconds || value.size() > 10) return bad("max_age is no number of seconds");
    draft.max_age = std::min(std::chrono::seconds(*seconds), kStsLongestAge);
  } else if (name == "mx") {
    if (draft.mx.size() >= kStsMostPatterns) return bad("too many mx patterns");
    const std::optional<std::string> pattern = to_pattern(value);
    if (!pattern) return bad("a malformed mx pattern");
    draft.mx.push_back(*pattern);
  }
  return {};
}

} // namespace

Result<std::string> parse_sts_record(const std::vector<std::string>& texts) {
  const std::string* record = nullptr;
  for (const std::string& text : texts) {
    if (!is_record(text)) continue;
    if (record != nullptr) return bad("more than one TXT record of MTA-STS");
    record = &text;
  }
  if (record == nullptr) return Error(ErrorKind::not_found, "no TXT record of MTA-STS");
  return id_of(*record);
}

Result<StsPolicy> parse_sts_policy(std::string_view text) {
  if (text.size() > kStsLongestPolicy) return bad("a policy of more than 64 kB");
  Draft draft;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    line = trim_blanks(line);
    if (line.empty()) continue;
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return bad("a line without a colon");
    POSTRIDER_TRY_VOID(
        take(draft, trim_blanks(line.substr(0, colon)), trim_blanks(line.substr(colon + 1))));
  }
  if (!draft.has_version) return bad("no version");
  if (!draft.mode) return bad("no mode");
  if (!draft.max_age) return bad("no max_age");
  if (draft.mx.empty() && *draft.mode != StsMode::none) return bad("no mx");
  StsPolicy policy;
  policy.mode = *draft.mode;
  policy.max_age = *draft.max_age;
  policy.mx = std::move(draft.mx);
  return policy;
}

bool sts_allows(const std::vector<std::string>& patterns, std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  const std::string name = lowercase(host);
  const std::size_t dot = name.find('.');
  // A "*" is the whole left-most label (RFC 6125 section 6.4.3).
  const std::string wild = dot == std::string::npos || dot == 0 ? "" : "*" + name.substr(dot);
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
    return pattern == name || (!wild.empty() && pattern == wild);
  });
}

} // namespace postrider::mail
