// SPDX-License-Identifier: MIT
#include "header_sink.hpp"

#include <algorithm>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "maps/ask.hpp"
#include "mime/address_list.hpp"
#include "mime/header_name.hpp"

namespace postrider::smtpd {

namespace {

// Header that is kept at most, and the longest field that is rewritten.
constexpr std::size_t kMaxHeader = 256U << 10;
constexpr std::size_t kMuch = 64U << 10; // so much of it is looked through as it comes
constexpr std::size_t kMaxField = 102400;
constexpr std::chrono::seconds kPatience{100}; // for all answers about one field

Addresses::Role role_of(std::string_view name) {
  for (const std::string_view one :
       {"To", "Cc", "Bcc", "Apparently-To", "Resent-To", "Resent-Cc", "Resent-Bcc"})
    if (iequals(name, one)) return Addresses::Role::recipient;
  return Addresses::Role::sender;
}

// Of the field at the front, continued lines and the last line end included; 0: more has to come.
std::size_t field_length(std::string_view text, bool is_all) {
  std::size_t end = 0;
  while (true) {
    end = text.find('\n', end);
    if (end == std::string_view::npos) return is_all ? text.size() : 0;
    ++end;
    if (end == text.size()) return is_all ? end : 0;
    if (text[end] != ' ' && text[end] != '\t') return end;
  }
}

} // namespace

bool HeaderSink::wants_relief() const { return header_.size() > kMuch || next_->wants_relief(); }

ev::Task<Result<void>> HeaderSink::relieve() {
  Result<void> passed = co_await pass_header(false);
  if (!passed) co_return passed.error();
  scan();
  if (!next_->wants_relief()) co_return Result<void>();
  Result<void> relieved = co_await next_->relieve();
  scanned_ = next_->pending().size();
  co_return relieved;
}

ev::Task<Result<Answer>> HeaderSink::commit(ev::Lent<const mail::ContentFacts> came) {
  Result<void> passed = co_await pass_header(true);
  if (!passed) co_return passed.error();
  scan();
  const mail::ContentFacts facts = changed_ ? scanner_.facts() : *came;
  Result<Answer> answer = co_await next_->commit(facts);
  co_return std::move(answer);
}

// The next bytes of what came go on as they are.
void HeaderSink::give(std::size_t length) {
  next_->pending().append(header_, at_, length);
  at_ += length;
}

void HeaderSink::scan() {
  if (!in_header_ && !changed_) return; // what goes on is what came, and its facts are known
  scanner_.feed(ByteView(next_->pending()).substr(scanned_));
  scanned_ = next_->pending().size();
}

ev::Task<Result<void>> HeaderSink::pass_header(bool is_all) {
  if (!rewrites_) {
    const std::function<Result<bool>()> question = [&] {
      return addresses_.rewrites_headers(peer_);
    };
    Result<bool> answer = co_await maps::ask<bool>(loop_, question, loop_.after(kPatience));
    if (!answer) co_return answer.error();
    rewrites_ = *answer;
  }
  while (in_header_) {
    const std::string_view rest = std::string_view(header_).substr(at_);
    const std::size_t length = field_length(rest, is_all);
    const bool too_long = length == 0 && rest.size() > kMaxHeader;
    if (length == 0 && !too_long && !is_all) break;
    // A line with which a mailbox separates messages is let pass; the header follows it.
    const bool is_mailbox_line =
        at_start_ &&
        rest.substr(std::min(rest.find_first_not_of('>'), rest.size())).starts_with("From ");
    at_start_ = false;
    if (is_mailbox_line && *rewrites_) {
      give(length);
    } else if (!*rewrites_ || too_long || length == 0 || mime::field_name_length(rest) == 0) {
      if (too_long && *rewrites_)
        log::warning("a header field is too long: addresses from there on are not rewritten");
      give(rest.size());
      in_header_ = false;
    } else {
      Result<void> passed = co_await pass_field(length);
      if (!passed) co_return passed.error();
    }
  }
  header_.erase(0, at_);
  at_ = 0;
  co_return Result<void>();
}

ev::Task<Result<void>> HeaderSink::pass_field(std::size_t length) {
  const std::string_view field = std::string_view(header_).substr(at_, length);
  const std::string_view name = field.substr(0, mime::field_name_length(field));
  if (length > kMaxField || !mime::find_field(name).addresses) {
    give(length);
    co_return Result<void>();
  }
  std::string value(field.substr(field.find(':', name.size()) + 1));
  std::erase(value, '\r');
  mime::AddressList list = mime::AddressList::parse(value);
  const Addresses::Role role = role_of(name);
  const ev::Deadline deadline = loop_.after(kPatience);
  bool changed = false;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::function<Result<std::string>()> question = [&] {
      return addresses_.rewriter().in_header(list.address(i), role);
    };
    Result<std::string> after = co_await maps::ask<std::string>(loop_, question, deadline);
    if (!after) co_return after.error();
    if (*after == list.address(i)) continue;
    list.set_address(i, std::move(*after));
    changed = changed_ = true;
  }
  if (!changed) {
    give(length);
    co_return Result<void>();
  }
  std::string& out = next_->pending();
  for (const char c : list.format(name)) {
    if (c == '\n') out.push_back('\r');
    out.push_back(c);
  }
  out += "\r\n";
  at_ += length;
  co_return Result<void>();
}

} // namespace postrider::smtpd
