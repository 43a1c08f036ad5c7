// SPDX-License-Identifier: MIT
#include "smtpclient/delivered_to.hpp"

#include <algorithm>
#include <cerrno>
#include <unistd.h>

#include "base/ascii.hpp"
#include "mail/address.hpp"
#include "mime/address_list.hpp"
#include "mime/parser.hpp"

namespace postrider::smtpclient {
namespace {

constexpr std::size_t kMost = 1000;
constexpr std::size_t kPiece = 64 << 10;

class Finder final : public mime::Sink {
 public:
  explicit Finder(std::string_view address) : address_(address) {}
  bool found() const { return found_; }
  bool done() const { return found_ || over_ || seen_ >= kMost; }

  void header(const mime::Header& header, const mime::Entity&) override {
    if (header.field.field != mime::Field::delivered_to || done()) return;
    ++seen_;
    const mime::AddressList list = mime::AddressList::parse(header.value());
    found_ = list.size() > 0 && iequals(list.address(0), address_);
  }
  void more(const mime::Line&) override {}
  void header_end(mime::Where, const mime::Entity&, mime::HeaderEnd) override { over_ = true; }
  void body(const mime::Line&, const mime::Entity&) override {}

 private:
  std::string_view address_;
  std::size_t seen_ = 0;
  bool found_ = false;
  bool over_ = false;
};

} // namespace

Result<bool> was_delivered_to(const Content& content, std::string_view address) {
  Finder finder(address);
  mime::Parser parser({}, mime::Parser::Depth::header_only, finder);
  std::string piece(std::min<std::uint64_t>(kPiece, content.size), '\0');
  for (std::uint64_t at = 0; at < content.size && !finder.done();) {
    const std::size_t want = std::min<std::uint64_t>(piece.size(), content.size - at);
    const ssize_t got =
        ::pread(content.fd, piece.data(), want, static_cast<off_t>(content.offset + at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error::from_errno("read message content", errno);
    if (got == 0) return Error(ErrorKind::io, "message content is shorter than its record says");
    parser.feed(ByteView(piece).substr(0, static_cast<std::size_t>(got)));
    at += static_cast<std::uint64_t>(got);
  }
  parser.finish();
  return finder.found();
}

std::string first_headers(const Options& options, const std::string& sender,
                          const std::string& recipient) {
  std::string out;
  const std::string to = mail::to_external(recipient);
  if (options.add_return_path) out += "Return-Path: <" + mail::to_external(sender) + ">\r\n";
  if (options.add_original_to) out += "X-Original-To: " + to + "\r\n";
  if (options.add_delivered_to) out += "Delivered-To: " + to + "\r\n";
  return out;
}

} // namespace postrider::smtpclient
