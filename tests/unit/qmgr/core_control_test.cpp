// SPDX-License-Identifier: MIT
// What operators ask, and what they change.
#include "core_fixture.hpp"

namespace postrider::qmgr {
namespace {

TEST_F(CoreTest, HoldReleaseDelete) {
  open();
  const queue::Id id = send(envelope({"a@x.example"}));
  ASSERT_TRUE(delivers_arrive(1));
  agent().answer(agent().delivers[0], kLater);
  ASSERT_TRUE(parked(id));
  auto held = ask<proto::Acted>(act(proto::Action::hold, id));
  ASSERT_TRUE(held.ok()) << held.error().text();
  EXPECT_EQ(held->changed, 1u);
  auto why = ask<proto::WhyAnswer>(proto::Why{.id = id.text()});
  ASSERT_TRUE(why.ok());
  EXPECT_EQ(why->where, proto::Where::held);
  EXPECT_EQ(why->recipients[0].gate, mail::Gate::held);
  clock.advance(5000s);
  ASSERT_TRUE(turn_until([&] { return loop.now() > SteadyTime{}; }));
  for (int i = 0; i < 200; ++i)
    loop.turn(false);
  EXPECT_EQ(agent().delivers.size(), 1u);
  auto released = ask<proto::Acted>(act(proto::Action::release, id));
  ASSERT_TRUE(released.ok());
  ASSERT_TRUE(delivers_arrive(2));
  agent().answer(agent().delivers[1], kLater);
  ASSERT_TRUE(parked(id));
  auto dry = act(proto::Action::remove, id);
  dry.dry_run = true;
  auto counted = ask<proto::Acted>(dry);
  ASSERT_TRUE(counted.ok());
  EXPECT_EQ(counted->changed, 1u);
  EXPECT_TRUE(ask<proto::WhyAnswer>(proto::Why{.id = id.text()}).ok());
  auto removed = ask<proto::Acted>(act(proto::Action::remove, id));
  ASSERT_TRUE(removed.ok());
  EXPECT_TRUE(turn_until([&] { return core->parts().counters.removed == 1; }));
  EXPECT_TRUE(turn_until([&] { return *core->parts().queue.index().size() == 0; }));
  EXPECT_FALSE(ask<proto::WhyAnswer>(proto::Why{.id = id.text()}).ok());
  EXPECT_TRUE(by_service["bounce"].empty()) << "deleted without a report";
}

// As a filter or an access table wants it: nobody sees it before an operator lets it go.
TEST_F(CoreTest, MailMayBeginOnHold) {
  open();
  mail::Envelope held = envelope({"a@x.example"});
  held.hold = "milter triggers HOLD action";
  const queue::Id id = send(held);
  ASSERT_TRUE(parked(id));
  reopen();
  auto why = ask<proto::WhyAnswer>(proto::Why{.id = id.text()});
  ASSERT_TRUE(why.ok());
  EXPECT_EQ(why->where, proto::Where::held);
  EXPECT_TRUE(agents.empty());
  ASSERT_TRUE(ask<proto::Acted>(act(proto::Action::release, id)).ok());
  ASSERT_TRUE(delivers_arrive(1));
  agent().answer(agent().delivers[0], kLater);
  ASSERT_TRUE(parked(id));
  reopen(); // released once, it stays so
  why = ask<proto::WhyAnswer>(proto::Why{.id = id.text()});
  ASSERT_TRUE(why.ok());
  EXPECT_EQ(why->where, proto::Where::deferred);
}

// A worker may have the uid of the owner, but none can open a file of the queue.
TEST_F(CoreTest, TheUidOfTheOwnerAloneOpensNoDoor) {
  open();
  const queue::Id id = send(envelope({"a@x.example"}));
  ASSERT_TRUE(delivers_arrive(1));
  const std::string lock = scratch.path() + "/queue/qmgr.lock";
  const std::pair<const char*, std::function<int()>> shown[] = {
      {"nothing", [] { return -1; }},
      {"another file", [] { return ::open("/dev/null", O_RDONLY); }},
      {"a name", [&] { return ::open(lock.c_str(), O_PATH); }},
      {"a right to write", [&] { return ::open(lock.c_str(), O_WRONLY); }}};
  for (const auto& [what, show] : shown) {
    end_operator();
    auto removed = ask<proto::Acted>(act(proto::Action::remove, id), show());
    ASSERT_FALSE(removed.ok()) << what;
    EXPECT_EQ(decode<proto::Refused>(removed.error().text())->why, proto::Refusal::not_allowed);
    EXPECT_FALSE(ask<proto::CatAnswer>(proto::Cat{.id = id.text()}, -1).ok()) << what;
  }
  end_operator();
  EXPECT_TRUE(ask<proto::CatAnswer>(proto::Cat{.id = id.text()}).ok());
}

TEST_F(CoreTest, RetryAndFlushDoNotWait) {
  open();
  const queue::Id one = send(envelope({"a@x.example"}));
  const queue::Id two = send(envelope({"a@y.example"}));
  ASSERT_TRUE(delivers_arrive(2));
  agent().answer(agent().delivers[0], kLater);
  agent().answer(agent().delivers[1], kLater);
  ASSERT_TRUE(parked(one));
  ASSERT_TRUE(parked(two));
  auto retried = ask<proto::Acted>(act(proto::Action::retry, one));
  ASSERT_TRUE(retried.ok());
  ASSERT_TRUE(delivers_arrive(3));
  EXPECT_EQ(agent().delivers[2].id, one.number());
  agent().answer(agent().delivers[2], kLater);
  ASSERT_TRUE(parked(one));
  proto::Act flush;
  auto flushed = ask<proto::Acted>(flush);
  ASSERT_TRUE(flushed.ok());
  EXPECT_EQ(flushed->matched, 2u);
  EXPECT_TRUE(delivers_arrive(5));
}

TEST_F(CoreTest, ListsInPages) {
  open();
  std::vector<std::string> ids;
  for (int i = 0; i < 7; ++i)
    ids.push_back(send(envelope({"a@nowhere.example"})).text());
  ASSERT_TRUE(turn_until([&] {
    return core->parts().intake->messages().empty() && *core->parts().queue.index().size() == 7;
  }));
  ids.push_back(send(envelope({"a@x.example"})).text());
  ASSERT_TRUE(delivers_arrive(1));
  std::vector<std::string> seen;
  proto::ListQueue request;
  request.limit = 3;
  while (true) {
    const auto page = ask<proto::QueuePage>(request);
    ASSERT_TRUE(page.ok()) << page.error().text();
    for (const proto::QueueItem& item : page->items)
      seen.push_back(item.id);
    if (!page->more) break;
    request.after = page->next;
  }
  EXPECT_THAT(seen, testing::UnorderedElementsAreArray(ids));
  request = {};
  request.limit = 100;
  request.select.destination = "X.example";
  const auto some = ask<proto::QueuePage>(request);
  ASSERT_TRUE(some.ok());
  ASSERT_EQ(some->items.size(), 1u);
  EXPECT_EQ(some->items[0].where, proto::Where::active);
  const auto counts = ask<proto::QueueCounts>(proto::CountQueue{.by = proto::CountBy::destination});
  ASSERT_TRUE(counts.ok());
  EXPECT_EQ(counts->lines[0].name, "nowhere.example");
  EXPECT_EQ(counts->lines[0].waiting, 7u);
  const auto status = ask<proto::StatusAnswer>(proto::AskStatus{});
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(status->in_flight, 1u);
  EXPECT_EQ(status->deferred, 7u);
  EXPECT_EQ(status->accepted, 8u);
}

TEST_F(CoreTest, RefusesNonsense) {
  open();
  proto::Act everything;
  everything.action = proto::Action::remove;
  EXPECT_FALSE(ask<proto::Acted>(everything).ok()) << "an empty selector is not ALL";
  for (const char* id : {"", "-", "../../x", "0"})
    EXPECT_FALSE(ask<proto::WhyAnswer>(proto::Why{.id = id}).ok());
  EXPECT_FALSE(ask<proto::CatAnswer>(proto::Cat{.id = "../../../etc/passwd"}).ok());
}

} // namespace
} // namespace postrider::qmgr
