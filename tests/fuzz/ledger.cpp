// SPDX-License-Identifier: MIT
// The two files of the ledger. Each input byte string is one file, kCut between them: header with
// its checksum made right, then cells or raw bytes.
#include "queue/ledger.hpp"
#include "fuzz/queue_files.hpp"

FUZZ(input) {
  using namespace postrider;
  const unsigned options = fuzz::take_byte(input);
  const queue::Layout layout("");
  fuzz::InputFiles fs;
  unsigned which = 0;
  for (std::string file : fuzz::cut(input)) {
    if (which == 2) break;
    const std::string rest = file.size() > 52 ? file.substr(52) : std::string();
    file.resize(std::min<std::size_t>(file.size(), 52));
    if ((options & 1) != 0 && file.size() == 52) {
      file.replace(0, 4, "PRlg");
      if ((options & 16) == 0) file.replace(4, 2, std::string("\1\0", 2)); // the version
      if ((options & 2) != 0) file.replace(8, 8, std::string("\7\0\0\0\0\0\0\0", 8));
      fuzz::mend_block(file, 0, 52);
    }
    const std::uint64_t tag =
        file.size() == 52 ? get_le<std::uint64_t>(ByteView(file).substr(24)) : 0;
    if ((options & 4) == 0) file.resize(queue::kLedgerHeader, '\0');
    file += (options & 8) != 0 ? fuzz::cells_of(rest, tag, queue::kLedgerHeader) : rest;
    fs.files[layout.ledger(which++)] = file;
  }
  std::uint64_t seen = 0;
  const auto replay = queue::replay_ledger(fs, layout, 7, [&](const queue::Mark& mark) {
    ++seen;
    if (mark.kind < queue::kLentMark) (void)queue::decode_event(mark.kind, mark.event);
  });
  if (!replay) { // of a later version
    POSTRIDER_CHECK(replay.error().kind() == ErrorKind::config);
    return;
  }
  POSTRIDER_CHECK(replay->marks == seen);
  POSTRIDER_CHECK(replay->found || seen == 0);
}
