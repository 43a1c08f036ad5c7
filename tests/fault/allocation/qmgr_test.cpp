// SPDX-License-Identifier: MIT
// qmgr takes up the mail of an earlier run, takes more, has it delivered, deferred and reported,
// and the Nth allocation fails: whoever was promised a delivery gets it from its successor.
#include <set>

#include "trial.hpp"
#include "unit/qmgr/core_fixture.hpp"

namespace postrider::qmgr {
namespace {

// The ends of the connections that qmgr takes or makes.
struct Ends {
  std::map<std::string, Fd> agents;
  Fd writer;
};

void run_qmgr(test::TrialPage& page, const std::string& directory, Ends ends) {
  test::ManualClock clock;
  ev::Loop loop(clock);
  ev::Offload offload(loop);
  Params params;
  params.owner = ::geteuid();
  params.residence = 50ms;
  Surroundings around;
  around.route = [](const std::string& recipient, const mail::Envelope&) {
    return route_by_domain(recipient);
  };
  around.connect = [&](const std::string& service) -> Result<Fd> {
    Fd& end = ends.agents[service];
    if (!end) return Error(ErrorKind::refused, "no more of them");
    return std::move(end);
  };
  around.limits = [](const std::string&) { return TransportLimits(); };
  test::Trial::begin();
  auto core = open_core(loop, offload, directory, params, std::move(around));
  if (!core) {
    std::fprintf(stderr, "fatal: %s\n", core.error().text().c_str());
    ::_exit(1);
  }
  (*core)->converse(std::move(ends.writer));
  // Until new mail has come, and what is left of all mail waits on the disk.
  while (!page.done) {
    loop.turn(false);
    clock.advance(1ms);
    ::usleep(100);
    page.done =
        (*core)->parts().counters.accepted >= 2 && (*core)->parts().intake->messages().empty();
  }
  (*core)->finish_stop();
}

// Everything around it, and what was promised and done.
class Surrounded : public CoreTest {
 public:
  // Whether an allocation failed.
  void play(std::int64_t n, bool& failed);

 private:
  void TestBody() override {}
  const std::vector<std::string> kRecipients = {"a@yes.example", "b@yes.example", "c@no.example",
                                                "d@later.example"};

  void answer_agents(bool also_later) {
    for (auto& agent : agents) {
      agent->read();
      for (; !agent->delivers.empty(); agent->delivers.pop_front()) {
        const proto::Deliver& request = agent->delivers.front();
        EXPECT_EQ(agent->content_of(request), kContent);
        const bool yes =
            request.nexthop == "yes.example" || (also_later && request.nexthop == "later.example");
        for (const mail::Recipient& recipient : request.envelope.recipients)
          if (yes) ++delivered[request.envelope.sender + recipient.address];
        agent->answer(request, yes ? kSent : request.nexthop == "no.example" ? kNever : kLater);
      }
      for (; !agent->reports.empty(); agent->reports.pop_front()) {
        const proto::Report& request = agent->reports.front();
        for (const mail::Recipient& recipient : request.envelope.recipients)
          ++delivered[request.envelope.sender + recipient.address];
        agent->answer(request, true);
      }
    }
  }
  void promise(const std::string& sender) {
    for (const std::string& recipient : kRecipients)
      promised.insert(sender + recipient);
  }
  bool kept() const {
    return std::all_of(promised.begin(), promised.end(),
                       [&](const std::string& one) { return delivered.contains(one); });
  }
  // What the qmgr of an earlier run left.
  void prepare() {
    open();
    send(envelope(kRecipients, "old@client.example"));
    promise("old@client.example");
    ASSERT_TRUE(turn_until([&] { return core->parts().counters.accepted == 1; }));
    close();
  }
  void close() {
    writer.reset();
    segment.reset();
    agents.clear();
    by_service.clear();
    if (core) core->finish_stop();
    core.reset();
  }
  std::pair<Fd, Fd> pair() {
    auto made = net::socket_pair();
    EXPECT_TRUE(ipc::ask_for_senders(made->second.get()));
    return std::move(*made);
  }

  std::set<std::string> promised;
  std::map<std::string, int> delivered; // or reported; how often
};

void Surrounded::play(std::int64_t n, bool& failed) {
  prepare();
  auto [writer_end, writer_far] = pair();
  auto [smtp_end, smtp_far] = pair();
  auto [bounce_end, bounce_far] = pair();
  test::Trial trial(n, [&](test::TrialPage& page) {
    Ends ends;
    ends.writer = std::move(writer_far);
    ends.agents["smtp"] = std::move(smtp_far);
    ends.agents["bounce"] = std::move(bounce_far);
    writer_end.reset(), smtp_end.reset(), bounce_end.reset();
    run_qmgr(page, scratch.path() + "/queue", std::move(ends));
  });
  writer_far.reset(), smtp_far.reset(), bounce_far.reset();
  ev::FdWatch end(
      loop, trial.pidfd(), [](void*, bool, bool) {}, nullptr);
  add_agent("smtp", std::move(smtp_end));
  add_agent("bounce", std::move(bounce_end));
  greet_as_writer(std::move(writer_end));
  const auto until = [&](const std::function<bool()>& done) {
    bool is_done = false;
    EXPECT_TRUE(test::turn_until(loop, [&] {
      answer_agents(false);
      return (is_done = done()) || trial.ended();
    }));
    return is_done;
  };
  if (until([&] { return take(proto::SegmentLent::kType, last); })) {
    use_segment();
    const queue::Announced record = write(envelope(kRecipients, "new@client.example"));
    commit();
    promise("new@client.example");
    announce(record);
  }
  until([&] { return bool(trial.page().done); });
  until([] { return false; });
  trial.judge();
  failed = trial.has_failed();
  close();
  // Its successor.
  clock.advance(1h);
  open();
  for (int i = 0; i < 5000 && !kept(); ++i) {
    loop.turn(false);
    answer_agents(true);
    clock.advance(1s);
    ::usleep(100);
  }
  for (const std::string& one : promised)
    EXPECT_TRUE(delivered.contains(one)) << one << " is lost";
  if (!failed) {
    EXPECT_EQ(promised.size(), 8U);
    for (const auto& [one, times] : delivered)
      EXPECT_EQ(times, 1) << one;
  }
}

bool play(std::int64_t n) {
  bool failed = false;
  Surrounded().play(n, failed);
  return failed;
}

TEST(FailingAllocation, OfQmgrLosesNoRecipient) { test::try_allocations(11, play); }
TEST(EveryFailingAllocation, OfQmgrLosesNoRecipient) { test::try_allocations(1, play); }

} // namespace
} // namespace postrider::qmgr
