// SPDX-License-Identifier: MIT
// DNS look-ups on the loop: one query is one await. Resolver is the seam (tests use a fake);
// UnboundResolver does recursion or forwarding with DNSSEC validation inside the process. Nothing
// here reads a file after Setup::load().
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "ev/task.hpp"
#include "net/address.hpp"

namespace postrider::dns {

enum class Type : std::uint16_t {
  a = 1,
  ns = 2,
  cname = 5, // no record comes back: Answer::canonical is the target
  soa = 6,
  ptr = 12,
  mx = 15,
  txt = 16,
  aaaa = 28,
  srv = 33,
  tlsa = 52,
};
std::string_view to_string(Type type);

enum class Status : std::uint8_t {
  ok,
  no_data,   // the name exists, records of this type do not
  no_domain, // NXDOMAIN
  temporary, // time-out, SERVFAIL, REFUSED, bogus, nonsense: never a reason to give mail up
  unusable,  // there are records, none of them names a host
  filtered,  // a table of the administrator took all records away
};

enum class Security : std::uint8_t { insecure, secure, bogus };

// How many records of one answer are looked at.
inline constexpr std::size_t kMaxRecords = 128;

struct Record {
  std::uint16_t preference = 0; // MX
  std::uint32_t ttl = 0;        // seconds; above 2^31 - 1 it is 0 (RFC 2181 section 8)
  std::string data;             // A: 4 bytes; AAAA: 16; MX: host name or numeric address, lower
                    // case, "" for the root; PTR: host name, as it was written; NS: host
                    // name, lower case; others:
                    // rdata
};

struct Answer {
  Status status = Status::temporary;
  Security security = Security::insecure;
  std::string reason; // of a failure, for people: "SERVFAIL", "bogus: ...", "time limit exceeded"
  std::string canonical; // the name at the end of CNAMEs, lower case: whose the records are
  std::string complaint; // about a record that was left out or is odd; for the log
  std::vector<Record> records;
  Answer() {}
};

class Resolver {
 public:
  virtual ~Resolver() = default;
  // WAITS. `name` is ASCII, without a dot at the end. A time-out is an Answer (temporary); an Error
  // is cancellation only.
  virtual ev::Task<Result<Answer>> query(std::string_view name, Type type,
                                         ev::Deadline deadline) = 0;
};

// What a resolver needs to know, gathered while files may still be read.
struct Setup {
  std::vector<std::string> forwarders; // "192.0.2.1" or "192.0.2.1@5300"
  std::vector<std::string> anchors;    // DS or DNSKEY records, one each; none: no validation
  // `servers` empty: the nameserver lines of /etc/resolv.conf. `anchor_file` empty: no anchors.
  static Result<Setup> load(const std::vector<std::string>& servers,
                            const std::string& anchor_file);
  bool operator==(const Setup&) const = default;
};

class UnboundResolver final : public Resolver {
 public:
  static Result<std::unique_ptr<UnboundResolver>> create(ev::Loop& loop, const Setup& setup);
  ~UnboundResolver() override;
  ev::Task<Result<Answer>> query(std::string_view name, Type type, ev::Deadline deadline) override;

  std::size_t unanswered() const; // queries under way, abandoned ones included

 private:
  struct Impl;
  explicit UnboundResolver(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Reads the answer section of a reply message. Pure: whatever the bytes are, records that do not
// have the form of their type are skipped, and no more than kMaxRecords are kept.
Answer parse_reply(ByteView packet, std::string_view name, Type type);

// Of an A or AAAA record; port 0.
net::Address address_of(const Record& record, Type type);

} // namespace postrider::dns
