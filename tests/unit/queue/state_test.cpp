// SPDX-License-Identifier: MIT
#include "fixture.hpp"

namespace postrider::queue {

namespace {

MessageState fresh(int recipients) {
  StoredRecord record;
  record.envelope = make_envelope(recipients);
  return make_state(std::move(record));
}

Event event(EventKind kind, std::vector<std::uint32_t> recipients, std::uint32_t attempts = 0,
            const std::string& text = "") {
  Event out;
  out.kind = kind;
  out.recipients = std::move(recipients);
  out.attempts = attempts;
  out.text = text;
  if (kind == EventKind::deferred || kind == EventKind::in_doubt || kind == EventKind::bounced) {
    out.outcome.dsn = "4.0.0";
    out.outcome.text = "said so";
    out.next_try = 1000 + attempts;
  }
  return out;
}

const std::vector<Event>& all_events() {
  static const std::vector<Event> events = {event(EventKind::delivered, {0}),
                                            event(EventKind::bounced, {1}),
                                            event(EventKind::deferred, {2}, 1),
                                            event(EventKind::deferred, {0, 2}, 2),
                                            event(EventKind::in_doubt, {2}, 3),
                                            event(EventKind::reported, {1}),
                                            event(EventKind::delay_reported, {2}),
                                            event(EventKind::held, {}, 0, "why"),
                                            event(EventKind::released, {}),
                                            event(EventKind::requeued, {}),
                                            event(EventKind::strike, {}, 2),
                                            event(EventKind::dropped, {2}),
                                            event(EventKind::delivered, {0, 1, 2}),
                                            event(EventKind::moved, {}),
                                            event(EventKind::removed, {}),
                                            event(EventKind::relayed, {0}, 1),
                                            event(EventKind::relayed, {1, 2}, 2, "final")};
  return events;
}

TEST(State, SettledRecipientNeverReopens) { // I1
  for (const Event& first : {event(EventKind::delivered, {0}), event(EventKind::bounced, {0}),
                             event(EventKind::dropped, {0}), event(EventKind::relayed, {0})}) {
    for (const Event& then : all_events()) {
      MessageState state = fresh(3);
      ASSERT_TRUE(apply(state, first));
      const Status status = state.recipients[0].status;
      ASSERT_TRUE(apply(state, then));
      EXPECT_EQ(state.recipients[0].status, status);
    }
  }
}

TEST(State, SameEventTwiceIsOnce) { // I2, after every other event
  for (const Event& before : all_events()) {
    for (const Event& twice : all_events()) {
      MessageState once = fresh(3);
      ASSERT_TRUE(apply(once, before));
      ASSERT_TRUE(apply(once, twice));
      MessageState again = once;
      ASSERT_TRUE(apply(again, twice));
      EXPECT_EQ(once, again);
    }
  }
}

TEST(State, StrangeRecipientChangesNothing) { // I3
  for (const Event& known : all_events()) {
    if (known.recipients.empty()) continue;
    Event strange = known;
    strange.recipients = {0, 3};
    MessageState state = fresh(3);
    EXPECT_FALSE(apply(state, strange));
    EXPECT_EQ(state, fresh(3));
  }
}

TEST(State, EventsSurviveTheirEncoding) {
  for (const Event& known : all_events()) {
    const std::string body = encode_event(known);
    auto decoded = decode_event(static_cast<std::uint8_t>(known.kind), body);
    ASSERT_TRUE(decoded) << decoded.error().text();
    EXPECT_EQ(*decoded, known);
  }
  EXPECT_EQ(encode_event(event(EventKind::delivered, {7})).size(), 5u);
  EXPECT_FALSE(decode_event(0, ""));
  EXPECT_FALSE(decode_event(200, ""));
  EXPECT_FALSE(decode_event(1, std::string("\0\1\2", 3)));
  EXPECT_FALSE(decode_event(2, encode_event(event(EventKind::deferred, {1}, 1))));
}

TEST(State, EventsOfRebuildTheState) {
  MessageState state = fresh(6);
  for (const Event& known :
       {event(EventKind::relayed, {4}, 1), event(EventKind::relayed, {5}, 1, "final"),
        event(EventKind::delivered, {0}), event(EventKind::in_doubt, {1, 2}, 2),
        event(EventKind::deferred, {1}, 3), event(EventKind::bounced, {2}),
        event(EventKind::reported, {2}), event(EventKind::delay_reported, {1}),
        event(EventKind::strike, {}, 2), event(EventKind::held, {}, 0, "why")})
    ASSERT_TRUE(apply(state, known));
  MessageState again = fresh(6);
  for (const Event& known : events_of(state))
    ASSERT_TRUE(apply(again, known));
  EXPECT_EQ(again, state);
  MessageState many = fresh(1000);
  for (std::uint32_t i = 0; i < 1000; ++i)
    ASSERT_TRUE(apply(many, event(EventKind::delivered, {i})));
  EXPECT_EQ(events_of(many).size(), 1u);
}

TEST(State, MailMayBeginHeldAndIsReleasedForGood) {
  StoredRecord record;
  record.envelope = make_envelope(1);
  record.envelope.hold = "why";
  MessageState state = make_state(record);
  EXPECT_TRUE(state.held);
  EXPECT_EQ(state.hold_reason, "why");
  ASSERT_TRUE(apply(state, event(EventKind::released, {})));
  MessageState again = make_state(record);
  for (const Event& known : events_of(state))
    ASSERT_TRUE(apply(again, known));
  EXPECT_FALSE(again.held);
}

struct ReportCase {
  const char* name;
  const char* sender;
  std::uint8_t notify;
  EventKind end;
  bool wanted;
};
class WantsReport : public testing::TestWithParam<ReportCase> {};
TEST_P(WantsReport, AndMessageStays) {
  const ReportCase& c = GetParam();
  MessageState state = fresh(1);
  state.envelope.sender = c.sender;
  state.envelope.recipients[0].notify = c.notify;
  ASSERT_TRUE(apply(state, event(c.end, {0})));
  EXPECT_EQ(wants_report(state, 0), c.wanted);
  EXPECT_EQ(may_remove(state), !c.wanted);
  ASSERT_TRUE(apply(state, event(EventKind::reported, {0})));
  EXPECT_TRUE(may_remove(state));
}
INSTANTIATE_TEST_SUITE_P(
    Rfc3461Section41, WantsReport,
    testing::ValuesIn<ReportCase>({
        {"Default", "a@b", 0, EventKind::bounced, true},
        {"Failure", "a@b", mail::notify_failure, EventKind::bounced, true},
        {"Never", "a@b", mail::notify_never, EventKind::bounced, false},
        {"SuccessOnly", "a@b", mail::notify_success, EventKind::bounced, false},
        {"NullSender", "", 0, EventKind::bounced, false},
        {"Delivered", "a@b", mail::notify_success, EventKind::delivered, false},
        {"Relayed", "a@b", mail::notify_success, EventKind::relayed, true},
        {"RelayedAfterAWarning", "a@b", 0, EventKind::relayed, true},
        {"RelayedReport", "", mail::notify_success, EventKind::relayed, false},
        {"DroppedByOperator", "a@b", 0, EventKind::dropped, false},
    }),
    [](const auto& param) { return std::string(param.param.name); });

TEST(State, OpenRecipientKeepsTheMessage) {
  MessageState state = fresh(2);
  ASSERT_TRUE(apply(state, event(EventKind::delivered, {0})));
  EXPECT_FALSE(may_remove(state));
  EXPECT_EQ(due_at(state), 0);
  ASSERT_TRUE(apply(state, event(EventKind::deferred, {1}, 4)));
  EXPECT_EQ(due_at(state), 1004);
}

} // namespace

} // namespace postrider::queue
