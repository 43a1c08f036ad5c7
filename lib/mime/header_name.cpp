// SPDX-License-Identifier: MIT
#include "mime/header_name.hpp"

#include "base/ascii.hpp"

namespace postrider::mime {
namespace {

struct Row {
  std::string_view name;
  FieldInfo info;
};

constexpr FieldInfo kAddresses{Field::other, true, false};
constexpr FieldInfo kMime{Field::other, false, true};

constexpr Row kRows[] = {
    {"Apparently-To", kAddresses},
    {"Bcc", kAddresses},
    {"Cc", kAddresses},
    {"Content-Description", kMime},
    {"Content-Disposition", kMime},
    {"Content-ID", kMime},
    {"Content-Transfer-Encoding", {Field::content_transfer_encoding, false, true}},
    {"Content-Type", {Field::content_type, false, true}},
    {"Delivered-To", {Field::delivered_to, false, false}},
    {"Disposition-Notification-To", kAddresses},
    {"Errors-To", kAddresses},
    {"From", kAddresses},
    {"Mail-Followup-To", kAddresses},
    {"MIME-Version", kMime},
    {"Reply-To", kAddresses},
    {"Resent-Bcc", kAddresses},
    {"Resent-Cc", kAddresses},
    {"Resent-From", kAddresses},
    {"Resent-Reply-To", kAddresses},
    {"Resent-Sender", kAddresses},
    {"Resent-To", kAddresses},
    {"Return-Path", kAddresses},
    {"Return-Receipt-To", kAddresses},
    {"Sender", kAddresses},
    {"To", kAddresses},
};

} // namespace

std::size_t field_name_length(std::string_view line) {
  std::size_t i = 0;
  while (i < line.size() && line[i] > ' ' && line[i] < 0x7f && line[i] != ':')
    ++i;
  const std::size_t length = i;
  while (i < line.size() && (line[i] == ' ' || line[i] == '\t'))
    ++i;
  return i < line.size() && line[i] == ':' ? length : 0;
}

FieldInfo find_field(std::string_view name) {
  for (const Row& row : kRows)
    if (iequals(row.name, name)) return row.info;
  return {};
}

} // namespace postrider::mime
