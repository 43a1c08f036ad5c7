// SPDX-License-Identifier: MIT
// What filters may change in a message, and what they say; options; the spool.
#include "unit/milter/fake_filter.hpp"

namespace postrider::milter {
namespace {

// --- changes -----------------------------------------------------------------------------------

struct EditCase {
  const char* name;
  std::string packets;
  std::string stored; // of "From: a\r\nX: 1\r\nx: 2\r\n\r\nbody\r\n"
};
class EditTest : public MilterTest, public testing::WithParamInterface<EditCase> {};
TEST_P(EditTest, Applies) {
  content = Spool();
  ASSERT_TRUE(content.append("From: a\r\nX: 1\r\nx: 2\r\n\r\nbody\r\n"));
  fake.answers['E'] = GetParam().packets + answer_packet('c');
  start();
  envelope_events();
  EXPECT_TRUE(message().goes_on());
  EXPECT_EQ(stored(), GetParam().stored);
}
INSTANTIATE_TEST_SUITE_P(
    Header, EditTest,
    testing::ValuesIn<EditCase>({
        {"Add", answer_packet('h', strings({"A", "b"})),
         "Received: ours\r\nFrom: a\r\nX: 1\r\nx: 2\r\nA: b\r\n\r\nbody\r\n"},
        {"AddFolded", answer_packet('h', strings({"A", "b\n\tc\r\nd\n\ne\r"})),
         "Received: ours\r\nFrom: a\r\nX: 1\r\nx: 2\r\nA: b\r\n\tc\r\n\td\r\n\te\r\n\r\nbody\r\n"},
        {"AddWithLoneCr", answer_packet('h', strings({"A", "b\rBcc: c"})),
         "Received: ours\r\nFrom: a\r\nX: 1\r\nx: 2\r\nA: b Bcc: c\r\n\r\nbody\r\n"},
        {"InsertOnTop", answer_packet('i', indexed(0, "A", "b")),
         "A: b\r\nReceived: ours\r\nFrom: a\r\nX: 1\r\nx: 2\r\n\r\nbody\r\n"},
        {"InsertBelowOurs", answer_packet('i', indexed(1, "A", "b")),
         "Received: ours\r\nA: b\r\nFrom: a\r\nX: 1\r\nx: 2\r\n\r\nbody\r\n"},
        {"InsertFarDown", answer_packet('i', indexed(77, "A", "b")),
         "Received: ours\r\nFrom: a\r\nX: 1\r\nx: 2\r\nA: b\r\n\r\nbody\r\n"},
        {"InsertTwice",
         answer_packet('i', indexed(0, "A", "b")) + answer_packet('i', indexed(2, "C", "d")),
         "A: b\r\nReceived: ours\r\nC: d\r\nFrom: a\r\nX: 1\r\nx: 2\r\n\r\nbody\r\n"},
        {"ChangeSecond", answer_packet('m', indexed(2, "X", "new")),
         "Received: ours\r\nFrom: a\r\nX: 1\r\nX: new\r\n\r\nbody\r\n"},
        {"ChangeZeroIsFirst", answer_packet('m', indexed(0, "X", "new")),
         "Received: ours\r\nFrom: a\r\nX: new\r\nx: 2\r\n\r\nbody\r\n"},
        {"ChangeMissingAdds", answer_packet('m', indexed(3, "X", "new")),
         "Received: ours\r\nFrom: a\r\nX: 1\r\nx: 2\r\nX: new\r\n\r\nbody\r\n"},
        {"Delete", answer_packet('m', indexed(1, "X", "")),
         "Received: ours\r\nFrom: a\r\nx: 2\r\n\r\nbody\r\n"},
        {"DeleteMissing", answer_packet('m', indexed(9, "X", "")),
         "Received: ours\r\nFrom: a\r\nX: 1\r\nx: 2\r\n\r\nbody\r\n"},
        {"DeleteAll",
         answer_packet('m', indexed(1, "X", "")) + answer_packet('m', indexed(1, "X", "")) +
             answer_packet('m', indexed(1, "From", "")),
         "Received: ours\r\n\r\nbody\r\n"},
        {"Body", answer_packet('b', "one\r\n") + answer_packet('b', "two\r\n"),
         "Received: ours\r\nFrom: a\r\nX: 1\r\nx: 2\r\n\r\none\r\ntwo\r\n"},
    }),
    [](const auto& one) { return std::string(one.param.name); });

TEST_F(MilterTest, ChangesTheEnvelope) {
  fake.answers['E'] = answer_packet('+', strings({"<new@ours.example>"})) +
                      answer_packet('+', strings({"<u@OURS.example>"})) + // is there already
                      answer_packet('2', strings({"<dsn@ours.example>", "NOTIFY=NEVER"})) +
                      answer_packet('e', strings({"<other@b.example>", "ENVID=x"})) +
                      answer_packet('c');
  start();
  envelope_events();
  EXPECT_TRUE(message().goes_on());
  EXPECT_EQ(envelope.sender, "other@b.example");
  EXPECT_EQ(envelope.envid, "x");
  ASSERT_EQ(envelope.recipients.size(), 3u);
  EXPECT_EQ(envelope.recipients[1].address, "new@ours.example");
  EXPECT_EQ(envelope.recipients[2].notify, mail::notify_never);
  fake.answers['E'] = answer_packet('-', strings({"<u@ours.example>"})) +
                      answer_packet('-', strings({"<nobody@ours.example>"})) +
                      answer_packet('e', strings({"<>"})) + answer_packet('c');
  EXPECT_TRUE(message().goes_on());
  EXPECT_EQ(envelope.recipients.size(), 2u);
  EXPECT_EQ(envelope.sender, "");
}

struct HeaderCase {
  const char* name;
  std::string content, stored;
};
class HeaderTest : public testing::TestWithParam<HeaderCase> {};
TEST_P(HeaderTest, IsTakenApartAndPutTogether) {
  Spool content;
  mail::Envelope envelope;
  ASSERT_TRUE(content.append(GetParam().content));
  Result<Draft> draft = Draft::parse("", content, envelope);
  ASSERT_TRUE(draft);
  const Result<ByteView> body = draft->read_body(0, 1 << 20);
  ASSERT_TRUE(body);
  EXPECT_EQ(draft->head() + std::string(*body), GetParam().stored);
}
INSTANTIATE_TEST_SUITE_P(
    Contents, HeaderTest,
    testing::ValuesIn<HeaderCase>({
        {"Empty", "", ""},
        {"HeaderOnly", "A: b\r\n", "A: b\r\n"},
        {"HeaderWithoutEnd", "A: b", "A: b\r\n"},
        {"EmptyHeader", "\r\nbody\r\n", "\r\nbody\r\n"},
        {"NoHeader", "hello\r\nA: b\r\n", "\r\nhello\r\nA: b\r\n"},
        {"BodyTooEarly", "A: b\r\nhello\r\n\r\nx\r\n", "A: b\r\n\r\nhello\r\n\r\nx\r\n"},
        {"Folded", "A:\r\n b\r\n\tc\r\n\r\n", "A:\r\n b\r\n\tc\r\n\r\n"},
        {"ObsoleteBlank", "A : b\r\n\r\n", "A: b\r\n\r\n"},
        {"Same", "A: b\r\nC:  d\r\n\r\n.\r\nbody", "A: b\r\nC:  d\r\n\r\n.\r\nbody"},
    }),
    [](const auto& one) { return std::string(one.param.name); });

// What an access table prepends stands above our Received:, and filters see it.
TEST(Draft, OnlyOurReceivedIsHidden) {
  Spool content;
  mail::Envelope envelope;
  ASSERT_TRUE(content.append("Received: theirs\r\nA: b\r\n\r\n"));
  const std::string head = "X-Added: 1\r\nReceived: ours;\r\n\tnow\r\nDate: today\r\n";
  Result<Draft> draft = Draft::parse(head, content, envelope);
  ASSERT_TRUE(draft);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < draft->field_count(); ++i)
    names.push_back(draft->field(i).name);
  EXPECT_THAT(names, testing::ElementsAre("X-Added", "Date", "Received", "A"));
  EXPECT_EQ(draft->head(), head + "Received: theirs\r\nA: b\r\n\r\n");
}

TEST(Draft, HeaderHasALimit) {
  Spool content;
  mail::Envelope envelope;
  const std::string line = "A: " + std::string(900, 'x') + "\r\n";
  while (content.size() <= Draft::kLongestHeader)
    ASSERT_TRUE(content.append(line));
  Result<Draft> draft = Draft::parse("", content, envelope);
  ASSERT_FALSE(draft);
  EXPECT_EQ(draft.error().kind(), ErrorKind::limit);
}

// --- replies -----------------------------------------------------------------------------------

struct ReplyCase {
  const char* name;
  std::string in;
  int code;
  std::string dsn, text;
};
class ReplyTest : public testing::TestWithParam<ReplyCase> {};
TEST_P(ReplyTest, IsRead) {
  const auto refusal = parse_reply(GetParam().in);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->code, GetParam().code);
  EXPECT_EQ(refusal->dsn, GetParam().dsn);
  EXPECT_EQ(refusal->text, GetParam().text);
}
INSTANTIATE_TEST_SUITE_P(Replies, ReplyTest,
                         testing::ValuesIn<ReplyCase>({
                             {"Plain", "550 5.7.0 no", 550, "5.7.0", "no"},
                             {"WithoutStatus", "451 later", 451, "4.7.1", "later"},
                             {"CodeAlone", "550", 550, "5.7.1", ""},
                             {"Lines", "550-5.7.2 one\r\n550-5.7.2 two\r\n550 5.7.2 three", 550,
                              "5.7.2", "one\ntwo\nthree"},
                             {"Percent", "550 5.7.1 50%% %d", 550, "5.7.1", "50% d"},
                             {"Control", "550 5.7.1 a\x1b[2Jb\tc", 550, "5.7.1", "a [2Jb c"},
                         }),
                         [](const auto& one) { return std::string(one.param.name); });

