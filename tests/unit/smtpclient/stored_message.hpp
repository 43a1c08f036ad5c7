// SPDX-License-Identifier: MIT
// A message as the client gets it: a record in a file, with the place of its content.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "mail/header.hpp"
#include "proto/deliver.hpp"
#include "smtpclient/transact.hpp"

namespace postrider::smtpclient {

inline constexpr std::uint64_t kTag = 0x1122334455667788;
inline const queue::Id kId(42);

struct Message {
  mail::Envelope envelope;
  mail::ContentFacts facts;
  Fd file;
  Fd changing; // the same, for writing
  Content content;

  Message(std::string_view text, std::size_t recipients) {
    envelope.sender = "s@example.org";
    for (std::size_t i = 0; i < recipients; ++i)
      envelope.recipients.push_back({"r" + std::to_string(i) + "@example.com", "", 0});
    mail::ContentScanner scanner;
    scanner.feed(text);
    facts = scanner.facts();
    queue::RecordHeader header;
    header.tag = kTag;
    header.pool = 7;
    header.segment = 3;
    header.id = kId;
    std::string record;
    queue::put_record(record, header, envelope, facts, text, {});
    file = Fd(memfd_create("record", MFD_CLOEXEC));
    EXPECT_EQ(pwrite(file.get(), record.data(), record.size(), 0),
              static_cast<ssize_t>(record.size()));
    changing = std::move(file);
    file = Fd(::open(("/proc/self/fd/" + std::to_string(changing.get())).c_str(),
                     O_RDONLY | O_CLOEXEC)); // as qmgr hands it over
    const auto read = queue::read_record(real_file_system(), file.get(),
                                         {.pool = 7, .segment = 3, .tag = kTag, .place = 0},
                                         queue::Check::everything);
    EXPECT_TRUE(read);
    content = {file.get(), read->content_offset, facts.size, kId, 0, kTag};
  }
};

// As qmgr asks for its delivery, to all of its recipients, after OpenContent with handle 5.
inline proto::Deliver deliver(const Message& message, const std::string& nexthop) {
  proto::Deliver d;
  d.slot = 1;
  d.id = kId.number();
  d.transport = "smtp";
  d.nexthop = nexthop;
  d.handle = 5;
  d.content_offset = message.content.offset;
  d.tag = kTag;
  d.envelope = message.envelope;
  for (std::uint32_t i = 0; i < d.envelope.recipients.size(); ++i)
    d.recipient_indices.push_back(i);
  d.facts = message.facts;
  return d;
}

} // namespace postrider::smtpclient
