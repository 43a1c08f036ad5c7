// SPDX-License-Identifier: MIT
// A client's and a server's TlsStream over a connection in memory.
#pragma once

#include "ev/group.hpp"
#include "support/memory_stream.hpp"
#include "support/run_task.hpp"
#include "test_keys.hpp"
#include "tls/stream.hpp"

namespace postrider::tls {

inline constexpr const char* kNormal = "NORMAL";
inline constexpr const char* kTls12 = "NORMAL:-VERS-ALL:+VERS-TLS1.2";

// One of each, used by many tests: keys are dear.
const TestCertificate& shared_certificate();
std::shared_ptr<const Credentials> shared_server();
std::shared_ptr<const Credentials> no_certificate();

struct TestPair {
  explicit TestPair(ev::Loop& l, test::MemoryStream::Mode to_client = {},
                    test::MemoryStream::Mode to_server = {});
  ~TestPair();

  // Both handshakes. Their errors, else streams, are in the members below.
  void shake_hands();
  enum class Who { both, client, server };
  void begin(Who who = Who::both); // them
  Error client_error() const { return client_result->error(); }

  std::string client_reads(std::size_t count); // less when the stream ends
  std::string server_reads(std::size_t count);
  Result<void> client_writes(std::string_view bytes);
  Result<void> server_writes(std::string_view bytes);

  ev::Loop& loop;
  ev::Group group;
  test::MemoryStream* raw_client; // below the streams; gone with them
  test::MemoryStream* raw_server;
  std::unique_ptr<net::Stream> below_client, below_server;
  ClientHandshake client_wish{no_certificate(), kNormal, "mx.example.com", ""};
  ServerHandshake server_wish{shared_server(), kNormal, false, {std::string(64, 'k')}};
  Duration patience = std::chrono::seconds(20);
  std::optional<Result<void>> client_result, server_result;
  std::optional<Error> end; // why the last read had less
  std::unique_ptr<TlsStream> client, server;
};

ev::Task<Result<std::string>> read_some(net::Stream& stream, std::size_t count,
                                        ev::Deadline deadline);
ev::Task<Result<void>> write_all(net::Stream& stream, std::string_view bytes,
                                 ev::Deadline deadline);

} // namespace postrider::tls
