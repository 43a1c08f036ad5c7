// SPDX-License-Identifier: MIT
#include "tls/der.hpp"

namespace postrider::tls {
namespace {

constexpr unsigned char kSequence = 0x30;
constexpr unsigned char kOctets = 0x04;
constexpr unsigned char kObjectId = 0x06;
constexpr unsigned char kVersion = 0xA0;
constexpr unsigned char kExtensions = 0xA3;
constexpr unsigned char kDnsName = 0x82;
constexpr ByteView kAltNames("\x55\x1d\x11", 3); // 2.5.29.17
constexpr ByteView kNameConstraints("\x55\x1d\x1e", 3);

std::optional<ByteView> take(ByteView& in, unsigned char tag) {
  const std::optional<DerElement> element = take_element(in);
  if (!element || element->tag != tag) return std::nullopt;
  return element->content;
}

// One Extension: id, perhaps critical, value.
void note_extension(ByteView extension, CertificateParts& parts) {
  const std::optional<ByteView> id = take(extension, kObjectId);
  std::optional<DerElement> value = take_element(extension);
  if (value && value->tag != kOctets) value = take_element(extension);
  if (!id || !value || value->tag != kOctets) return;
  ByteView* const place = *id == kAltNames          ? &parts.alt_names
                          : *id == kNameConstraints ? &parts.name_constraints
                                                    : nullptr;
  if (place == nullptr || !place->empty()) return;
  ByteView content = value->content;
  if (const std::optional<ByteView> list = take(content, kSequence)) *place = *list;
}

} // namespace

std::optional<DerElement> take_element(ByteView& in) {
  if (in.size() < 2) return std::nullopt;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(in[i]); };
  std::size_t header = 2;
  std::size_t size = byte(1);
  if (size >= 0x80) { // the length of the length; 4 bytes are more than any certificate
    const std::size_t count = size & 0x7f;
    if (count == 0 || count > 4 || in.size() < 2 + count) return std::nullopt;
    size = 0;
    for (std::size_t i = 0; i < count; ++i)
      size = size << 8 | byte(2 + i);
    header += count;
  }
  if (size > in.size() - header) return std::nullopt;
  const DerElement element{byte(0), in.substr(header, size), in.substr(0, header + size)};
  in.remove_prefix(header + size);
  return element;
}

std::optional<CertificateParts> parse_certificate(ByteView der) {
  std::optional<ByteView> certificate = take(der, kSequence);
  if (!certificate || !der.empty()) return std::nullopt;
  const std::optional<DerElement> signed_part = take_element(*certificate);
  if (!signed_part || signed_part->tag != kSequence) return std::nullopt;

  CertificateParts parts;
  parts.signed_part = signed_part->whole;
  ByteView rest = signed_part->content;
  if (!rest.empty() && static_cast<unsigned char>(rest.front()) == kVersion) take_element(rest);
  for (int i = 0; i < 5; ++i) // serial number, algorithm, issuer, validity, subject
    if (!take_element(rest)) return std::nullopt;
  const std::optional<DerElement> key = take_element(rest);
  if (!key || key->tag != kSequence) return std::nullopt;
  parts.public_key = key->whole;
  while (std::optional<DerElement> element = take_element(rest)) {
    if (element->tag != kExtensions) continue;
    std::optional<ByteView> list = take(element->content, kSequence);
    while (list) {
      const std::optional<ByteView> extension = take(*list, kSequence);
      if (!extension) break;
      note_extension(*extension, parts);
    }
  }
  return parts;
}

std::vector<ByteView> dns_names(ByteView alt_names) {
  std::vector<ByteView> names;
  while (const std::optional<DerElement> name = take_element(alt_names))
    if (name->tag == kDnsName) names.push_back(name->content);
  return names;
}

} // namespace postrider::tls
