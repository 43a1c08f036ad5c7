// SPDX-License-Identifier: MIT
// What content runs through when it is changed on its way: parser, then 8-bit to 7-bit, then the
// administrator's tables, then the wire; the order of Postfix: tables see what is sent. Fed piece
// by piece, in memory; only tables of other processes are waited for.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "ev/task.hpp"
#include "smtp/dot.hpp"
#include "smtpclient/failure.hpp"
#include "smtpclient/options.hpp"
#include "smtpclient/tables.hpp"

namespace postrider::smtpclient {

// What is to be changed in the content for one transaction.
struct Rewriting {
  Tables* tables = nullptr;  // when they have a say in content
  bool to_seven_bit = false; // RFC 6152: the server cannot take 8-bit content
  std::string first_headers; // in front of it; lines with CR LF
};

class ContentPipeline {
 public:
  // `id` is the message's, for the log. The others must outlive it.
  ContentPipeline(const Rewriting& what, const Options& options, const std::string& id,
                  smtp::LineFolder& folder);
  ~ContentPipeline();

  // Appends what is known of the piece's text on the wire; `wire` stays until get_answers().
  void feed(ByteView piece, bool last, std::string& wire);
  bool may_wait() const;
  // WAITS for the answers that tables owe, after each feed() when may_wait().
  ev::Task<void> get_answers(ev::Loop& loop, ev::Deadline deadline);
  // Why the content so far cannot be sent. `last`: there is no more of it.
  std::optional<Trouble> find_trouble(bool last) const;

 private:
  struct Stages;
  std::string id_;
  std::unique_ptr<Stages> stages_;
};

} // namespace postrider::smtpclient
