// SPDX-License-Identifier: MIT
#include "base/fields.hpp"

namespace postrider::fields_detail {

namespace {

struct Header {
  std::string_view name;
  Kind kind{};
  ByteView value;
  std::size_t next = 0; // where the following field begins
};

bool parse_field(ByteView in, std::size_t at, Header& out) {
  if (at >= in.size()) return false;
  const std::size_t name_length = static_cast<unsigned char>(in[at]);
  if (in.size() - at < 1 + name_length + 5) return false;
  out.name = in.substr(at + 1, name_length);
  out.kind = static_cast<Kind>(in[at + 1 + name_length]);
  const std::size_t value_at = at + name_length + 6;
  const std::size_t length = get_le<std::uint32_t>(in.substr(value_at - 4));
  if (in.size() - value_at < length) return false;
  out.value = in.substr(value_at, length);
  out.next = value_at + length;
  return true;
}

} // namespace

// Fields mostly come in the order in which they are asked for, so the search begins where the last
// one ended and wraps round once.
Reader::Lookup Reader::find(std::string_view name, Kind kind, ByteView& value) {
  std::size_t at = cursor_;
  bool wrapped = cursor_ == 0;
  while (true) {
    if (at >= in_.size()) {
      if (wrapped) return Lookup::absent;
      wrapped = true;
      at = 0;
      continue;
    }
    Header field;
    if (!parse_field(in_, at, field)) return Lookup::bad;
    if (field.name == name) {
      if (field.kind != kind) return Lookup::bad;
      value = field.value;
      cursor_ = field.next;
      return Lookup::found;
    }
    at = field.next;
    if (wrapped && at >= cursor_ && cursor_ != 0) return Lookup::absent;
  }
}

void Reader::fail(std::string_view name, std::string_view what) {
  failed_ = true;
  problem_ = "field " + std::string(name) + " " + std::string(what);
}

Result<void> Reader::finish() {
  if (failed_) return Error(ErrorKind::protocol, problem_);
  for (std::size_t at = 0; at < in_.size();) {
    Header field;
    if (!parse_field(in_, at, field)) return Error(ErrorKind::protocol, "malformed field");
    at = field.next;
  }
  return {};
}

Result<std::uint64_t> read_number(ByteView in) {
  if (in.size() != 8) return Error(ErrorKind::protocol, "is not a number");
  return get_le<std::uint64_t>(in);
}

Result<ByteView> next_of_list(ByteView& in) {
  if (in.size() < 4) return Error(ErrorKind::protocol, "is a list cut short");
  const std::size_t length = get_le<std::uint32_t>(in);
  if (in.size() - 4 < length) return Error(ErrorKind::protocol, "is a list cut short");
  const ByteView item = in.substr(4, length);
  in.remove_prefix(4 + length);
  return item;
}

} // namespace postrider::fields_detail
