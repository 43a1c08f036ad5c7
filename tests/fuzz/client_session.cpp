// SPDX-License-Identifier: MIT
// The client's side of a dialogue against anything a server may say: greeting, EHLO, STARTTLS,
// transactions with DATA or BDAT (SMTP and LMTP), QUIT. Two bytes say how; then pieces (kCut) are
// what the server says each time.
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz/fed_stream.hpp"
#include "mail/header.hpp"
#include "proto/deliver.hpp"
#include "queue/message_record.hpp"
#include "smtpclient/greet.hpp"
#include "smtpclient/session_facts.hpp"
#include "smtpclient/transact.hpp"
#include "support/run_task.hpp"
#include "tls/stream.hpp"

namespace postrider::smtpclient {
namespace {

constexpr std::uint64_t kTag = 0x1122334455667788;
const std::string kSecret = "tanstaaftanstaaf";

enum How : unsigned {
  lmtp = 1,
  skip_quit = 2, // nobody waits for the reply to QUIT
  filtered = 4,  // smtp_reply_filter
  eight_bit = 8,
  bytewise = 16,
  helo = 32,     // ESMTP only where the greeting names it
  damaged = 64,  // the content is not what its record says
  pix_now = 128, // the dot waits, if a PIX firewall is seen
};
enum More : unsigned {
  tables = 1,      // debug_peer_list, and tables for the server
  per_request = 2, // smtp_per_request_deadline
  hiding = 4,      // the server echoes a password
  xforward = 8,
  large = 16, // several chunks
  twice = 32, // a second transaction
  starttls = 64,
  hangs_up = 128, // behind the last piece nothing can be sent
};

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
  Stored&& with_another_id() && {
    content.id = queue::Id(43);
    return std::move(*this);
  }
};

std::string repeated(std::string_view text, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i)
    out += text;
  return out;
}

struct Ran {
  std::vector<smtp::Decision> decisions;
  std::optional<Trouble> trouble;
  bool in_doubt = false;
  std::uint8_t mark = 0;
  std::string said; // by us
};

struct Dialogue {
  ev::Loop& loop;
  Options options;
  Tables tables;
  Occasion occasion;
  unsigned more = 0;
  std::string said;
  bool in_tls = false;
  std::optional<Trouble> greeting;
  std::vector<Ran> runs;

  explicit Dialogue(ev::Loop& l) : loop(l) {}

  ev::Task<bool> run(Session& session, ev::Lent<Stored> stored) {
    greeting = co_await greet(session, occasion);
    if (!greeting && (more & starttls) != 0 && session.features().starttls)
      co_await begin_tls(session);
    for (int round = 0; !greeting && !session.broken() && round < 2; ++round) {
      const bool done = co_await transact(session, stored);
      if (!done || (more & twice) == 0 || !session.is_idle()) break;
      if (!session.needs_reset) continue;
      Result<smtp::Reply> reply = co_await session.command("RSET", smtp::Step::rset);
      if (!reply || !reply->ok()) break;
    }
    co_await session.quit();
    co_return true;
  }

 private:
  ev::Task<void> begin_tls(Session& session) {
    Result<smtp::Reply> reply = co_await session.command("STARTTLS", smtp::Step::starttls);
    if (!reply || !reply->ok()) co_return;
    in_tls = true;
    tls::ClientHandshake wish;
    wish.credentials = *tls::Credentials::load({});
    wish.priority = "NORMAL";
    Result<void> begun = co_await session.start_tls(wish, loop.after(std::chrono::seconds(20)));
    POSTRIDER_CHECK(!begun && session.broken(), "no server can have done that");
  }
  ev::Task<bool> transact(Session& session, ev::Lent<Stored> stored) {
    smtp::Transaction what{&stored->envelope, &stored->envelope.recipients, &stored->facts};
    if (smtp::find_obstacle(what, session.features()) != smtp::Obstacle::none) co_return false;
    if ((more & xforward) != 0) what.xforward = {"XFORWARD NAME=a\r\n", "XFORWARD ADDR=b\r\n"};
    Rewriting rewriting;
    rewriting.to_seven_bit = stored->facts.has_8bit && !session.features().eight_bit_mime;
    Ran ran;
    ran.mark = static_cast<std::uint8_t>(proto::SlotState::working);
    const std::size_t before = said.size();
    Transact transact(session, what, stored->content, rewriting, FlightMark(&ran.mark));
    co_await transact.run();
    for (std::size_t i = 0; i < transact.judge().size(); ++i)
      ran.decisions.push_back(transact.judge().decision(i));
    ran.trouble = transact.trouble();
    ran.in_doubt = transact.in_doubt();
    ran.said = said.substr(before);
    runs.push_back(std::move(ran));
    co_return true;
  }
};

