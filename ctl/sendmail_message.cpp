// SPDX-License-Identifier: MIT
#include "sendmail_message.hpp"

#include <cstring>

#include "base/ascii.hpp"
#include "mail/address.hpp"

namespace postrider::ctl {

void MessageReader::feed(ByteView bytes) {
  while (!bytes.empty() && !ended_) {
    const void* found = std::memchr(bytes.data(), '\n', bytes.size());
    if (found == nullptr) {
      line_.append(bytes);
      return;
    }
    const auto length = static_cast<std::size_t>(static_cast<const char*>(found) - bytes.data());
    end_line(bytes.substr(0, length));
    bytes.remove_prefix(length + 1);
  }
}

void MessageReader::end_line(ByteView rest) {
  line_.append(rest);
  if (!line_.empty() && line_.back() == '\r') line_.pop_back();
  const bool mbox = first_ && line_.starts_with("From ");
  first_ = false;
  if (dot_ends_ && line_ == ".")
    ended_ = true;
  else if (!mbox)
    message_.append(line_).append("\r\n");
  line_.clear();
}

std::string MessageReader::finish() {
  if (!ended_ && !line_.empty()) end_line({});
  return std::move(message_);
}

namespace {

// Splits a list at commas (and group ends), with quotes, comments, literals and <> respected.
// Appends the mailbox text of each entry, comments removed.
Result<void> split_list(std::string_view text, std::vector<std::string>& out) {
  std::string entry;
  std::string angle;
  bool in_angle = false;
  bool has_angle = false;
  const auto flush = [&] {
    const std::string_view chosen = has_angle ? std::string_view(angle) : trim(entry);
    if (!chosen.empty() || has_angle) out.emplace_back(trim(chosen));
    entry.clear();
    angle.clear();
    has_angle = false;
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string& into = in_angle ? angle : entry;
    const char c = text[i];
    if (c == '"' || c == '[') {
      const char close = c == '"' ? '"' : ']';
      const std::size_t start = i++;
      while (i < text.size() && text[i] != close)
        i += text[i] == '\\' && i + 1 < text.size() ? 2 : 1;
      if (i >= text.size()) return Error(ErrorKind::protocol, "an open quote or bracket");
      into.append(text.substr(start, i + 1 - start));
    } else if (c == '(') {
      int depth = 1;
      while (depth > 0 && ++i < text.size()) {
        if (text[i] == '\\')
          ++i;
        else if (text[i] == '(')
          ++depth;
        else if (text[i] == ')')
          --depth;
      }
      if (depth > 0) return Error(ErrorKind::protocol, "an open comment");
      into.push_back(' ');
    } else if (c == '<') {
      if (in_angle || has_angle) return Error(ErrorKind::protocol, "a second '<' in an address");
      in_angle = has_angle = true;
    } else if (c == '>') {
      if (!in_angle) return Error(ErrorKind::protocol, "a '>' without '<'");
      in_angle = false;
    } else if (!in_angle && (c == ',' || c == ';')) {
      flush();
    } else if (!in_angle && c == ':') {
      entry.clear(); // the name of a group
    } else {
      into.push_back(c);
    }
  }
  if (in_angle) return Error(ErrorKind::protocol, "an address without '>'");
  flush();
  return {};
}

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  for (const std::string_view one : names)
    if (iequals(name, one)) return true;
  return false;
}

struct Field {
  std::string_view name;  // empty: not a header field
  std::string_view whole; // its lines, the last CR LF included
  std::string_view value;
};

// The field at the front of `text`, which is at the beginning of a line. Empty `whole`: the header
// ends here.
Field next_field(std::string_view text) {
  Field field;
  std::size_t name = 0;
  while (name < text.size() && text[name] > ' ' && text[name] < 0x7f && text[name] != ':')
    ++name;
  std::size_t colon = name;
  while (colon < text.size() && (text[colon] == ' ' || text[colon] == '\t'))
    ++colon;
  if (name == 0 || colon >= text.size() || text[colon] != ':') return field;
  std::size_t end = text.find("\r\n", colon);
  while (end != std::string_view::npos && end + 2 < text.size() &&
         (text[end + 2] == ' ' || text[end + 2] == '\t'))
    end = text.find("\r\n", end + 2);
  end = end == std::string_view::npos ? text.size() : end + 2;
  field.name = text.substr(0, name);
  field.whole = text.substr(0, end);
  field.value = text.substr(colon + 1, end - colon - 1);
  return field;
}

std::string unfolded(std::string_view value) {
  std::string out;
  for (const char c : value)
    if (c != '\r' && c != '\n') out.push_back(c == '\t' ? ' ' : c);
  return out;
}

} // namespace

