// SPDX-License-Identifier: MIT
// What goes over the wire: unchanged where it can be, changed as the tables and the server want it.
#include "smtpclient/content_reader.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/ascii.hpp"
#include "base/log.hpp"
#include "smtpclient/delivered_to.hpp"
#include "smtpclient/generic.hpp"
#include "smtpclient/rewriter.hpp"
#include "stored_message.hpp"

namespace postrider::smtpclient {
namespace {

using testing::HasSubstr;
using testing::Not;

// What is logged while it lives.
class Log {
 public:
  Log() : file_(memfd_create("log", MFD_CLOEXEC)) {
    log::Setup setup;
    setup.target = log::Target::descriptor;
    setup.descriptor = file_.get();
    log::start(setup);
  }
  ~Log() { log::start({}); }
  std::string text() {
    log::flush();
    std::string out(1 << 16, '\0');
    out.resize(static_cast<std::size_t>(pread(file_.get(), out.data(), out.size(), 0)));
    return out;
  }

 private:
  Fd file_;
};

maps::MapList open(const std::string& spec) {
  auto list = maps::open_maps(spec, {});
  EXPECT_TRUE(list) << spec;
  return list ? std::move(*list) : maps::MapList();
}

struct Sent {
  std::string wire;
  std::optional<Trouble> trouble;
  bool unchanged = false;
};

Sent send(std::string_view content, const Options& options, const Rewriting& rewriting,
          ContentReader::Framing framing = ContentReader::Framing::dot) {
  Message message(content, 1);
  ContentReader reader(message.content, message.facts, options, framing, rewriting);
  Sent sent;
  sent.unchanged = reader.unchanged();
  for (;;) {
    const Result<bool> last = reader.next(sent.wire);
    if (!last) sent.trouble = reader.trouble();
    if (!last || *last) return sent;
  }
}

std::string crlf(std::string_view text) {
  std::string out;
  for (const char c : text)
    out += c == '\n' ? "\r\n" : std::string(1, c);
  return out;
}

class ContentTest : public testing::Test {
 protected:
  std::string wire(std::string_view text) {
    Rewriting rewriting;
    if (rewrites_content(tables)) rewriting.tables = &tables;
    rewriting.to_seven_bit = to_seven_bit;
    rewriting.first_headers = first;
    const Sent sent = send(crlf(text), options, rewriting);
    trouble = sent.trouble;
    std::string out;
    for (const char c : sent.wire)
      if (c != '\r') out += c;
    return out;
  }
  Tables tables;
  Options options;
  bool to_seven_bit = false;
  std::string first;
  std::optional<Trouble> trouble;
};

const std::string kUnlabelled = "Subject: x\r\n\r\nna\xc3\xafve\r\n";

// Body hash in is body hash out: whatever the server can, and whatever tables look at it.
TEST(ContentUnchanged, WhenNothingAsksForAChange) {
  std::string big = "Subject: big\r\nTo: a@b,\r\n c@d\r\n\r\n";
  for (int i = 0; big.size() < 300000; ++i)
    big +=
        "line " + std::to_string(i) + std::string(static_cast<std::size_t>(i % 900), 'x') + "\r\n";
  const std::string mixed = "Content-Type: multipart/mixed; "
                            "boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n"
                            "\r\nAAAA\r\n--b\r\n\r\n\xc3\xa9\r\n--b--\r\n";
  Tables others; // that have nothing to say
  others.generic = open("inline:{nobody@example.com=x@y}");
  others.header_checks = open("inline:{ {x-none: x = IGNORE} }");
  others.body_checks = open("inline:{ {no such line = IGNORE} }");
  for (const std::string& content :
       {std::string("Subject: x\r\n\r\nHello\r\n"), kUnlabelled, big, mixed,
        std::string("Subject : obsolete\r\nnot a header\r\nbody\r\n"), std::string("\r\n\r\n"),
        std::string("A: b\r\n \t\r\n\tc\r\n\r\n"), std::string("no header at all\r\n"),
        "\r\n" + std::string(998, 'x') + "\r\n", std::string("A: b\r\n")}) {
    for (const bool seven : {false, true}) {
      for (Tables* tables : {static_cast<Tables*>(nullptr), &others}) {
        for (const auto framing : {ContentReader::Framing::dot, ContentReader::Framing::chunk}) {
          Rewriting rewriting;
          rewriting.tables = tables;
          rewriting.to_seven_bit = seven;
          const Sent sent = send(content, {}, rewriting, framing);
          EXPECT_TRUE(sent.wire == content)
              << content.substr(0, 100) << " -> " << sent.wire.substr(0, 100);
          EXPECT_EQ(sent.unchanged, tables == nullptr && !seven);
        }
      }
    }
  }
}

TEST(ContentUnchanged, OnlyTheLastLineEndIsAdded) {
  EXPECT_EQ(send("A: b\r\n\r\nend", {}, {}).wire, "A: b\r\n\r\nend\r\n");
  Rewriting seven;
  seven.to_seven_bit = true;
  EXPECT_EQ(send("A: b\r\n\r\n\xc3\xa9nd", {}, seven).wire, "A: b\r\n\r\n\xc3\xa9nd\r\n");
  EXPECT_EQ(send("A: b\r\n\r\n.end", {}, {}).wire, "A: b\r\n\r\n..end\r\n");
  EXPECT_EQ(send("", {}, {}).wire, "");
  EXPECT_EQ(send("", {}, seven).wire, "");
}

TEST_F(ContentTest, LongLinesAreBrokenAndSaidSo) {
  Log log;
  options.line_length_limit = 10;
  EXPECT_EQ(wire("0123456789\n0123456789a\n"), "0123456789\n0123456789\n a\n");
  EXPECT_THAT(log.text(), HasSubstr(kId.text() + ": breaking line > 10 bytes with <CR><LF>SPACE"));
}

TEST_F(ContentTest, SevenBitServersGetQuotedPrintable) {
  to_seven_bit = true;
  Log log;
  EXPECT_EQ(wire("Content-Transfer-Encoding: 8bit\nSubject: x\n\n.\xc3\xa9\n"),
            "Subject: x\nContent-Transfer-Encoding: quoted-printable\n\n..=C3=A9\n");
  EXPECT_THAT(log.text(), Not(HasSubstr("signed")));
  EXPECT_EQ(wire("Content-Type: multipart/signed; boundary=b\n\n--b\n"
                 "Content-Transfer-Encoding: 8bit\n\n\xc3\xa9\n--b--\n"),
            "Content-Type: multipart/signed; boundary=b\n\n--b\n"
            "Content-Transfer-Encoding: quoted-printable\n\n=C3=A9\n--b--\n");
  EXPECT_THAT(log.text(), HasSubstr("its signature is broken"));
}

TEST_F(ContentTest, DeepNestingIsReturned) {
  to_seven_bit = true;
  options.mime_nesting_limit = 1;
  std::string text = "Content-Type: multipart/mixed; boundary=b0\n\n";
  for (int i = 1; i < 4; ++i)
    text += "--b" + std::to_string(i - 1) + "\nContent-Type: multipart/mixed; boundary=b" +
            std::to_string(i) + "\n\n";
  wire(text);
  ASSERT_TRUE(trouble);
  EXPECT_EQ(trouble->cause, Cause::mime_nesting);
  const mail::Outcome outcome = to_outcome(*trouble, {"mx", "192.0.2.1", 25});
  EXPECT_EQ(outcome.verdict, mail::Verdict::bounced);
  EXPECT_EQ(outcome.dsn, "5.6.0");
  EXPECT_EQ(outcome.text, "MIME nesting exceeds safety limit");
  to_seven_bit = false; // it is sent as it is where it need not be converted
  EXPECT_EQ(wire(text), text);
}

TEST_F(ContentTest, HeaderChecksByPlace) {
  tables.header_checks = open("inline:{ {subject: one = WARN top}, {x-a: 1 = INFO}, "
                              "{content-type: text/plain = WARN never} }");
  tables.mime_header_checks =
      open("inline:{ {content-type: text/plain = WARN part}, {x-b: 2 = INFO} }");
  tables.nested_header_checks = open("inline:{ {subject: two = WARN nested} }");
  tables.body_checks = open("inline:{ {--b = INFO boundary}, {text = WARN body} }");
  const std::string text =
      "Subject: one\nX-A : 1\nContent-Type: multipart/mixed; boundary=b\n\n--b\n"
      "Content-Type: text/plain\nX-B: 2\n\ntext\n--b\n"
      "Content-Type: message/rfc822\n\nSubject: two\n\ntext\n";
  Log log;
  EXPECT_EQ(wire(text), text);
  std::vector<std::string> lines;
  const std::string said = log.text();
  for (const auto line : split(said, "\n"))
    lines.emplace_back(line.substr(line.find(kId.text()) + kId.text().size() + 2));
  EXPECT_THAT(lines,
              testing::ElementsAre(
                  "warning: header Subject: one: top", "info: header X-A: 1",
                  "info: body --b: boundary", "warning: header Content-Type: text/plain: part",
                  "info: header X-B: 2", "warning: body text: body", "info: body --b: boundary",
                  "warning: header Subject: two: nested", "warning: body text: body"));
}

struct ActionCase {
  std::string_view name, answer, in, out, logged;
};
void PrintTo(const ActionCase& c, std::ostream* out) { *out << c.name; }
class Actions : public ContentTest, public testing::WithParamInterface<ActionCase> {};
TEST_P(Actions, DoWhatPostfixDoes) {
  const ActionCase& c = GetParam();
  tables.header_checks = open("inline:{ {x: y = " + std::string(c.answer) + "} }");
  tables.body_checks = open("inline:{ {line = " + std::string(c.answer) + "} }");
  Log log;
  EXPECT_EQ(wire(c.in), c.out);
  EXPECT_FALSE(trouble);
  if (c.logged.empty())
    EXPECT_EQ(log.text(), "");
  else
    EXPECT_THAT(log.text(), HasSubstr(std::string(c.logged) + "\n"));
}
const ActionCase kActions[] = {
    {"dunno", "DUNNO", "X: y\n\nline\n", "X: y\n\nline\n", ""},
    {"ok_with_text", "OK really", "X: y\n\nline\n", "X: y\n\nline\n", ""},
    {"warn", "WARN why", "X: y\n\n", "X: y\n\n", ": warning: header X: y: why"},
    {"info", "info", "\nline\n", "\nline\n", ": info: body line"},
    {"ignore", "IGNORE", "A: b\nX: y\n more\nX: y\nC: d\n\n", "A: b\nX: y\n more\nC: d\n\n", ""},
    {"ignore_body", "IGNORE", "\na\nline\nb\n", "\na\nb\n", ""},
    {"strip", "STRIP it", "A: b\nX: y\n\n", "A: b\n\n", ": strip: header X: y: it"},
    {"replace", "REPLACE New: z", "X: y\nA: b\n\n", "New: z\nA: b\n\n",
     ": replace: header X: y: New: z"},
    {"replace_body", "REPLACE .other", "\nline\n", "\n..other\n", ": replace: body line: .other"},
    {"prepend", "PREPEND New: z", "A: b\nX: y\n\n", "A: b\nNew: z\nX: y\n\n",
     ": prepend: header X: y: New: z"},
    {"prepend_body", "PREPEND before", "\nline", "\nbefore\nline\n",
     ": prepend: body line: before"},
    {"replace_without_text", "REPLACE", "X: y\n\n", "X: y\n\n",
     "warning: REPLACE action without text in smtp_header_checks map"},
    {"replace_with_no_header", "REPLACE text", "X: y\n\n", "X: y\n\n",
     "warning: bad REPLACE header text \"text\" in smtp_header_checks map -- need \"headername: "
     "headervalue\""},
    {"reject", "REJECT no", "X: y\n\n", "X: y\n\n",
     "warning: unsupported command in smtp_header_checks map: REJECT no"},
    {"hold", "HOLD", "\nline\n", "\nline\n",
     "warning: unsupported command in smtp_body_checks map: HOLD"},
    {"prefix_of_an_action", "WAR", "\nline\n", "\nline\n",
     "warning: unsupported command in smtp_body_checks map: WAR"},
};
INSTANTIATE_TEST_SUITE_P(Checks, Actions, testing::ValuesIn(kActions),
                         [](const auto& row) { return std::string(row.param.name); });

TEST_F(ContentTest, LmtpTablesHaveTheirOwnNames) {
  options.flavor = Flavor::lmtp;
  tables.header_checks = open("static:REJECT");
  Log log;
  wire("A: b\n\n");
  EXPECT_THAT(log.text(), HasSubstr("in lmtp_header_checks map"));
}

TEST_F(ContentTest, ATableErrorDefers) {
  tables.body_checks = open("texthash:/nonexistent/table");
  Log log;
  EXPECT_EQ(wire("A: b\n\nline\nmore\n"), "A: b\n\n");
  ASSERT_TRUE(trouble);
  EXPECT_EQ(trouble->cause, Cause::local_data);
  const mail::Outcome outcome = to_outcome(*trouble, {"mx", "192.0.2.1", 25});
  EXPECT_EQ(outcome.verdict, mail::Verdict::deferred);
  EXPECT_EQ(outcome.dsn, "4.3.0");
  EXPECT_EQ(outcome.text, "local data error while talking to mx[192.0.2.1]");
}

TEST_F(ContentTest, AHeaderBeyondTheLimitIsStillWhole) {
  options.header_size_limit = 20;
  tables.header_checks =
      open("inline:{ {x: 3456789 012345678 = WARN seen}, {y: 34567890123456789 = IGNORE} }");
  tables.generic = open("inline:{a@b=c@d}");
  Log log;
  const std::string text =
      "X: 3456789 012345678\n more\n and more\nTo: a@b,\n a@b, a@b, a@b,\n a@b\n\n";
  EXPECT_EQ(wire(text), text);
  EXPECT_THAT(log.text(), HasSubstr("warning: header X: 3456789 012345678: seen"));
  EXPECT_THAT(log.text(), HasSubstr("header To is longer than header_size_limit"));
  // What is taken out is taken out as a whole.
  EXPECT_EQ(wire("Y: 34567890123456789\n more\n and more\nZ: z\n\n"), "Z: z\n\n");
}

TEST_F(ContentTest, LongBodyLinesAreSeenInPieces) {
  const std::string x(2048, 'x');
  tables.body_checks = open("inline:{" + x + "=IGNORE, {y = REPLACE z}, z=IGNORE}");
  EXPECT_EQ(wire("\n" + x + "y\n"), "\nz\n");
  EXPECT_EQ(wire("\na" + x + "z\n"),
            "\na" + x.substr(0, 997) + "\n " + x.substr(0, 997) + "\n " + x.substr(0, 53) + "xz\n");
  options.line_length_limit = 0;
  EXPECT_EQ(wire("\n" + std::string(2048, 'a') + "z\nb\n"),
            "\n" + std::string(2048, 'a') + "\nb\n");
}

TEST_F(ContentTest, GenericAddressesInHeaders) {
  tables.generic = open("inline:{joe@in.example=Joe@out.example, @wild.example=@outer.example}");
  const std::string fields[] = {"From",
                                "Sender",
                                "Reply-To",
                                "To",
                                "Cc",
                                "Bcc",
                                "Resent-From",
                                "Resent-Sender",
                                "Resent-To",
                                "Resent-Cc",
                                "Resent-Bcc",
                                "Resent-Reply-To",
                                "Errors-To",
                                "Return-Path",
                                "Return-Receipt-To",
                                "Disposition-Notification-To",
                                "Mail-Followup-To",
                                "Apparently-To"};
  for (const std::string& field : fields)
    EXPECT_EQ(wire(field + ":  J. <joe@in.example> (x),\n  x@wild.example\n\n"),
              field + ": J. <Joe@out.example>(x), x@outer.example\n\n");
  for (const std::string field : {"X-To", "Subject", "Received", "Delivered-To", "Message-ID"})
    EXPECT_EQ(wire(field + ":  joe@in.example\n\n"), field + ":  joe@in.example\n\n");
  // Only in the header of the message.
  const std::string nested =
      "Content-Type: message/rfc822\n\nTo: joe@in.example\n\njoe@in.example\n";
  EXPECT_EQ(wire(nested), nested);
  EXPECT_EQ(wire("To : joe@in.example\n\n"), "To: Joe@out.example\n\n");
  tables.header_checks = open("inline:{ {x: y = REPLACE To: joe@in.example} }");
  EXPECT_EQ(wire("X: y\n\n"), "To: Joe@out.example\n\n");
  EXPECT_EQ(wire(nested), nested);
}

TEST_F(ContentTest, FirstHeadersStandInFront) {
  first = "Return-Path: <a@b>\r\nDelivered-To: c@d\r\n";
  EXPECT_EQ(wire("A: b\n\n.\n"), "Return-Path: <a@b>\nDelivered-To: c@d\nA: b\n\n..\n");
  EXPECT_EQ(wire("A: b\n\nx\n"), "Return-Path: <a@b>\nDelivered-To: c@d\nA: b\n\nx\n");
  tables.generic = open("inline:{a@b=x@y, c@d=x@y}");
  EXPECT_EQ(wire("A: b\n\n"), "Return-Path: <x@y>\nDelivered-To: c@d\nA: b\n\n");
  Rewriting rewriting;
  rewriting.first_headers = first;
  EXPECT_FALSE(send("A: b\r\n\r\n", options, rewriting).unchanged);
}

TEST(FirstHeaders, ByFlags) {
  Options options;
  EXPECT_EQ(first_headers(options, "a@b", "c@d"), "");
  options.add_return_path = options.add_original_to = options.add_delivered_to = true;
  EXPECT_EQ(first_headers(options, "", "x y@d"),
            "Return-Path: <>\r\nX-Original-To: \"x y\"@d\r\nDelivered-To: \"x y\"@d\r\n");
}

TEST(DeliveredTo, IsFoundInTheHeaderOnly) {
  const auto found = [](std::string_view content, std::string_view address) {
    Message message(content, 1);
    const Result<bool> answer = was_delivered_to(message.content, address);
    return answer && *answer;
  };
  const std::string text =
      "Delivered-To: One@Example.com\r\ndelivered-to : \"t w\"@example.com\r\n"
      "X-Delivered-To: x@example.com\r\n\r\nDelivered-To: body@example.com\r\n";
  EXPECT_TRUE(found(text, "one@example.COM"));
  EXPECT_TRUE(found(text, "t w@example.com"));
  EXPECT_FALSE(found(text, "x@example.com"));
  EXPECT_FALSE(found(text, "body@example.com"));
  EXPECT_FALSE(found("", "body@example.com"));
}

struct GenericCase {
  std::string_view name, tables, address, result;
};
void PrintTo(const GenericCase& c, std::ostream* out) { *out << c.name; }
class GenericTest : public testing::TestWithParam<GenericCase> {};

std::string mapped(const GenericCase& c, bool propagate, std::string_view local = "local.example") {
  Tables tables;
  tables.generic = open(std::string(c.tables));
  tables.local_domains = std::move(*maps::MatchList::open(local, {}, {}));
  Options options;
  options.address_delimiters = "+";
  options.origin = "origin.example";
  options.propagate_generic = propagate;
  options.own_addresses.push_back(*net::Address::parse_ip("192.0.2.1", 0));
  const maps::Answer answer = Generic(tables, options).map(c.address);
  if (!answer) return "error";
  return answer->value_or("same");
}

TEST_P(GenericTest, Maps) { EXPECT_EQ(mapped(GetParam(), false), GetParam().result); }
const GenericCase kGeneric[] = {
    {"whole", "inline:{a@x=b@y, @x=c@y}", "a@x", "b@y"},
    {"case_is_folded", "inline:{a@x=B@y}", "A@X", "B@y"},
    {"domain", "inline:{@x=c@y}", "a@x", "c@y"},
    {"domain_to_domain", "inline:{@x=@y}", "a+e@x", "a+e@y"},
    {"with_extension", "inline:{a+e@x=b@y, a@x=c@y}", "a+e@x", "b@y"},
    {"without_extension", "inline:{a@x=c@y}", "a+e@x", "c@y"},
    {"user_to_domain", "inline:{a@x=@y}", "a+e@x", "a@y"},
    {"local_user", "inline:{a=b@y}", "a@local.example", "b@y"},
    {"local_user_with_extension", "inline:{a=b@y, a+e=c@y}", "a+e@local.example", "c@y"},
    {"user_at_origin", "inline:{a=b@y}", "a@Origin.Example", "b@y"},
    {"user_at_own_address", "inline:{a=b@y}", "a@[192.0.2.1]", "b@y"},
    {"user_elsewhere", "inline:{a=b@y}", "a@x", "same"},
    {"user_before_domain", "inline:{a=b@y, @local.example=c@y}", "a@local.example", "b@y"},
    {"no_domain_in_result", "inline:{a@x=b}", "a@x", "b@origin.example"},
    {"quoted_result", "inline:{ {a@x=\"b c\"@y} }", "a@x", "b c@y"},
    {"quoted_key", "inline:{ {\"a b\"@x = c@y} }", "a b@x", "c@y"},
    {"result_with_a_name", "inline:{ {a@x=Joe <b@y>} }", "a@x", "b@y"},
    {"not_again", "inline:{a@x=b@y, b@y=c@z}", "a@x", "b@y"},
    {"itself", "inline:{a@x=a@x}", "a@x", "same"},
    {"null_sender", "static:b@y", "", "same"},
    {"no_address", "inline:{ {a@x=()} }", "a@x", "error"},
    {"several", "inline:{ {a@x=b@y, c@z} }", "a@x", "b@y"},
    {"command_injection", "inline:{ {a@x=b@y>NOTIFY} }", "a@x", "error"},
    {"unreadable_table", "texthash:/nonexistent/table", "a@x", "error"},
};
INSTANTIATE_TEST_SUITE_P(Generic5, GenericTest, testing::ValuesIn(kGeneric),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(GenericTest, ExtensionsGoOverWhenAsked) {
  EXPECT_EQ(mapped({"", "inline:{a@x=c@y}", "a+e@x", ""}, true), "c+e@y");
  EXPECT_EQ(mapped({"", "inline:{a+e@x=c@y}", "a+e@x", ""}, true), "c@y");
  EXPECT_EQ(mapped({"", "inline:{@x=@y}", "a+e@x", ""}, true), "a+e@y");
  EXPECT_EQ(mapped({"", "inline:{a=c@y}", "a+e@local.example", ""}, true), "c+e@y");
}

struct FlagCase {
  std::string_view name, word, error;
};
void PrintTo(const FlagCase& c, std::ostream* out) { *out << c.name; }
class Flags : public testing::TestWithParam<FlagCase> {};
TEST_P(Flags, OfMasterCf) {
  config::Findings findings;
  const auto settings = config::Settings::parse(
      "one_destination_recipient_limit = 1\n", {.config_directory = "/etc/postrider"},
      {"one", "many"}, {.hostname = "host.example", .addresses = {}}, findings);
  ASSERT_TRUE(settings);
  for (const std::string_view service : {"one", "many"}) {
    Options options;
    const Result<void> done = options.set_flags({std::string(GetParam().word)}, service, *settings);
    if (GetParam().error.empty() || (service == "one" && GetParam().error[0] == 'f'))
      EXPECT_TRUE(done);
    else
      EXPECT_EQ(done.error().text(), GetParam().error);
  }
}
TEST(FlagWords, LmtpAssumeFinalIsTheOldName) {
  config::Findings findings;
  const auto settings =
      config::Settings::parse("", {.config_directory = "/etc/postrider"}, {},
                              {.hostname = "host.example", .addresses = {}}, findings);
  ASSERT_TRUE(settings);
  Options options;
  options.assume_final = true;
  Log log;
  EXPECT_TRUE(options.set_flags({"flags=RX"}, "lmtp", *settings));
  EXPECT_EQ(log.text(), "");
  EXPECT_TRUE(options.set_flags({"flags=R"}, "lmtp", *settings));
  EXPECT_THAT(log.text(),
              HasSubstr("lmtp_assume_final is obsolete; instead, specify \"flags=RX\""));
}

const FlagCase kFlags[] = {
    {"none", "flags=", ""},
    {"return_path", "flags=R", ""},
    {"final", "flags=RX", ""},
    {"delivered_to", "flags=DRX", "flag D requires many_destination_recipient_limit = 1"},
    {"original_to", "flags=O", "flag O requires many_destination_recipient_limit = 1"},
    {"unknown_flag", "flags=RZ", "unknown flag Z in flags=RZ; there are D, O, R and X"},
    {"unknown_word", "user=nobody",
     "unknown attribute name: user=nobody; flags=DORX is all there is"},
};
INSTANTIATE_TEST_SUITE_P(MasterCf, Flags, testing::ValuesIn(kFlags),
                         [](const auto& row) { return std::string(row.param.name); });

} // namespace
} // namespace postrider::smtpclient
