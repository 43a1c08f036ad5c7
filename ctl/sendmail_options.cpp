// SPDX-License-Identifier: MIT
#include "sendmail_options.hpp"

#include "base/ascii.hpp"

namespace postrider::ctl {

namespace {

using Mode = SendmailOptions::Mode;

// Options with an argument, attached or in the next word. `q` and `o` take one attached only, `d`
// too.
constexpr std::string_view kWithArgument = "ABCFLNORVXbfhprM";
constexpr std::string_view kMaybeAttached = "oqde";
constexpr std::string_view kPlain = "GIUcimnstvx";

std::string base_name(std::string_view path) {
  return std::string(path.substr(path.find_last_of('/') + 1));
}

Error bad(std::string text) { return Error(ErrorKind::config, std::move(text)); }

Result<void> take_notify(std::string_view words, SendmailOptions& out) {
  if (iequals(words, "never")) {
    out.notify = mail::notify_never;
    return {};
  }
  for (const std::string_view word : split(words, ", ")) {
    if (iequals(word, "success"))
      out.notify |= mail::notify_success;
    else if (iequals(word, "failure"))
      out.notify |= mail::notify_failure;
    else if (iequals(word, "delay"))
      out.notify |= mail::notify_delay;
    else
      return bad("-N " + std::string(words) + ": expected never, or success, failure, delay");
  }
  if (out.notify == 0) return bad("-N needs never, or success, failure, delay");
  return {};
}

Result<void> take(char option, const std::string& argument, SendmailOptions& out) {
  switch (option) {
  case 'b':
    if (argument == "m")
      out.mode = Mode::deliver;
    else if (argument == "s")
      out.mode = Mode::smtp;
    else if (argument == "p")
      out.mode = Mode::list_queue;
    else if (argument == "v")
      out.mode = Mode::verify;
    else if (argument == "i")
      out.mode = Mode::aliases;
    else if (argument == "d" || argument == "D" || argument == "l")
      out.mode = Mode::daemon;
    else
      return bad("-b" + argument + " is not supported");
    return {};
  case 'B':
    if (iequals(argument, "8BITMIME"))
      out.body = mail::Body::eight_bit_mime;
    else if (iequals(argument, "7BIT"))
      out.body = mail::Body::seven_bit;
    else
      return bad("-B " + argument + ": expected 7BIT or 8BITMIME");
    return {};
  case 'C':
    out.config_directory =
        base_name(argument) == "main.cf" && argument.find('/') != std::string::npos
            ? argument.substr(0, argument.find_last_of('/'))
            : argument;
    return {};
  case 'F': out.full_name = argument; return {};
  case 'f':
  case 'r':
    out.sender = argument;
    out.has_sender = true;
    return {};
  case 'I': out.mode = Mode::aliases; return {};
  case 'i': out.dot_ends = false; return {};
  case 'N': return take_notify(argument, out);
  case 'R':
    if (iequals(argument, "full"))
      out.ret = mail::Ret::full;
    else if (iequals(argument, "hdrs"))
      out.ret = mail::Ret::hdrs;
    else
      return bad("-R " + argument + ": expected full or hdrs");
    return {};
  case 'V':
    if (argument.empty() || argument.size() > 100 || !is_ascii(argument) ||
        argument.find_first_of("\r\n", 0) != std::string::npos)
      return bad("-V: not an envelope id");
    out.envid = argument;
    return {};
  case 'o':
    // -oi; "-o7", "-oem", "-odb" and their like mean nothing to us.
    if (argument == "i") out.dot_ends = false;
    return {};
  case 'q':
    // A number is how often a daemon would flush, which qmgr does by itself.
    if (!argument.empty() && is_digit(argument.front())) return {};
    out.mode = Mode::flush_queue;
    out.flush_what = argument;
    return {};
  case 't': out.from_headers = true; return {};
  case 'v': out.verbose = true; return {};
  default: return {}; // read and without effect, as in Postfix
  }
}

} // namespace

Result<SendmailOptions> parse_sendmail_options(const std::vector<std::string>& argv) {
  SendmailOptions out;
  if (!argv.empty()) {
    const std::string name = base_name(argv.front());
    if (name == "mailq") out.mode = Mode::list_queue;
    if (name == "newaliases") out.mode = Mode::aliases;
  }
  std::size_t i = 1;
  for (; i < argv.size(); ++i) {
    const std::string& word = argv[i];
    if (word == "--") {
      ++i;
      break;
    }
    if (word.size() < 2 || word.front() != '-') break;
    for (std::size_t at = 1; at < word.size(); ++at) {
      const char option = word[at];
      const std::string attached = word.substr(at + 1);
      if (kPlain.find(option) != std::string_view::npos) {
        POSTRIDER_TRY_VOID(take(option, {}, out));
        continue;
      }
      if (kMaybeAttached.find(option) != std::string_view::npos) {
        POSTRIDER_TRY_VOID(take(option, attached, out));
        break;
      }
      if (kWithArgument.find(option) == std::string_view::npos)
        return bad(std::string("-") + option + " is no option of sendmail");
      if (attached.empty() && i + 1 >= argv.size())
        return bad(std::string("-") + option + " needs an argument");
      POSTRIDER_TRY_VOID(take(option, attached.empty() ? argv[++i] : attached, out));
      break;
    }
  }
  for (; i < argv.size(); ++i)
    out.recipients.push_back(argv[i]);
  return out;
}

} // namespace postrider::ctl
