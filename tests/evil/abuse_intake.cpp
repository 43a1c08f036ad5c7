// SPDX-License-Identifier: MIT
// A writer of mail that lies: about loans, records, files and reports, and that spoils what it was
// lent. Mail of others is none of it.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abuse.hpp"
#include "base/fs.hpp"
#include "mail/header.hpp"
#include "proto/ctl.hpp"
#include "proto/intake.hpp"
#include "queue/id.hpp"
#include "queue/journal.hpp"
#include "queue/message_file.hpp"

namespace postrider::evil {

namespace {

constexpr int kMoment = 3000; // milliseconds

// A conversation with qmgr and one segment. `wire` is empty when it could not be had.
struct Loan {
  std::optional<Wire> wire;
  queue::SegmentInfo info;
  Fd segment;
  std::string problem;
};

Loan borrow(const Target& target, const std::string& program) {
  Loan out;
  Result<Wire> wire = Wire::connect(target.at("queue") + "/public/qmgr");
  if (!wire) {
    out.problem = "no-access";
    return out;
  }
  proto::Open open;
  open.role = proto::Role::intake;
  open.program = program;
  wire->say(open);
  wire->say(proto::WantSegment{});
  std::optional<Heard> heard = wire->hear<proto::SegmentLent>(kMoment);
  if (!heard || heard->fds.size() != 1) {
    out.problem = wire->closed() ? "turned-away" : "no-segment";
    return out;
  }
  const auto lent = decode<proto::SegmentLent>(heard->body);
  if (!lent) {
    out.problem = "no-segment";
    return out;
  }
  out.info = lent->info;
  out.segment = std::move(heard->fds[0]);
  out.wire.emplace(std::move(*wire));
  return out;
}

using Deed = std::function<std::string(const Target&, Loan&)>;

Abuse abuse(const char* name, Deed deed) {
  return {"qmgr-intake", name, [deed = std::move(deed)](const Target& target) {
            Loan loan = borrow(target, "evil");
            return loan.wire ? deed(target, loan) : loan.problem;
          }};
}

mail::Envelope envelope() {
  mail::Envelope out;
  out.sender = "evil@client.example";
  out.recipients = {{.address = "nobody@discard.example"}};
  out.arrival = 1'700'000'000'000'000;
  return out;
}

constexpr std::string_view kContent = "Subject: evil\r\n\r\nevil\r\n";

mail::ContentFacts facts() {
  mail::ContentScanner scanner;
  scanner.feed(kContent);
  return scanner.facts();
}

// Writes one record into the segment, durable, and announces it.
std::string commit(Loan& loan, const mail::Envelope& what) {
  queue::SegmentWriter writer(real_file_system(), loan.info, std::move(loan.segment));
  Result<queue::Announced> announced = writer.append(writer.next_id(), what, facts(), kContent);
  if (!announced) return "not-written";
  auto group = writer.begin_group();
  auto synced = queue::SegmentWriter::sync_group(real_file_system(), group);
  if (!writer.finish_group(group, synced)) return "not-synced";
  proto::Committed said;
  said.loan = loan.info.loan;
  said.records = {*announced};
  loan.wire->say(said);
  return ending(*loan.wire);
}

std::string lie_about_report(const Target& target, Loan& loan, const char* kind) {
  mail::Envelope report = envelope();
  report.sender.clear();
  report.report_for = target.at("waiting_id");
  report.report_kind = kind;
  report.reported = {0};
  return commit(loan, report);
}

std::string announce(Loan& loan, std::vector<queue::Announced> records) {
  proto::Committed said;
  said.loan = loan.info.loan;
  said.records = std::move(records);
  loan.wire->say(said);
  return ending(*loan.wire);
}

// A file for large mail, filled by `fill`, then said to be complete.
std::string write_file(Loan& loan, const std::function<void(int)>& fill) {
  proto::WantFile want;
  want.id = queue::Id::make(loan.info.loan, 1).number();
  loan.wire->say(want);
  std::optional<Heard> heard = loan.wire->hear<proto::FileLent>(kMoment);
  if (!heard || heard->fds.size() != 1) return "no-file";
  fill(heard->fds[0].get());
  proto::FileWritten written;
  written.id = want.id;
  loan.wire->say(written);
  if (loan.wire->hear<proto::FileSafe>(kMoment)) return "BELIEVED";
  return loan.wire->closed() ? "closed" : "refused";
}

void scribble(int fd, std::uint64_t size) {
  const std::string noise(65536, '\xa7');
  for (std::uint64_t at = 0; at < size; at += noise.size())
    if (::pwrite(fd, noise.data(), noise.size(), static_cast<off_t>(at)) <= 0) return;
}

// The descriptor is for writing alone: "denied" is what has to be seen.
std::string try_to_read(const Loan& loan) {
  char byte = 0;
  if (::pread(loan.segment.get(), &byte, 1, 0) >= 0) return "DONE";
  if (::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, loan.segment.get(), 0) != MAP_FAILED)
    return "DONE";
  const std::string again = "/proc/self/fd/" + std::to_string(loan.segment.get());
  return ::open(again.c_str(), O_RDONLY | O_CLOEXEC) >= 0 ? "DONE" : "denied";
}

} // namespace

