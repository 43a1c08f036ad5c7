// SPDX-License-Identifier: MIT
// Rewrites addresses in the header as main.cf's tables say (addresses.hpp), while it passes, for
// clients in local_header_rewrite_clients; the body goes straight through.
#pragma once

#include "addresses.hpp"
#include "mail/header.hpp"
#include "sink.hpp"

namespace postrider::smtpd {

class HeaderSink final : public Sink {
 public:
  // All of these outlive it, `open` excepted.
  HeaderSink(ev::Loop& loop, Addresses& addresses, const Peer& peer, const OpenSink& open,
             const submit::MakeHead& make_head)
      : loop_(loop), addresses_(addresses), peer_(peer), next_(open(make_head)) {}

  std::string& pending() override { return in_header_ ? header_ : next_->pending(); }
  bool wants_relief() const override;
  ev::Task<Result<void>> relieve() override;
  ev::Task<Result<std::optional<queue::Id>>> reserve() override { return next_->reserve(); }
  ev::Task<Result<Answer>> commit(ev::Lent<const mail::ContentFacts> facts) override;

 private:
  ev::Task<Result<void>> pass_header(bool is_all);
  ev::Task<Result<void>> pass_field(std::size_t length);
  void give(std::size_t length);
  void scan();

  ev::Loop& loop_;
  Addresses& addresses_;
  const Peer& peer_;
  const std::unique_ptr<Sink> next_;
  std::optional<bool> rewrites_; // once it is known
  bool in_header_ = true;
  bool at_start_ = true;         // of the header
  bool changed_ = false;         // what goes on is not what came
  std::string header_;           // of what came, what has not gone on yet
  std::size_t at_ = 0;           // in there: how far pass_header() is
  mail::ContentScanner scanner_; // of what goes on
  std::size_t scanned_ = 0;      // of next_->pending()
};

} // namespace postrider::smtpd
