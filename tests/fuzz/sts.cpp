// SPDX-License-Identifier: MIT
// MTA-STS and TLSRPT: TXT records (one per line), and policies.
#include "mail/sts.hpp"
#include "base/ascii.hpp"
#include "fuzz/target.hpp"
#include "mail/domain.hpp"
#include "record.hpp" // of tlsrpt

FUZZ(input) {
  using namespace postrider;
  const auto policy = mail::parse_sts_policy(input);
  if (policy) {
    POSTRIDER_CHECK(policy->mx.size() <= mail::kStsMostPatterns);
    POSTRIDER_CHECK(policy->max_age.count() >= 0 && policy->max_age <= mail::kStsLongestAge);
    POSTRIDER_CHECK(policy->mode == mail::StsMode::none || !policy->mx.empty());
    std::string written = "version: STSv1\nmode: " + std::string(to_string(policy->mode)) +
                          "\nmax_age: " + std::to_string(policy->max_age.count()) + "\n";
    for (const std::string& pattern : policy->mx) {
      written += "mx: " + pattern + "\n";
      const bool wild = pattern.starts_with("*.");
      POSTRIDER_CHECK(mail::is_domain(wild ? pattern.substr(2) : pattern), pattern);
      POSTRIDER_CHECK(mail::sts_allows(policy->mx, wild ? "a" + pattern.substr(1) : pattern));
    }
    const auto again = mail::parse_sts_policy(written);
    POSTRIDER_CHECK(again && *again == *policy, written);
  }
  std::vector<std::string> texts;
  for (const std::string_view line : split(input, "\n"))
    texts.emplace_back(line);
  if (const auto id = mail::parse_sts_record(texts))
    POSTRIDER_CHECK(!id->empty() && id->size() <= 32);
  if (const auto addresses = tlsrpt::parse_record(texts)) {
    POSTRIDER_CHECK(!addresses->empty() && addresses->size() <= tlsrpt::kMostAddresses);
    for (const std::string& uri : *addresses) {
      const auto mail = tlsrpt::mail_address(uri);
      const auto host = tlsrpt::https_host(uri);
      POSTRIDER_CHECK(mail.has_value() != host.has_value(), uri);
      if (mail) POSTRIDER_CHECK(mail->find_first_of(" <>\r\n,") == mail->npos, *mail);
    }
  }
}