// --- options -----------------------------------------------------------------------------------

TEST(FilterOptions, AreReadAsPostfixWritesThem) {
  FilterOptions common;
  common.command_timeout = std::chrono::seconds(7);
  const auto filters =
      parse_filters("inet:127.0.0.1:8891 unix:/run/f.sock, { inet:[::1]:9, connect_timeout=5s, "
                    "command_timeout = 1m,content_timeout=2m, default_action=accept protocol=2 }",
                    common);
  ASSERT_FALSE(filters); // blanks around '=' need braces of their own
  const auto good =
      parse_filters("inet:127.0.0.1:8891 unix:/run/f.sock, { inet:[::1]:9, connect_timeout=5s, "
                    "{command_timeout = 1m},content_timeout=2m, default_action=accept protocol=2 }",
                    common);
  ASSERT_TRUE(good);
  ASSERT_EQ(good->size(), 3u);
  EXPECT_EQ((*good)[0].name, "inet:127.0.0.1:8891");
  EXPECT_EQ((*good)[0].addresses.front().port(), 8891);
  EXPECT_EQ((*good)[0].command_timeout, std::chrono::seconds(7));
  EXPECT_EQ((*good)[1].addresses.front().text(), "/run/f.sock");
  EXPECT_EQ((*good)[2].connect_timeout, std::chrono::seconds(5));
  EXPECT_EQ((*good)[2].command_timeout, std::chrono::minutes(1));
  EXPECT_EQ((*good)[2].content_timeout, std::chrono::minutes(2));
  EXPECT_EQ((*good)[2].default_action, DefaultAction::accept);
  EXPECT_EQ((*good)[2].version, 2u);
}