void set_up(Dialogue& dialogue, unsigned how) {
  const unsigned more = dialogue.more;
  Options& options = dialogue.options;
  if ((how & lmtp) != 0) options.flavor = Flavor::lmtp;
  options.hello_name = options.my_name = "me.example";
  options.always_send_ehlo = (how & helo) == 0;
  options.pix_workarounds = {"disable_esmtp", "delay_dotcrlf"};
  options.pix_delay = std::chrono::milliseconds(0);
  if ((how & pix_now) != 0) options.pix_threshold = std::chrono::milliseconds(0);
  options.skip_quit_response = (how & skip_quit) != 0;
  options.notify_classes = {"protocol"};
  options.timeouts.fill(std::chrono::seconds(20));
  options.per_request_deadline = (more & per_request) != 0;
  const auto open = [](std::string_view text) { return *maps::open_maps(text, {}); };
  if ((how & filtered) != 0) {
    dialogue.tables.reply_filter = open("pcre:{{/^2(..)-ALTER(.*)/ 2$1-SIZE$2}, {/^DROP/ }}");
    dialogue.tables.reply_filter.take_empty_answers();
  }
  if ((more & tables) != 0) {
    dialogue.tables.debug_peers = *maps::MatchList::open("192.0.2.1", {}, {});
    dialogue.tables.pix_workarounds = open("static:{delay_dotcrlf}");
    dialogue.tables.discard_keywords = open("static:{size, dsn}");
  }
  dialogue.occasion.id = "4QTest";
  dialogue.occasion.nexthop = "there.example";
  dialogue.occasion.detect_loop = true;
}

void check(const Ran& ran) {
  // X1: in doubt is what has an end on the wire and no reply.
  const std::string& said = ran.said;
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
}

void check(const std::optional<Trouble>& trouble, const Peer& peer, bool hidden) {
  if (!trouble) return;
  const mail::Outcome outcome = to_outcome(*trouble, peer);
  POSTRIDER_CHECK(!outcome.dsn.empty() && !outcome.text.empty());
  POSTRIDER_CHECK(log::printable(outcome.text) == outcome.text, outcome.text);
  // A challenge (3xx) is kept as it is.
  POSTRIDER_CHECK(!hidden || trouble->reply.code / 100 == 3 ||
                      outcome.text.find(kSecret) == std::string::npos,
                  outcome.text);
}

} // namespace
} // namespace postrider::smtpclient

FUZZ(input) {
  using namespace postrider;
  using namespace postrider::smtpclient;
  static ev::Loop loop;
  static Stored plain("Subject: x\r\n\r\n.Hello\r\n"),
      with_8bit("Subject: x\r\n\r\nH\xc3\xa4llo\r\n"),
      long_one("Subject: x\r\n\r\n" + repeated("0123456789abcdef\r\n", 9'000)),
      damaged_one = Stored("Subject: x\r\n\r\ny\r\n").with_another_id();
  const unsigned how = fuzz::take_byte(input);
  Dialogue dialogue(loop);
  dialogue.more = fuzz::take_byte(input);
  set_up(dialogue, how);
  Stored& stored = (how & damaged) != 0           ? damaged_one
                   : (dialogue.more & large) != 0 ? long_one
                   : (how & eight_bit) != 0       ? with_8bit
                                                  : plain;
  fuzz::FedStream::Mode mode;
  mode.bytewise = (how & bytewise) != 0;
  mode.answers = true;
  mode.hangs_up = (dialogue.more & hangs_up) != 0;
  auto session = std::make_unique<Session>(
      loop, std::make_unique<fuzz::FedStream>(fuzz::cut(input), dialogue.said, mode),
      dialogue.options, dialogue.tables, Peer{"mx", "192.0.2.1", 25});
  const bool hidden = (dialogue.more & hiding) != 0;
  if (hidden) session->hide(kSecret);
  test::run_task<bool>(loop, [&] { return dialogue.run(*session, stored); });

  check(dialogue.greeting, session->peer(), hidden);
  for (const Ran& ran : dialogue.runs) {
    check(ran);
    check(ran.trouble, session->peer(), hidden);
  }
  // Whatever the server says, commands are lines of ours.
  POSTRIDER_CHECK(dialogue.in_tls || dialogue.said.find('\0') == std::string::npos);
  POSTRIDER_CHECK(!session->may_leave(), "over no TCP");
  // What another process would be told of it.
  const SessionFacts facts = session->facts("key");
  const auto again = parse_facts(encode_facts(facts), loop.now());
  POSTRIDER_CHECK(again.ok() == (facts.uses > 0) && (!again || *again == facts));
  if (session->transcript()) {
    const std::string text = session->transcript()->text();
    POSTRIDER_CHECK(!hidden || text.find(kSecret) == std::string::npos, text);
  }
}