std::vector<Abuse> abuses_of_intake() {
  std::vector<Abuse> out;
  out.push_back(abuse("read_the_segment_it_writes",
                      [](const Target&, Loan& loan) { return try_to_read(loan); }));
  out.push_back(abuse("mail_under_another_loan", [](const Target&, Loan& loan) {
    ++loan.info.loan;
    return announce(loan, {{queue::Id::make(loan.info.loan, 1).number(), 4096, 500}});
  }));
  out.push_back(abuse("records_that_are_not_there", [](const Target&, Loan& loan) {
    return announce(loan, {{queue::Id::make(loan.info.loan, 1).number(), 4096, 500},
                           {7, 1ULL << 60, 1ULL << 60},
                           {queue::Id::make(loan.info.loan, 2).number(), ~0ULL, ~0ULL}});
  }));
  out.push_back(abuse("a_million_records", [](const Target&, Loan& loan) {
    std::vector<queue::Announced> many;
    for (std::uint32_t i = 1; i <= 50000; ++i)
      many.push_back({queue::Id::make(loan.info.loan, i).number(), 4096, 500});
    for (int i = 0; i < 20 && !loan.wire->closed(); ++i)
      announce(loan, many);
    return ending(*loan.wire);
  }));
  out.push_back(abuse("one_record_twice", [](const Target&, Loan& loan) {
    const queue::SegmentInfo info = loan.info;
    std::string first = commit(loan, envelope());
    if (first != "goes-on") return first;
    return announce(loan, {{queue::Id::make(info.loan, 1).number(), queue::kSegmentHeader, 500}});
  }));
  out.push_back(abuse("a_report_that_nobody_asked_for", [](const Target& target, Loan& loan) {
    return lie_about_report(target, loan, "failed");
  }));
  out.push_back(abuse("a_report_of_success", [](const Target& target, Loan& loan) {
    return lie_about_report(target, loan, "success");
  }));
  out.push_back(abuse("a_segment_of_noise", [](const Target&, Loan& loan) {
    scribble(loan.segment.get(), loan.info.size);
    return announce(loan,
                    {{queue::Id::make(loan.info.loan, 1).number(), queue::kSegmentHeader, 4096}});
  }));
  out.push_back(abuse("noise_and_death", [](const Target&, Loan& loan) {
    scribble(loan.segment.get(), 1U << 20);
    loan.wire.reset();
    return "left";
  }));
  out.push_back(abuse("a_segment_that_is_cut", [](const Target&, Loan& loan) -> std::string {
    const bool cut = ::ftruncate(loan.segment.get(), 0) == 0;
    const std::string seen =
        announce(loan, {{queue::Id::make(loan.info.loan, 1).number(), queue::kSegmentHeader, 500}});
    return (cut ? "cut," : "not-cut,") + seen;
  }));
  out.push_back(abuse("a_segment_that_grows", [](const Target&, Loan& loan) -> std::string {
    const bool grown = ::pwrite(loan.segment.get(), "x", 1,
                                static_cast<off_t>(loan.info.size + (64ULL << 20))) == 1;
    proto::SegmentDone done;
    done.loan = loan.info.loan;
    loan.wire->say(done);
    return (grown ? "grown," : "not-grown,") + ending(*loan.wire);
  }));
  out.push_back(abuse("writing_after_it_was_returned", [](const Target&, Loan& loan) {
    proto::SegmentDone done;
    done.loan = loan.info.loan;
    loan.wire->say(done);
    std::string seen = ending(*loan.wire);
    scribble(loan.segment.get(), 1U << 20);
    return seen;
  }));
  out.push_back(abuse("returned_twice", [](const Target&, Loan& loan) {
    proto::SegmentDone done;
    done.loan = loan.info.loan;
    loan.wire->say(done);
    loan.wire->say(done);
    return ending(*loan.wire);
  }));
  out.push_back(abuse("segments_without_end", [](const Target&, Loan& loan) {
    for (int i = 0; i < 1000 && !loan.wire->closed(); ++i)
      loan.wire->say(proto::WantSegment{});
    return ending(*loan.wire);
  }));
  out.push_back(abuse("a_file_under_another_loan", [](const Target&, Loan& loan) {
    proto::WantFile want;
    want.id = queue::Id::make(loan.info.loan + 1, 1).number();
    loan.wire->say(want);
    return ending(*loan.wire);
  }));
  out.push_back(abuse("a_file_of_other_mail", [](const Target& target, Loan& loan) {
    const auto id = queue::Id::parse(target.at("waiting_id"));
    proto::WantFile want;
    want.id = id ? id->number() : 1;
    loan.wire->say(want);
    return ending(*loan.wire);
  }));
  out.push_back(abuse("a_file_that_was_never_lent", [](const Target&, Loan& loan) {
    proto::FileWritten written;
    written.id = queue::Id::make(loan.info.loan, 3).number();
    loan.wire->say(written);
    return ending(*loan.wire);
  }));
  out.push_back(abuse("a_file_of_noise", [](const Target&, Loan& loan) {
    return write_file(loan, [](int fd) { scribble(fd, 1U << 20); });
  }));
  out.push_back(abuse("an_empty_file",
                      [](const Target&, Loan& loan) { return write_file(loan, [](int) {}); }));
  out.push_back(abuse("thousands_of_files", [](const Target&, Loan& loan) {
    for (std::uint32_t i = 1; i <= 6000 && !loan.wire->closed(); ++i) {
      proto::WantFile want;
      want.id = queue::Id::make(loan.info.loan, i).number();
      loan.wire->say(want);
    }
    return ending(*loan.wire);
  }));
  out.push_back(abuse("answers_of_qmgr", [](const Target&, Loan& loan) {
    proto::FileSafe safe;
    safe.id = 1;
    loan.wire->say(safe);
    return ending(*loan.wire);
  }));
  return out;
}

