// SPDX-License-Identifier: MIT
#include "filters.hpp"

#include "base/clock.hpp"
#include "base/log.hpp"
#include "mail/address.hpp"

namespace postrider::smtpd {

namespace {

constexpr std::string_view kEndOfMessage = "END-OF-MESSAGE";
constexpr std::string_view kHolds = "milter triggers HOLD action";
constexpr std::string_view kDiscards = "milter triggers DISCARD action";

// A macro that would say nothing is not sent.
std::optional<std::string> unless_empty(std::string text) {
  if (text.empty()) return std::nullopt;
  return text;
}

} // namespace

SessionFilters::SessionFilters(ev::Loop& loop, milter::Dialer& dialer,
                               std::shared_ptr<const milter::FilterSet> set, const Config& config,
                               const Peer& peer, const std::string& helo, const bool& esmtp)
    : config_(config), peer_(peer), helo_(helo), esmtp_(esmtp),
      chain_(loop, dialer, std::move(set), config.message_size), loop_(loop) {}

void SessionFilters::end() {
  chain_.abort();
  envelope_ = nullptr;
  discards_ = false;
  id_.clear();
  recipient_.reset();
}

ev::Task<std::optional<smtp::Refusal>> SessionFilters::tell(std::string_view stage,
                                                            const milter::Event& event) {
  refused_ = false;
  if (discards_) co_return std::nullopt;
  if (event.command == milter::Command::data) recipient_.reset();
  const milter::Verdict verdict = co_await chain_.tell(event, *this);
  if (event.refused) co_return std::nullopt; // it only wanted to know
  co_return heed(stage, verdict);
}

ev::Task<std::optional<smtp::Refusal>> SessionFilters::message(milter::Draft& draft) {
  refused_ = false;
  if (discards_) co_return std::nullopt;
  const milter::Verdict verdict = co_await chain_.message(draft, *this);
  co_return heed(kEndOfMessage, verdict);
}

std::optional<smtp::Refusal> SessionFilters::heed(std::string_view stage,
                                                  const milter::Verdict& verdict) {
  switch (verdict.kind) {
  case milter::Verdict::Kind::go_on: return std::nullopt;
  case milter::Verdict::Kind::hold:
    if (envelope_ != nullptr && envelope_->hold.empty()) {
      envelope_->hold = kHolds;
      log_action("milter-hold", stage, kHolds);
    }
    return std::nullopt;
  case milter::Verdict::Kind::discard:
    discards_ = true;
    log_action("milter-discard", stage, kDiscards);
    return std::nullopt;
  case milter::Verdict::Kind::refuse: break;
  }
  refused_ = true;
  smtp::Refusal said = verdict.refusal;
  if (config_.soft_bounce && said.code >= 500) {
    said.code -= 100;
    said.dsn.front() = '4';
  }
  std::string text = said.dsn + " " + said.text.substr(0, said.text.find('\n'));
  // As Postfix writes it, where cleanup(8) says it and not smtpd(8).
  if (stage != kEndOfMessage) text = std::to_string(said.code) + " " + text;
  log_action("milter-reject", stage, text);
  return said;
}

void SessionFilters::log_action(std::string_view action, std::string_view stage,
                                std::string_view text) const {
  std::string line = std::string(action) + ": " + std::string(stage) + " from " + peer_.shown() +
                     ": " + std::string(text) + ";";
  if (envelope_ != nullptr) line += " from=<" + mail::to_external(envelope_->sender) + ">";
  // As Postfix has it: the one in hand, the first at DATA, the last behind that.
  std::string recipient = recipient_.value_or("");
  if (envelope_ != nullptr && !envelope_->recipients.empty() && !recipient_)
    recipient = stage == kEndOfMessage ? envelope_->recipients.back().address
                                       : envelope_->recipients.front().address;
  if (!recipient.empty()) line += " to=<" + mail::to_external(recipient) + ">";
  line += std::string(" proto=") + (esmtp_ ? "ESMTP" : "SMTP");
  if (!helo_.empty()) line += " helo=<" + helo_ + ">";
  log::event(action, id_.empty() ? "NOQUEUE" : id_, line,
             {{"stage", stage},
              {"client", peer_.name},
              {"address", peer_.address},
              {"reason", text},
              {"to", recipient},
              {"helo", helo_}});
}

// --- macros ------------------------------------------------------------------------------------

void SessionFilters::set_recipient(std::string_view address, const smtp::Refusal* refusal) {
  recipient_ = address;
  recipient_refusal_.reset();
  if (refusal != nullptr) recipient_refusal_ = *refusal;
}

std::optional<std::string> SessionFilters::value(std::string_view name) const {
  if (name == "j") return config_.hostname;
  if (name == "v") return config_.filters->version();
  if (name == "b") return rfc5322_date(loop_.clock().wall());
  if (name == "i") return unless_empty(id_);
  if (name == "daemon_name") return config_.filters->daemon_name();
  if (name == "daemon_addr") return unless_empty(peer_.server_address);
  if (name == "daemon_port") return unless_empty(peer_.server_port);
  if (name == "client_name") return peer_.name;
  if (name == "client_ptr") return peer_.reverse_name;
  if (name == "client_addr") return peer_.local ? "127.0.0.1" : peer_.address;
  if (name == "client_port") return unless_empty(peer_.port);
  if (name == "_") {
    const std::string address = peer_.local ? "127.0.0.1" : peer_.address;
    const bool forged = peer_.name != peer_.reverse_name;
    return peer_.reverse_name + " [" + address + "]" + (forged ? " (may be forged)" : "");
  }
  if (name == "auth_type") return unless_empty(peer_.login.method);
  if (name == "auth_authen") return unless_empty(peer_.login.user);
  if (name == "auth_author" && envelope_ != nullptr) return unless_empty(envelope_->sasl_sender);
  if (name == "mail_addr" && envelope_ != nullptr) return mail::to_external(envelope_->sender);
  if (auto found = value_of_recipient(name)) return found;
  return value_of_tls(name);
}

// Of a recipient that we refuse, as Sendmail says it: mailer "error".
std::optional<std::string> SessionFilters::value_of_recipient(std::string_view name) const {
  if (!recipient_) return std::nullopt;
  if (name == "rcpt_addr")
    return recipient_refusal_ ? recipient_refusal_->text : mail::to_external(*recipient_);
  if (name == "rcpt_host" && recipient_refusal_) return recipient_refusal_->dsn;
  if (name == "rcpt_mailer" && recipient_refusal_) return "error";
  return std::nullopt;
}

std::optional<std::string> SessionFilters::value_of_tls(std::string_view name) const {
  const PeerTls& tls = peer_.tls;
  if (tls.protocol.empty()) return std::nullopt;
  if (name == "tls_version") return tls.protocol;
  if (name == "cipher") return tls.cipher;
  if (name == "cipher_bits") return std::to_string(tls.bits);
  if (name == "cert_subject") return unless_empty(tls.subject);
  if (name == "cert_issuer") return unless_empty(tls.issuer);
  return std::nullopt;
}

} // namespace postrider::smtpd
