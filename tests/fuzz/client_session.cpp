// SPDX-License-Identifier: MIT
// The client's side of a dialogue against anything a server may say: greeting, EHLO, a transaction
// with DATA or BDAT (SMTP and LMTP), QUIT. Pieces (kCut) are what the server says each time.
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz/fed_stream.hpp"
#include "mail/header.hpp"
#include "proto/deliver.hpp"
#include "queue/message_record.hpp"
#include "smtpclient/greet.hpp"
#include "smtpclient/transact.hpp"
#include "support/run_task.hpp"

namespace postrider::smtpclient {
namespace {

constexpr std::uint64_t kTag = 0x1122334455667788;

struct Stored {
  mail::Envelope envelope;
  mail::ContentFacts facts;
  Fd file;
  Content content;

  explicit Stored(const std::string& text) {
    envelope.sender = "s@example.org";
    envelope.envid = "x+y=z";
    for (int i = 0; i < 3; ++i) {
      mail::Recipient recipient;
      recipient.address = "r" + std::to_string(i) + "@example.com";
      recipient.notify = static_cast<std::uint8_t>(2 * i);
      envelope.recipients.push_back(recipient);
    }
    mail::ContentScanner scanner;
    scanner.feed(text);
    facts = scanner.facts();
    queue::RecordHeader header;
    header.tag = kTag;
    header.pool = 7;
    header.segment = 3;
    header.id = queue::Id(42);
    std::string record;
    queue::put_record(record, header, envelope, facts, text, {});
    file = Fd(::memfd_create("record", MFD_CLOEXEC));
    POSTRIDER_CHECK(::pwrite(file.get(), record.data(), record.size(), 0) ==
                    static_cast<ssize_t>(record.size()));
    content = {file.get(), record.size() - text.size(), facts.size, header.id, 0, kTag};
  }
};

struct Ran {
  std::optional<Trouble> greeting;
  std::vector<smtp::Decision> decisions;
  std::optional<Trouble> trouble;
  bool in_doubt = false;
  std::uint8_t mark = 0;
  std::string said;
};

struct Dialogue {
  ev::Loop& loop;
  Options options;
  Tables tables;
  Occasion occasion;
  Ran ran;

  explicit Dialogue(ev::Loop& l) : loop(l) {}
  ev::Task<bool> run(Session& session, ev::Lent<Stored> stored) {
    std::optional<Trouble> trouble = co_await greet(session, occasion);
    ran.greeting = std::move(trouble);
    if (ran.greeting) {
      co_await session.quit();
      co_return true;
    }
    const smtp::Transaction what{&stored->envelope, &stored->envelope.recipients, &stored->facts};
    if (smtp::find_obstacle(what, session.features()) != smtp::Obstacle::none) co_return true;
    Rewriting rewriting;
    rewriting.to_seven_bit = stored->facts.has_8bit && !session.features().eight_bit_mime;
    ran.mark = static_cast<std::uint8_t>(proto::SlotState::working);
    Transact transact(session, what, stored->content, rewriting, FlightMark(&ran.mark));
    co_await transact.run();
    for (std::size_t i = 0; i < transact.judge().size(); ++i)
      ran.decisions.push_back(transact.judge().decision(i));
    ran.trouble = transact.trouble();
    ran.in_doubt = transact.in_doubt();
    co_await session.quit();
    co_return true;
  }
};

} // namespace
} // namespace postrider::smtpclient

FUZZ(input) {
  using namespace postrider;
  using namespace postrider::smtpclient;
  static ev::Loop loop;
  static Stored plain("Subject: x\r\n\r\n.Hello\r\n"),
      eight_bit("Subject: x\r\n\r\nH\xc3\xa4llo\r\n");
  const unsigned how = fuzz::take_byte(input);
  Dialogue dialogue(loop);
  Options& options = dialogue.options;
  if ((how & 1) != 0) options.flavor = Flavor::lmtp;
  options.hello_name = options.my_name = "me.example";
  options.pix_workarounds = {"disable_esmtp", "delay_dotcrlf"};
  options.skip_quit_response = (how & 2) != 0;
  options.notify_classes = {"protocol"};
  options.timeouts.fill(std::chrono::seconds(20));
  if ((how & 4) != 0) {
    auto filter = maps::open_maps("pcre:{{/^2(..)-ALTER(.*)/ 2$1-SIZE$2}, {/^DROP/ }}", {});
    dialogue.tables.reply_filter = std::move(*filter);
    dialogue.tables.reply_filter.take_empty_answers();
  }
  dialogue.occasion.id = "4QTest";
  dialogue.occasion.nexthop = "there.example";
  dialogue.occasion.detect_loop = true;
  Stored& stored = (how & 8) != 0 ? eight_bit : plain;
  fuzz::FedStream::Mode mode;
  mode.bytewise = (how & 16) != 0;
  mode.answers = true;
  std::string said;
  auto session = std::make_unique<Session>(
      loop, std::make_unique<fuzz::FedStream>(fuzz::cut(input), said, mode), options,
      dialogue.tables, Peer{"mx", "192.0.2.1", 25});
  test::run_task<bool>(loop, [&] { return dialogue.run(*session, stored); });

  const Ran& ran = dialogue.ran;
  // X1: in doubt is what has an end on the wire and no reply.
  const bool ended = said.find("\r\n.\r\n") != said.npos || said.find(" LAST\r\n") != said.npos;
  POSTRIDER_CHECK(!ran.in_doubt || ended);
  const bool marked = ran.mark == static_cast<std::uint8_t>(proto::SlotState::in_doubt);
  bool delivered = false;
  for (const smtp::Decision decision : ran.decisions) {
    delivered = delivered || decision == smtp::Decision::delivered;
    if (decision == smtp::Decision::delivered) POSTRIDER_CHECK(ended, said);
    // Each recipient has a reply, or there is a reason for which it has none.
    if (decision == smtp::Decision::open || decision == smtp::Decision::accepted)
      POSTRIDER_CHECK(ran.trouble.has_value(), said);
  }
  POSTRIDER_CHECK(marked == (ran.in_doubt || delivered), "the mark");
  for (const auto& trouble : {ran.greeting, ran.trouble}) {
    if (!trouble) continue;
    const mail::Outcome outcome = to_outcome(*trouble, session->peer());
    POSTRIDER_CHECK(!outcome.dsn.empty() && !outcome.text.empty());
    POSTRIDER_CHECK(log::printable(outcome.text) == outcome.text, outcome.text);
  }
  // Whatever the server says, commands are lines of ours.
  for (const char c : said)
    POSTRIDER_CHECK(c != '\0');
  if (session->transcript()) (void)session->transcript()->text();
}
