// SPDX-License-Identifier: MIT
#include "maps/pattern_table.hpp"

#include <algorithm>

#include "base/ascii.hpp"
#include "base/logical_lines.hpp"

namespace postrider::maps {

namespace {

Error bad(std::string text) { return {ErrorKind::config, std::move(text)}; }

// "if", "endif" at the front, in any case, and nothing that continues the word.
bool take_word(std::string_view& text, std::string_view word) {
  if (!istarts_with(text, word)) return false;
  if (text.size() > word.size() && is_alnum(text[word.size()])) return false;
  text = trim(text.substr(word.size()));
  return true;
}

struct Written {
  std::string pattern;
  std::string_view flags;
  bool negated = false;
};

// Takes `[!]/pattern/flags` off the front of `text`, and the white space behind.
Result<Written> take_pattern(std::string_view& text) {
  Written out;
  while (!text.empty() && (text.front() == '!' || is_space(text.front()))) {
    if (text.front() == '!') out.negated = !out.negated;
    text.remove_prefix(1);
  }
  if (text.empty()) return bad("no regexp");
  const char delimiter = text.front();
  std::size_t end = 1;
  while (end < text.size() && text[end] != delimiter)
    end += text[end] == '\\' ? 2 : 1;
  if (end >= text.size())
    return bad(std::string("no closing regexp delimiter \"") + delimiter + "\"");
  out.pattern = text.substr(1, end - 1);
  text.remove_prefix(end + 1);
  std::size_t flags = 0;
  while (flags < text.size() && !is_space(text[flags]))
    ++flags;
  out.flags = text.substr(0, flags);
  text = trim(text.substr(flags));
  return out;
}

// The name behind a '$': "1" of "1 x", "{1}", "(1)".
Result<std::string_view> take_name(std::string_view& text) {
  std::string_view name;
  if (!text.empty() && (text.front() == '{' || text.front() == '(')) {
    const std::size_t end = text.find(text.front() == '{' ? '}' : ')');
    if (end == std::string_view::npos) return bad("truncated macro reference");
    name = text.substr(1, end - 1);
    text.remove_prefix(end + 1);
  } else {
    std::size_t end = 0;
    while (end < text.size() && (is_alnum(text[end]) || text[end] == '_'))
      ++end;
    name = text.substr(0, end);
    text.remove_prefix(end);
  }
  if (name.empty()) return bad("empty macro name");
  return name;
}

} // namespace

class PatternTable::Reader {
 public:
  Reader(PatternTable& table, const Dialect& dialect, Problems& problems, bool substitution)
      : table_(table), dialect_(dialect), problems_(problems), substitution_(substitution) {}

  void read(const LogicalLine& line) {
    line_ = line.number;
    if (is_space(line.text.front()))
      return problems_.add(line_, "the line starts with white space but continues nothing: "
                                  "skipping this rule");
    if (line.text.find('\0') != std::string::npos)
      return problems_.add(line_, "the line holds a zero byte: skipping this rule");
    std::string_view text = trim(line.text);
    if (take_word(text, "endif")) return end_block(text);
    if (take_word(text, "if")) return begin_block(text);
    if (is_alnum(text.front())) return problems_.add(line_, "ignoring unrecognized request");
    add_rule(text);
  }

  void finish() {
    for (const std::size_t rule : open_) {
      table_.rules_[rule].end = table_.rules_.size();
      problems_.add(table_.rules_[rule].line, "IF has no matching ENDIF");
    }
  }

 private:
  void begin_block(std::string_view text) {
    Rule rule;
    rule.is_block = true;
    // A block whose condition is wrong stays shut: its rules were not meant for all keys.
    if (auto compiled = compile(rule, text); !compiled)
      problems_.add(line_, compiled.error().text() + ": skipping all up to its ENDIF");
    else if (!text.empty())
      problems_.add(line_, "ignoring extra text after IF statement");
    open_.push_back(table_.rules_.size());
    table_.rules_.push_back(std::move(rule));
  }

