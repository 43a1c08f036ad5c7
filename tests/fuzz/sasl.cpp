// SPDX-License-Identifier: MIT
// AUTH: base64, responses that name a user and a password, and a client's mechanisms against any
// challenges (divided by kCut).
#include "base/ascii.hpp"
#include "base/base64.hpp"
#include "fuzz/target.hpp"
#include "said_login.hpp"
#include "sasl/bearer.hpp"
#include "sasl/client.hpp"
#include "sasl/cyrus.hpp"

// Cyrus's plug-in for DIGEST-MD5 loses the first of two nonces (2.1.28).
extern "C" const char* __lsan_default_suppressions(); // NOLINT: the sanitizer's name
extern "C" const char* __lsan_default_suppressions() { return "leak:libdigestmd5.so\n"; } // NOLINT

namespace {
using namespace postrider;

void challenge_client(unsigned which, ByteView input) {
  static const bool initialized = sasl::Client::initialize("").ok();
  POSTRIDER_CHECK(initialized);
  constexpr const char* kMechanisms[] = {"PLAIN", "LOGIN",       "CRAM-MD5",      "DIGEST-MD5",
                                         "NTLM",  "SCRAM-SHA-1", "SCRAM-SHA-256", "EXTERNAL"};
  sasl::Dialogue dialogue;
  dialogue.server = "mx.example.com";
  dialogue.mechanisms = {kMechanisms[which % std::size(kMechanisms)]};
  dialogue.identity.user = (which & 8) != 0 ? "tim@two.example" : "tim";
  dialogue.identity.password = Secret("tanstaaftanstaaf");
  if ((which & 16) != 0) dialogue.identity.authorize_as = "other";
  if ((which & 32) != 0) dialogue.security = {"noplaintext", "mutual_auth"};
  dialogue.client_certificate = dialogue.mechanisms.front() == "EXTERNAL";
  sasl::Cyrus cyrus(dialogue);
  sasl::Cyrus::Step step = cyrus.start(dialogue.mechanisms.front());
  for (const std::string& challenge : fuzz::cut(input)) {
    if (sasl::Cyrus::failed(step)) {
      POSTRIDER_CHECK(!sasl::Cyrus::error_of(step).text().empty());
      return;
    }
    if (sasl::Cyrus::ended(step)) return;
    step = cyrus.step(challenge);
  }
}

} // namespace

FUZZ(input) {
  const unsigned which = fuzz::take_byte(input);
  if (which < 64) {
    if (const auto bytes = from_base64(input))
      POSTRIDER_CHECK(from_base64(to_base64(*bytes)) == bytes);
    POSTRIDER_CHECK(from_base64(to_base64(input)) == std::string(input));
    const std::size_t cut = input.find(fuzz::kCut);
    const std::string_view user = input.substr(0, cut);
    const std::string_view token = cut == input.npos ? "" : input.substr(cut + 1);
    for (const auto mechanism : {sasl::Bearer::oauthbearer, sasl::Bearer::xoauth2}) {
      const std::vector<std::string> offered = {std::string(user), lowercase(to_string(mechanism))};
      POSTRIDER_CHECK(sasl::choose_bearer(offered, {}).has_value());
      POSTRIDER_CHECK(!sasl::choose_bearer(offered, {"noplaintext"}));
      POSTRIDER_CHECK(sasl::closing_response(mechanism).size() <= 1);
      const auto said = sasl::initial_response(mechanism, {user, token, "mx.example.com", 587});
      if (!said) continue;
      POSTRIDER_CHECK(said->view().find("auth=Bearer ") != std::string_view::npos);
      POSTRIDER_CHECK(said->view().ends_with("\1\1"));
    }
  } else if (which < 128) {
    smtpd::SaidLogin said((which & 1) != 0 ? "PLAIN" : "LOGIN");
    for (const std::string& response : fuzz::cut(input))
      said.add(response);
    POSTRIDER_CHECK(!said.complete() || (!said.user.empty() && !said.password.empty()));
  } else {
    challenge_client(which, input.substr(0, 8192));
  }
}
