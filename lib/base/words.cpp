// SPDX-License-Identifier: MIT
#include "base/words.hpp"

#include "base/ascii.hpp"

namespace postrider {

Result<std::vector<std::string>> split_words(std::string_view text, std::string_view separators) {
  std::vector<std::string> words;
  std::size_t at = 0;
  while (true) {
    at = text.find_first_not_of(separators, at);
    if (at == std::string_view::npos) return words;
    const std::size_t start = at;
    std::size_t level = 0;
    for (; at < text.size(); ++at) {
      const char c = text[at];
      if (c == '{') ++level;
      if (c == '}' && level > 0) --level;
      if (level == 0 && separators.find(c) != std::string_view::npos) break;
    }
    if (level != 0) return Error(ErrorKind::config, "a '{' without its '}'");
    std::string_view word = text.substr(start, at - start);
    if (word.size() >= 2 && word.front() == '{' && word.back() == '}')
      word = trim(word.substr(1, word.size() - 2));
    words.emplace_back(word);
  }
}

} // namespace postrider
