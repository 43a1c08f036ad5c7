// SPDX-License-Identifier: MIT
#include <regex.h>

#include "maps/pattern.hpp"

namespace postrider::maps {

namespace {

class RegexpPattern final : public Pattern {
 public:
  RegexpPattern() = default;
  RegexpPattern(const RegexpPattern&) = delete;
  RegexpPattern& operator=(const RegexpPattern&) = delete;
  ~RegexpPattern() override {
    if (compiled_) ::regfree(&expression_);
  }

  Result<void> compile(const std::string& pattern, int options) {
    const int failed = ::regcomp(&expression_, pattern.c_str(), options);
    if (failed != 0) return Error(ErrorKind::config, text_of(failed));
    compiled_ = true;
    return {};
  }

  Result<bool> match(std::string_view text, std::vector<std::string_view>* groups) const override {
    // REG_STARTEND: the text needs no zero byte at its end.
    std::vector<regmatch_t> places(groups == nullptr ? 1 : group_count() + 1);
    places[0].rm_so = 0;
    places[0].rm_eo = static_cast<regoff_t>(text.size());
    const int failed =
        ::regexec(&expression_, text.data() == nullptr ? "" : text.data(),
                  groups == nullptr ? 0 : places.size(), places.data(), REG_STARTEND);
    if (failed == REG_NOMATCH) return false;
    if (failed != 0) return Error(ErrorKind::limit, text_of(failed));
    if (groups == nullptr) return true;
    groups->clear();
    for (const regmatch_t& place : places)
      groups->push_back(place.rm_so < 0
                            ? std::string_view()
                            : text.substr(static_cast<std::size_t>(place.rm_so),
                                          static_cast<std::size_t>(place.rm_eo - place.rm_so)));
    return true;
  }

  std::size_t group_count() const override { return expression_.re_nsub; }

 private:
  std::string text_of(int code) const {
    char buffer[256];
    ::regerror(code, &expression_, buffer, sizeof buffer);
    return buffer;
  }

  regex_t expression_{};
  bool compiled_ = false;
};

Result<std::unique_ptr<Pattern>> compile(const std::string& pattern, std::string_view flags,
                                         const std::function<void(std::string)>&) {
  int options = REG_EXTENDED | REG_ICASE;
  for (const char flag : flags) {
    switch (flag) {
    case 'i': options ^= REG_ICASE; break;
    case 'm': options ^= REG_NEWLINE; break;
    case 'x': options ^= REG_EXTENDED; break;
    default:
      return Error(ErrorKind::config, "unknown regexp option \"" + std::string(1, flag) + "\"");
    }
  }
  auto made = std::make_unique<RegexpPattern>();
  POSTRIDER_TRY_VOID(made->compile(pattern, options));
  return std::unique_ptr<Pattern>(std::move(made));
}

} // namespace

const Dialect kRegexp{.name = "regexp", .compile = &compile};

} // namespace postrider::maps