  void end_block(std::string_view text) {
    if (open_.empty()) return problems_.add(line_, "ignoring ENDIF without matching IF");
    if (!text.empty()) problems_.add(line_, "ignoring extra text after ENDIF");
    table_.rules_[open_.back()].end = table_.rules_.size();
    open_.pop_back();
  }

  void add_rule(std::string_view text) {
    Rule rule;
    auto done = compile(rule, text);
    if (done) done = parse_result(rule, text);
    if (done && rule.wants_groups && !substitution_)
      done = bad("regular expression substitution is not allowed");
    if (!done) return problems_.add(line_, done.error().text() + ": skipping this rule");
    if (text.empty()) problems_.add(line_, "no replacement text: using empty string");
    table_.rules_.push_back(std::move(rule));
  }

  // Takes the pattern off `text`.
  Result<void> compile(Rule& rule, std::string_view& text) {
    rule.line = line_;
    POSTRIDER_TRY(const Written written, take_pattern(text));
    rule.negated = written.negated;
    const std::function<void(std::string)> complain = [this](const std::string& what) {
      problems_.add(line_, what);
    };
    POSTRIDER_TRY(rule.pattern, dialect_.compile(written.pattern, written.flags, complain));
    return {};
  }

  static Result<void> parse_result(Rule& rule, std::string_view text) {
    std::string literal;
    const auto finish_literal = [&] {
      if (!literal.empty()) rule.result.push_back({.text = std::exchange(literal, {})});
    };
    while (!text.empty()) {
      const char c = text.front();
      text.remove_prefix(1);
      if (c != '$' || text.starts_with('$')) {
        literal.push_back(c);
        if (c == '$') text.remove_prefix(1);
        continue;
      }
      auto name = take_name(text);
      if (!name) return bad(name.error().text() + ": bad replacement syntax");
      const auto group = parse_decimal(*name);
      if (!group) return bad("non-numeric replacement index \"" + std::string(*name) + "\"");
      if (*group < 1 || *group > rule.pattern->group_count())
        return bad("out of range replacement index \"" + std::string(*name) + "\"");
      if (rule.negated) return bad("$number found in negative match replacement text");
      finish_literal();
      rule.result.push_back({.text = {}, .group = static_cast<std::size_t>(*group)});
      rule.wants_groups = true;
    }
    finish_literal();
    return {};
  }

  PatternTable& table_;
  const Dialect& dialect_;
  Problems& problems_;
  const bool substitution_;
  std::size_t line_ = 0;
  std::vector<std::size_t> open_; // blocks
};

PatternTable PatternTable::parse(std::string_view text, const Dialect& dialect, Problems& problems,
                                 bool substitution) {
  PatternTable table;
  table.name_ = problems.table();
  Reader reader(table, dialect, problems, substitution);
  LogicalLines lines(text);
  while (auto line = lines.next())
    reader.read(*line);
  reader.finish();
  return table;
}

Result<bool> PatternTable::holds(const Rule& rule, std::string_view key,
                                 std::vector<std::string_view>& groups) const {
  if (rule.pattern == nullptr) return false;
  auto matches = rule.pattern->match(key, rule.wants_groups ? &groups : nullptr);
  if (!matches) return matches.error().in(name_ + ", line " + std::to_string(rule.line));
  return *matches != rule.negated;
}

Answer PatternTable::find(std::string_view key) const {
  std::vector<std::string_view> groups;
  for (std::size_t i = 0; i < rules_.size();) {
    const Rule& rule = rules_[i];
    POSTRIDER_TRY(const bool true_here, holds(rule, key, groups));
    if (true_here && !rule.is_block) {
      std::string out;
      for (const Piece& piece : rule.result)
        out.append(piece.group == 0 ? std::string_view(piece.text) : groups[piece.group]);
      return std::optional(std::move(out));
    }
    i = rule.is_block && !true_here ? rule.end : i + 1;
  }
  return std::optional<std::string>();
}

} // namespace postrider::maps
