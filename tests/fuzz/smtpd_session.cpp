// SPDX-License-Identifier: MIT
// Whole sessions of smtpd: everything a client may send, in pieces (kCut) that end with the
// connection. Two bytes say under which configuration, and whether inside TLS. In the clear the
// session is held twice, with the input cut in another way: replies and accepted mail are the same.
#include <fstream>

#include "addresses.hpp"
#include "config/settings.hpp"
#include "filter_choice.hpp"
#include "forward/servers.hpp"
#include "fuzz/fed_dialer.hpp"
#include "session.hpp"
#include "support/certs.hpp"
#include "support/fake_dns.hpp"
#include "support/memory_stream.hpp"
#include "support/run_task.hpp"
#include "support/scratch_dir.hpp"
#include "tls/stream.hpp"
#include "unit/smtpd/test_lists.hpp"
#include "unit/submit/fake_qmgr.hpp"

namespace postrider::smtpd {
namespace {

enum Option : unsigned {
  in_tls = 1,
  bytewise = 2,    // the second time; else all at once
  strict = 4,      // bare LF, envelopes without brackets, HELO left out: refused
  behind = 8,      // the client may say XCLIENT and XFORWARD
  small = 16,      // short lines, small messages, few recipients
  local = 32,      // a process of this host
  denying = 64,    // no delay_reject; restrictions at every stage
  rewriting = 128, // addresses are rewritten, and some are unknown
};
enum More : unsigned {
  away = 1,      // qmgr accepts nothing
  modest = 2,    // keywords are hidden
  impatient = 4, // who pipelines where he must not, or talks early, is told to go
  limited = 8,   // few errors, each with a pause; a footer; limits of time
  stalls = 16,   // the client does not hang up: it says no more
  draining = 32, // the process is about to end
  starttls = 64, // offered; nothing but it, where `strict` says so
  refused = 128, // nobody is served
};
// Two that say something else together.
constexpr unsigned kFiltered = modest | limited; // by a filter that refuses the message at its end
constexpr unsigned kFailing = away | limited;    // qmgr is there, but nothing can be written
constexpr bool has_all(unsigned more, unsigned bits) { return (more & bits) == bits; }
// What is behind a command that ends its group tells how the bytes were cut.
constexpr unsigned kTellsPieces = impatient | draining | starttls;

Restrictions words(const std::vector<std::string>& list) {
  WordContext context;
  context.bare = Subject::recipient;
  context.open_table = [](const std::string& spec) -> Result<std::shared_ptr<maps::MapList>> {
    auto opened = maps::open_maps(spec, {});
    if (!opened) return opened.error();
    return std::make_shared<maps::MapList>(std::move(*opened));
  };
  return *parse_restrictions(list, context);
}

// Made once: the queue's side, and what sessions share.
struct World {
  test::ScratchDir directory;
  ev::Loop loop;
  test::FakeDns dns{loop, "known.example MX 10 mx.known.example\nmx.known.example A 192.0.2.1\n"};
  test::WriterFs fs;
  test::FakeQmgr qmgr{loop, directory.path()};
  ev::Offload offload{loop};
  std::unique_ptr<submit::Submitter> submitter;
  std::unique_ptr<Shared> shared;
  std::map<std::pair<unsigned, unsigned>, std::shared_ptr<Config>> configs;
  std::shared_ptr<Lists> lists = std::make_shared<TestLists>();
  std::shared_ptr<Certificates> certificates;

  World() {
    submit::Options options;
    options.sockets = {qmgr.socket()};
    options.file_threshold = 2'000;
    submitter = std::make_unique<submit::Submitter>(loop, offload, fs, options);
    shared = std::make_unique<Shared>(loop, *submitter);
    shared->resolver = &dns;
    submitter->start();
    POSTRIDER_CHECK(test::turn_until(
        loop, [&] { return qmgr.segments() > 0 && submitter->may_accept().ok(); }));
    test::Wanted wanted = test::host("mx.ours.example");
    wanted.from = 0;
    wanted.until = test::kNow + std::time_t{20} * 365 * 86400;
    const test::Cert made = test::self_signed(wanted);
    const std::string path = directory.path() + "/key.pem";
    std::ofstream(path) << made.key.private_pem() << made.pem();
    Certificates::Files files;
    files.own.server = true;
    files.own.chain_files = {path};
    certificates = *Certificates::open(files);
  }

