// SPDX-License-Identifier: MIT
#include "config/expand.hpp"

#include <algorithm>
#include <vector>

#include "base/ascii.hpp"

namespace postrider::config {

namespace {

constexpr std::size_t kMostDepth = 60;
constexpr std::size_t kMostSteps = 100'000;
constexpr std::size_t kMostBytes = std::size_t{8} << 20;

bool is_name_char(char c) { return is_alnum(c) || c == '_'; }

std::string_view skip_spaces(std::string_view text) {
  while (!text.empty() && is_space(text.front()))
    text.remove_prefix(1);
  return text;
}

Error bad(std::string text) { return {ErrorKind::config, std::move(text)}; }

// Decimal numbers of any length.
int compare_digits(std::string_view a, std::string_view b) {
  while (a.size() > 1 && a.front() == '0')
    a.remove_prefix(1);
  while (b.size() > 1 && b.front() == '0')
    b.remove_prefix(1);
  if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  return a.compare(b);
}

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
}

int compare_levels(std::string_view a, std::string_view b) {
  const auto left = split(a, "."), right = split(b, ".");
  for (std::size_t i = 0; i < std::max(left.size(), right.size()); ++i) {
    const std::string_view l = i < left.size() ? left[i] : "0";
    const std::string_view r = i < right.size() ? right[i] : "0";
    const int order = all_digits(l) && all_digits(r) ? compare_digits(l, r) : l.compare(r);
    if (order != 0) return order;
  }
  return 0;
}

class Expander {
 public:
  Expander(const Lookup& lookup, const UnknownName& unknown) : lookup_(lookup), unknown_(unknown) {}

  Result<void> run(std::string_view text, std::string& out) {
    if (stack_.size() + depth_ > kMostDepth) return bad("too deeply nested");
    while (true) {
      const std::size_t dollar = text.find('$');
      POSTRIDER_TRY_VOID(put(text.substr(0, dollar), out));
      if (dollar == std::string_view::npos) return {};
      text.remove_prefix(dollar + 1);
      if (++steps_ > kMostSteps) return bad("too many $names");
      if (!text.empty() && text.front() == '$') {
        POSTRIDER_TRY_VOID(put("$", out));
        text.remove_prefix(1);
      } else if (!text.empty() && (text.front() == '{' || text.front() == '(')) {
        POSTRIDER_TRY(const std::string_view inside, take_balanced(text));
        POSTRIDER_TRY_VOID(braced(inside, out));
      } else {
        const std::string_view name = take_name(text);
        if (name.empty()) return bad("a '$' without a name; write $$ for a dollar sign");
        POSTRIDER_TRY_VOID(append_value(name, out));
      }
    }
  }

 private:
  Result<void> put(std::string_view text, std::string& out) {
    if (text.size() > kMostBytes - std::min(kMostBytes, produced_))
      return bad("grows too large when its $names are replaced");
    produced_ += text.size();
    out.append(text);
    return {};
  }

  static std::string_view take_name(std::string_view& text) {
    std::size_t size = 0;
    while (size < text.size() && is_name_char(text[size]))
      ++size;
    const std::string_view name = text.substr(0, size);
    text.remove_prefix(size);
    return name;
  }

