// SPDX-License-Identifier: MIT
#include "milter/draft.hpp"

#include <algorithm>

#include "base/ascii.hpp"
#include "smtp/command.hpp"

namespace postrider::milter {

namespace {

constexpr std::size_t kLongestName = 255;

Error malformed(std::string_view what) {
  return Error(ErrorKind::config, "malformed " + std::string(what));
}

bool is_field_name(std::string_view name) {
  if (name.empty() || name.size() > kLongestName) return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return c > ' ' && c < 0x7f && c != ':'; });
}

// Lines of a value may be divided by LF or CR LF; each but the first has to begin with a blank, or
// it would be a field of its own.
std::string clean_value(std::string_view value, std::uint32_t steps) {
  std::string out;
  if ((steps & leading_space) == 0) out += ' ';
  bool first = true;
  for (std::string_view line : split(value, "\n")) {
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (trim(line).empty()) continue; // would look like the end of the header
    if (!first) {
      out += "\r\n";
      if (line.front() != ' ' && line.front() != '\t') out += '\t';
    }
    first = false;
    for (const char c : line)
      out.push_back(c == '\r' ? ' ' : c);
  }
  return out;
}

// Name and value behind an index that was read already.
Result<HeaderField> parse_field(Fields& in, std::uint32_t steps, bool may_be_empty) {
  auto name = in.string();
  auto value = in.string();
  if (!name || !value || !in.empty() || !is_field_name(*name)) return malformed("header field");
  HeaderField field;
  field.name = std::move(*name);
  if (!(value->empty() && may_be_empty)) field.value = clean_value(*value, steps);
  return field;
}

// "TO:<a@b> NOTIFY=NEVER" from "a@b" or "<a@b>" and perhaps options.
std::string as_command(std::string_view verb, std::string_view address, std::string_view options) {
  std::string out(verb);
  if (!address.starts_with('<')) out += '<';
  out += address;
  if (!address.ends_with('>')) out += '>';
  if (!options.empty()) out.append(" ").append(options);
  return out;
}

bool is_clean(std::string_view text) {
  return text.size() < mail::kMaxPath * 2 && std::none_of(text.begin(), text.end(), [](char c) {
           return (c >= 0 && c < ' ') || c == 0x7f;
         });
}

Result<AddRecipient> parse_recipient(Fields& in, mail::Utf8 utf8) {
  const auto address = in.string();
  const std::string options = in.empty() ? std::string() : in.string().value_or("\n");
  smtp::RcptCommand command;
  if (!address || !in.empty() || !is_clean(*address) || !is_clean(options) ||
      smtp::parse_rcpt(as_command("TO:", *address, options), utf8, command))
    return malformed("recipient");
  return AddRecipient{std::move(command.recipient)};
}

Result<ChangeSender> parse_sender(Fields& in) {
  const auto address = in.string();
  const std::string options = in.empty() ? std::string() : in.string().value_or("\n");
  smtp::MailCommand command;
  if (!address || !in.empty() || !is_clean(*address) || !is_clean(options) ||
      smtp::parse_mail(as_command("FROM:", *address, options), command))
    return malformed("sender");
  return ChangeSender{std::move(command.sender), command.ret, std::move(command.envid)};
}

std::string to_text(const std::vector<HeaderField>& fields) {
  std::string out;
  for (const HeaderField& field : fields)
    out.append(field.name).append(":").append(field.value).append("\r\n");
  return out;
}

std::size_t name_length(std::string_view line) {
  std::size_t i = 0;
  while (i < line.size() && line[i] > ' ' && line[i] < 0x7f && line[i] != ':')
    ++i;
  return i;
}

bool same_address(std::string_view a, std::string_view b) {
  return mail::local_part(a) == mail::local_part(b) &&
         iequals(mail::domain_part(a), mail::domain_part(b));
}

} // namespace

bool is_edit(char code) { return std::string_view("hmi+2-e").find(code) != std::string_view::npos; }

Result<Edit> parse_edit(const Packet& packet, std::uint32_t steps, mail::Utf8 utf8) {
  Fields in(packet.data);
  switch (packet.code) {
  case 'h': {
    POSTRIDER_TRY(HeaderField field, parse_field(in, steps, false));
    return Edit(InsertHeader{kAtEnd, std::move(field)});
  }
  case 'i': {
    const auto position = in.u32();
    if (!position) return malformed("header position");
    POSTRIDER_TRY(HeaderField field, parse_field(in, steps, false));
    return Edit(InsertHeader{*position, std::move(field)});
  }
  case 'm': {
    const auto instance = in.u32();
    if (!instance || *instance > INT32_MAX) return malformed("header index");
    POSTRIDER_TRY(HeaderField field, parse_field(in, steps, true));
    return Edit(ChangeHeader{std::max<std::uint32_t>(*instance, 1), std::move(field)});
  }
  case '+':
  case '2': {
    POSTRIDER_TRY(AddRecipient change, parse_recipient(in, utf8));
    return Edit(std::move(change));
  }
  case '-': {
    POSTRIDER_TRY(AddRecipient change, parse_recipient(in, utf8));
    return Edit(DeleteRecipient{std::move(change.recipient.address)});
  }
  case 'e': {
    POSTRIDER_TRY(ChangeSender change, parse_sender(in));
    return Edit(std::move(change));
  }
  default: return malformed("change");
  }
}

