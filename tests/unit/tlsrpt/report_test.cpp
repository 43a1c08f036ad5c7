// SPDX-License-Identifier: MIT
#include "report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <zlib.h>

#include "base/base64.hpp"
#include "counts.hpp"
#include "events.hpp"
#include "gzip.hpp"

namespace postrider::tlsrpt {
namespace {

using nlohmann::json;
using testing::HasSubstr;

Letterhead letterhead() {
  Letterhead head;
  head.hostname = "mail.sender.example";
  head.organization = "Sender \"Inc\"";
  head.contact = "postmaster@sender.example";
  head.sender = "tlsrpt@sender.example";
  return head;
}

proto::TlsAccount account() {
  proto::TlsAccount out;
  out.domain = "a.example";
  out.begin = 20833 * 86400;
  out.end = out.begin + 86400;
  add(out, success("a.example"));
  add(out, success("a.example"));
  proto::TlsEvent event = failure("a.example", "no name matches: \"x\" \xff",
                                  proto::TlsResult::certificate_host_mismatch);
  event.policy.kind = proto::TlsPolicyKind::sts;
  event.policy.strings = {"version: STSv1", "mode: enforce", "mx: *.a.example", "max_age: 86400"};
  event.policy.mx = {"*.a.example"};
  add(out, event);
  out.report_id = report_id(out, letterhead(), "0123456789abcdef");
  return out;
}

std::string gunzip(std::string_view packed) {
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  std::string out(1 << 20, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  inflateEnd(&stream);
  return out;
}

TEST(Report, IsTheJsonOfRfc8460) {
  const json wanted = json::parse(R"({
    "organization-name": "Sender \"Inc\"",
    "date-range": {"start-datetime": "2027-01-15T00:00:00Z", "end-datetime": "2027-01-15T23:59:59Z"},
    "contact-info": "postmaster@sender.example",
    "report-id": "20270115.0123456789abcdef@mail.sender.example",
    "policies": [
      {"policy": {"policy-type": "no-policy-found", "policy-domain": "a.example"},
       "summary": {"total-successful-session-count": 2, "total-failure-session-count": 0}},
      {"policy": {"policy-type": "sts", "policy-domain": "a.example",
                  "policy-string": ["version: STSv1", "mode: enforce", "mx: *.a.example",
                                    "max_age: 86400"],
                  "mx-host": ["*.a.example"]},
       "summary": {"total-successful-session-count": 0, "total-failure-session-count": 1},
       "failure-details": [
         {"result-type": "certificate-host-mismatch", "sending-mta-ip": "192.0.2.9",
          "receiving-mx-hostname": "mx.a.example", "receiving-ip": "192.0.2.1",
          "failed-session-count": 1,
          "failure-reason-code": "no name matches: \"x\" \ufffd"}]}]})");
  EXPECT_EQ(json::parse(to_json(account(), letterhead())), wanted);
}

TEST(Report, EveryResultHasItsName) {
  for (int i = 1; i <= static_cast<int>(highest(proto::TlsResult())); ++i) {
    proto::TlsAccount one;
    add(one, failure("a.example", "", static_cast<proto::TlsResult>(i)));
    const json made = json::parse(to_json(one, letterhead()));
    EXPECT_EQ(made["policies"][0]["failure-details"][0]["result-type"],
              std::string(to_string(static_cast<proto::TlsResult>(i))));
    EXPECT_FALSE(to_string(static_cast<proto::TlsResult>(i)).empty());
  }
}

TEST(Report, Gzip) {
  std::string random;
  for (std::uint32_t i = 0; i < 100000; ++i)
    random += static_cast<char>(i * i * 7 >> 3);
  for (const std::string& text : {std::string(), std::string("x"), random})
    EXPECT_EQ(gunzip(gzip(text)), text);
}

TEST(Report, FileName) {
  EXPECT_EQ(file_name(account(), letterhead()),
            "sender.example!a.example!1799971200!1800057599!0123456789abcdef.json.gz");
}

TEST(Report, TheMessage) {
  const std::string packed = gzip(to_json(account(), letterhead()));
  const Composed made = compose(account(), packed, "r@a.example", letterhead(),
                                WallTime(std::chrono::seconds(1800060000)));
  const std::string header = made.content.substr(0, made.content.find("\r\n\r\n") + 2);
  for (const char* line :
       {"From: \"Sender \\\"Inc\\\"\" <tlsrpt@sender.example>\r\n", "To: r@a.example\r\n",
        "Subject: Report Domain: a.example\r\n Submitter: sender.example\r\n"
        " Report-ID: <20270115.0123456789abcdef@mail.sender.example>\r\n",
        "TLS-Report-Domain: a.example\r\n", "TLS-Report-Submitter: sender.example\r\n",
        "TLS-Required: No\r\n", "Auto-Submitted: auto-generated\r\n",
        "Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n"})
    EXPECT_THAT(header, HasSubstr(line));
  EXPECT_THAT(made.content, HasSubstr("Content-Type: application/tlsrpt+gzip;\r\n"));
  EXPECT_THAT(made.content, HasSubstr("filename=\"" + file_name(account(), letterhead()) + "\""));
  EXPECT_LE(made.facts.longest_line, 120u);
  EXPECT_EQ(made.facts.size, made.content.size());
  EXPECT_FALSE(made.facts.has_8bit);
  // The attachment is the report.
  std::size_t at = made.content.find("Content-Disposition: attachment");
  at = made.content.find("\r\n\r\n", at) + 4;
  std::string text = made.content.substr(at, made.content.find("\r\n\r\n--", at) - at);
  std::erase_if(text, [](char c) { return c == '\r' || c == '\n'; });
  EXPECT_EQ(from_base64(text), packed);

  EXPECT_EQ(made.envelope.report_kind, proto::kTlsReport) << "or it would cause the next one";
  EXPECT_EQ(made.envelope.report_for, "");
  EXPECT_EQ(made.envelope.sender, "tlsrpt@sender.example");
  ASSERT_EQ(made.envelope.recipients.size(), 1u);
  EXPECT_EQ(made.envelope.recipients[0].notify, mail::notify_never);
  EXPECT_TRUE(mail::check_clean(made.envelope).ok());
}

} // namespace
} // namespace postrider::tlsrpt
