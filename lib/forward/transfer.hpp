// SPDX-License-Identifier: MIT
// One transaction on its way to the next server, command by command, while our client waits. What
// comes out of each step is what the client is to be told: the next server's answer, or a 4xx of
// ours with its reason in the log. Content passes piece by piece; none of it is kept.
//
//   F3  a 2xx behind the end of the content is the next server's; lost in between, the answer is
//       4xx, and the client may send again what has been delivered
//   F4  content that was not ended here is not ended there: the connection is closed instead
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "forward/servers.hpp"
#include "mail/log_line.hpp"
#include "smtp/batch.hpp"
#include "smtp/command.hpp"
#include "smtpclient/content_pipeline.hpp"

namespace postrider::forward {

// What the client is told. Lines of the text are separated by '\n'.
using Answer = smtp::Refusal;
inline bool is_yes(const Answer& answer) { return answer.code / 100 == 2; }

class Transfer {
 public:
  // All must outlive it; sender and options of the envelope count, its recipients do not.
  Transfer(Servers& servers, const Targets& targets, const mail::Envelope& envelope, Asking asking);
  ~Transfer();
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  // WAITS for a connection, and for the reply to MAIL. `facts`: what is known of the content, of
  // its size only with `size_known`.
  ev::Task<Answer> mail(ev::Lent<const mail::ContentFacts> facts, bool size_known);
  // mail() and then rcpt() for each of them, without waiting in between where the server offers
  // PIPELINING. The answer to MAIL; with 2xx, `answers` has one for each recipient.
  ev::Task<Answer> mail_to_all(ev::Lent<const mail::ContentFacts> facts,
                               const std::vector<mail::Recipient>& recipients,
                               std::vector<Answer>& answers);
  // REQUIRES that mail() was answered with 2xx.
  ev::Task<Answer> rcpt(ev::Lent<const mail::Recipient> recipient);
  // REQUIRES an accepted recipient. 354, or why not.
  ev::Task<Answer> data();
  // REQUIRES 354. Failures show at the end. `bytes` as in a Sink: CRLF, not dot-stuffed.
  ev::Task<void> content(ByteView bytes);
  // Ends the content. Then each recipient that was accepted has its answer.
  ev::Task<void> finish();

  struct Passed {
    mail::Recipient recipient;
    Answer answer;
    mail::Outcome outcome;
  };
  const std::vector<Passed>& passed() const { return passed_; }
  // Each recipient gets an answer of its own at the end.
  bool is_lmtp() const;
  // One line for each recipient. REQUIRES finish().
  void log() const;

 private:
  enum class Stage : std::uint8_t { none, envelope, content, ended };
  ev::Task<Result<smtp::Reply>> command(const std::string& line, smtp::Step step);
  ev::Task<std::optional<Answer>> open();
  struct Ahead; // recipients that go out with MAIL
  ev::Task<Answer> begin(Ahead& ahead);
  ev::Task<std::optional<Answer>> add_rcpt(ev::Lent<const mail::Recipient> recipient,
                                           std::string& lines);
  Answer take_rcpt(const mail::Recipient& recipient, const Result<smtp::Reply>& reply);
  ev::Task<void> hear(Ahead& ahead, bool counts);
  ev::Task<std::optional<smtpclient::Trouble>> introduce();
  ev::Task<Result<void>> map_address(std::string& address);
  ev::Task<void> send(bool last);
  ev::Task<void> hear_parting_words();
  void settle(Passed& passed, const smtp::Reply& reply);
  Answer give_up(const smtpclient::Trouble& trouble);
  std::optional<Answer> obstacle_to(const std::vector<mail::Recipient>& recipients);
  smtpclient::Session& session() { return *connection_->session; }
  const smtpclient::Engine& engine() { return connection_->client->engine(); }

  Servers& servers_;
  const Targets& targets_;
  const mail::Envelope& envelope_;
  Asking asking_;
  mail::Envelope sent_; // by smtp_generic_maps; without recipients
  mail::ContentFacts facts_;
  std::vector<mail::Recipient> nobody_;
  smtp::Transaction what_;
  std::unique_ptr<Connection> connection_;
  smtpclient::Peer peer_;
  Stage stage_ = Stage::none;
  std::vector<Passed> passed_;
  std::optional<smtpclient::Trouble> trouble_; // of the content
  smtpclient::Rewriting rewriting_;
  std::optional<smtp::LineFolder> folder_;
  std::optional<smtpclient::ContentPipeline> pipeline_;
  std::string wire_;
  bool ends_with_newline_ = true;
  std::size_t uses_ = 0;
  SteadyTime began_{}, connected_{}, ended_{};
};

} // namespace postrider::forward
