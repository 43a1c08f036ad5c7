// SPDX-License-Identifier: MIT
#include "fixture.hpp"

#include <fstream>

namespace postrider::queue {

namespace {

class IndexTest : public testing::Test {
 protected:
  IndexTest() {
    POSTRIDER_CHECK(real_file_system().mkdir(layout.index()).ok());
    open();
  }
  void open(std::uint64_t pool = 5) {
    index.reset();
    auto opened = Index::open(layout, pool, 64 << 20);
    POSTRIDER_CHECK(opened.ok(), opened ? "" : opened.error().text());
    index = std::move(*opened);
  }
  static IndexEntry entry(std::uint64_t number, std::int64_t due,
                          std::vector<std::string> destinations, std::string reason = "busy") {
    IndexEntry out;
    out.number = number;
    out.due = due;
    out.destinations = std::move(destinations);
    out.reason = std::move(reason);
    return out;
  }
  static IndexChange put(IndexEntry what) { return {Id(what.number), std::move(what)}; }

  test::ScratchDir dir;
  Layout layout{dir.path()};
  std::unique_ptr<Index> index;
};

TEST_F(IndexTest, SortsByDueTimeAndDestination) {
  ASSERT_TRUE(index->apply({put(entry(1, 300, {"a.example"})), put(entry(2, 100, {"b.example"})),
                            put(entry(3, 200, {"a.example", "b.example"}, "full"))}));
  const auto due = index->due(200, 10).value();
  ASSERT_EQ(due.size(), 2u);
  EXPECT_EQ(due[0].id, Id(2));
  EXPECT_EQ(due[1].id, Id(3));
  EXPECT_EQ(index->due(200, 10, due[0]).value().size(), 1u);
  EXPECT_EQ(index->next_due(200).value(), 300);
  EXPECT_EQ(index->by_destination("a.example", Id(), 10).value(), (std::vector<Id>{Id(1), Id(3)}));
  EXPECT_EQ(index->reasons(10).value()[0].name, "busy");
  EXPECT_EQ(index->reasons(10).value()[0].messages, 2u);
  EXPECT_EQ(index->size().value(), 3u);
  // Changed, not added; removed, with its counts.
  ASSERT_TRUE(index->apply({put(entry(3, 50, {"c.example"})), {Id(1), {}}, {Id(99), {}}}));
  EXPECT_EQ(index->due(60, 10).value().size(), 1u);
  EXPECT_EQ(index->due(1000, 10).value().size(), 2u);
  EXPECT_TRUE(index->by_destination("a.example", Id(), 10).value().empty());
  EXPECT_EQ(index->destinations(10).value().size(), 2u);
  EXPECT_EQ(index->size().value(), 2u);
}

TEST_F(IndexTest, HeldMailIsNeverDue) {
  IndexEntry held = entry(1, 0, {"a.example"});
  held.folder = Folder::hold;
  ASSERT_TRUE(index->apply({put(held)}));
  EXPECT_TRUE(index->due(INT64_MAX, 10).value().empty());
  EXPECT_EQ(index->find(Id(1)).value()->folder, Folder::hold);
}

TEST_F(IndexTest, KnowsWhetherItWasClosedProperly) {
  EXPECT_EQ(index->found(), Index::State::empty);
  open();
  EXPECT_EQ(index->found(), Index::State::stale);
  ASSERT_TRUE(index->close_clean());
  open();
  EXPECT_EQ(index->found(), Index::State::clean);
  open();
  EXPECT_EQ(index->found(), Index::State::stale);
}

TEST_F(IndexTest, UnusableFileIsMadeAnew) {
  ASSERT_TRUE(index->apply({put(entry(1, 1, {"a.example"}))}));
  open(6); // another queue's
  EXPECT_EQ(index->found(), Index::State::empty);
  EXPECT_EQ(index->size().value(), 0u);
  index.reset();
  std::ofstream(layout.index() + "/waiting.mdb", std::ios::trunc) << std::string(9000, 'x');
  open(6);
  EXPECT_EQ(index->found(), Index::State::empty);
  ASSERT_TRUE(index->apply({put(entry(1, 1, {"a.example"}))}));
}

TEST_F(IndexTest, PagesThroughManyEntries) {
  std::vector<IndexChange> changes;
  for (std::uint64_t i = 1; i <= 5000; ++i)
    changes.push_back(
        put(entry(i * 7, static_cast<std::int64_t>(i), {"d" + std::to_string(i % 10)})));
  ASSERT_TRUE(index->apply(changes));
  std::size_t seen = 0;
  Id after;
  for (;;) {
    const auto page = index->page(after, 999).value();
    if (page.empty()) break;
    EXPECT_GT(Id(page.front().number), after);
    after = Id(page.back().number);
    seen += page.size();
  }
  EXPECT_EQ(seen, 5000u);
  EXPECT_EQ(index->destinations(3).value().size(), 3u);
  EXPECT_EQ(index->destinations(3).value()[0].messages, 500u);
}

} // namespace

} // namespace postrider::queue
