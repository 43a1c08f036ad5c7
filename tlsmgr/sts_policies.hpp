// SPDX-License-Identifier: MIT
// Policies of MTA-STS (RFC 8461), kept until they expire. Owned by the Service.
//
//   P1  a policy in the cache counts until it expires, whatever DNS and the policy host say or fail
//       to say; only a newer good policy takes its place
//   P2  what is not in the cache is looked up once for all who ask, and whoever asked first waits
//       for it, up to mta_sts_fetch_timeout
//   P3  a policy that could not be fetched is not tried again for kFailurePause, unless its id
//   changes
//       (section 3.3)
//
// Policies that were asked for lately are compared with DNS once a day, and fetched again when half
// of their time is over.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "ev/group.hpp"
#include "proto/tlsmgr.hpp"
#include "store.hpp"
#include "sts_source.hpp"

namespace postrider::tlsmgr {

class StsPolicies {
 public:
  static constexpr std::chrono::minutes kFailurePause{5};
  static constexpr std::chrono::hours kCheckEvery{24};
  static constexpr std::chrono::hours kAskedLately{24 * 30};
  static constexpr std::size_t kMostLookUps = 1024; // at a time; more are told "busy"
  static constexpr std::size_t kMostFetches = 48;   // at a time, of them
  static constexpr std::size_t kMostRefreshes = 16; // in the background
  static constexpr std::size_t kMostLately = 4096;
  static constexpr std::uint64_t kLimit = 64 << 20; // bytes in the file

  // `store` may be null: then policies are kept for kFailurePause only.
  StsPolicies(ev::Loop& loop, StsSource& source, std::unique_ptr<Store> store,
              Duration fetch_timeout);
  ~StsPolicies();

  // WAITS as P2 says. `domain` is checked here.
  ev::Task<proto::Policy> ask(const std::string& domain, proto::PolicyWish wish);

  // What is due; call it now and then. True: there is more.
  bool refresh();
  void close(); // ends look-ups, gives up the file

 private:
  struct Kept { // a value of the store
    std::string domain, id;
    mail::StsPolicy policy;
    std::int64_t checked = 0; // fetched, or found unchanged
    std::int64_t asked = 0;
    std::int64_t expires = 0; // as the store has it; not written
    template <typename V, typename S>
    static void fields(V& v, S& s);
  };
  struct Lately { // the outcome of the last look-up
    SteadyTime until;
    proto::Policy answer;
    std::string
        failed_id; // of the policy that could not be had; empty: it could, or there was none
  };
  struct LookUp {
    ev::Condition over;
    proto::Policy answer;
    bool done = false;
    explicit LookUp(ev::Loop& loop) : over(loop) {}
  };

  std::optional<Kept> find(const std::string& domain) const;
  static std::optional<Kept> read(const Store::Found& found);
  void keep(const Kept& kept);
  static proto::Policy to_answer(const Kept& kept);
  const Lately* lately(const std::string& domain);
  void note(const std::string& domain, const proto::Policy& answer, std::string failed_id);

  std::shared_ptr<LookUp> look_up(const std::string& domain, bool always_fetch);
  ev::RootTask run(std::string domain, bool always_fetch, std::shared_ptr<LookUp> look_up);
  ev::Task<proto::Policy> renew(const std::string& domain, bool always_fetch);
  ev::Task<Result<mail::StsPolicy>> fetch(const std::string& domain, ev::Deadline deadline);
  WallTime now() { return loop_.clock().wall(); }

  ev::Loop& loop_;
  StsSource& source_;
  std::unique_ptr<Store> store_;
  Duration fetch_timeout_;
  std::map<std::string, std::shared_ptr<LookUp>> look_ups_;
  std::map<std::string, Lately> lately_;
  std::size_t fetches_ = 0;
  ev::Condition fetch_over_;
  ev::Group group_;
};

} // namespace postrider::tlsmgr
