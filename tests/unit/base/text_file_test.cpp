// SPDX-License-Identifier: MIT
#include "base/logical_lines.hpp"
#include "base/text_file.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/words.hpp"

namespace postrider {
namespace {

TEST(LogicalLines, CommentsDoNotEndALine) {
  LogicalLines lines("a\n# comment\n b\n\n  # indented comment\n\tc\nd\n");
  auto first = lines.next();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->text, "a b\tc");
  EXPECT_EQ(first->number, 1u);
  auto second = lines.next();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->text, "d");
  EXPECT_EQ(second->number, 7u);
  EXPECT_FALSE(lines.next());
}

TEST(LogicalLines, EmptyTexts) {
  for (const char* text : {"", "\n", "#", "  \n\t\n# x"}) {
    LogicalLines lines(text);
    EXPECT_FALSE(lines.next()) << text;
  }
}

TEST(Words, BracesGroup) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(split_words("a, b\tc,,d\n").value(), (Words{"a", "b", "c", "d"}));
  EXPECT_EQ(split_words("{ a b }, c{d, e}f {}").value(), (Words{"a b", "c{d, e}f", ""}));
  EXPECT_EQ(split_words("").value(), Words{});
  EXPECT_FALSE(split_words("{a").ok());
  EXPECT_FALSE(split_words(std::string(1'000'000, '{')).ok());
}

TEST(ReadTextFile, RefusesWhatOthersMayChange) {
  char path[] = "/tmp/postrider-text-XXXXXX";
  const std::string directory = ::mkdtemp(path);
  const std::string file = directory + "/f";
  EXPECT_EQ(read_text_file(file).error().kind(), ErrorKind::not_found);
  std::ofstream(file) << "hello";
  EXPECT_EQ(read_text_file(file)->text, "hello");
  EXPECT_EQ(read_text_file(file)->stamp, stamp_of(file).value());
  EXPECT_EQ(read_text_file(file, 4).error().kind(), ErrorKind::limit);
  EXPECT_EQ(read_text_file(directory).error().kind(), ErrorKind::refused);
  ASSERT_EQ(::chmod(directory.c_str(), 0777), 0);
  EXPECT_EQ(read_text_file(file).error().kind(), ErrorKind::refused);
  ASSERT_EQ(::chmod(directory.c_str(), 01777), 0);
  EXPECT_TRUE(read_text_file(file).ok());
  ASSERT_EQ(::chmod(file.c_str(), 0602), 0);
  EXPECT_EQ(read_text_file(file).error().kind(), ErrorKind::refused);
  std::filesystem::remove_all(directory);
}

} // namespace
} // namespace postrider
