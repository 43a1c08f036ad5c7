// SPDX-License-Identifier: MIT
// What the administrator's tables do to content that leaves: header and body checks, and generic
// addresses in headers. Stands between the parser and the wire. Headers and lines wait in a queue
// while an answer is lacking, so their order stays; with tables that answer at once the queue is
// empty whenever a call returns. The caller gets answers that have to be waited for:
//
//   while (rewriter.lacks_answer()) {
//     maps::Answer answer = co_await maps::ask(.. rewriter.question() ..);
//     rewriter.answer(std::move(answer));
//   }
#pragma once

#include <deque>
#include <optional>

#include "mime/address_list.hpp"
#include "mime/parser.hpp"
#include "smtpclient/checks.hpp"
#include "smtpclient/generic.hpp"

namespace postrider::smtpclient {

// Whether the tables have a say in content at all.
bool rewrites_content(const Tables& tables);

class Rewriter final : public mime::Sink {
 public:
  // `id` is the message's, for the log. All of it must outlive the rewriter.
  Rewriter(Tables& tables, const Options& options, std::string id, mime::Sink& next);

  void header(const mime::Header& header, const mime::Entity& entity) override;
  void more(const mime::Line& line) override;
  void header_end(mime::Where where, const mime::Entity& entity, mime::HeaderEnd how) override;
  void body(const mime::Line& line, const mime::Entity& entity) override;

  bool may_wait() const { return may_wait_; }
  bool lacks_answer() const { return !queue_.empty(); }
  // Looks up what is needed next; has no other effect. REQUIRES lacks_answer().
  maps::Answer question() const;
  void answer(const maps::Answer& answer);

  // A table that gave no answer: nothing more comes out.
  const std::optional<Error>& error() const { return error_; }

 private:
  struct Item {
    enum class Kind : std::uint8_t { header, more, body } kind = Kind::body;
    std::string text;
    mime::Header header; // but for its text
    bool begins = true, ends = true;
    // What is known of it so far.
    bool checked = false;
    bool gone = false;
    bool replaced = false;
    std::string before;
    std::optional<mime::AddressList> addresses;
    std::size_t next_address = 0;
    bool rewritten = false;
  };
  struct Table {
    maps::MapList* list = nullptr;
    std::string name;
  };
  const Table& table_for(const Item& item) const;
  void add(Item item);
  void drain();
  bool needs_answer(Item& item) const;
  void take(const maps::Answer& answer);
  void act(Item& item, std::string_view answer);
  void give_out(Item& item);
  void give_out_header(Item& item);

  Generic generic_;
  std::string id_;
  mime::Sink& next_;
  Table message_, part_, nested_, body_;
  const bool may_wait_;
  const mime::Entity entity_; // nothing behind us looks at it
  std::deque<Item> queue_;
  bool drop_more_ = false; // what follows the last header belongs to what was taken out
  std::optional<Error> error_;
};

} // namespace postrider::smtpclient
