// SPDX-License-Identifier: MIT
#include "handover.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "base/ascii.hpp"

namespace postrider::master {

namespace {

constexpr std::size_t kMost = 1U << 20; // bytes of a handover that are believed

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (const std::string& text : strings)
    out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

std::vector<int> descriptors_of(const Handover& handover) {
  std::vector<int> out = {handover.lifeline_read, handover.lifeline_write};
  out.insert(out.end(), handover.listeners.begin(), handover.listeners.end());
  for (const HandedChild& child : handover.children)
    if (child.status >= 0) out.push_back(child.status);
  return out;
}

Result<Fd> memory_file(const std::string& text) {
  Fd fd(::memfd_create("handover", 0));
  if (!fd) return Error::from_errno("memfd_create", errno);
  if (::pwrite(fd.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    return Error::from_errno("write the handover", errno);
  return fd;
}

// Ours, and for nobody else from now on. Invalid where there is none of that number.
Fd adopt(int number) {
  if (number <= STDERR_FILENO || ::fcntl(number, F_SETFD, FD_CLOEXEC) != 0) return Fd();
  return Fd(number);
}

} // namespace

Error become(const std::string& program, const std::vector<std::string>& arguments,
             const Handover& handover) {
  std::string text;
  encode_to(text, handover);
  const Result<Fd> file = memory_file(text);
  if (!file) return file.error();
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry)
    environment.emplace_back(*entry);
  environment.push_back(std::string(kHandoverVariable) + "=" + std::to_string(file->get()));
  const std::vector<char*> argv = pointers(arguments);
  const std::vector<char*> envp = pointers(environment);
  const std::vector<int> passed = descriptors_of(handover);
  for (const int fd : passed)
    ::fcntl(fd, F_SETFD, 0);
  ::execve(program.c_str(), argv.data(), envp.data());
  const int why = errno;
  for (const int fd : passed)
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  return Error::from_errno("start " + program, why);
}

Result<void> try_out(const std::string& program, const std::vector<std::string>& arguments,
                     Duration limit) {
  pid_t pid = 0;
  const int error =
      ::posix_spawn(&pid, program.c_str(), nullptr, nullptr, pointers(arguments).data(), environ);
  if (error != 0) return Error::from_errno("start " + program, error);
  const SteadyTime until = system_clock().steady() + limit;
  int status = 0;
  while (::waitpid(pid, &status, WNOHANG) == 0) {
    if (system_clock().steady() >= until) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, &status, 0);
      return Error(ErrorKind::timeout, program + " does not end");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return Error(ErrorKind::config, program +
                                      " refuses this configuration; it says why when run as `" +
                                      program + " -n`");
}

Result<std::optional<Inheritance>> Inheritance::take() {
  const char* text = std::getenv(kHandoverVariable);
  if (text == nullptr) return std::optional<Inheritance>();
  const auto number = parse_decimal(text);
  ::unsetenv(kHandoverVariable);
  const Fd file = number && *number < 1U << 20 ? adopt(static_cast<int>(*number)) : Fd();
  std::string bytes(kMost, '\0');
  const ssize_t size = file ? ::pread(file.get(), bytes.data(), bytes.size(), 0) : -1;
  if (size < 0) return Error(ErrorKind::protocol, "handover: it cannot be read");
  bytes.resize(static_cast<std::size_t>(size));
  POSTRIDER_TRY(Handover told, decode<Handover>(bytes));
  Inheritance out;
  out.lifeline_read_ = adopt(told.lifeline_read);
  out.lifeline_write_ = adopt(told.lifeline_write);
  if (!out.lifeline_read_ || !out.lifeline_write_)
    return Error(ErrorKind::protocol, "handover: no lifeline");
  for (const int fd : told.listeners)
    if (Fd listener = adopt(fd)) out.listeners_.push_back(std::move(listener));
  for (const HandedChild& child : told.children)
    if (Fd status = adopt(child.status); status && child.pid > 1)
      out.children_.push_back(
          {static_cast<pid_t>(child.pid), child.generation, std::move(status), child.service});
  out.told_ = std::move(told);
  return std::optional<Inheritance>(std::move(out));
}

Fd Inheritance::take_listener(const net::Address& address) {
  for (Fd& fd : listeners_)
    if (fd && net::Address::local_of(fd.get()) == address) return std::move(fd);
  return Fd();
}

void Inheritance::close_listeners() {
  for (const Fd& fd : listeners_) {
    if (!fd) continue;
    const net::Address address = net::Address::local_of(fd.get());
    if (!address.is_ip()) ::unlink(address.text().c_str());
  }
  listeners_.clear();
}

} // namespace postrider::master
