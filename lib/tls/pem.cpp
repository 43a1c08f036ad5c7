// SPDX-License-Identifier: MIT
#include "tls/pem.hpp"

#include <string>

namespace postrider::tls {

std::vector<PemBlock> pem_blocks(std::string_view text) {
  constexpr std::string_view kBegin = "-----BEGIN ";
  constexpr std::string_view kDashes = "-----";
  std::vector<PemBlock> blocks;
  while (true) {
    const std::size_t begin = text.find(kBegin);
    if (begin == std::string_view::npos) return blocks;
    text.remove_prefix(begin);
    const std::size_t label_end = text.find(kDashes, kBegin.size());
    if (label_end == std::string_view::npos) return blocks;
    const std::string_view label = text.substr(kBegin.size(), label_end - kBegin.size());
    const std::string last = "-----END " + std::string(label) + "-----";
    const std::size_t end = text.find(last);
    if (end == std::string_view::npos) {
      text.remove_prefix(kBegin.size());
      continue;
    }
    PemBlock block;
    block.text = text.substr(0, end + last.size());
    text.remove_prefix(block.text.size());
    if (label.ends_with("PRIVATE KEY")) {
      block.encrypted = label.starts_with("ENCRYPTED") ||
                        block.text.find("Proc-Type: 4,ENCRYPTED") != std::string_view::npos;
      blocks.push_back(block);
    } else if (label == "CERTIFICATE" || label == "X509 CERTIFICATE") {
      block.kind = PemBlock::Kind::certificate;
      blocks.push_back(block);
    } else if (label == "PUBLIC KEY") {
      block.kind = PemBlock::Kind::public_key;
      blocks.push_back(block);
    }
  }
}

} // namespace postrider::tls
