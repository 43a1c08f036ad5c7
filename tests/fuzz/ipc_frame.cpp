// SPDX-License-Identifier: MIT
// The body of every message between our processes, but for those of the operator (ipc_control): the
// first byte chooses the type, the rest is the body.
#include "fuzz/ipc_types.hpp"
#include "ipc/channel.hpp"
#include "net/tcp_stream.hpp"
#include "proto/anvil.hpp"
#include "proto/child_status.hpp"
#include "proto/deliver.hpp"
#include "proto/intake.hpp"
#include "proto/saslmgr.hpp"
#include "proto/scache.hpp"
#include "proto/tlsmgr.hpp"
#include "proto/tlsrpt.hpp"
#include "proto/tokenmgr.hpp"
#include "queue/index.hpp"
#include "smtpclient/session_facts.hpp"
#include "worker.hpp" // of saslmgr

namespace {
using namespace postrider;

using All = fuzz::Types<
    ipc::Hello, proto::CountClient, proto::ClientCount, proto::ClientLeft, proto::Ready,
    proto::Board, proto::OpenContent, proto::CloseContent, proto::Deliver, proto::Delivered,
    proto::Retiring, proto::Report, proto::Notice, proto::Reported, proto::Open, proto::QueueState,
    proto::WantSegment, proto::SegmentLent, proto::NoRoom, proto::Committed, proto::SegmentDone,
    proto::WantFile, proto::FileLent, proto::FileWritten, proto::FileSafe, proto::FileRefused,
    proto::FileDropped, proto::Leaving, proto::ListMechanisms, proto::Mechanisms, proto::BeginLogin,
    proto::StepLogin, proto::CancelLogin, proto::LoginAnswer, proto::Save, proto::Saved,
    proto::Find, proto::Found, proto::NotFound, proto::TakeSession, proto::Session,
    proto::PutSession, proto::RecallHost, proto::HostMemory, proto::RememberHost, proto::AskPolicy,
    proto::Policy, proto::AskTicketKeys, proto::TicketKeys, proto::TlsEvent, proto::AskAccounts,
    proto::Accounts, proto::SendReport, proto::ReportSent, proto::GetToken, proto::Token,
    proto::AskRefusal, proto::KnownRefusal, proto::TellRefusal, saslmgr::DoList, saslmgr::Names,
    saslmgr::DoBegin, saslmgr::DoStep, saslmgr::Forget, saslmgr::AskAccount, saslmgr::MayTry,
    saslmgr::Answer, queue::IndexEntry, mail::Envelope, mail::ContentFacts>;

} // namespace

FUZZ(input) {
  const unsigned which = fuzz::take_byte(input);
  if (which == 0xff) {
    if (input.size() < proto::kStatusRecordSize) return;
    const ByteView bytes = input.substr(0, proto::kStatusRecordSize);
    if (const auto record = proto::from_bytes(bytes)) {
      const auto again = proto::to_bytes(*record);
      POSTRIDER_CHECK(ByteView(again.data(), again.size()) == bytes);
    }
    return;
  }
  if (which == 0xfe) {
    const SteadyTime now{std::chrono::hours(1000)};
    if (const auto facts = smtpclient::parse_facts(input, now)) {
      const auto again = smtpclient::parse_facts(smtpclient::encode_facts(*facts), now);
      POSTRIDER_CHECK(again && *again == *facts);
      static const auto ends = net::socket_pair();
      POSTRIDER_CHECK(!smtpclient::check_leads_to(ends->first.get(), facts->peer));
    }
    return;
  }
  All::run(which, input);
}
