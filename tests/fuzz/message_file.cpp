// SPDX-License-Identifier: MIT
// A message file: its record, with checksums made right, and the events behind it.
#include "queue/message_file.hpp"
#include "fuzz/queue_files.hpp"

namespace {
using namespace postrider;

void check_state(const queue::FileContents& read) {
  const queue::MessageState& state = read.state;
  POSTRIDER_CHECK(state.recipients.size() == state.envelope.recipients.size());
  // What migration would write says the same.
  queue::StoredRecord record;
  record.header.id = state.id;
  record.envelope = state.envelope;
  record.facts = state.facts;
  queue::MessageState again = queue::make_state(std::move(record));
  for (const queue::Event& event : queue::events_of(state)) {
    const auto copy =
        queue::decode_event(static_cast<std::uint8_t>(event.kind), queue::encode_event(event));
    POSTRIDER_CHECK(copy && queue::apply(again, *copy).ok());
  }
  POSTRIDER_CHECK(again.recipients == state.recipients && again.held == state.held &&
                  again.strikes == state.strikes);
  (void)queue::due_at(state);
  POSTRIDER_CHECK(!queue::may_remove(state) || queue::all_settled(state));
  for (std::size_t i = 0; i < state.recipients.size(); ++i)
    POSTRIDER_CHECK(!queue::wants_report(state, i) ||
                    (queue::is_settled(state.recipients[i]) && !queue::may_remove(state)));
}

} // namespace

FUZZ(input) {
  const unsigned options = fuzz::take_byte(input);
  fuzz::InputFiles fs;
  std::string& bytes = fs.files["file"];
  if ((options & 1) != 0) { // a good record with any tail
    mail::Envelope envelope;
    envelope.sender = (options & 4) != 0 ? "" : "a@b.example";
    if ((options & 8) != 0) envelope.hold = "why";
    for (int i = 0; i < 3; ++i)
      envelope.recipients.push_back({"r" + std::to_string(i) + "@c.example", "", 0});
    mail::ContentFacts facts;
    facts.size = 5;
    queue::RecordHeader header;
    header.tag = 0x1122;
    header.id = queue::Id(42);
    queue::put_record(bytes, header, envelope, facts, "text\n", {});
    bytes.resize((bytes.size() + 7) / 8 * 8);
    bytes += (options & 2) != 0 ? std::string(input) : fuzz::cells_of(input, 0x1122, bytes.size());
  } else {
    bytes = input;
    if ((options & 2) != 0) fuzz::mend_record(bytes, 0);
  }
  const auto fd = fs.open("file", 0, 0);
  const auto read = queue::read_message_file(fs, fd->get(), queue::Check::everything);
  if (read) check_state(*read);
  if (options == 255 && !input.empty()) {
    const auto event = queue::decode_event(static_cast<std::uint8_t>(input[0]), input.substr(1));
    if (!event) return;
    const auto again =
        queue::decode_event(static_cast<std::uint8_t>(input[0]), queue::encode_event(*event));
    POSTRIDER_CHECK(again && *again == *event);
  }
}
