// SPDX-License-Identifier: MIT
#include "gzip.hpp"

#include <zlib.h>

#include "base/check.hpp"

namespace postrider::tlsrpt {

std::string gzip(std::string_view text) {
  constexpr int kWindow = 15 + 16; // 16: with gzip's head
  z_stream stream{};
  const int begun =
      deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kWindow, 8, Z_DEFAULT_STRATEGY);
  POSTRIDER_CHECK(begun == Z_OK, "zlib can be used");
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int done = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  POSTRIDER_CHECK(done == Z_STREAM_END, "the bound of zlib is one");
  return out;
}

} // namespace postrider::tlsrpt
