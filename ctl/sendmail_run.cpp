// SPDX-License-Identifier: MIT
#include "sendmail_run.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <poll.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/ascii.hpp"
#include "config/settings.hpp"
#include "mail/address.hpp"
#include "net/address.hpp"
#include "sendmail_message.hpp"
#include "sendmail_options.hpp"
#include "smtp/dot.hpp"
#include "smtp/reply.hpp"
#include "smtp/xtext.hpp"

namespace postrider::ctl {

namespace {

constexpr int kPatienceSeconds = 300; // for one reply, and for the socket to take bytes
constexpr std::size_t kRecipientsAtOnce = 50;

int complain(int status, const std::string& text) {
  std::fprintf(stderr, "sendmail: %s\n", text.c_str());
  return status;
}

// The conversation, blocking. After an error every call does nothing.
class Talk {
 public:
  explicit Talk(int fd) : fd_(fd) {}

  bool send(ByteView bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }
  // False: the connection is of no use any more.
  bool receive(smtp::Reply& reply) {
    while (true) {
      ByteView in = ByteView(buffer_).substr(at_);
      const std::size_t before = in.size();
      Result<bool> done = parser_.feed(in);
      at_ += before - in.size();
      if (!done) return false;
      if (*done) {
        reply = parser_.take();
        return true;
      }
      char bytes[4096];
      ssize_t n;
      do
        n = ::recv(fd_, bytes, sizeof bytes, 0);
      while (n < 0 && errno == EINTR);
      if (n <= 0) return false;
      buffer_.assign(bytes, static_cast<std::size_t>(n));
      at_ = 0;
    }
  }