// Whether qmgr does it: else it says no, or goes.
template <typename Answered, typename Request>
bool obeys(Wire& wire, const Request& request) {
  wire.say(request);
  return wire.hear<Answered>(kMoment).has_value();
}

std::vector<Abuse> abuses_of_control() {
  Abuse out{"qmgr-control", "read_and_remove_mail", [](const Target& target) -> std::string {
              Result<Wire> wire = Wire::connect(target.at("queue") + "/public/qmgr");
              if (!wire) return "no-access";
              proto::Open open;
              open.role = proto::Role::control;
              open.program = "postrider";
              wire->say(open);
              // What shows who owns the queue, as far as it gets hold of it.
              const std::string lock = target.at("queue") + "/qmgr.lock";
              for (const int flags : {O_RDONLY, O_PATH})
                if (const Fd fd(::open(lock.c_str(), flags | O_CLOEXEC)); fd)
                  wire->say(proto::OwnerProof(), {fd.get()});
              proto::Cat cat;
              cat.id = target.at("waiting_id");
              if (obeys<proto::CatAnswer>(*wire, cat)) return "DONE";
              proto::Act act;
              act.action = proto::Action::remove;
              act.select.ids = {target.at("waiting_id")};
              act.dry_run = true; // whether it would be let
              return obeys<proto::Acted>(*wire, act) ? "DONE" : "denied";
            }};
  return {std::move(out)};
}

} // namespace postrider::evil