  std::shared_ptr<Config> config(unsigned options, unsigned more) {
    std::shared_ptr<Config>& made =
        configs[{options & ~bytewise, more & ~(away | stalls | draining)}];
    if (made) return made;
    made = std::make_shared<Config>();
    made->hostname = "mx.ours.example";
    made->mail_name = "Postrider";
    made->banner = "mx.ours.example ESMTP";
    made->origin = "ours.example";
    made->timeout = std::chrono::seconds(20);
    made->error_sleep = Duration::zero();
    made->linger = Duration::zero();
    made->forbid_pipelining = (more & impatient) != 0;
    made->lists = lists;
    made->message_size = 40'000;
    if ((options & strict) != 0) {
      made->bare_newline = smtp::BareNewline::reject;
      made->strict_envelopes = made->helo_required = true;
    }
    if ((options & small) != 0) {
      made->line_length = 100;
      made->message_size = 300;
      made->recipients = 2;
      made->recipients_overshoot = 2;
      made->hops = 2;
      made->junk_limit = 3;
    }
    auto rules = std::make_shared<Rules>();
    rules->lists = lists;
    rules->relay = words({"permit_mynetworks", "reject_unauth_destination"});
    if ((options & denying) != 0) {
      rules->delay_reject = false;
      rules->helo = words({"reject_invalid_helo_hostname", "reject_non_fqdn_helo_hostname",
                           "reject_unknown_helo_hostname"});
      rules->sender =
          words({"reject_non_fqdn_sender", "reject_unknown_sender_domain", "check_sender_access",
                 "pcre:{{/^x(.*)@/ PREPEND X-Was: $1}, "
                 "{/^y/ REDIRECT z@ours.example}, {/^q/ HOLD}, {/^r/ 450 4.1.2 no}, "
                 "{/^d/ DISCARD}}"});
      rules->recipient = words({"reject_multi_recipient_bounce", "reject_unauth_pipelining"});
      rules->data =
          words({"reject_multi_recipient_bounce", "check_sender_access", "pcre:{{/^n/ REJECT}}"});
      rules->end_of_data = words({"check_sender_access", "pcre:{{/^e/ 421 4.7.0 go}}"});
    }
    if ((options & rewriting) != 0) made->addresses = addresses();
    if (has_all(more, kFiltered)) {
      auto set = std::make_shared<milter::FilterSet>();
      set->filters.emplace_back().name = "inet:filter:1";
      made->filters = std::make_shared<FilterChoice>(set);
    }
    if ((more & modest) != 0) {
      made->message_size = 0;
      made->smtputf8 = false;
      made->hidden_keywords = {"SMTPUTF8", "DSN", "SIZE", "CHUNKING", "PIPELINING"};
    }
    if ((more & limited) != 0) {
      made->soft_errors = 1;
      made->hard_errors = 4;
      made->error_sleep = std::chrono::milliseconds(1);
      made->session_limit = std::chrono::hours(1);
      made->data_rate = 1;
    }
    made->rules = rules;
    CommandRules::Texts commands;
    commands.forbidden = "CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}";
    if ((more & limited) != 0) commands.footer = "Ask $server_name\\cabout $client_address";
    made->commands = *CommandRules::open(commands, {});
    if ((options & in_tls) != 0) {
      made->tls.level = TlsLevel::encrypt;
      made->tls.wrapper = true;
      made->tls.priority = "NORMAL";
      made->tls.certificates = certificates;
      made->tls.received_header = true;
    }
    if ((more & starttls) != 0 && (options & in_tls) == 0) {
      made->tls.level = (options & strict) != 0 ? TlsLevel::encrypt : TlsLevel::may;
      made->tls.priority = "NORMAL";
      made->tls.certificates = certificates;
    }
    return made;
  }
  static std::shared_ptr<Addresses> addresses() {
    config::Source source;
    source.config_directory = "/nowhere";
    config::Machine machine;
    machine.hostname = "mx.ours.example";
    config::Findings findings;
    const auto settings = config::Settings::parse(
        "myorigin = ours.example\nmydestination = ours.example\nrecipient_delimiter = +\n"
        "local_header_rewrite_clients = static:all\n"
        "canonical_maps = inline:{c@ours.example=changed@ours.example}\n"
        "virtual_alias_maps = inline:{{v@ours.example=w@ours.example, x@far.example}}\n"
        "local_recipient_maps = inline:{u=x, v=x, w=x, c=x}\n",
        source, {}, machine, findings);
    POSTRIDER_CHECK(settings.ok(), findings.errors.empty() ? "" : findings.errors.front());
    auto opened = Addresses::open(*settings);
    POSTRIDER_CHECK(opened.ok());
    return *opened;
  }
  // One that answers our offer, and then: a good while yes, at last no.
  void dial_filter() {
    std::string agreement = "O";
    for (const std::uint32_t number : {6U, 0U, 0U})
      milter::put_u32(agreement, number);
    std::vector<std::string> pieces(8, "c");
    pieces.front() = agreement;
    pieces.back() = "t";
    shared->dialer = std::make_unique<milter::FedDialer>(milter::packets(pieces), false);
  }
  // qmgr takes mail, or does not.
  void set_away(bool is_away) {
    if (submitter->may_accept().ok() != is_away) return;
    qmgr.say_state(!is_away, "the disk is full");
    POSTRIDER_CHECK(
        test::turn_until(loop, [&] { return submitter->may_accept().ok() != is_away; }));
  }