Result<std::vector<std::string>> parse_address_list(std::string_view text) {
  std::vector<std::string> pieces;
  if (auto cut = split_list(text, pieces); !cut) return cut.error().in("bad address list");
  std::vector<std::string> out;
  for (const std::string& piece : pieces) {
    // White space around '.' and '@' is allowed in headers, not in what we make of it.
    std::string compact;
    bool quoted = false;
    for (std::size_t i = 0; i < piece.size(); ++i) {
      if (piece[i] == '"') quoted = !quoted;
      if (quoted && piece[i] == '\\' && i + 1 < piece.size())
        compact.push_back(piece[i++]);
      else if (!quoted && piece[i] == ' ' &&
               ((i > 0 && (piece[i - 1] == '.' || piece[i - 1] == '@' || piece[i - 1] == ' ')) ||
                (i + 1 < piece.size() &&
                 (piece[i + 1] == '.' || piece[i + 1] == '@' || piece[i + 1] == ' '))))
        continue;
      compact.push_back(piece[i]);
    }
    // An old source route (RFC 5322 section 4.4) is dropped.
    if (compact.starts_with('@')) {
      const std::size_t colon = compact.find(':');
      if (colon != std::string::npos) compact.erase(0, colon + 1);
    }
    if (compact.empty()) continue; // "<>" among recipients is nobody
    auto address = mail::parse_mailbox(compact, mail::Utf8::yes);
    if (!address)
      return Error(ErrorKind::protocol, "bad address \"" + piece + "\": " + address.error().text());
    out.push_back(std::move(*address));
  }
  return out;
}

Result<Prepared> prepare_message(std::string message, const PrepareOptions& options) {
  Prepared out;
  std::string_view rest = message;
  // First what there is: Resent- fields replace the others, a From: need not be added.
  bool resent = false;
  bool has_from = false;
  for (std::string_view look = rest; !look.empty();) {
    const Field field = next_field(look);
    if (field.whole.empty()) break;
    resent = resent || is_one_of(field.name, {"Resent-To", "Resent-Cc", "Resent-Bcc"});
    has_from = has_from || iequals(field.name, "From");
    look.remove_prefix(field.whole.size());
  }
  if (!has_from && !options.from.empty()) out.message = "From: " + options.from + "\r\n";
  bool any_field = !out.message.empty();
  while (!rest.empty()) {
    const Field field = next_field(rest);
    if (field.whole.empty()) break;
    rest.remove_prefix(field.whole.size());
    const bool lists_recipients =
        resent ? is_one_of(field.name, {"Resent-To", "Resent-Cc", "Resent-Bcc"})
               : is_one_of(field.name, {"To", "Cc", "Bcc"});
    if (options.take_recipients && lists_recipients) {
      POSTRIDER_TRY(const auto found, parse_address_list(unfolded(field.value)));
      out.recipients.insert(out.recipients.end(), found.begin(), found.end());
    }
    if (is_one_of(field.name, {"Bcc", "Resent-Bcc"})) continue;
    out.message.append(field.whole);
    any_field = true;
  }
  // What is neither a field nor an empty line begins the body (RFC 5322 section 2.1).
  if (any_field && !rest.empty() && !rest.starts_with("\r\n")) out.message.append("\r\n");
  if (any_field && rest.empty() && !out.message.ends_with("\r\n\r\n")) out.message.append("\r\n");
  out.message.append(rest);
  return out;
}

std::string quote_display_name(std::string_view name) {
  std::string clean;
  bool plain = true;
  for (const char c : trim(name)) {
    const auto byte = static_cast<unsigned char>(c);
    clean.push_back(byte < 0x20 || byte == 0x7f ? ' ' : c);
    plain =
        plain && (is_alnum(c) || std::strchr(" !#$%&'*+-/=?^_`{|}~", c) != nullptr || byte >= 0x80);
  }
  if (plain) return clean;
  std::string out = "\"";
  for (const char c : clean) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out + '"';
}

} // namespace postrider::ctl
