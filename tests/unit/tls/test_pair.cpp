// SPDX-License-Identifier: MIT
#include "test_pair.hpp"

namespace postrider::tls {

const TestCertificate& shared_certificate() {
  static const TestCertificate made = make_certificate();
  return made;
}

std::shared_ptr<const Credentials> shared_server() {
  static const test::ScratchDir dir;
  static const auto loaded = server_credentials(dir, {shared_certificate()});
  return loaded;
}

std::shared_ptr<const Credentials> no_certificate() {
  static const test::ScratchDir dir;
  static const auto loaded = client_credentials(dir, {});
  return loaded;
}

ev::Task<Result<std::string>> read_some(net::Stream& stream, std::size_t count,
                                        ev::Deadline deadline) {
  std::string text;
  while (true) {
    const ByteView have = stream.buffered().substr(0, count - text.size());
    text += have;
    stream.consume(have.size());
    if (text.size() == count) co_return text;
    Result<void> more = co_await stream.fill(deadline);
    if (more) continue;
    if (text.empty()) co_return more.error();
    co_return text;
  }
}

ev::Task<Result<void>> write_all(net::Stream& stream, std::string_view bytes,
                                 ev::Deadline deadline) {
  Result<void> done = co_await stream.write(bytes, deadline);
  co_return std::move(done);
}

namespace {

ev::RootTask connects(TestPair& pair) {
  const ev::Deadline deadline = pair.loop.after(pair.patience);
  auto stream = co_await TlsStream::connect(pair.below_client, pair.client_wish, deadline);
  if (stream) pair.client = std::move(*stream);
  pair.client_result = stream ? Result<void>() : Result<void>(stream.error());
}

ev::RootTask accepts(TestPair& pair) {
  const ev::Deadline deadline = pair.loop.after(pair.patience);
  auto stream = co_await TlsStream::accept(pair.below_server, pair.server_wish, deadline);
  if (stream) pair.server = std::move(*stream);
  pair.server_result = stream ? Result<void>() : Result<void>(stream.error());
}

std::string read(TestPair& pair, net::Stream& stream, std::size_t count) {
  pair.end.reset();
  auto text = test::run_task<Result<std::string>>(
      pair.loop, [&] { return read_some(stream, count, pair.loop.after(pair.patience)); });
  if (text) return *text;
  pair.end = text.error();
  return "";
}

Result<void> write(TestPair& pair, net::Stream& stream, std::string_view bytes) {
  return test::run_task<Result<void>>(
      pair.loop, [&] { return write_all(stream, bytes, pair.loop.after(pair.patience)); });
}

} // namespace

TestPair::TestPair(ev::Loop& l, test::MemoryStream::Mode to_client,
                   test::MemoryStream::Mode to_server)
    : loop(l), group(l) {
  auto [first, second] = test::MemoryStream::make(loop, std::move(to_client), std::move(to_server));
  raw_client = first.get();
  raw_server = second.get();
  below_client = std::move(first);
  below_server = std::move(second);
}

TestPair::~TestPair() { group.tear_down(); }

void TestPair::begin(Who who) {
  if (who != Who::server) group.spawn(connects(*this), "client");
  if (who != Who::client) group.spawn(accepts(*this), "server");
}

void TestPair::shake_hands() {
  begin();
  while (!group.empty())
    loop.turn(true);
}

std::string TestPair::client_reads(std::size_t count) { return read(*this, *client, count); }
std::string TestPair::server_reads(std::size_t count) { return read(*this, *server, count); }
Result<void> TestPair::client_writes(std::string_view bytes) {
  return write(*this, *client, bytes);
}
Result<void> TestPair::server_writes(std::string_view bytes) {
  return write(*this, *server, bytes);
}

} // namespace postrider::tls
