// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "destination.hpp"
#include "message.hpp"

namespace postrider::qmgr {
namespace {

struct Row {
  State from;
  Happening happening;
  Next next;
};

// The whole product, written a second time.
constexpr Row kTable[] = {
    {State::ready, Happening::reached, {State::ready, Deed::none}},
    {State::ready, Happening::died, {State::dead, Deed::suspend}},
    {State::ready, Happening::backoff_over, {State::ready, Deed::none}},
    {State::ready, Happening::flushed, {State::ready, Deed::none}},
    {State::dead, Happening::reached, {State::ready, Deed::resume}},
    {State::dead, Happening::died, {State::dead, Deed::none}},
    {State::dead, Happening::backoff_over, {State::probing, Deed::probe}},
    {State::dead, Happening::flushed, {State::probing, Deed::probe}},
    {State::probing, Happening::reached, {State::ready, Deed::resume}},
    {State::probing, Happening::died, {State::dead, Deed::suspend}},
    {State::probing, Happening::backoff_over, {State::probing, Deed::none}},
    {State::probing, Happening::flushed, {State::probing, Deed::none}},
};

TEST(DestinationTable, AnswersEveryEventInEveryState) {
  std::size_t rows = 0;
  for (const State state : kStates)
    for (const Happening happening : kHappenings) {
      const Row* found = nullptr;
      for (const Row& row : kTable)
        if (row.from == state && row.happening == happening) found = &row;
      ASSERT_NE(found, nullptr);
      EXPECT_EQ(step(state, happening), found->next)
          << to_string(state) << " " << static_cast<int>(happening);
      ++rows;
    }
  EXPECT_EQ(rows, std::size(kTable));
}

TEST(EntryList, LeavesFromAnywhere) {
  Message message;
  EntryList list;
  std::vector<Entry*> entries;
  for (int i = 0; i < 4; ++i)
    entries.push_back(&message.add_entry());
  for (Entry* entry : entries)
    list.push_back(*entry);
  list.remove(*entries[1]);
  list.remove(*entries[3]);
  list.push_front(*entries[3]);
  EXPECT_EQ(list.size(), 3u);
  std::vector<Entry*> order;
  while (!list.empty()) {
    order.push_back(list.front());
    list.remove(*list.front());
  }
  EXPECT_EQ(order, (std::vector<Entry*>{entries[3], entries[0], entries[2]}));
}

TEST(Message, EntriesLeaveInAnyOrder) {
  Message message;
  Entry& a = message.add_entry();
  Entry& b = message.add_entry();
  Entry& c = message.add_entry();
  message.remove_entry(a);
  EXPECT_EQ(message.entries[b.index].get(), &b);
  EXPECT_EQ(message.entries[c.index].get(), &c);
  message.remove_entry(c);
  message.remove_entry(b);
  EXPECT_TRUE(message.entries.empty());
}

} // namespace
} // namespace postrider::qmgr
