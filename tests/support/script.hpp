// SPDX-License-Identifier: MIT
// The server's side of a dialogue as a list of steps, played by a Stream in memory: nothing waits,
// so a script runs the same way each time: whole, in pieces of any size, or cut behind any step.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "net/stream.hpp"
#include "support/manual_clock.hpp"

namespace postrider::test {

struct ScriptStep {
  enum class Kind { expect, expect_data, expect_chunk, send, close, reset, pause, stall, deaf };
  Kind kind;
  std::string text;
  ScriptStep(Kind k, std::string t) : kind(k), text(std::move(t)) {}
};
using Script = std::vector<ScriptStep>;

// One line that begins with the text.
inline ScriptStep expect(std::string text) { return {ScriptStep::Kind::expect, std::move(text)}; }
// Everything up to and including the final dot.
inline ScriptStep expect_data() { return {ScriptStep::Kind::expect_data, ""}; }
// "BDAT n" or, with "LAST", "BDAT n LAST", and n bytes.
inline ScriptStep expect_chunk(std::string last = "") {
  return {ScriptStep::Kind::expect_chunk, std::move(last)};
}
inline ScriptStep send(std::string text) { return {ScriptStep::Kind::send, std::move(text)}; }
inline ScriptStep close_now() { return {ScriptStep::Kind::close, ""}; }
// Breaks the connection off: RST. PlayServer only.
inline ScriptStep reset_now() { return {ScriptStep::Kind::reset, ""}; }
// Goes on when PlayServer::go_on() is called. PlayServer only.
inline ScriptStep pause() { return {ScriptStep::Kind::pause, ""}; }
// Says nothing more; the client's time limit passes at once.
inline ScriptStep stall() { return {ScriptStep::Kind::stall, ""}; }
// Reads nothing more, and keeps the connection.
inline ScriptStep deaf() { return {ScriptStep::Kind::deaf, ""}; }

class ScriptStream final : public net::Stream {
 public:
  struct Mode {
    std::size_t piece = 1 << 20;                    // bytes given to the client at a time
    std::size_t cut = static_cast<std::size_t>(-1); // steps after which the connection is gone
    // What each read and write takes; the client's time limits count then.
    ManualClock* clock = nullptr;
    Duration pace{};
  };
  ScriptStream(Script script, Mode mode) : script_(std::move(script)), mode_(mode) {}

  ev::Task<Result<void>> fill(ev::Deadline deadline) override;
  ev::Task<Result<void>> write(ByteView bytes, ev::Deadline deadline) override;
  ev::Task<Result<std::size_t>> write_some(ByteView bytes, ev::Deadline deadline) override;
  void shutdown_write() override { closed_ = true; }
  Result<bool> fill_now() override;

  // Called before each step is played.
  std::function<void(const ScriptStep&)> on_step;
  const std::string& problem() const { return problem_; } // the client did not keep to the script
  const std::string& data() const { return data_; }       // of the last expect_data, or all chunks
  std::size_t played() const { return at_; }
  bool all_played() const { return at_ == script_.size(); }

 private:
  enum class State { more, blocked, closed };
  State play();
  bool take_line();
  bool take_data();
  bool take_chunk();
  bool passes(ev::Deadline deadline);

  Script script_;
  Mode mode_;
  std::size_t at_ = 0;
  std::string from_client_;
  std::string to_client_;
  std::string problem_;
  std::string data_;
  bool closed_ = false;
};

} // namespace postrider::test
