// SPDX-License-Identifier: MIT
// The dialogue with a filter: order, negotiation, verdicts, trouble at every byte.
#include "unit/milter/fake_filter.hpp"

namespace postrider::milter {
namespace {

using testing::ElementsAre;

// --- the dialogue ------------------------------------------------------------------------------

TEST_F(MilterTest, TellsEverythingInOrder) {
  start();
  envelope_events();
  EXPECT_TRUE(message().goes_on());
  chain->quit();
  for (int turn = 0; turn < 100 && !fake.closed; ++turn)
    loop.turn(false);
  EXPECT_THAT(fake.heard,
              ElementsAre("O", "D Cj|mx.example|{daemon_name}|here", "C c.example",
                          "H helo.example", "M <a@b.example>|SIZE=10|BODY=7BIT",
                          "R <u@ours.example>", "T", "L From|a@b.example", "L Subject|one\n two",
                          "L X| y", "N", "B", "D Ei|4Qabc", "E", "Q"));
  EXPECT_EQ(fake.body, "body\r\n");
  EXPECT_EQ(stored(),
            "Received: ours\r\nFrom: a@b.example\r\nSubject: one\r\n two\r\nX:  y\r\n\r\nbody\r\n");
}

TEST_F(MilterTest, LeavesOutWhatTheFilterDoesNotWant) {
  fake.steps =
      no_connect | no_helo | no_mail | no_rcpt | no_data | no_header | no_end_of_header | no_body;
  start();
  envelope_events();
  EXPECT_TRUE(message().goes_on());
  EXPECT_THAT(fake.heard,
              ElementsAre("O", "D Cj|mx.example|{daemon_name}|here", "D Ei|4Qabc", "E"));
}

TEST_F(MilterTest, ExpectsNoAnswerWhereTheFilterGivesNone) {
  fake.steps = mute_connect | mute_helo | mute_mail | mute_rcpt | mute_data | mute_header |
               mute_end_of_header | mute_body;
  for (const char c : std::string_view("CHMRTLNB"))
    fake.answers[c] = "";
  start();
  envelope_events();
  EXPECT_TRUE(message().goes_on());
  EXPECT_EQ(fake.heard.back(), "E");
}

// An old filter would lose count if it heard of commands, or if we believed steps, that it has not.
TEST_F(MilterTest, SpeaksTheOlderVersion) {
  fake.version = 2;
  fake.actions = 0x1f;
  setup->filters.front().version = 2;
  fake.steps = mute_header;
  start();
  envelope_events();
  EXPECT_TRUE(tell(unknown_event("HUH")).goes_on());
  EXPECT_TRUE(message().goes_on());
  EXPECT_THAT(fake.heard, testing::Not(testing::Contains("T")));
  EXPECT_THAT(fake.heard, testing::Not(testing::Contains("U HUH")));
  EXPECT_THAT(fake.heard, testing::Contains("L From|a@b.example"));
}

TEST_F(MilterTest, SendsTheMacrosThatTheFilterAskedFor) {
  put_u32(fake.macro_lists, static_cast<std::uint32_t>(Stage::mail));
  put_string(fake.macro_lists, "i {daemon_name}");
  put_u32(fake.macro_lists, static_cast<std::uint32_t>(Stage::connect));
  put_string(fake.macro_lists, "");
  start();
  envelope_events();
  EXPECT_THAT(fake.heard, testing::Contains("D Mi|4Qabc|{daemon_name}|here"));
  EXPECT_THAT(fake.heard, testing::Not(testing::Contains(testing::StartsWith("D C"))));
}

TEST_F(MilterTest, GivesMacrosTheirDefaults) {
  setup->macro_defaults = *parse_macro_defaults("{nothing}=something, j=never");
  start();
  envelope_events();
  EXPECT_EQ(fake.heard[1], "D Cj|mx.example|{daemon_name}|here|{nothing}|something");
}

TEST_F(MilterTest, KeepsLeadingSpaceOnRequest) {
  fake.steps = leading_space;
  fake.answers['E'] = answer_packet('h', strings({"A", "b"})) + answer_packet('c');
  start();
  envelope_events();
  EXPECT_TRUE(message().goes_on());
  EXPECT_THAT(fake.heard, testing::Contains("L From| a@b.example"));
  EXPECT_THAT(stored(), testing::HasSubstr("\r\nA:b\r\n\r\n"));
}

TEST_F(MilterTest, SendsLargeBodiesInChunks) {
  std::string text;
  while (text.size() < 400'000)
    text.append(76, static_cast<char>('a' + text.size() % 26)).append("\r\n");
  ASSERT_TRUE(content.append(text));
  start();
  envelope_events();
  EXPECT_TRUE(message().goes_on());
  EXPECT_EQ(fake.body, "body\r\n" + text);
  EXPECT_EQ(std::count(fake.heard.begin(), fake.heard.end(), "B"), 7);
}

TEST_F(MilterTest, StopsTheBodyWhereTheFilterSkips) {
  ASSERT_TRUE(content.append(std::string(300'000, 'x')));
  fake.answers['B'] = answer_packet('s');
  start();
  envelope_events();
  EXPECT_TRUE(message().goes_on());
  EXPECT_EQ(std::count(fake.heard.begin(), fake.heard.end(), "B"), 1);
  EXPECT_EQ(fake.heard.back(), "E");
}

TEST_F(MilterTest, AbortsWhatWasBegunAndGoesOn) {
  start();
  envelope_events();
  chain->abort();
  chain->abort(); // nothing is under way: says nothing
  EXPECT_TRUE(tell(mail_event("<>", "")).goes_on());
  EXPECT_EQ(std::count(fake.heard.begin(), fake.heard.end(), "A"), 1);
  EXPECT_EQ(fake.heard.back(), "M <>");
}

TEST_F(MilterTest, TellsOfRefusedRecipientsOnRequestOnly) {
  Event refused = rcpt_event("<no@ours.example>", "");
  refused.refused = true;
  start();
  envelope_events();
  EXPECT_TRUE(tell(refused).goes_on());
  EXPECT_THAT(fake.heard, testing::Not(testing::Contains("R <no@ours.example>")));
  fake.steps = rejected_rcpt;
  start();
  envelope_events();
  EXPECT_TRUE(tell(refused).goes_on());
  EXPECT_EQ(fake.heard.back(), "R <no@ours.example>");
}

// --- verdicts ----------------------------------------------------------------------------------

TEST_F(MilterTest, VerdictOnTheConnectionStands) {
  fake.answers['H'] = answer_packet('t');
  start();
  EXPECT_TRUE(tell(connect_event("c.example", {})).goes_on());
  EXPECT_EQ(tell(helo_event("x")).refusal.code, 451);
  EXPECT_EQ(tell(mail_event("<a@b>", "")).refusal.code, 451);
  EXPECT_EQ(fake.heard.back(), "Q");
}

TEST_F(MilterTest, AcceptedConnectionIsHeardOfNoMore) {
  fake.answers['C'] = answer_packet('a');
  start();
  envelope_events();
  EXPECT_TRUE(message().goes_on());
  EXPECT_EQ(fake.heard.back(), "Q");
}

TEST_F(MilterTest, AcceptedMessageIsHeardOfNoMoreButTheNextIs) {
  fake.answers['R'] = answer_packet('a');
  start();
  envelope_events();
  EXPECT_TRUE(message().goes_on());
  EXPECT_EQ(fake.heard.back(), "R <u@ours.example>");
  EXPECT_TRUE(tell(mail_event("<again@b>", "")).goes_on());
  EXPECT_EQ(fake.heard.back(), "M <again@b>");
}

TEST_F(MilterTest, RefusedRecipientIsOneOnly) {
  start();
  envelope_events();
  fake.answers['R'] = answer_packet('r');
  EXPECT_EQ(tell(rcpt_event("<x@ours.example>", "")).refusal.code, 550);
  fake.answers.erase('R');
  EXPECT_TRUE(tell(rcpt_event("<y@ours.example>", "")).goes_on());
}

TEST_F(MilterTest, DiscardsAndHoldsTheMessage) {
  fake.answers['N'] = answer_packet('d');
  start();
  envelope_events();
  EXPECT_EQ(message().kind, Verdict::Kind::discard);
  fake.answers['N'] = answer_packet('c');
  fake.answers['E'] = answer_packet('q', strings({"suspicious"})) + answer_packet('c');
  EXPECT_EQ(message().kind, Verdict::Kind::hold);
}

TEST_F(MilterTest, ShutsDownWithTheFilter) {
  fake.answers['M'] = answer_packet('4');
  start();
  EXPECT_TRUE(tell(connect_event("c.example", {})).goes_on());
  EXPECT_EQ(tell(mail_event("<a@b>", "")).refusal.code, 421);
}

TEST_F(MilterTest, WaitsLongerWhenTheFilterReportsProgress) {
  fake.answers['E'] = answer_packet('p') + answer_packet('p') + answer_packet('c');
  start();
  envelope_events();
  EXPECT_TRUE(message().goes_on());
}

TEST_F(MilterTest, EachFilterSeesWhatTheOneBeforeLeft) {
  setup->filters.push_back(setup->filters.front());
  fake.answers['E'] = answer_packet('i', indexed(0, "Top", "1")) + answer_packet('c');
  start();
  envelope_events();
  EXPECT_TRUE(message().goes_on());
  EXPECT_EQ(fake.connections, 2);
  EXPECT_EQ(std::count(fake.heard.begin(), fake.heard.end(), "L Top|1"), 1);
  EXPECT_THAT(stored(), testing::StartsWith("Top: 1\r\nTop: 1\r\nReceived: ours\r\n"));
}

TEST_F(MilterTest, FirstRefusalDecides) {
  setup->filters.push_back(setup->filters.front());
  fake.answers['M'] = answer_packet('r');
  start();
  EXPECT_TRUE(tell(connect_event("c.example", {})).goes_on());
  EXPECT_EQ(tell(mail_event("<a@b>", "")).refusal.code, 550);
  EXPECT_EQ(std::count(fake.heard.begin(), fake.heard.end(), "M <a@b>"), 1);
}

// --- trouble -----------------------------------------------------------------------------------

struct ActionCase {
  const char* name;
  DefaultAction action;
  Verdict::Kind kind;
  int code;
};
class DefaultActionTest : public MilterTest, public testing::WithParamInterface<ActionCase> {};
TEST_P(DefaultActionTest, StandsInForAFilterThatIsAway) {
  setup->filters.front().default_action = GetParam().action;
  fake.refuses = true;
  start();
  for (const Event& event :
       {connect_event("c.example", {}), helo_event("x"), mail_event("<>", "")}) {
    const Verdict verdict = tell(event);
    EXPECT_EQ(verdict.kind, GetParam().kind);
    if (verdict.kind == Verdict::Kind::refuse) {
      EXPECT_EQ(verdict.refusal.code, GetParam().code);
    }
  }
  EXPECT_EQ(message().kind, GetParam().kind);
}
INSTANTIATE_TEST_SUITE_P(
    Actions, DefaultActionTest,
    testing::Values(ActionCase{"tempfail", DefaultAction::tempfail, Verdict::Kind::refuse, 451},
                    ActionCase{"accept", DefaultAction::accept, Verdict::Kind::go_on, 0},
                    ActionCase{"reject", DefaultAction::reject, Verdict::Kind::refuse, 550},
                    ActionCase{"quarantine", DefaultAction::quarantine, Verdict::Kind::hold, 0},
                    ActionCase{"shutdown", DefaultAction::shutdown, Verdict::Kind::refuse, 421}),
    [](const auto& one) { return std::string(one.param.name); });

// Whatever byte it dies at, the message is as it was, and the client is told to try again.
TEST_F(MilterTest, CutAtEveryByteChangesNothing) {
  fake.answers['E'] = answer_packet('h', strings({"A", "b"})) + answer_packet('b', "new body\r\n") +
                      answer_packet('c');
  start();
  envelope_events();
  ASSERT_TRUE(message().goes_on());
  const std::string changed = stored();
  EXPECT_THAT(changed, testing::EndsWith("A: b\r\n\r\nnew body\r\n"));
  const std::size_t whole = 17 + 5 * 5 + 5 * 5 + fake.answers['E'].size();
  for (std::size_t cut = 0; cut <= whole; ++cut) {
    fake.to_us.cut = cut;
    start();
    Verdict last = tell(connect_event("c.example", {}));
    for (const Event& event :
         {helo_event("x"), mail_event("<>", ""), rcpt_event("<u@ours>", ""), data_event()})
      if (last.goes_on()) last = tell(event);
    const Verdict verdict = message();
    if (cut == whole) {
      EXPECT_TRUE(verdict.goes_on());
      EXPECT_EQ(stored(), changed);
    } else {
      EXPECT_EQ(verdict.refusal.code, 451) << "cut at " << cut;
      EXPECT_THAT(stored(), testing::EndsWith("X:  y\r\n\r\nbody\r\n"));
    }
  }
}

TEST_F(MilterTest, AnswersInPiecesOfOneByte) {
  fake.to_us.piece = 1;
  fake.to_us.bumpy = true;
  fake.answers['E'] = answer_packet('h', strings({"A", "b"})) + answer_packet('c');
  start();
  envelope_events();
  EXPECT_TRUE(message().goes_on());
  EXPECT_THAT(stored(), testing::HasSubstr("\r\nA: b\r\n\r\n"));
}

TEST_F(MilterTest, SilenceEndsAtTheDeadline) {
  setup->filters.front().command_timeout = std::chrono::milliseconds(20);
  fake.answers['M'] = "";
  start();
  EXPECT_TRUE(tell(connect_event("c.example", {})).goes_on());
  EXPECT_EQ(tell(mail_event("<a@b>", "")).refusal.code, 451);
  EXPECT_EQ(tell(data_event()).refusal.code, 451);
}

struct NonsenseCase {
  const char* name;
  char command;
  std::string bytes;
};
class NonsenseTest : public MilterTest, public testing::WithParamInterface<NonsenseCase> {};
TEST_P(NonsenseTest, CountsAsTrouble) {
  if (GetParam().command == 'O')
    fake.handshakes['O'] = GetParam().bytes;
  else
    fake.answers[GetParam().command] = GetParam().bytes;
  start();
  Verdict last = tell(connect_event("c.example", {}));
  for (const Event& event : {helo_event("x"), mail_event("<>", ""), data_event()})
    if (last.goes_on()) last = tell(event);
  const Verdict verdict = message();
  EXPECT_EQ(verdict.refusal.code, 451);
  EXPECT_THAT(stored(), testing::EndsWith("X:  y\r\n\r\nbody\r\n"));
  EXPECT_EQ(envelope.recipients.size(), 1u);
}
std::string numbers(std::initializer_list<std::uint32_t> all) {
  std::string out;
  for (const std::uint32_t one : all)
    put_u32(out, one);
  return out;
}
INSTANTIATE_TEST_SUITE_P(
    Bytes, NonsenseTest,
    testing::ValuesIn<NonsenseCase>({
        {"ZeroLength", 'M', std::string(4, '\0')},
        {"HugeLength", 'M',
         std::string("\x7f\xff\xff\xff"
                     "c",
                     5)},
        {"UnknownAnswer", 'M', answer_packet('Z')},
        {"ChangeAtTheWrongTime", 'M', answer_packet('h', strings({"A", "b"}))},
        {"DiscardOfAConnection", 'C', answer_packet('d')},
        {"ReplyOfAnotherClass", 'M', answer_packet('y', strings({"250 2.0.0 fine"}))},
        {"ReplyThatDisagrees", 'M', answer_packet('y', strings({"550-5.7.1 a\r\n551 5.7.1 b"}))},
        {"ReplyWithAWrongStatus", 'M', answer_packet('y', strings({"550 4.7.1 a"}))},
        {"NotANegotiation", 'O', answer_packet('c')},
        {"ShortNegotiation", 'O', answer_packet('O', numbers({6, 0}))},
        {"NewerVersion", 'O', answer_packet('O', numbers({7, 0, 0}))},
        {"AncientVersion", 'O', answer_packet('O', numbers({1, 0, 0}))},
        {"ActionsNotOffered", 'O', answer_packet('O', numbers({6, 0x80000000, 0}))},
        {"BrokenMacroList", 'O', answer_packet('O', numbers({6, 0, 0, 1}))},
        {"HeaderWithoutValue", 'E', answer_packet('h', "A") + answer_packet('c')},
        {"HeaderNameWithColon", 'E',
         answer_packet('h', strings({"A: b\r\nC", "d"})) + answer_packet('c')},
        {"HeaderNameEmpty", 'E', answer_packet('h', strings({"", "d"})) + answer_packet('c')},
        {"HeaderIndexNegative", 'E',
         answer_packet('m', indexed(0xffffffff, "A", "b")) + answer_packet('c')},
        {"RecipientWithALine", 'E',
         answer_packet('+', strings({"<a@b>\r\nRCPT TO:<c@d>"})) + answer_packet('c')},
        {"RecipientIsNone", 'E', answer_packet('+', strings({""})) + answer_packet('c')},
        {"RecipientWithBadOption", 'E',
         answer_packet('2', strings({"<a@b>", "NOTIFY=X"})) + answer_packet('c')},
        {"SenderWithALine", 'E', answer_packet('e', strings({"<a@b\n>"})) + answer_packet('c')},
        {"BodyTooLarge", 'E',
         answer_packet('b', std::string(60'000, 'x')) +
             answer_packet('b', std::string(60'000, 'x')) + answer_packet('c')},
    }),
    [](const auto& one) { return std::string(one.param.name); });

TEST_F(MilterTest, TooManyChangesAreTrouble) {
  std::string many;
  for (std::size_t i = 0; i <= Filter::kMostEdits; ++i)
    many += answer_packet('h', strings({"A", "b"}));
  fake.answers['E'] = many + answer_packet('c');
  start();
  envelope_events();
  EXPECT_EQ(message().refusal.code, 451);
  EXPECT_THAT(stored(), testing::EndsWith("X:  y\r\n\r\nbody\r\n"));
}

} // namespace
} // namespace postrider::milter
