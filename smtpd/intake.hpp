// SPDX-License-Identifier: MIT
// The content of one message, from the stream into a sink: decodes it, watches the limits, makes
// our headers for its front, and commits. What is wrong is remembered and the rest is read and
// thrown away, so that the session stays in step with the client. One per transaction; owned by it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config.hpp"
#include "sink.hpp"
#include "smtp/dot.hpp"

namespace postrider::smtpd {

struct Peer;

class Intake {
 public:
  // All of these outlive the Intake, `open` excepted. `envelope` is completed (message-id) before
  // it is stored.
  Intake(const OpenSink& open, const Config& config, const Peer& peer, mail::Envelope& envelope,
         Clock& clock, smtp::BareNewline bare, smtp::Framing framing);
  Intake(const Intake&) = delete;
  Intake& operator=(const Intake&) = delete;

  // Header lines, without their ends, for the front of the message: before our Received:.
  void put_in_front(std::vector<std::string> headers) { in_front_ = std::move(headers); }

  enum class Trouble {
    none,
    too_big,
    too_many_hops,
    bare_newline,
    queue, // error() says more
  };

  // Takes what belongs to the content; with Framing::dot, `ended` when the final dot was read.
  smtp::DataDecoder::Fed feed(ByteView in);
  // To be called when wants_relief() says so: memory stays bounded. Trouble is remembered.
  bool wants_relief() const { return sink_ && sink_->wants_relief(); }
  ev::Task<void> relieve();
  // More was sent beyond the limit than is worth reading.
  bool is_hopeless() const;

  std::uint64_t size() const { return decoder_.facts().size; }
  Trouble trouble() const { return trouble_; }
  const std::optional<Error>& error() const { return error_; }

  // After the end of the content. WAITS until the sink has settled what becomes of it.
  ev::Task<Result<Answer>> commit();

 private:
  void fail(Trouble trouble);
  std::string make_head(queue::Id id);
  void complete_envelope();
  void look_at_beginning();

  const Config& config_;
  const Peer& peer_;
  mail::Envelope& envelope_;
  Clock& clock_;
  smtp::Framing framing_;
  smtp::DataDecoder decoder_;
  submit::MakeHead make_head_;
  std::unique_ptr<Sink> sink_; // gone once there is trouble
  std::string discarded_;
  std::vector<std::string> in_front_;
  bool complete_ = false; // all of the content was seen
  bool looked_ = false;   // at its first line
  bool has_mailbox_line_ = false;
  bool has_header_ = false;
  Trouble trouble_ = Trouble::none;
  std::optional<Error> error_;
};

} // namespace postrider::smtpd