 private:
  int fd_;
  smtp::ReplyParser parser_;
  std::string buffer_;
  std::size_t at_ = 0;
};

constexpr std::string_view kLost = "lost the connection to the mail system";

std::string mail_command(const Submission& s, bool utf8) {
  std::string line = "MAIL FROM:<" + mail::to_external(s.sender) + ">";
  line += " SIZE=" + std::to_string(s.message.size());
  if (s.body == mail::Body::eight_bit_mime) line += " BODY=8BITMIME";
  if (s.body == mail::Body::seven_bit) line += " BODY=7BIT";
  if (s.ret == mail::Ret::full) line += " RET=FULL";
  if (s.ret == mail::Ret::hdrs) line += " RET=HDRS";
  if (!s.envid.empty()) line += " ENVID=" + smtp::to_xtext(s.envid);
  if (utf8) line += " SMTPUTF8";
  return line + "\r\n";
}

std::string rcpt_command(const Submission& s, const std::string& recipient) {
  std::string line = "RCPT TO:<" + mail::to_external(recipient) + ">";
  if (s.notify != 0) {
    std::string words;
    const auto add = [&](std::uint8_t bit, const char* word) {
      if ((s.notify & bit) != 0) words += (words.empty() ? "" : ",") + std::string(word);
    };
    add(mail::notify_never, "NEVER");
    add(mail::notify_success, "SUCCESS");
    add(mail::notify_failure, "FAILURE");
    add(mail::notify_delay, "DELAY");
    line += " NOTIFY=" + words;
  }
  return line + "\r\n";
}

int status_of(const smtp::Reply& reply, int permanent) {
  return reply.permanent() ? permanent : EX_TEMPFAIL;
}

} // namespace

int submit_over(int fd, const Submission& s, std::string& answer) {
  Talk talk(fd);
  smtp::Reply reply;
  const auto lost = [&] {
    answer = kLost;
    return EX_TEMPFAIL;
  };
  if (!talk.receive(reply)) return lost();
  if (!reply.ok()) {
    answer = reply.joined(" ");
    return status_of(reply, EX_NOPERM);
  }
  if (!talk.send("EHLO " + s.helo + "\r\n") || !talk.receive(reply)) return lost();
  if (!reply.ok()) {
    answer = reply.joined(" ");
    return status_of(reply, EX_UNAVAILABLE);
  }
  bool utf8 = !is_ascii(s.sender);
  for (const std::string& recipient : s.recipients)
    utf8 = utf8 || !is_ascii(recipient);
  if (!talk.send(mail_command(s, utf8)) || !talk.receive(reply)) return lost();
  if (!reply.ok()) {
    answer = reply.joined(" ");
    return status_of(reply, reply.code == 552 || reply.code == 501 ? EX_DATAERR : EX_UNAVAILABLE);
  }
  int refused = EX_OK;
  for (std::size_t first = 0; first < s.recipients.size(); first += kRecipientsAtOnce) {
    const std::size_t end = std::min(first + kRecipientsAtOnce, s.recipients.size());
    std::string lines;
    for (std::size_t i = first; i < end; ++i)
      lines += rcpt_command(s, s.recipients[i]);
    if (!talk.send(lines)) return lost();
    for (std::size_t i = first; i < end; ++i) {
      if (!talk.receive(reply)) return lost();
      if (reply.ok()) continue;
      if (refused == EX_OK) answer = s.recipients[i] + ": " + reply.joined(" ");
      // Temporary trouble wins: the caller shall try again.
      if (refused != EX_TEMPFAIL)
        refused = status_of(reply, reply.code == 501 ? EX_DATAERR : EX_NOUSER);
    }
  }
  if (refused != EX_OK) { // all or nothing: who calls us knows one exit status only
    if (talk.send("QUIT\r\n")) (void)talk.receive(reply);
    return refused;
  }
  if (!talk.send("DATA\r\n") || !talk.receive(reply)) return lost();
  if (reply.code != 354) {
    answer = reply.joined(" ");
    return status_of(reply, EX_UNAVAILABLE);
  }
  std::string stuffed;
  bool at_line_start = true;
  smtp::append_stuffed(stuffed, s.message, at_line_start);
  stuffed += at_line_start ? ".\r\n" : "\r\n.\r\n";
  if (!talk.send(stuffed) || !talk.receive(reply)) return lost();
  answer = reply.joined(" ");
  if (!reply.ok()) return status_of(reply, EX_DATAERR);
  if (talk.send("QUIT\r\n")) (void)talk.receive(reply);
  return EX_OK;
}

namespace {

Result<Fd> connect_to(const std::string& path) {
  POSTRIDER_TRY(const auto address, net::Address::unix_path(path));
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return Error::from_errno("socket", errno);
  timeval limit{};
  limit.tv_sec = kPatienceSeconds;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  int rc;
  do
    rc = ::connect(fd.get(), address.raw(), address.raw_length());
  while (rc != 0 && errno == EINTR);
  if (rc != 0) return Error::from_errno(path, errno);
  return fd;
}

// -bs: standard input and output become the client of smtpd. The greeting decides the status: a
// caller that does not read replies shall notice that nothing was taken.
int relay_stdio(int fd) {
  bool input_open = true;
  char greeting = '\0';
  char bytes[8192];
  const auto copy = [&](int from, int to) {
    const ssize_t n = ::read(from, bytes, sizeof bytes);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return true;
    if (n <= 0) return false;
    if (from == fd && greeting == '\0') greeting = bytes[0];
    for (ssize_t done = 0; done < n;) {
      const ssize_t w = ::write(to, bytes + done, static_cast<std::size_t>(n - done));
      if (w < 0 && errno == EINTR) continue;
      if (w <= 0) return false;
      done += w;
    }
    return true;
  };
  while (true) {
    pollfd polls[2] = {{fd, POLLIN, 0}, {input_open ? STDIN_FILENO : -1, POLLIN, 0}};
    if (::poll(polls, 2, -1) < 0 && errno != EINTR) return EX_OSERR;
    if (polls[0].revents != 0 && !copy(fd, STDOUT_FILENO))
      return greeting == '2' ? EX_OK : greeting == '5' ? EX_NOPERM : EX_TEMPFAIL;
    if (input_open && polls[1].revents != 0 && !copy(STDIN_FILENO, fd)) {
      input_open = false;
      ::shutdown(fd, SHUT_WR);
    }
  }
}

// `postrider WORDS...` from the directory that this program stands in.
int run_postrider(const std::string& config_directory, std::vector<std::string> words) {
  char self[4096];
  const ssize_t length = ::readlink("/proc/self/exe", self, sizeof self - 1);
  std::string program = "postrider";
  if (length > 0) {
    const std::string_view path(self, static_cast<std::size_t>(length));
    program = std::string(path.substr(0, path.find_last_of('/') + 1)) + "postrider";
  }
  words.insert(words.begin(), {program, "-c", config_directory});
  std::vector<char*> argv;
  for (std::string& word : words)
    argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execv(program.c_str(), argv.data());
  return complain(EX_OSFILE, program + ": " + std::strerror(errno));
}

std::string absolute(const std::string& path) {
  if (path.starts_with('/')) return path;
  char* here = ::get_current_dir_name();
  const std::string out = std::string(here != nullptr ? here : "") + "/" + path;
  ::free(here);
  return out;
}

// "Alice Example" from -F, NAME, or the user database.
std::string full_name_of(const SendmailOptions& options, const passwd* user) {
  if (!options.full_name.empty()) return options.full_name;
  if (const char* name = std::getenv("NAME"); name != nullptr && *name != '\0') return name;
  if (user == nullptr || user->pw_gecos == nullptr) return {};
  const std::string_view gecos(user->pw_gecos);
  std::string out;
  for (const char c : gecos.substr(0, gecos.find(','))) {
    if (c != '&') {
      out.push_back(c);
      continue;
    }
    std::string login(user->pw_name); // '&' stands for the login name since Berkeley
    if (!login.empty()) login.front() = to_upper(login.front());
    out += login;
  }
  return out;
}

Result<std::vector<std::string>> command_line_recipients(const SendmailOptions& options) {
  std::vector<std::string> out;
  for (const std::string& word : options.recipients) {
    POSTRIDER_TRY(const auto some, parse_address_list(word));
    out.insert(out.end(), some.begin(), some.end());
  }
  return out;
}

int deliver(const SendmailOptions& options, const config::Settings& settings,
            const std::string& socket) {
  const passwd* user = ::getpwuid(::getuid());
  Submission s;
  s.sender = user != nullptr ? user->pw_name : "uid-" + std::to_string(::getuid());
  if (options.has_sender) {
    auto senders = parse_address_list(options.sender);
    if (!senders) return complain(EX_USAGE, senders.error().text());
    if (senders->size() > 1) return complain(EX_USAGE, "-f takes one address");
    s.sender = senders->empty() ? std::string() : senders->front();
  }
  auto recipients = command_line_recipients(options);
  if (!recipients) return complain(EX_USAGE, recipients.error().text());
  s.recipients = std::move(*recipients);
  if (s.recipients.empty() && !options.from_headers)
    return complain(EX_USAGE, "recipient addresses must be given, on the command line or with -t");

  const std::uint64_t limit = settings.size("message_size_limit");
  MessageReader reader(options.dot_ends);
  char bytes[65536];
  while (!reader.ended()) {
    const ssize_t n = ::read(STDIN_FILENO, bytes, sizeof bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return complain(EX_IOERR, std::string("standard input: ") + std::strerror(errno));
    if (n == 0) break;
    reader.feed(ByteView(bytes, static_cast<std::size_t>(n)));
    if (limit != 0 && reader.size() > limit)
      return complain(EX_DATAERR, "the message is larger than message_size_limit (" +
                                      std::to_string(limit) + " bytes)");
  }
  PrepareOptions prepare;
  prepare.take_recipients = options.from_headers;
  if (!s.sender.empty()) {
    std::string address = s.sender;
    if (mail::domain_part(address).empty()) address += "@" + settings.text("myorigin");
    const std::string name = quote_display_name(full_name_of(options, user));
    prepare.from =
        name.empty() ? mail::to_external(address) : name + " <" + mail::to_external(address) + ">";
  }
  auto prepared = prepare_message(reader.finish(), prepare);
  if (!prepared) return complain(EX_DATAERR, prepared.error().text());
  s.message = std::move(prepared->message);
  s.recipients.insert(s.recipients.end(), prepared->recipients.begin(), prepared->recipients.end());
  if (s.recipients.empty())
    return complain(EX_USAGE, "no recipient addresses found in the message");
  s.helo = settings.text("myhostname");
  s.envid = options.envid;
  s.notify = options.notify;
  s.ret = options.ret;
  s.body = options.body;
  if (s.body == mail::Body::unset && !is_ascii(s.message)) s.body = mail::Body::eight_bit_mime;

  auto fd = connect_to(socket);
  if (!fd) return complain(EX_TEMPFAIL, "the mail system is not running: " + fd.error().text());
  std::string answer;
  const int status = submit_over(fd->get(), s, answer);
  if (status != EX_OK) return complain(status, answer);
  if (options.verbose) std::printf("%s\n", answer.c_str());
  return EX_OK;
}

} // namespace

int run_sendmail(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  auto options = parse_sendmail_options(std::vector<std::string>(argv, argv + argc));
  if (!options) return complain(EX_USAGE, options.error().text());

  config::Source source;
  source.config_directory = options->config_directory;
  if (source.config_directory.empty())
    if (const char* set = std::getenv("MAIL_CONFIG")) source.config_directory = set;
  if (source.config_directory.empty()) source.config_directory = "/etc/postrider";
  source.config_directory = absolute(source.config_directory);
  source.process_name = "sendmail";

  using Mode = SendmailOptions::Mode;
  switch (options->mode) {
  case Mode::list_queue: return run_postrider(source.config_directory, {"queue"});
  case Mode::flush_queue: {
    std::vector<std::string> words{"flush"};
    if (options->flush_what.starts_with('I'))
      words.push_back(options->flush_what.substr(1));
    else if (options->flush_what.starts_with('R'))
      words.insert(words.end(), {"--destination", options->flush_what.substr(1)});
    else if (!options->flush_what.empty())
      return complain(EX_USAGE, "-q" + options->flush_what + " is not supported");
    return run_postrider(source.config_directory, std::move(words));
  }
  case Mode::verify: return complain(EX_UNAVAILABLE, "-bv is not supported");
  case Mode::daemon: return complain(EX_UNAVAILABLE, "to start the mail system: postrider start");
  case Mode::aliases: return EX_OK; // there is no alias database to build
  case Mode::smtp:
  case Mode::deliver: break;
  }
  config::Findings findings;
  auto settings = config::Settings::load(source, findings);
  if (!settings) return complain(EX_CONFIG, settings.error().text());
  const std::string socket = settings->text("queue_directory") + "/public/submit";
  if (options->mode == Mode::deliver) return deliver(*options, *settings, socket);
  auto fd = connect_to(socket);
  if (!fd) {
    std::printf("421 4.3.2 %s the mail system is not running\r\n",
                settings->text("myhostname").c_str());
    std::fflush(stdout);
    return complain(EX_TEMPFAIL, "the mail system is not running: " + fd.error().text());
  }
  return relay_stdio(fd->get());
}

} // namespace postrider::ctl
