// SPDX-License-Identifier: MIT
#include "mime/parser.hpp"

#include <algorithm>

namespace postrider::mime {
namespace {

bool begins_with_blank(std::string_view text) {
  return !text.empty() && (text.front() == ' ' || text.front() == '\t');
}

// A boundary and its "--" fit into a piece of a line.
Limits with_boundary_in_line(Limits limits) {
  limits.line = std::max<std::size_t>(limits.line, 80);
  limits.boundary = std::min(limits.boundary, limits.line - 4);
  return limits;
}

} // namespace

Parser::Parser(const Limits& limits, Depth depth, Sink& sink)
    : limits_(with_boundary_in_line(limits)), depth_(depth), sink_(sink) {}

// A line is cut once so much of it is there that, with its line end, it cannot fit into a piece.
void Parser::feed(ByteView in) {
  const std::size_t enough = limits_.line + 2;
  while (!in.empty()) {
    const std::size_t want = enough - pending_.size();
    const std::size_t newline = in.substr(0, want).find('\n');
    if (newline == ByteView::npos && in.size() < want) {
      pending_.append(in);
      return;
    }
    const std::size_t taken = newline == ByteView::npos ? want : newline;
    std::string_view text = in.substr(0, taken);
    if (!pending_.empty()) {
      pending_.append(text);
      text = pending_;
    }
    if (newline != ByteView::npos) {
      if (!text.empty() && text.back() == '\r') text.remove_suffix(1);
      line(text, true);
      pending_.clear();
      in.remove_prefix(taken + 1);
    } else {
      line(text.substr(0, limits_.line), false);
      const std::string rest(text.substr(limits_.line));
      pending_ = rest;
      in.remove_prefix(taken);
    }
  }
}

void Parser::finish() {
  std::string_view rest = pending_;
  if (rest.size() > limits_.line) {
    line(rest.substr(0, limits_.line), false);
    rest.remove_prefix(limits_.line);
  }
  if (!rest.empty()) line(rest, true);
  pending_.clear();
  if (!header_.empty()) give_header(true);
  if (in_header_) sink_.header_end(where_, entity_, HeaderEnd::end_of_content);
  in_header_ = false;
}

void Parser::line(std::string_view text, bool ends) {
  const Line line{text, line_begins_, ends};
  line_begins_ = ends;
  if (in_header_)
    header_line(line);
  else
    body_line(line);
}

void Parser::header_line(const Line& line) {
  if (!header_.empty()) {
    if (!line.begins || begins_with_blank(line.text)) {
      if (!given_ && header_.size() >= limits_.header) give_header(false);
      if (given_) {
        sink_.more(line);
        return;
      }
      if (line.begins) header_.push_back('\n');
      header_.append(line.text);
      header_ends_ = line.ends;
      return;
    }
    give_header(true);
  } else if (!line.begins) { // the rest of a boundary's line
    sink_.body(line, entity_);
    return;
  }
  name_length_ = field_name_length(line.text);
  if (name_length_ > 0) {
    header_ = line.text;
    header_ends_ = line.ends;
    return;
  }
  // Anything but a header ends the header, even where the empty line is missing.
  const bool empty = line.text.empty() && line.ends;
  sink_.header_end(where_, entity_, empty ? HeaderEnd::empty_line : HeaderEnd::other_line);
  in_header_ = false;
  if (depth_ != Depth::header_only && empty) {
    const bool whole = depth_ == Depth::encodable && entity_.domain != Domain::seven_bit;
    if (entity_.type.is_rfc822 || (entity_.type.is_global && !whole))
      enter_header(Where::nested, false);
    else if (entity_.type.type == Type::multipart)
      entity_ = Entity{.type = {}, .domain = Domain::seven_bit};
  }
  if (empty)
    sink_.body(line, entity_);
  else
    body_line(line);
}

void Parser::body_line(const Line& line) {
  if (line.begins && !levels_.empty() && line.text.starts_with("--"))
    find_boundary(line.text.substr(2));
  sink_.body(line, entity_);
}

bool Parser::find_boundary(std::string_view text) {
  const auto level = std::find_if(levels_.rbegin(), levels_.rend(),
                                  [&](const Level& l) { return text.starts_with(l.boundary); });
  if (level == levels_.rend()) return false;
  levels_.erase(level.base(), levels_.end()); // parts further in have ended without saying so
  if (text.substr(levels_.back().boundary.size()).starts_with("--")) {
    levels_.pop_back();
    entity_ = Entity{.type = {}, .domain = Domain::seven_bit};
  } else {
    enter_header(Where::part, levels_.back().digest);
  }
  return true;
}

void Parser::enter_header(Where where, bool digest) {
  in_header_ = true;
  where_ = where;
  entity_ = Entity{};
  if (digest) entity_.type = ContentType{.type = Type::message, .is_rfc822 = true};
}

// `whole`: nothing more of it comes.
void Parser::give_header(bool whole) {
  if (!given_) {
    Header header{where_, {}, header_, name_length_, header_ends_, whole};
    header.field = find_field(header.name());
    if (depth_ != Depth::header_only && header.field.field == Field::content_type) {
      entity_.type = parse_content_type(header.value());
      saw_signed_ = saw_signed_ || entity_.type.is_signed;
      for (std::string& boundary : entity_.type.boundaries) {
        if (levels_.size() > limits_.nesting + 1) {
          too_deep_ = true;
          break;
        }
        boundary.resize(std::min(boundary.size(), limits_.boundary));
        levels_.push_back({std::move(boundary), entity_.type.is_digest});
      }
      entity_.type.boundaries.clear();
    }
    if (depth_ != Depth::header_only && header.field.field == Field::content_transfer_encoding)
      entity_.domain = parse_transfer_encoding(header.value()).value_or(entity_.domain);
    sink_.header(header, entity_);
  }
  given_ = !whole;
  if (whole) header_.clear();
}

} // namespace postrider::mime
