// SPDX-License-Identifier: MIT
// Name and password out of what a client says in AUTH PLAIN (RFC 4616) or LOGIN, for
// smtpd_forward_auth = forward. Other mechanisms give no password away. Decides nothing: whether
// they are right is for saslmgr to say. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/secret.hpp"

namespace postrider::smtpd {

class SaidLogin {
 public:
  // In upper case.
  explicit SaidLogin(std::string_view mechanism)
      : plain_(mechanism == "PLAIN"), login_(mechanism == "LOGIN") {}

  // Each response in turn, the initial one too; not in base64. "" is none.
  void add(std::string_view response) {
    if (response.empty()) return;
    if (login_ && user.empty()) {
      user = response;
    } else if (login_) {
      password = Secret(response);
    } else if (plain_) {
      const std::size_t name = response.find('\0');
      if (name == std::string_view::npos) return;
      const std::size_t end = response.find('\0', name + 1);
      if (end == std::string_view::npos) return;
      user = response.substr(name + 1, end - name - 1);
      password = Secret(response.substr(end + 1));
    }
  }
  bool complete() const { return !user.empty() && !password.empty(); }

  std::string user;
  Secret password;

 private:
  bool plain_, login_;
};

} // namespace postrider::smtpd
