// SPDX-License-Identifier: MIT
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "maps/pattern.hpp"

namespace postrider::maps {

namespace {

// A tenth of the library's own limit: some 50 ms on the machine of development, for a pattern that
// tries everything. Ordinary patterns need a few hundred steps for a line.
constexpr std::uint32_t kMostSteps = 1'000'000;
constexpr std::uint32_t kMostHeapKiB = 16 * 1024;

std::string text_of(int code) {
  PCRE2_UCHAR buffer[256] = {};
  ::pcre2_get_error_message(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

const pcre2_match_context* limits() {
  static pcre2_match_context* const context = [] {
    pcre2_match_context* made = ::pcre2_match_context_create(nullptr);
    ::pcre2_set_match_limit(made, kMostSteps);
    ::pcre2_set_depth_limit(made, kMostSteps);
    ::pcre2_set_heap_limit(made, kMostHeapKiB);
    return made;
  }();
  return context;
}

class PcrePattern final : public Pattern {
 public:
  explicit PcrePattern(pcre2_code* code)
      : code_(code), found_(::pcre2_match_data_create_from_pattern(code, nullptr)) {
    ::pcre2_pattern_info(code_, PCRE2_INFO_CAPTURECOUNT, &groups_);
  }
  PcrePattern(const PcrePattern&) = delete;
  PcrePattern& operator=(const PcrePattern&) = delete;
  ~PcrePattern() override {
    ::pcre2_match_data_free(found_);
    ::pcre2_code_free(code_);
  }

  Result<bool> match(std::string_view text, std::vector<std::string_view>* groups) const override {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data() == nullptr ? "" : text.data());
    const int count = ::pcre2_match(code_, subject, text.size(), 0, 0, found_,
                                    const_cast<pcre2_match_context*>(limits()));
    if (count == PCRE2_ERROR_NOMATCH) return false;
    if (count < 0) return Error(ErrorKind::limit, text_of(count));
    if (groups == nullptr) return true;
    groups->assign(groups_ + 1, std::string_view());
    const PCRE2_SIZE* places = ::pcre2_get_ovector_pointer(found_);
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i)
      if (places[2 * i] != PCRE2_UNSET &&
          places[2 * i] <= places[2 * i + 1]) // \K may turn them round
        (*groups)[i] = text.substr(places[2 * i], places[2 * i + 1] - places[2 * i]);
    return true;
  }

  std::size_t group_count() const override { return groups_; }

 private:
  pcre2_code* code_;
  pcre2_match_data* found_; // where pcre2_match() puts what it found
  std::uint32_t groups_ = 0;
};

Result<std::unique_ptr<Pattern>> compile(const std::string& pattern, std::string_view flags,
                                         const std::function<void(std::string)>& complain) {
  std::uint32_t options = PCRE2_CASELESS | PCRE2_DOTALL;
  for (const char flag : flags) {
    switch (flag) {
    case 'i': options ^= PCRE2_CASELESS; break;
    case 'm': options ^= PCRE2_MULTILINE; break;
    case 's': options ^= PCRE2_DOTALL; break;
    case 'x': options ^= PCRE2_EXTENDED; break;
    case 'A': options ^= PCRE2_ANCHORED; break;
    case 'E': options ^= PCRE2_DOLLAR_ENDONLY; break;
    case 'U': options ^= PCRE2_UNGREEDY; break;
    case 'X': complain("ignoring obsolete regexp option \"X\""); break;
    default:
      return Error(ErrorKind::config, "unknown regexp option \"" + std::string(1, flag) + "\"");
    }
  }
  int code = 0;
  PCRE2_SIZE place = 0;
  pcre2_code* compiled = ::pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()),
                                         pattern.size(), options, &code, &place, nullptr);
  if (compiled == nullptr)
    return Error(ErrorKind::config,
                 "error in regex at offset " + std::to_string(place) + ": " + text_of(code));
  return std::unique_ptr<Pattern>(std::make_unique<PcrePattern>(compiled));
}

} // namespace

const Dialect kPcre{.name = "pcre", .compile = &compile};

} // namespace postrider::maps
