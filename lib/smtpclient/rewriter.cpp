// SPDX-License-Identifier: MIT
#include "smtpclient/rewriter.hpp"

#include "base/check.hpp"
#include "base/log.hpp"

namespace postrider::smtpclient {
namespace {

using Action = Check::Action;

constexpr std::size_t kLogged = 200; // bytes of content in a line of the log

// The text that tables are shown: without the obsolete blanks before the colon.
std::string without_blanks(const std::string& text, const mime::Header& header) {
  return text.substr(0, header.name_length) + text.substr(text.find(':', header.name_length));
}

} // namespace

bool rewrites_content(const Tables& t) {
  return !t.generic.empty() || !t.header_checks.empty() || !t.mime_header_checks.empty() ||
         !t.nested_header_checks.empty() || !t.body_checks.empty();
}

Rewriter::Rewriter(Tables& tables, const Options& options, std::string id, mime::Sink& next)
    : generic_(tables, options), id_(std::move(id)), next_(next),
      may_wait_(generic_.may_wait() || tables.header_checks.may_wait() ||
                tables.mime_header_checks.may_wait() || tables.nested_header_checks.may_wait() ||
                tables.body_checks.may_wait()) {
  const std::string prefix = options.flavor == Flavor::lmtp ? "lmtp_" : "smtp_";
  message_ = {&tables.header_checks, prefix + "header_checks"};
  part_ = {&tables.mime_header_checks, prefix + "mime_header_checks"};
  nested_ = {&tables.nested_header_checks, prefix + "nested_header_checks"};
  body_ = {&tables.body_checks, prefix + "body_checks"};
}

void Rewriter::header(const mime::Header& header, const mime::Entity&) {
  Item item;
  item.kind = Item::Kind::header;
  item.text = header.text;
  item.header = header;
  add(std::move(item));
}

void Rewriter::more(const mime::Line& line) {
  Item item;
  item.kind = Item::Kind::more;
  item.text = line.text;
  item.begins = line.begins;
  item.ends = line.ends;
  add(std::move(item));
}

void Rewriter::header_end(mime::Where, const mime::Entity&, mime::HeaderEnd) {}

void Rewriter::body(const mime::Line& line, const mime::Entity& entity) {
  if (queue_.empty() && !error_ && body_.list->empty()) {
    next_.body(line, entity);
    return;
  }
  Item item;
  item.text = line.text;
  item.begins = line.begins;
  item.ends = line.ends;
  add(std::move(item));
}

void Rewriter::add(Item item) {
  if (error_) return;
  queue_.push_back(std::move(item));
  drain();
}

void Rewriter::drain() {
  while (!queue_.empty()) {
    Item& item = queue_.front();
    if (!needs_answer(item)) {
      give_out(item);
      queue_.pop_front();
    } else if (!may_wait_) {
      take(question());
    } else {
      return;
    }
  }
}

const Rewriter::Table& Rewriter::table_for(const Item& item) const {
  if (item.kind == Item::Kind::body) return body_;
  if (item.header.field.of_mime) return part_;
  switch (item.header.where) {
  case mime::Where::message: return message_;
  case mime::Where::part: return part_;
  case mime::Where::nested: return nested_;
  }
  POSTRIDER_UNREACHABLE();
}

bool Rewriter::needs_answer(Item& item) const {
  if (item.kind == Item::Kind::more) return false;
  if (!item.checked) {
    // Empty lines are not looked up, as in Postfix.
    if (!table_for(item).list->empty() && !item.text.empty()) return true;
    item.checked = true;
  }
  const mime::Header& header = item.header;
  if (generic_.empty() || item.gone || item.kind != Item::Kind::header ||
      header.where != mime::Where::message || !header.field.addresses || !header.whole)
    return false;
  if (!item.addresses) {
    const std::size_t colon = item.text.find(':', header.name_length);
    item.addresses = mime::AddressList::parse(std::string_view(item.text).substr(colon + 1));
  }
  return item.next_address < item.addresses->size();
}

maps::Answer Rewriter::question() const {
  const Item& item = queue_.front();
  if (item.checked) return generic_.map(item.addresses->address(item.next_address));
  maps::MapList& list = *table_for(item).list;
  return list.lookup(item.kind == Item::Kind::header ? without_blanks(item.text, item.header)
                                                     : item.text);
}

void Rewriter::answer(const maps::Answer& answer) {
  take(answer);
  drain();
}

void Rewriter::take(const maps::Answer& answer) {
  if (!answer) {
    error_ = answer.error();
    queue_.clear();
    return;
  }
  Item& item = queue_.front();
  if (!item.checked) {
    item.checked = true;
    if (*answer) act(item, **answer);
    return;
  }
  if (*answer) {
    item.addresses->set_address(item.next_address, **answer);
    item.rewritten = true;
  }
  ++item.next_address;
}

void Rewriter::act(Item& item, std::string_view answer) {
  const bool header = item.kind == Item::Kind::header;
  Check check = parse_check(answer, header ? Part::header : Part::body, table_for(item).name);
  if (!check.wrong.empty()) log::warning(check.wrong);
  if (check.action != Action::none && check.action != Action::ignore) {
    const std::string content = header ? without_blanks(item.text, item.header) : item.text;
    const std::string_view where = header ? "header" : "body";
    std::string text(name(check.action));
    text.append(": ").append(where).append(" ").append(content.substr(0, kLogged));
    if (!check.text.empty()) text.append(": ").append(check.text);
    log::event("content", id_, text,
               {{"action", name(check.action)},
                {"where", where},
                {"content", content.substr(0, kLogged)},
                {"text", check.text}});
  }
  switch (check.action) {
  case Action::none:
  case Action::warn:
  case Action::info: break;
  case Action::prepend: item.before = std::move(check.text); break;
  case Action::ignore:
  case Action::strip: item.gone = true; break;
  case Action::replace:
    item.text = std::move(check.text);
    if (!header) break;
    item.header.name_length = mime::field_name_length(item.text);
    item.header.field = mime::find_field(item.text.substr(0, item.header.name_length));
    item.header.ends = true;
    item.replaced = true;
    break;
  }
}

void Rewriter::give_out(Item& item) {
  switch (item.kind) {
  case Item::Kind::header: give_out_header(item); break;
  case Item::Kind::more:
    if (!drop_more_) next_.more({item.text, item.begins, item.ends});
    break;
  case Item::Kind::body:
    if (!item.before.empty()) next_.body({item.before, true, true}, entity_);
    if (!item.gone) next_.body({item.text, item.begins, item.ends}, entity_);
    // Of a line that came in pieces the last one goes: the line still ends.
    else if (!item.begins && item.ends)
      next_.body({{}, false, true}, entity_);
    break;
  }
}

void Rewriter::give_out_header(Item& item) {
  mime::Header header = item.header;
  if (!item.before.empty()) {
    mime::Header before;
    before.text = item.before;
    before.name_length = mime::field_name_length(item.before);
    next_.header(before, entity_);
  }
  drop_more_ = item.gone || item.replaced;
  if (item.gone) return;
  std::string formatted;
  if (item.rewritten)
    formatted = item.addresses->format(std::string_view(item.text).substr(0, header.name_length));
  header.text = item.rewritten ? formatted : item.text;
  if (!header.whole && header.field.addresses && !generic_.empty() &&
      header.where == mime::Where::message)
    log::warning(id_ + ": header " + std::string(header.name()) +
                 " is longer than header_size_limit: its addresses are not rewritten");
  next_.header(header, entity_);
}

} // namespace postrider::smtpclient