TEST(FilterOptions, WrongOnesAreRefused) {
  for (const char* text :
       {"localhost:1", "inet:1", "inet:localhost:0", "inet:localhost:99999", "unix:", "{inet:a:1",
        "{inet:127.0.0.1:1, default_action=maybe}", "{inet:127.0.0.1:1, protocol=7}",
        "{inet:127.0.0.1:1, connect_timeout=0}", "{inet:127.0.0.1:1, colour=red}"})
    EXPECT_FALSE(parse_filters(text, {})) << text;
  EXPECT_TRUE(parse_filters("", {})->empty());
}

// --- the spool ---------------------------------------------------------------------------------

TEST(Spool, GivesBackWhatWasPut) {
  Spool spool;
  std::string all;
  for (int i = 0; all.size() < 3 * Spool::kInMemory; ++i) {
    const std::string piece(static_cast<std::size_t>(1 + i * 37 % 5000),
                            static_cast<char>('a' + i % 26));
    all += piece;
    ASSERT_TRUE(spool.append(piece));
  }
  EXPECT_EQ(spool.size(), all.size());
  for (const std::size_t most : {std::size_t{1000}, std::size_t{65535}, all.size()}) {
    std::string read;
    while (true) {
      const Result<ByteView> piece = spool.read(read.size(), most);
      ASSERT_TRUE(piece);
      if (piece->empty()) break;
      EXPECT_LE(piece->size(), most);
      read += *piece;
    }
    EXPECT_EQ(read, all);
  }
}

} // namespace
} // namespace postrider::milter
