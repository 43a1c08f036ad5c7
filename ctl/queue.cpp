// SPDX-License-Identifier: MIT
// queue, why, cat: what is in the queue, and why it is still there.
#include <algorithm>
#include <unistd.h>

#include "base/fs.hpp"
#include "client.hpp"
#include "command.hpp"
#include "json.hpp"
#include "queue/id.hpp"
#include "selector.hpp"
#include "text.hpp"
#include "view.hpp"

namespace postrider::ctl {

namespace {

constexpr std::uint64_t kUnlimited = std::uint64_t{1} << 62;
constexpr std::uint64_t kFirstPage = 100; // what people see without --limit

Result<std::unique_ptr<Client>> connect(const Invocation& in) {
  POSTRIDER_TRY(const std::string directory, find_queue_directory(in));
  return Client::to_qmgr(directory);
}

// Pages are printed as they come: the queue may hold a million messages.
int list(const Invocation& in) {
  auto select = parse_selector(in.arguments, Empty::is_all);
  if (!select) return fail(in, exit_usage, select.error().text());
  const auto limit = in.arguments.number("limit", in.json ? kUnlimited : kFirstPage, 1, kUnlimited);
  if (!limit) return fail(in, exit_usage, limit.error().text());
  const auto recipients = in.arguments.number("recipients", in.json ? 1000 : 5, 1, 100000);
  if (!recipients) return fail(in, exit_usage, recipients.error().text());
  auto client = connect(in);
  if (!client) return fail(in, client.error());

  proto::ListQueue request;
  request.select = std::move(*select);
  request.recipients = static_cast<std::uint32_t>(*recipients);
  std::uint64_t printed = 0;
  bool stale = false;
  bool more = true;
  if (in.json) print("[");
  while (more && printed < *limit) {
    request.limit =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(*limit - printed, proto::kMostPerPage));
    auto page = (*client)->ask<proto::QueuePage>(request);
    if (!page) {
      if (in.json) print("]\n");
      return fail(in, page.error());
    }
    const std::int64_t now = now_micros();
    for (const proto::QueueItem& item : page->items) {
      if (in.json)
        print((printed == 0 ? "\n" : ",\n") + json::of(item));
      else
        print(view(item, now));
      ++printed;
    }
    stale = stale || page->stale;
    // A page that does not lead on would be asked for for ever.
    more = page->more && !page->next.empty() && page->next != request.after;
    request.after = page->next;
  }
  if (in.json) {
    print(printed == 0 ? "]\n" : "\n]\n");
    return exit_ok;
  }
  if (printed == 0)
    print("no mail in the queue" + std::string(request.select.all ? "" : " that fits") + "\n");
  else
    print("-- " + counted(printed, "message") + (more ? ", and more: --limit N shows them" : "") +
          "\n");
  if (stale) print("-- the index is being checked: messages may be missing here\n");
  return exit_ok;
}

int count(const Invocation& in, std::string_view by) {
  proto::CountQueue request;
  std::string_view title;
  if (by == "destination") {
    request.by = proto::CountBy::destination;
    title = "DESTINATION";
  } else if (by == "reason") {
    request.by = proto::CountBy::reason;
    title = "REASON";
  } else if (by == "state") {
    request.by = proto::CountBy::where;
    title = "STATE";
  } else {
    return fail(in, exit_usage, "--by: expected destination, reason or state");
  }
  const auto limit = in.arguments.number("limit", 100, 1, 1000000);
  if (!limit) return fail(in, exit_usage, limit.error().text());
  request.limit = static_cast<std::uint32_t>(*limit);
  auto client = connect(in);
  if (!client) return fail(in, client.error());
  auto counts = (*client)->ask<proto::QueueCounts>(request);
  if (!counts) return fail(in, counts.error());
  if (in.json) {
    print(json::of(*counts) + "\n");
    return exit_ok;
  }
  print(view(*counts, title));
  if (counts->stale) print("-- the index is being checked: numbers may grow\n");
  return exit_ok;
}

int run_queue(const Invocation& in) {
  if (in.has("by")) {
    if (!in.words().empty() || in.has("sender") || in.has("recipient") || in.has("reason") ||
        in.has("destination") || in.has("state"))
      return fail(in, exit_usage, "--by counts the whole queue: leave out the selection");
    return count(in, in.value("by"));
  }
  return list(in);
}

int run_why(const Invocation& in) {
  if (in.words().empty()) return fail(in, exit_usage, "name a queue id or a recipient address");
  for (const std::string& word : in.words()) {
    if (word.find('@') != std::string::npos) continue;
    const auto id = parse_id(word);
    if (!id) return fail(in, exit_usage, id.error().text() + ", and no address either");
  }
  auto client = connect(in);
  if (!client) return fail(in, client.error());
  std::vector<std::string> ids;
  for (const std::string& word : in.words()) {
    if (word.find('@') == std::string::npos) {
      ids.push_back(word);
      continue;
    }
    proto::ListQueue request;
    request.select.recipient = word;
    request.limit = 20;
    auto page = (*client)->ask<proto::QueuePage>(request);
    if (!page) return fail(in, page.error());
    if (page->items.empty())
      return fail(in, exit_not_found,
                  "no mail to " + shown(word) + " is in the queue" +
                      (page->stale ? " as far as the index is checked" : ""));
    for (const proto::QueueItem& item : page->items)
      ids.push_back(item.id);
    if (page->more)
      complain("only the first " + counted(page->items.size(), "message") + " to " + shown(word));
  }
  std::vector<proto::WhyAnswer> answers;
  for (const std::string& id : ids) {
    proto::Why request;
    request.id = id;
    auto answer = (*client)->ask<proto::WhyAnswer>(request);
    if (!answer) {
      // Of several found by address, one may have been delivered meanwhile.
      if (answer.error().kind() == ErrorKind::not_found && ids.size() > in.words().size()) continue;
      return fail(in, answer.error());
    }
    answers.push_back(std::move(*answer));
  }
  if (in.json) {
    print((in.words().size() == 1 && answers.size() == 1 ? json::of(answers.front())
                                                         : json::of(answers)) +
          "\n");
    return exit_ok;
  }
  const std::int64_t now = now_micros();
  bool first = true;
  for (const proto::WhyAnswer& answer : answers) {
    if (!first) print("\n");
    first = false;
    print(view(answer, now));
  }
  return exit_ok;
}

// Stored lines end in CRLF; people and tools of this system want LF.
std::string unix_lines(std::string_view content) {
  std::string out;
  out.reserve(content.size());
  for (std::size_t i = 0; i < content.size(); ++i)
    if (content[i] != '\r' || i + 1 == content.size() || content[i + 1] != '\n')
      out.push_back(content[i]);
  return out;
}

int run_cat(const Invocation& in) {
  if (in.words().size() != 1) return fail(in, exit_usage, "name one queue id");
  if (in.has("header") + in.has("body") + in.has("envelope") > 1)
    return fail(in, exit_usage, "--envelope, --header and --body exclude each other");
  auto id = parse_id(in.words().front());
  if (!id) return fail(in, exit_usage, id.error().text());
  auto client = connect(in);
  if (!client) return fail(in, client.error());
  proto::Cat request;
  request.id = *id;
  auto answer = (*client)->ask<proto::CatAnswer>(request);
  if (!answer) return fail(in, answer.error());
  auto fd = (*client)->take_descriptor();
  if (!fd) return fail(in, fd.error());

  const bool raw = in.has("raw");
  if (!raw && !in.json && !in.has("header") && !in.has("body")) print(view_envelope(*answer));
  if (in.has("envelope")) return exit_ok;
  std::uint64_t at = answer->content_offset;
  std::uint64_t end = at + answer->size;
  if (in.has("header")) end = at + std::min<std::uint64_t>(answer->header_size, answer->size);
  if (in.has("body")) at += std::min<std::uint64_t>(answer->header_size, answer->size);
  const bool terminal = ::isatty(1) == 1;
  std::string whole;
  std::string carry; // a CR at the end of a piece may belong to the next LF
  while (at < end) {
    const std::size_t want = static_cast<std::size_t>(std::min<std::uint64_t>(end - at, 1 << 20));
    auto piece = real_file_system().pread(fd->get(), want, at);
    if (!piece) return fail(in, piece.error());
    if (piece->size() < want)
      return fail(in, exit_protocol, "the message is shorter than recorded");
    at += want;
    if (in.json) {
      whole += *piece;
      continue;
    }
    std::string text = carry + *piece;
    carry.clear();
    if (raw) {
      print(text);
      continue;
    }
    if (at < end && text.back() == '\r') {
      carry = "\r";
      text.pop_back();
    }
    text = unix_lines(text);
    print(terminal ? shown_lines(text) : text);
  }
  if (in.json) print(json::of(*answer, whole) + "\n");
  return exit_ok;
}

std::vector<Option> with_selectors(std::vector<Option> options) {
  const std::vector<Option>& selectors = selector_options();
  options.insert(options.end(), selectors.begin(), selectors.end());
  return options;
}

} // namespace

const std::vector<Command>& queue_commands() {
  static const std::vector<Command> commands = {
      {"queue", "[ID...]", "list the mail that waits, or count it",
       with_selectors({{"by", "WHAT", "count by destination, reason or state"},
                       {"limit", "N", "at most N messages (people: 100; --json: all)"},
                       {"recipients", "N", "at most N recipients of each"}}),
       run_queue},
      {"why",
       "ID|ADDRESS...",
       "say why a message, or mail to an address, is still here",
       {},
       run_why},
      {"cat",
       "ID",
       "show a message of the queue",
       {{"envelope,e", "", "the envelope only"},
        {"header,h", "", "the header only"},
        {"body,b", "", "the body only"},
        {"raw", "", "the content byte for byte, lines end in CR LF"}},
       run_cat},
  };
  return commands;
}

} // namespace postrider::ctl
