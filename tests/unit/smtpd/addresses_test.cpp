// SPDX-License-Identifier: MIT
#include "addresses.hpp"

#include "base/log.hpp"
#include "config/settings.hpp"
#include "dialogue.hpp"

namespace postrider::smtpd {
namespace {

// main.cf of a site "ours.example".
std::shared_ptr<Addresses> with(const std::string& more) {
  const std::string main_cf = "myhostname = mx.ours.example\n"
                              "myorigin = ours.example\n"
                              "mydestination = ours.example, local.example\n"
                              "relay_domains = relay.example\n"
                              "inet_interfaces = 192.0.2.25\n"
                              "recipient_delimiter = +\n" +
                              more;
  config::Source source;
  source.config_directory = "/nowhere";
  config::Machine machine;
  machine.hostname = "mx.ours.example";
  config::Findings findings;
  auto settings = config::Settings::parse(main_cf, source, {}, machine, findings);
  EXPECT_TRUE(settings) << settings.error().text();
  auto opened = Addresses::open(*settings);
  EXPECT_TRUE(opened) << opened.error().text();
  return *opened;
}

std::string names(const Result<std::vector<mail::Recipient>>& recipients) {
  if (!recipients) return "error: " + recipients.error().text();
  std::string out;
  for (const mail::Recipient& r : *recipients)
    out += (out.empty() ? "" : " ") + r.address;
  return out;
}
mail::Recipient to(std::string address) {
  mail::Recipient out;
  out.address = std::move(address);
  return out;
}

// --- aliases

struct AliasCase {
  std::string name, main_cf, address, results;
};
// shows: virtual_alias_expansion_limit virtual_alias_recursion_limit
// shows: virtual_alias_address_length_limit
class Aliases : public testing::TestWithParam<AliasCase> {};
TEST_P(Aliases, Expand) {
  const auto addresses = with(GetParam().main_cf);
  const std::string results = names(addresses->rewriter().recipients(to(GetParam().address)));
  if (GetParam().results == "error")
    EXPECT_TRUE(results.starts_with("error: ")) << results;
  else
    EXPECT_EQ(results, GetParam().results);
}
INSTANTIATE_TEST_SUITE_P(
    Virtual, Aliases,
    testing::ValuesIn<AliasCase>({
        {"None", "", "a@b.example", "a@b.example"},
        {"One", "virtual_alias_maps = inline:{a@b.example=c@d.example}", "a@b.example",
         "c@d.example"},
        {"CaseOfKeys", "virtual_alias_maps = inline:{a@b.example=c@d.example}", "A@B.Example",
         "c@d.example"},
        {"Several", "virtual_alias_maps = inline:{ {a@b.example = c@d.example, e@f.example} }",
         "a@b.example", "c@d.example e@f.example"},
        {"Again", "virtual_alias_maps = inline:{a@b.example=b@b.example, b@b.example=c@d.example}",
         "a@b.example", "c@d.example"},
        {"Itself", "virtual_alias_maps = inline:{ {a@b.example = a@b.example, c@d.example} }",
         "a@b.example", "a@b.example c@d.example"},
        {"ItselfInAnotherCase",
         "virtual_alias_maps = inline:{ {a@b.example = A@B.example, c@d.example} }", "a@b.example",
         "A@B.example c@d.example"},
        {"Domain", "virtual_alias_maps = inline:{@b.example=@d.example}", "a@b.example",
         "a@d.example"},
        {"CatchAll", "virtual_alias_maps = inline:{@b.example=c@d.example}", "a@b.example",
         "c@d.example"},
        {"LocalByNameAlone", "virtual_alias_maps = inline:{joe=joe@d.example}", "joe@local.example",
         "joe@d.example"},
        {"NotElsewhereByNameAlone", "virtual_alias_maps = inline:{joe=joe@d.example}",
         "joe@relay.example", "joe@relay.example"},
        {"OwnAddress", "virtual_alias_maps = inline:{joe=joe@d.example}", "joe@[192.0.2.25]",
         "joe@d.example"},
        {"ResultWithoutDomain", "virtual_alias_maps = inline:{a@b.example=joe}", "a@b.example",
         "joe@ours.example"},
        {"ResultWithoutDot",
         "append_dot_mydomain = yes\nvirtual_alias_maps = inline:{a@b.example=joe@host}",
         "a@b.example", "joe@host.ours.example"},
        {"ExtensionGoesOver", "virtual_alias_maps = inline:{a@b.example=c@d.example}",
         "a+x@b.example", "c+x@d.example"},
        {"ExtensionStays",
         "propagate_unmatched_extensions = canonical\n"
         "virtual_alias_maps = inline:{a@b.example=c@d.example}",
         "a+x@b.example", "c@d.example"},
        {"ExtensionIsNamed",
         "virtual_alias_maps = inline:{a+x@b.example=y@d.example, a@b.example=c@d.example}",
         "a+x@b.example", "y@d.example"},
        {"TooLongAResult",
         "virtual_alias_address_length_limit = 10\n"
         "virtual_alias_maps = inline:{a@b.example=c@d.example}",
         "a@b.example", "error: unreasonable virtual_alias_maps result length for a@b.example"},
        {"TooMany",
         "virtual_alias_expansion_limit = 2\n"
         "virtual_alias_maps = inline:{ {a@b.example = c@d.example, e@f.example, g@h.example} }",
         "a@b.example", "error: unreasonable virtual_alias_maps expansion size for a@b.example"},
        {"Circle",
         "virtual_alias_recursion_limit = 10\n"
         "virtual_alias_maps = inline:{a@b.example=b@b.example, b@b.example=a@b.example}",
         "a@b.example", "error: unreasonable virtual_alias_maps nesting for a@b.example"},
        {"NoAddress", "virtual_alias_maps = inline:{ {a@b.example = <>} }", "a@b.example",
         "error: virtual_alias_maps lookup of a@b.example returns non-address result \"<>\""},
        {"Trouble", "virtual_alias_maps = fail:down", "a@b.example", "error"},
        // Canonical tables come first.
        {"Canonical",
         "recipient_canonical_maps = inline:{a@b.example=b@b.example}\n"
         "canonical_maps = inline:{b@b.example=c@b.example}\n"
         "virtual_alias_maps = inline:{c@b.example=d@d.example}",
         "a@b.example", "d@d.example"},
        {"CanonicalOfOtherClasses",
         "recipient_canonical_maps = inline:{a@b.example=b@b.example}\n"
         "recipient_canonical_classes = header_recipient",
         "a@b.example", "a@b.example"},
        {"Copy", "recipient_bcc_maps = inline:{a@b.example=keep}", "a@b.example",
         "a@b.example keep@ours.example"},
        {"CopyIsAnAlias",
         "recipient_bcc_maps = inline:{a@b.example=keep}\n"
         "virtual_alias_maps = inline:{keep@ours.example=x@d.example}",
         "a@b.example", "a@b.example x@d.example"},
    }),
    [](const auto& test) { return test.param.name; });

TEST(Aliases, InheritWhatTheClientAskedFor) {
  const auto addresses =
      with("virtual_alias_maps = inline:{ {a@b.example = c@d.example, e@f.example} }\n"
           "recipient_bcc_maps = inline:{a@b.example=keep}");
  mail::Recipient recipient = to("a@b.example");
  recipient.orcpt = "rfc822;first@b.example";
  recipient.notify = mail::notify_failure;
  const auto out = addresses->rewriter().recipients(recipient);
  ASSERT_TRUE(out);
  ASSERT_EQ(out->size(), 3U);
  for (const std::size_t i : {0U, 1U}) {
    EXPECT_EQ((*out)[i].orcpt, "rfc822;first@b.example");
    EXPECT_EQ((*out)[i].notify, mail::notify_failure);
    EXPECT_EQ((*out)[i].original, "a@b.example");
  }
  EXPECT_EQ((*out)[2].orcpt, "");
  EXPECT_EQ((*out)[2].notify, mail::notify_never);
}

// RFC 3464 section 2.3.3: the list of recipients stays the sender's only where nobody else's
// begins.
TEST(Aliases, ReportThatTheyWereExpanded) {
  const auto addresses =
      with("virtual_alias_maps = inline:{ {a@b.example = c@d.example, e@f.example},"
           " {self@b.example = self@b.example} }");
  const auto shown = [&](const std::string& address, std::uint8_t notify) {
    mail::Recipient recipient = to(address);
    recipient.notify = notify;
    const auto found = addresses->rewriter().recipients(recipient);
    std::string out;
    for (const mail::Recipient& one : found ? *found : std::vector<mail::Recipient>())
      out += one.address + (one.expanded ? "!" : "=") + std::to_string(one.notify) + " ";
    return out;
  };
  using namespace mail;
  EXPECT_EQ(shown("a@b.example", notify_success), "a@b.example!2 c@d.example=1 e@f.example=1 ");
  EXPECT_EQ(shown("a@b.example", notify_success | notify_failure),
            "a@b.example!6 c@d.example=4 e@f.example=4 ");
  EXPECT_EQ(shown("a@b.example", notify_delay), "c@d.example=8 e@f.example=8 ");
  EXPECT_EQ(shown("a@b.example", 0), "c@d.example=0 e@f.example=0 ");
  EXPECT_EQ(shown("self@b.example", notify_success), "self@b.example=2 ");
  EXPECT_EQ(shown("other@b.example", notify_success), "other@b.example=2 ");
}

TEST(Canonical, RewritesSendersAndTheirCopies) {
  const auto addresses = with("sender_canonical_maps = inline:{joe=Joe.User@ours.example}\n"
                              "sender_bcc_maps = inline:{Joe.User@ours.example=keep@d.example}");
  const auto sender = addresses->rewriter().sender("joe@ours.example");
  ASSERT_TRUE(sender);
  EXPECT_EQ(sender->address, "Joe.User@ours.example");
  EXPECT_EQ(sender->copy.value_or(""), "keep@d.example");
  const auto null = addresses->rewriter().sender("");
  ASSERT_TRUE(null);
  EXPECT_EQ(null->address, "");
  EXPECT_FALSE(null->copy);
}

TEST(Canonical, EndsACircle) {
  const auto addresses =
      with("canonical_maps = inline:{a@b.example=b@b.example, b@b.example=a@b.example}");
  EXPECT_FALSE(addresses->rewriter().sender("a@b.example"));
}

// --- who exists

struct UnknownCase {
  std::string name, main_cf, address, refusal; // "" for none
  Addresses::Role role = Addresses::Role::recipient;
};
class Validity : public testing::TestWithParam<UnknownCase> {};
TEST_P(Validity, IsAsTheTablesSay) {
  const auto addresses = with(GetParam().main_cf);
  const auto verdict = addresses->validity(GetParam().address, GetParam().role);
  std::string said = verdict ? "" : "error";
  if (verdict && *verdict)
    said = std::to_string((*verdict)->code) + " " + (*verdict)->dsn + " " + (*verdict)->text;
  EXPECT_EQ(said, GetParam().refusal);
}
const std::string kLocalTable = "local_recipient_maps = inline:{joe=1}";
const std::string kRelayTable = "relay_recipient_maps = inline:{joe@relay.example=1}";
const std::string kAliasTable =
    "virtual_alias_maps = inline:{v.example=anything, joe@v.example=j@d.example}";
INSTANTIATE_TEST_SUITE_P(
    Unlisted, Validity,
    testing::ValuesIn<UnknownCase>({
        {"NoTables", "", "nobody@ours.example", ""},
        {"Elsewhere", kLocalTable + "\n" + kRelayTable, "nobody@far.example", ""},
        {"Null", kLocalTable, "", ""},
        {"Local", kLocalTable, "joe@local.example", ""},
        {"LocalExtension", kLocalTable, "joe+x@local.example", ""},
        {"LocalWithoutDomain", kLocalTable, "joe", ""},
        {"LocalUnknown", kLocalTable, "nobody@ours.example",
         "550 5.1.1 <nobody@ours.example>: Recipient address rejected: User unknown in local "
         "recipient table"},
        {"LocalSender", kLocalTable, "nobody@ours.example",
         "550 5.1.0 <nobody@ours.example>: Sender address rejected: User unknown in local "
         "recipient table",
         Addresses::Role::sender},
        {"LocalPutOff", kLocalTable + "\nunknown_local_recipient_reject_code = 450",
         "nobody@ours.example",
         "450 4.1.1 <nobody@ours.example>: Recipient address rejected: User unknown in local "
         "recipient table"},
        {"Postmaster", kLocalTable, "postmaster@ours.example", ""},
        {"LocalAlias", kLocalTable + "\nvirtual_alias_maps = inline:{sue=x@d.example}",
         "sue@ours.example", ""},
        {"LocalTrouble", "local_recipient_maps = fail:down", "joe@ours.example", "error"},
        {"Relay", kRelayTable, "joe@relay.example", ""},
        {"RelayUnknown", kRelayTable + "\nunknown_relay_recipient_reject_code = 551",
         "sue@relay.example",
         "551 5.1.1 <sue@relay.example>: Recipient address rejected: User unknown in relay "
         "recipient table"},
        {"RelayCanonical",
         kRelayTable + "\ncanonical_maps = inline:{sue@relay.example=x@y.example}",
         "sue@relay.example", ""},
        {"Alias", kAliasTable, "joe@v.example", ""},
        {"AliasUnknown", kAliasTable + "\nunknown_virtual_alias_reject_code = 450", "sue@v.example",
         "450 4.1.1 <sue@v.example>: Recipient address rejected: User unknown in virtual alias "
         "table"},
        {"AliasDomainsByName", "virtual_alias_domains = w.example", "sue@w.example",
         "550 5.1.1 <sue@w.example>: Recipient address rejected: User unknown in virtual alias "
         "table"},
        {"Moved", "relocated_maps = inline:{ {sue@ours.example = sue@new.example} }",
         "sue@ours.example",
         "550 5.1.6 <sue@ours.example>: Recipient address rejected: User has moved to "
         "sue@new.example"},
    }),
    [](const auto& test) { return test.param.name; });

// --- headers

TEST(HeaderClients, AreThoseOfTheList) {
  Peer far;
  far.address = "198.51.100.1";
  Peer own = far;
  own.address = "192.0.2.25";
  Peer near = far;
  near.trusted = true;
  Peer user = far;
  user.login = {"PLAIN", "joe"};
  Peer listed = far; // self-signed, perhaps
  listed.tls.has_certificate = true;
  listed.tls.fingerprint = "AB:CD";
  listed.tls.key_fingerprint = "12:34";
  Peer by_key = listed;
  by_key.tls.fingerprint = "FF:FF";
  Peer trusted = listed;
  trusted.tls.trusted = true;
  trusted.tls.fingerprint = trusted.tls.key_fingerprint = "00:00";
  const auto who = [&](const std::string& words) {
    const auto addresses = with("relay_clientcerts = inline:{AB:CD=x, 12:34=x}\n"
                                "local_header_rewrite_clients = " +
                                words);
    std::string out;
    for (const auto& [name, peer] :
         {std::pair("far", &far), std::pair("own", &own), std::pair("near", &near),
          std::pair("user", &user), std::pair("listed", &listed), std::pair("by_key", &by_key),
          std::pair("trusted", &trusted)}) {
      const auto yes = addresses->rewrites_headers(*peer);
      if (yes && *yes) out.append(name).append(" ");
    }
    const Peer local = make_local_peer(1000);
    const auto yes = addresses->rewrites_headers(local);
    return out + (yes && *yes ? "local" : "");
  };
  EXPECT_EQ(who("permit_inet_interfaces"), "own local");
  EXPECT_EQ(who("permit_mynetworks"), "near local");
  EXPECT_EQ(who("permit_sasl_authenticated, permit_inet_interfaces"), "own user local");
  EXPECT_EQ(who("check_address_map inline:{198.51.100.1=x}"),
            "far near user listed by_key trusted ");
  // relay_clientcerts decides, not who has signed it.
  EXPECT_EQ(who("permit_tls_clientcerts"), "listed by_key ");
  EXPECT_EQ(who("permit_tls_all_clientcerts"), "trusted ");
  EXPECT_EQ(who(""), "");
}

// --- in a session

class RewritingTest : public DialogueTest {
 protected:
  void use(const std::string& main_cf) { config->addresses = with(main_cf); }
  void reject_unlisted() {
    auto rules = std::make_shared<Rules>(*config->rules);
    rules->reject_unlisted_recipient = true;
    rules->unlisted = [addresses = config->addresses](const std::string& address, bool) {
      return addresses->validity(address, Addresses::Role::recipient);
    };
    config->rules = std::move(rules);
  }
  std::string recipients(std::size_t i = 0) {
    std::string out;
    for (const mail::Recipient& r : qmgr.mails().at(i).envelope.recipients)
      out += (out.empty() ? "" : " ") + r.address;
    return out;
  }
};

TEST_F(RewritingTest, TheEnvelopeIsRewrittenOnItsWayIntoTheQueue) {
  use("virtual_alias_maps = inline:{ {all@ours.example = a@d.example, b@d.example} }\n"
      "canonical_maps = inline:{a@b.example=new@b.example}\n"
      "always_bcc = keep\n");
  begin();
  EXPECT_EQ(ask(kMail), "250 2.1.0 Ok");
  for (const char* to : {"all", "u", "ALL"})
    EXPECT_EQ(ask("RCPT TO:<" + std::string(to) + "@ours.example>"), "250 2.1.5 Ok");
  ask("DATA");
  send("From: a@b.example\r\nTo: all\r\n\r\nbody\r\n.\r\n");
  EXPECT_EQ(reply().substr(0, 3), "250");
  wait_for_mail(1);
  EXPECT_EQ(recipients(), "a@d.example b@d.example u@ours.example keep@ours.example");
  EXPECT_EQ(qmgr.mails().at(0).envelope.sender, "new@b.example");
  // A stranger's header is none of our business.
  EXPECT_EQ(content_of(), "From: a@b.example\r\nTo: all\r\n\r\nbody\r\n");
}

TEST_F(RewritingTest, HeadersOfOurOwnAreRewritten) {
  use("canonical_maps = inline:{joe=Joe.User@ours.example}\n"
      "sender_canonical_maps = inline:{sue@ours.example=boss@ours.example}\n"
      "append_dot_mydomain = yes\nmydomain = ours.example\n");
  peer.address = "192.0.2.25";
  begin();
  const std::string body = std::string(50'000, 'x') + "\r\n" + "From: joe\r\n";
  EXPECT_EQ(send_mail("Received: by x\r\n"
                      "From: Sue <sue>,\r\n Joe <joe@ours.example>\r\n"
                      "To: sue, \"J\" <joe> (c), x@host, y@far.example\r\n"
                      "Subject: joe\r\n\r\n" +
                      body + ".\r\n")
                .substr(0, 3),
            "250");
  wait_for_mail(1);
  const std::string content = content_of();
  EXPECT_EQ(content.substr(0, content.find("xxx")),
            "Received: by x\r\n"
            "From: Sue <boss@ours.example>, Joe <Joe.User@ours.example>\r\n"
            "To: sue@ours.example, \"J\" <Joe.User@ours.example>(c),\r\n"
            "\tx@host.ours.example, y@far.example\r\n"
            "Subject: joe\r\n\r\n");
  EXPECT_TRUE(content.ends_with(body));
  const mail::ContentFacts& facts = qmgr.mails().at(0).facts;
  EXPECT_EQ(facts.size, qmgr.mails().at(0).content.size());
  EXPECT_EQ(facts.header_size, mail::header_length(qmgr.mails().at(0).content));
}

struct HeaderCase {
  std::string name, in, out;
};
class HeaderForms : public RewritingTest, public testing::WithParamInterface<HeaderCase> {};
TEST_P(HeaderForms, ComeThroughAsTheyShould) {
  use("append_dot_mydomain = no\n");
  config->message_size = 0;
  peer.address = "192.0.2.25";
  begin();
  EXPECT_EQ(send_mail(GetParam().in + ".\r\n").substr(0, 3), "250");
  wait_for_mail(1);
  EXPECT_EQ(content_of(), GetParam().out);
  EXPECT_EQ(qmgr.mails().at(0).facts.size, qmgr.mails().at(0).content.size());
}
INSTANTIATE_TEST_SUITE_P(
    Rewriting, HeaderForms,
    testing::ValuesIn<HeaderCase>({
        {"Plain", "To: joe\r\n\r\nb\r\n", "To: joe@ours.example\r\n\r\nb\r\n"},
        {"Untouched", "To:  joe@far.example ,\r\n\tx@y.example\r\n\r\nb\r\n",
         "To:  joe@far.example ,\r\n\tx@y.example\r\n\r\nb\r\n"},
        {"HeaderOnly", "To: joe\r\n", "To: joe@ours.example\r\n"},
        {"NoHeader", "joe\r\nTo: joe\r\n", "\r\njoe\r\nTo: joe\r\n"},
        {"Empty", "", ""},
        {"EmptyHeader", "\r\nTo: joe\r\n", "\r\nTo: joe\r\n"},
        {"BodyWithoutEmptyLine", "To: joe\r\nno header\r\nTo: joe\r\n",
         "To: joe@ours.example\r\nno header\r\nTo: joe\r\n"},
        {"MailboxLine", "From joe Mon Jan 1\r\nTo: joe\r\n\r\nb\r\n",
         "X-Mailbox-Line: From joe Mon Jan 1\r\nTo: joe@ours.example\r\n\r\nb\r\n"},
        {"Group", "To: undisclosed-recipients:;\r\n\r\n", "To: undisclosed-recipients:;\r\n\r\n"},
        {"OtherField", "X-To: joe\r\n\r\n", "X-To: joe\r\n\r\n"},
        {"LongField", "Cc: joe, " + std::string(120'000, 'x') + "\r\nTo: joe\r\n\r\nb\r\n",
         "Cc: joe, " + std::string(120'000, 'x') + "\r\nTo: joe@ours.example\r\n\r\nb\r\n"},
    }),
    [](const auto& test) { return test.param.name; });

TEST_F(RewritingTest, LargeMailIsRewrittenAsItPasses) {
  use("virtual_alias_maps = inline:{u@ours.example=x@d.example}\n");
  config->message_size = 0;
  peer.address = "192.0.2.25";
  begin();
  std::string body;
  for (int i = 0; i < 60'000; ++i)
    body += "line " + std::to_string(i) + "\r\n";
  EXPECT_EQ(send_mail("To: joe\r\n\r\n" + body + ".\r\n").substr(0, 3), "250");
  wait_for_mail(1);
  EXPECT_TRUE(qmgr.mails().at(0).in_file);
  EXPECT_EQ(recipients(), "x@d.example");
  EXPECT_EQ(content_of(), "To: joe@ours.example\r\n\r\n" + body);
}

TEST_F(RewritingTest, TroubleWithATableIsNoVerdict) {
  use("virtual_alias_maps = fail:down\n");
  begin();
  EXPECT_EQ(send_mail("a: b\r\n\r\nc\r\n.\r\n"), "451 4.3.0 Error: queue file write error");
  reject_unlisted();
  EXPECT_EQ(ask(kMail), "250 2.1.0 Ok");
  EXPECT_EQ(ask(kRcpt), "451 4.3.0 <u@ours.example>: Temporary lookup failure");
  wait_for_mail(0);
}

TEST_F(RewritingTest, AnAliasWithoutEndIsPutOff) {
  use("virtual_alias_maps = inline:{u@ours.example=a@d.example, a@d.example=u@ours.example}\n");
  begin();
  EXPECT_EQ(send_mail("a: b\r\n\r\nc\r\n.\r\n"), "451 4.6.0 Alias expansion error");
  wait_for_mail(0);
}

TEST_F(RewritingTest, UnknownRecipientsAreRefused) {
  use("local_recipient_maps = inline:{joe=1}\n");
  reject_unlisted();
  begin();
  ask(kMail);
  EXPECT_EQ(ask("RCPT TO:<joe@ours.example>"), "250 2.1.5 Ok");
  EXPECT_EQ(ask(kRcpt), "550 5.1.1 <u@ours.example>: Recipient address rejected: User unknown in "
                        "local recipient table");
}

} // namespace
} // namespace postrider::smtpd