Result<Draft> Draft::parse(std::string head, Spool& content, mail::Envelope& envelope) {
  Draft draft(content, envelope);
  const bool has_ours = !head.empty();
  const std::size_t before = head.size();
  POSTRIDER_TRY(const ByteView start, content.read(0, kLongestHeader));
  const std::string text = std::move(head.append(start));
  ByteView rest = text;
  bool ended = false; // by an empty line
  while (!rest.empty() && !ended) {
    const std::size_t end = std::min(rest.find("\r\n"), rest.size()); // the last line may lack it
    const ByteView line = rest.substr(0, end);
    const bool continues = line.starts_with(' ') || line.starts_with('\t');
    if (line.empty()) {
      ended = true;
    } else if (continues && !draft.fields_.empty()) {
      draft.fields_.back().value.append("\r\n").append(line);
    } else {
      const std::size_t length = name_length(line);
      const std::size_t colon = line.find_first_not_of(" \t", length);
      if (length == 0 || colon == ByteView::npos || line[colon] != ':') break; // body from here on
      HeaderField field;
      field.name = line.substr(0, length);
      field.value = line.substr(colon + 1);
      draft.fields_.push_back(std::move(field));
    }
    rest.remove_prefix(std::min(end + 2, rest.size()));
  }
  if (rest.empty() && !ended && content.size() > kLongestHeader)
    return Error(ErrorKind::limit, "the header is longer than " + std::to_string(kLongestHeader));
  const std::size_t header = text.size() - rest.size();
  draft.body_at_ = header - std::min(before, header);
  if (!rest.empty() || ended) draft.gap_ = "\r\n"; // what is no field is body from there on
  const auto ours = std::find_if(draft.fields_.begin(), draft.fields_.end(),
                                 [](const auto& field) { return iequals(field.name, "Received"); });
  if (has_ours && ours != draft.fields_.end()) {
    draft.above_.assign(draft.fields_.begin(), ours);
    draft.ours_.push_back(*ours);
    draft.fields_.erase(draft.fields_.begin(), ours + 1);
  }
  return draft;
}

Result<ByteView> Draft::read_body(std::uint64_t offset, std::size_t most) {
  return body_ ? body_->read(offset, most) : content_->read(body_at_ + offset, most);
}

void Draft::replace_body(Spool body) {
  body_ = std::move(body);
  gap_ = "\r\n";
}

std::string Draft::head() const {
  return to_text(above_) + to_text(ours_) + to_text(fields_) + gap_;
}

void Draft::apply(Edit change) {
  std::visit([this](auto& one) { edit(std::move(one)); }, change);
}

void Draft::edit(InsertHeader change) {
  const auto put = [&](std::vector<HeaderField>& into, std::size_t at) {
    at = std::min(at, into.size());
    into.insert(into.begin() + static_cast<std::ptrdiff_t>(at), std::move(change.field));
  };
  if (change.position <= above_.size())
    put(above_, change.position);
  else
    put(fields_, change.position - above_.size() - 1);
}

void Draft::edit(ChangeHeader change) {
  for (std::vector<HeaderField>* list : {&above_, &fields_})
    for (auto at = list->begin(); at != list->end(); ++at) {
      if (!iequals(at->name, change.field.name) || --change.instance > 0) continue;
      if (change.field.value.empty())
        list->erase(at);
      else
        *at = std::move(change.field);
      return;
    }
  if (!change.field.value.empty()) fields_.push_back(std::move(change.field));
}

void Draft::edit(AddRecipient change) {
  for (const mail::Recipient& recipient : envelope_->recipients)
    if (same_address(recipient.address, change.recipient.address)) return;
  envelope_->recipients.push_back(std::move(change.recipient));
}

void Draft::edit(const DeleteRecipient& change) {
  std::erase_if(envelope_->recipients, [&](const mail::Recipient& recipient) {
    return same_address(recipient.address, change.address) ||
           (!recipient.original.empty() && same_address(recipient.original, change.address));
  });
}

void Draft::edit(ChangeSender change) {
  envelope_->sender = std::move(change.sender);
  if (change.ret != mail::Ret::unset) envelope_->ret = change.ret;
  if (!change.envid.empty()) envelope_->envid = std::move(change.envid);
}

} // namespace postrider::milter
