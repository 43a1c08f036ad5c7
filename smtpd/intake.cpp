// SPDX-License-Identifier: MIT
#include "intake.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "behind.hpp"
#include "mail/address.hpp"
#include "mail/received.hpp"
#include "peer.hpp"

namespace postrider::smtpd {

namespace {

// How much of a message that is refused for its size is read before the connection is cut.
constexpr std::uint64_t kPatience = 16U << 20;

// Whether content begins with a header field (RFC 5322 section 2.2), or with an empty header.
bool begins_with_header(ByteView content) {
  if (content.empty() || content.starts_with("\r\n")) return true;
  std::size_t i = 0;
  while (i < content.size() && content[i] > ' ' && content[i] < 0x7f && content[i] != ':')
    ++i;
  if (i == 0) return false;
  while (i < content.size() && (content[i] == ' ' || content[i] == '\t'))
    ++i;
  return i < content.size() && content[i] == ':';
}

// The line with which a mailbox separates messages, from software that sends one as it lies there,
// quoted or not. The header follows it.
bool begins_with_mailbox_line(ByteView content) {
  return content.substr(std::min(content.find_first_not_of('>'), content.size()))
      .starts_with("From ");
}

} // namespace

Intake::Intake(const OpenSink& open, const Config& config, const Peer& peer,
               mail::Envelope& envelope, Clock& clock, smtp::BareNewline bare,
               smtp::Framing framing)
    : config_(config), peer_(peer), envelope_(envelope), clock_(clock), framing_(framing),
      decoder_(bare, framing), make_head_([this](queue::Id id) { return make_head(id); }),
      sink_(open(make_head_)) {}

void Intake::fail(Trouble trouble) {
  trouble_ = trouble;
  sink_.reset(); // memory and file are given back at once
}

smtp::DataDecoder::Fed Intake::feed(ByteView in) {
  discarded_.clear();
  const smtp::DataDecoder::Fed fed = decoder_.feed(in, sink_ ? sink_->pending() : discarded_);
  if (!sink_) return fed;
  const mail::ContentFacts& facts = decoder_.facts();
  if (config_.message_size != 0 && facts.size > config_.message_size)
    fail(Trouble::too_big);
  else if (facts.hops > config_.hops)
    fail(Trouble::too_many_hops);
  else if (decoder_.rejected())
    fail(Trouble::bare_newline);
  return fed;
}

ev::Task<void> Intake::relieve() {
  complete_envelope();
  look_at_beginning();
  Result<void> relieved = co_await sink_->relieve();
  if (!relieved) {
    error_ = relieved.error();
    fail(Trouble::queue);
  }
}

bool Intake::is_hopeless() const {
  return trouble_ != Trouble::none && config_.message_size != 0 && size() > config_.message_size &&
         size() - config_.message_size > kPatience;
}

void Intake::complete_envelope() {
  if (!envelope_.message_id.empty()) return;
  envelope_.message_id = decoder_.scanner().message_id();
}

// Before anything of it has left the sink.
void Intake::look_at_beginning() {
  if (looked_) return;
  looked_ = true;
  has_mailbox_line_ = begins_with_mailbox_line(sink_->pending());
  has_header_ = has_mailbox_line_ || begins_with_header(sink_->pending());
}

ev::Task<Result<Answer>> Intake::commit() {
  if (framing_ == smtp::Framing::chunk && !decoder_.ended())
    decoder_.finish(sink_ ? sink_->pending() : discarded_);
  if (sink_ && decoder_.rejected()) fail(Trouble::bare_newline);
  if (!sink_) co_return error_.value_or(Error(ErrorKind::refused, "not acceptable"));
  complete_envelope();
  look_at_beginning();
  complete_ = true;
  const mail::ContentFacts facts = decoder_.facts();
  Result<Answer> answer = co_await sink_->commit(facts);
  if (!answer) {
    error_ = answer.error();
    fail(Trouble::queue);
  }
  co_return std::move(answer);
}

namespace {

// RFC 3848, RFC 6531 section 4.3.
std::string protocol_of(const mail::Envelope& envelope, const Peer& peer) {
  if (envelope.protocol == "SMTP") return envelope.protocol;
  return envelope.protocol + (peer.tls.protocol.empty() ? "" : "S") +
         (peer.login.method.empty() ? "" : "A");
}

std::string certificate_of(const PeerTls& tls) {
  if (tls.has_certificate)
    return "Client CN \"" + tls.subject + "\", Issuer \"" + tls.issuer + "\" (" +
           (tls.trusted ? "verified OK" : "not verified") + ")";
  return tls.asked_certificate ? "Client did not present a certificate"
                               : "No client certificate requested";
}

} // namespace

// The id is known from here on: the log begins with what makes the message findable.
std::string Intake::make_head(queue::Id id) {
  const std::string text = id.text();
  const WallTime now = clock_.wall();
  mail::ReceivedFacts facts;
  facts.helo = envelope_.helo;
  facts.client_name = peer_.name;
  facts.client_address = peer_.address;
  const PeerTls& tls = peer_.tls;
  std::string tls_text, certificate;
  if (config_.tls.received_header && !tls.protocol.empty()) {
    tls_text = tls.protocol + " with cipher " + tls.cipher + " (" + std::to_string(tls.bits) + "/" +
               std::to_string(tls.algorithm_bits) + " bits)";
    certificate = certificate_of(tls);
    facts.tls = tls_text;
    facts.tls_details = tls.details;
    facts.certificate = certificate;
  }
  if (config_.auth.header) facts.sasl_username = envelope_.sasl_username;
  facts.by = config_.hostname;
  facts.mail_name = config_.mail_name;
  const std::string protocol = protocol_of(envelope_, peer_);
  facts.protocol = protocol;
  facts.id = text;
  if (envelope_.recipients.size() == 1) facts.recipient = envelope_.recipients.front().address;
  facts.uid = peer_.uid;
  facts.when = now;
  std::string head;
  for (const std::string& line : in_front_)
    head += line + "\r\n";
  head += mail::received_header(facts);

  const mail::ContentScanner& seen = decoder_.scanner();
  if (peer_.local && (complete_ || !seen.in_header() || !has_header_)) {
    if (!seen.has_date()) head += "Date: " + rfc5322_date(now) + "\r\n";
    if (!seen.has_from()) {
      const std::string sender =
          envelope_.sender.empty() ? "MAILER-DAEMON@" + config_.hostname : envelope_.sender;
      head += "From: " + mail::to_external(sender) + "\r\n";
    }
    if (!seen.has_message_id()) {
      envelope_.message_id = "<" + text + "@" + config_.hostname + ">";
      head += "Message-ID: " + envelope_.message_id + "\r\n";
    }
  }

  if (has_mailbox_line_) head += "X-Mailbox-Line: "; // makes it a header, as Postfix does
  if (!has_header_) head += "\r\n";                  // what came is body from its first line on

  std::string client = "client=" + peer_.shown();
  if (peer_.local) client += ", uid=" + std::to_string(peer_.uid);
  const auto login = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) client.append(", ").append(name).append("=").append(value);
  };
  login("sasl_method", envelope_.sasl_method);
  login("sasl_username", envelope_.sasl_username);
  login("sasl_sender", envelope_.sasl_sender);
  const mail::Forwarded& before = envelope_.forwarded;
  if (!before.id.empty()) client += ", orig_queue_id=" + before.id;
  if (before.client) client += ", orig_client=" + shown(before, peer_.shows_port);
  log::event("client", text, client,
             {{"client", peer_.name},
              {"address", peer_.address},
              {"helo", envelope_.helo},
              {"sasl_username", envelope_.sasl_username}});
  log::event("message-id", text, "message-id=" + envelope_.message_id,
             {{"message-id", envelope_.message_id}});
  return head;
}

} // namespace postrider::smtpd