  // REQUIRES an opening brace in front. What is between it and its partner; text goes behind it.
  static Result<std::string_view> take_balanced(std::string_view& text) {
    const char open = text.front();
    const char close = open == '{' ? '}' : ')';
    std::size_t level = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == open) ++level;
      if (text[i] == close && --level == 0) {
        const std::string_view inside = text.substr(1, i - 1);
        text.remove_prefix(i + 1);
        return inside;
      }
    }
    return bad(std::string("a '") + open + "' without its '" + close + "'");
  }

  Result<void> append_value(std::string_view name, std::string& out) {
    if (std::find(stack_.begin(), stack_.end(), name) != stack_.end()) {
      std::string loop;
      auto from = std::find(stack_.begin(), stack_.end(), name);
      for (; from != stack_.end(); ++from)
        loop += *from + " -> ";
      return bad("refers to itself: " + loop + std::string(name));
    }
    const std::optional<std::string> value = lookup_(name);
    if (!value) {
      if (unknown_) unknown_(name);
      return {};
    }
    stack_.emplace_back(name);
    Result<void> done = run(*value, out);
    stack_.pop_back();
    return done;
  }

  Result<void> nested(std::string_view text, std::string& out) {
    ++depth_;
    Result<void> done = run(text, out);
    --depth_;
    return done;
  }

  // The inside of ${...}.
  Result<void> braced(std::string_view inside, std::string& out) {
    inside = skip_spaces(inside);
    if (!inside.empty() && inside.front() == '{') return relation(inside, out);
    const std::string_view name = take_name(inside);
    if (name.empty()) return bad("${...} without a name");
    inside = skip_spaces(inside);
    if (inside.empty()) return append_value(name, out);
    if (inside.front() != '?' && inside.front() != ':')
      return bad("after ${" + std::string(name.substr(0, 60)) + ": expected '?', ':' or '}'");
    std::string value;
    if (lookup_(name)) POSTRIDER_TRY_VOID(append_value(name, value));
    return choose(!value.empty(), inside, out);
  }

  Result<void> relation(std::string_view inside, std::string& out) {
    POSTRIDER_TRY(const std::string_view left_text, take_balanced(inside));
    inside = skip_spaces(inside);
    POSTRIDER_TRY(const Operator op, take_operator(inside));
    inside = skip_spaces(inside);
    if (inside.empty() || inside.front() != '{')
      return bad("a comparison needs {} round its right side");
    POSTRIDER_TRY(const std::string_view right_text, take_balanced(inside));
    inside = skip_spaces(inside);
    std::string left, right;
    POSTRIDER_TRY_VOID(nested(left_text, left));
    POSTRIDER_TRY_VOID(nested(right_text, right));
    const int order = op.level                                ? compare_levels(left, right)
                      : all_digits(left) && all_digits(right) ? compare_digits(left, right)
                                                              : left.compare(right);
    const bool holds =
        (order < 0 && op.less) || (order == 0 && op.equal) || (order > 0 && op.greater);
    if (inside.empty()) return put(holds ? "bool:true" : "", out);
    return choose(holds, inside, out);
  }

  struct Operator {
    bool less, equal, greater, level;
  };

  static Result<Operator> take_operator(std::string_view& text) {
    struct Row {
      std::string_view sign;
      Operator op;
    };
    static constexpr Row kRows[] = {
        {"==", {false, true, false, false}}, {"!=", {true, false, true, false}},
        {"<=", {true, true, false, false}},  {">=", {false, true, true, false}},
        {"<", {true, false, false, false}},  {">", {false, false, true, false}}};
    for (const Row& row : kRows) {
      if (!text.starts_with(row.sign)) continue;
      text.remove_prefix(row.sign.size());
      Operator op = row.op;
      if (text.starts_with("level")) {
        op.level = true;
        text.remove_prefix(5);
      }
      return op;
    }
    return bad("expected one of == != < <= >= > between {} and {}");
  }

  // `rest` starts with ? or :.
  Result<void> choose(bool condition, std::string_view rest, std::string& out) {
    const bool starts_with_yes = rest.front() == '?';
    if (!starts_with_yes && rest.front() != ':') return bad("expected '?' or ':' in ${...}");
    rest.remove_prefix(1);
    const std::string_view after_spaces = skip_spaces(rest);
    if (after_spaces.empty() || after_spaces.front() != '{') // the plain form: all of the rest
      return condition == starts_with_yes ? nested(rest, out) : Result<void>{};
    rest = after_spaces;
    POSTRIDER_TRY(const std::string_view first, take_balanced(rest));
    rest = skip_spaces(rest);
    if (condition == starts_with_yes) POSTRIDER_TRY_VOID(nested(first, out));
    if (rest.empty()) return {};
    if (!starts_with_yes || rest.front() != ':')
      return bad("unexpected text after {...} in ${...}");
    rest = skip_spaces(rest.substr(1));
    if (rest.empty() || rest.front() != '{') return bad("expected {...} after ':' in ${...}");
    POSTRIDER_TRY(const std::string_view second, take_balanced(rest));
    if (!skip_spaces(rest).empty()) return bad("unexpected text at the end of ${...}");
    return condition ? Result<void>{} : nested(second, out);
  }

  const Lookup& lookup_;
  const UnknownName& unknown_;
  std::vector<std::string> stack_;
  std::size_t depth_ = 0, steps_ = 0, produced_ = 0;
};

} // namespace

Result<std::string> expand(std::string_view text, const Lookup& lookup,
                           const UnknownName& unknown) {
  std::string out;
  Expander expander(lookup, unknown);
  if (auto done = expander.run(text, out); !done) return done.error();
  return out;
}

} // namespace postrider::config
