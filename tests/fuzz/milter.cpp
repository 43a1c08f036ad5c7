// SPDX-License-Identifier: MIT
// What a mail filter says: negotiation, verdicts and edits over a whole session and message. Pieces
// (kCut) are packets, without their length where the first byte says so; a second connection begins
// where the first has ended.
#include "fuzz/fed_dialer.hpp"
#include "milter/answer.hpp"
#include "milter/chain.hpp"
#include "support/run_task.hpp"

namespace postrider::milter {
namespace {

class FuzzMacros final : public Macros {
 public:
  std::optional<std::string> value(std::string_view name) const override {
    if (name == "j") return "mx.example";
    if (name == "i") return "4Qabc";
    return std::nullopt;
  }
};

struct Outcome {
  std::vector<int> verdicts; // 0: go on; a code; 1 and 2: hold, discard
  std::string head;
  std::string body;
  mail::Envelope envelope;
  bool operator==(const Outcome&) const = default;
};

void note(Outcome& out, const Verdict& verdict) {
  switch (verdict.kind) {
  case Verdict::Kind::go_on: out.verdicts.push_back(0); return;
  case Verdict::Kind::hold: out.verdicts.push_back(1); return;
  case Verdict::Kind::discard: out.verdicts.push_back(2); return;
  case Verdict::Kind::refuse: break;
  }
  POSTRIDER_CHECK(verdict.refusal.code >= 400 && verdict.refusal.code <= 599);
  POSTRIDER_CHECK(verdict.refusal.text.find('\r') == std::string::npos);
  out.verdicts.push_back(verdict.refusal.code);
}

Outcome run(ev::Loop& loop, const std::vector<std::string>& pieces, unsigned options,
            bool by_byte) {
  auto set = std::make_shared<FilterSet>();
  FilterOptions filter;
  filter.name = "inet:filter:1";
  filter.version = (options & 1) != 0 ? 2 : 6;
  set->filters.push_back(filter);
  set->macros[static_cast<std::size_t>(Stage::connect)] = {"j"};
  FedDialer dialer(pieces, by_byte);
  FuzzMacros macros;
  Chain chain(loop, dialer, set, 5'000);
  Outcome out;
  out.envelope.sender = "a@b.example";
  out.envelope.recipients.push_back({"u@ours.example", "", 0, ""});
  out.envelope.smtputf8 = (options & 2) != 0;
  Spool content;
  POSTRIDER_CHECK(
      content.append("From: a@b.example\r\nSubject: one\r\n two\r\nX:  y\r\n\r\nbody\r\n").ok());
  const auto tell = [&](const Event& event) {
    const Verdict verdict =
        test::run_task<Verdict>(loop, [&] { return chain.tell(event, macros); });
    note(out, verdict);
    return verdict.kind == Verdict::Kind::go_on || verdict.kind == Verdict::Kind::hold;
  };
  const bool goes =
      tell(connect_event("c.example", *net::Address::parse_ip("192.0.2.1", 25))) &&
      tell(helo_event("helo.example")) && tell(mail_event("<a@b.example>", "SIZE=1")) &&
      tell(rcpt_event("<u@ours.example>", "")) && tell(data_event()) && tell(unknown_event("HUH"));
  if (!goes) {
    chain.abort();
    chain.quit();
    return out;
  }
  auto draft = Draft::parse("Received: ours\r\n\tx\r\n", content, out.envelope);
  POSTRIDER_CHECK(draft.ok());
  note(out, test::run_task<Verdict>(loop, [&] { return chain.message(*draft, macros); }));
  out.head = draft->head();
  for (std::uint64_t at = 0;;) {
    const Result<ByteView> piece = draft->read_body(at, 1000);
    if (!piece || piece->empty()) break;
    at += piece->size();
    out.body += *piece;
  }
  // Whatever it did, the header is a header and the envelope an envelope.
  POSTRIDER_CHECK(out.envelope.recipients.empty() || mail::check_clean(out.envelope).ok());
  const std::string& head = out.head;
  for (std::size_t at = head.find('\n'); at != head.npos; at = head.find('\n', at + 1))
    POSTRIDER_CHECK(at > 0 && head[at - 1] == '\r', head);
  POSTRIDER_CHECK(head.ends_with("\r\n\r\n") && head.find("\r\n\r\n") == head.size() - 4, head);
  POSTRIDER_CHECK(head.find('\0') == head.npos);
  chain.quit();
  return out;
}

} // namespace
} // namespace postrider::milter

FUZZ(input) {
  using namespace postrider;
  using namespace postrider::milter;
  static ev::Loop loop;
  const unsigned options = fuzz::take_byte(input);
  if (options == 0xff) { // an entry of smtpd_milters and its like, without addresses of hosts
    (void)parse_default_action(input);
    (void)parse_macro_defaults(input).ok();
    (void)parse_macro_names(input);
    if (const auto refusal = parse_reply(input)) {
      POSTRIDER_CHECK(refusal->code >= 400 && refusal->code <= 599);
      POSTRIDER_CHECK(refusal->text.find('\r') == std::string::npos);
    }
    return;
  }
  std::vector<std::string> pieces = fuzz::cut(input);
  if ((options & 4) != 0) pieces = packets(std::move(pieces));
  if ((options & 8) != 0) { // a good answer to our offer
    std::string agreement = "O";
    put_u32(agreement, (options & 1) != 0 ? 2 : 6);
    put_u32(agreement, (options & 1) != 0 ? 0x1f : 0x1ff);
    put_u32(agreement, (options & 16) != 0 ? 0x80000 | 0x40 : 0);
    pieces.insert(pieces.begin(), packets({agreement}).front());
  }
  const Outcome whole = run(loop, pieces, options, false);
  POSTRIDER_CHECK(whole == run(loop, pieces, options, true), "cut into bytes");
}
