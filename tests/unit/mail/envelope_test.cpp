// SPDX-License-Identifier: MIT
#include "mail/envelope.hpp"

#include <gtest/gtest.h>

namespace postrider::mail {
namespace {

// Every text of an envelope, whatever fields it has by now.
class Texts {
 public:
  std::vector<std::pair<std::string, std::string*>> all;

  template <typename T>
  void operator()(std::string_view name, T& value) {
    if constexpr (std::is_same_v<T, std::string>) {
      all.emplace_back(std::string(name), &value);
    } else if constexpr (std::is_same_v<T, std::vector<Recipient>>) {
      for (Recipient& one : value)
        Recipient::fields(*this, one);
    } else if constexpr (std::is_same_v<T, Forwarded>) {
      Forwarded::fields(*this, value);
    }
  }
  template <typename T>
  void optional(std::string_view name, T& value) {
    (*this)(name, value);
  }
};

TEST(CheckClean, NoTextMayBeginALineOrARecord) {
  Envelope envelope;
  envelope.recipients.resize(2);
  Texts texts;
  Envelope::fields(texts, envelope);
  EXPECT_GE(texts.all.size(), 25U);
  EXPECT_TRUE(check_clean(envelope).ok());
  for (const auto& [name, text] : texts.all) {
    for (const std::string& wrong :
         {std::string("a\nb"), std::string("a\rb"), std::string("a\0b", 3)}) {
      *text = wrong;
      EXPECT_FALSE(check_clean(envelope).ok()) << name;
    }
    text->clear();
  }
}

TEST(CheckClean, SomebodyMustGetIt) { EXPECT_FALSE(check_clean(Envelope()).ok()); }

} // namespace
} // namespace postrider::mail
