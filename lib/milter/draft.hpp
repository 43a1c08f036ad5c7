// SPDX-License-Identifier: MIT
// A message as filters see it, and what they may change in it. The header is taken apart; the body
// stays in its Spool. Filters never see our own Received: field, but may put fields above it.
//
// Edits of one filter are gathered and applied together once it has given its verdict, so that a
// filter that dies in the middle changes nothing. All of them are hostile input: parse_edit() lets
// nothing pass that could end a header, a line of it, or an envelope field.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "mail/address.hpp"
#include "mail/envelope.hpp"
#include "milter/protocol.hpp"
#include "milter/spool.hpp"

namespace postrider::milter {

struct HeaderField {
  std::string name;
  std::string value; // all behind the colon: " text", with CR LF between its lines
};

// As the protocol counts: `instance` 1 is the first field of that name.
struct InsertHeader {
  std::uint32_t position; // 0: on top, above our Received:; kAtEnd: at the end
  HeaderField field;
};
inline constexpr std::uint32_t kAtEnd = UINT32_MAX;
struct ChangeHeader { // an empty value deletes it; one that is not there is added
  std::uint32_t instance;
  HeaderField field;
};
struct AddRecipient {
  mail::Recipient recipient;
};
struct DeleteRecipient {
  std::string address;
};
struct ChangeSender {
  std::string sender;
  mail::Ret ret;
  std::string envid;
};
using Edit = std::variant<InsertHeader, ChangeHeader, AddRecipient, DeleteRecipient, ChangeSender>;

// Whether a packet of this code is a change that parse_edit() knows.
bool is_edit(char code);
// `steps`: of the filter's Agreement. Error config: malformed.
Result<Edit> parse_edit(const Packet& packet, std::uint32_t steps, mail::Utf8 utf8);

class Draft {
 public:
  static constexpr std::size_t kLongestHeader = 2U << 20;

  // `head` is what we put in front of the content, and its first Received: is ours. CRLF line ends.
  // Content and envelope outlive the Draft. Error limit: the header is longer than kLongestHeader;
  // io.
  static Result<Draft> parse(std::string head, Spool& content, mail::Envelope& envelope);

  void apply(Edit edit);
  void replace_body(Spool body);

  const mail::Envelope& envelope() const { return *envelope_; }
  std::size_t field_count() const { return above_.size() + fields_.size(); }
  const HeaderField& field(std::size_t i) const {
    return i < above_.size() ? above_[i] : fields_[i - above_.size()];
  }
  // Bytes of the body from `offset` on, as Spool::read().
  Result<ByteView> read_body(std::uint64_t offset, std::size_t most);

  // The whole header, with what divides it from the body.
  std::string head() const;

 private:
  Draft(Spool& content, mail::Envelope& envelope) : content_(&content), envelope_(&envelope) {}
  void edit(InsertHeader change);
  void edit(ChangeHeader change);
  void edit(AddRecipient change);
  void edit(const DeleteRecipient& change);
  void edit(ChangeSender change);

  std::vector<HeaderField> above_, ours_, fields_;
  std::string gap_; // the empty line, where there is one
  Spool* content_;
  std::uint64_t body_at_ = 0; // in content_
  std::optional<Spool> body_; // in its place
  mail::Envelope* envelope_;
};

} // namespace postrider::milter