  Peer peer(unsigned options) {
    if ((options & local) != 0) return make_local_peer(1000);
    Peer peer;
    peer.address = (options & behind) != 0 ? "192.0.2.99" : "192.0.2.7";
    peer.port = "4711";
    peer.may_xclient = peer.may_xforward = (options & behind) != 0;
    return peer;
  }
};

struct Held {
  std::string replies;
  std::vector<std::string> mails; // envelope and content
  bool operator==(const Held&) const = default;
};

// Without what is another one each time: ids, times.
std::string neutral(const std::string& replies) {
  const std::string_view word = "queued as ";
  std::string out;
  for (std::size_t at = 0; at < replies.size();) {
    const std::size_t found = replies.find(word, at);
    if (found == std::string::npos) return out + replies.substr(at);
    out += replies.substr(at, found + word.size() - at) + "ID";
    at = found + word.size() + 12;
  }
  return out;
}
std::string neutral(test::FakeQmgr::Mail mail) {
  // Our Received: may have fields above it (PREPEND); its id and time stand in it.
  std::string& text = mail.content;
  const std::string id = mail.id.text();
  const std::size_t received = text.find("Received:");
  POSTRIDER_CHECK(received != std::string::npos);
  std::size_t end = text.find("\r\n", received);
  while (end + 2 < text.size() && text[end + 2] == '\t')
    end = text.find("\r\n", end + 2);
  const std::string header = text.substr(received, end - received);
  POSTRIDER_CHECK(header.find(id) != std::string::npos, header);
  text.erase(received, end + 2 - received);
  mail.envelope.arrival = 0;
  if (mail.envelope.message_id.find(id) != std::string::npos) mail.envelope.message_id = "ours";
  mail.facts = {};
  // A local message may get a Message-ID and a Date of ours.
  if (mail.envelope.local_submission) text.clear();
  return encode(mail.envelope) + text;
}

std::size_t count_of(std::string_view text, std::string_view word) {
  std::size_t count = 0;
  for (std::size_t at = text.find(word); at != text.npos; at = text.find(word, at + 1))
    ++count;
  return count;
}

ev::RootTask serve(World& world, std::shared_ptr<const Config> config,
                   std::unique_ptr<net::Stream> stream, Peer peer, unsigned more, bool& over) {
  {
    Session session(*world.shared, std::move(config), std::move(stream), std::move(peer));
    session.set_early_talk((more & impatient) != 0 && (more & limited) != 0);
    if ((more & refused) != 0)
      co_await session.refuse("421 4.7.0 mx.ours.example Error: too many connections\r\n");
    else
      co_await session.run();
  }
  over = true;
}

// The client's end of a session inside TLS.
ev::Task<bool> speak(World& world, std::unique_ptr<net::Stream>& below,
                     const std::vector<std::string>& pieces, std::string& said) {
  const ev::Deadline deadline = world.loop.after(std::chrono::seconds(20));
  tls::ClientHandshake wish;
  wish.credentials = *tls::Credentials::load({});
  wish.priority = "NORMAL";
  Result<std::unique_ptr<tls::TlsStream>> made =
      co_await tls::TlsStream::connect(below, wish, deadline);
  POSTRIDER_CHECK(made.ok(), "the handshake");
  net::Stream& stream = **made;
  for (const std::string& piece : pieces) {
    Result<void> written = co_await stream.write(piece, deadline);
    if (!written) break;
  }
  stream.shutdown_write();
  while (true) {
    said.append(stream.buffered());
    stream.consume(stream.buffered().size());
    Result<void> more = co_await stream.fill(deadline);
    if (!more) break;
  }
  co_return true;
}

Held hold(World& world, unsigned options, unsigned more, const std::vector<std::string>& pieces,
          bool by_byte) {
  world.set_away((more & away) != 0 && !has_all(more, kFailing));
  world.fs.fail_writes = world.fs.fail_syncs = has_all(more, kFailing) ? EIO : 0;
  world.dial_filter();
  world.shared->draining = (more & draining) != 0;
  Held held;
  bool over = false;
  ev::Group group(world.loop);
  const auto begin = [&](std::unique_ptr<net::Stream> stream) {
    group.spawn(serve(world, world.config(options, more), std::move(stream), world.peer(options),
                      more, over),
                "session");
  };
  if ((options & in_tls) != 0) {
    auto pair = test::MemoryStream::make(world.loop, {}, {});
    begin(std::move(pair.second));
    std::unique_ptr<net::Stream> below = std::move(pair.first);
    test::run_task<bool>(world.loop, [&] { return speak(world, below, pieces, held.replies); });
  } else {
    fuzz::FedStream::Mode mode;
    mode.bytewise = by_byte;
    mode.stalls = (more & stalls) != 0;
    begin(std::make_unique<fuzz::FedStream>(pieces, held.replies, mode));
  }
  POSTRIDER_CHECK(test::turn_until(world.loop, [&] { return over; }), "the session ends");
  // I2: 250 to content is a message in the queue.
  const std::size_t accepted = count_of(held.replies, "queued as ");
  POSTRIDER_CHECK(
      test::turn_until(world.loop, [&] { return world.qmgr.mails().size() >= accepted; }),
      "what was accepted is there");
  // With TLS a reply may be lost behind an end that the client has said.
  POSTRIDER_CHECK((options & in_tls) != 0 || world.qmgr.mails().size() == accepted,
                  "and nothing else");
  for (const std::string& problem : world.qmgr.problems())
    POSTRIDER_CHECK(problem.empty(), problem);
  for (const auto& mail : world.qmgr.mails())
    held.mails.push_back(neutral(mail));
  world.qmgr.forget_mails();
  world.dns.forget_asked();
  held.replies = neutral(held.replies);
  if (held.replies.find("220 2.0.0 Ready to start TLS") != std::string::npos) return held;
  for (std::string_view rest = held.replies; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    POSTRIDER_CHECK(line.size() > 4 && line.ends_with('\r') && line[0] >= '2' && line[0] <= '5',
                    line);
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
  }
  return held;
}

} // namespace
} // namespace postrider::smtpd

FUZZ(input) {
  using namespace postrider;
  using namespace postrider::smtpd;
  static World world;
  const unsigned options = fuzz::take_byte(input);
  unsigned more = fuzz::take_byte(input);
  if ((options & in_tls) != 0) more &= ~unsigned{refused}; // it would not even shake hands
  const std::vector<std::string> pieces = fuzz::cut(input.substr(0, 30'000));
  const Held first = hold(world, options, more, pieces, false);
  if ((options & in_tls) != 0 || (more & kTellsPieces) != 0) return;
  std::vector<std::string> again;
  if (const std::string all = fuzz::joined(pieces); !all.empty()) again.push_back(all);
  const Held second = hold(world, options, more, again, (options & bytewise) != 0);
  POSTRIDER_CHECK(first.replies == second.replies,
                  "replies: " + first.replies + "\nand\n" + second.replies);
  POSTRIDER_CHECK(first.mails == second.mails, "accepted mail");
}
