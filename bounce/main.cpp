// SPDX-License-Identifier: MIT
// bounce: turns what qmgr knows about recipients into reports for senders (RFC 3464). Holds
// read-only descriptors of the mail it reports on and a write-only journal segment; talks to qmgr
// only. Could send wrong reports; cannot change or remove mail. Protocols: lib/proto/deliver.hpp,
// intake.hpp.
#include <algorithm>

#include "daemon/run.hpp"
#include "outbox.hpp"
#include "service.hpp"

namespace {

using namespace postrider;

bounce::Options options_from(const config::Settings& settings) {
  bounce::Options out;
  bounce::Letterhead& head = out.letterhead;
  head.hostname = settings.text("myhostname");
  head.origin = settings.text("myorigin");
  head.mail_name = settings.text("mail_name");
  head.double_bounce_sender = settings.text("double_bounce_sender");
  head.size_limit = settings.size("bounce_size_limit");
  head.threaded = settings.flag("enable_threaded_bounces");
  const std::vector<std::string>& classes = settings.words("notify_classes");
  const auto has = [&](std::string_view word) {
    return std::find(classes.begin(), classes.end(), word) != classes.end();
  };
  if (has("bounce")) out.failure_copies_to = settings.text("bounce_notice_recipient");
  out.errors_to = settings.text("error_notice_recipient");
  if (has("delay")) out.delay_copies_to = settings.text("delay_notice_recipient");
  return out;
}

submit::Options intake_from(const config::Settings& settings) {
  submit::Options out;
  out.program = "bounce";
  out.file_threshold = settings.size("large_message_threshold");
  out.sync_limit = settings.time("journal_sync_time_limit");
  return out;
}

// The service with the outbox it writes to.
class Program final : public daemon::Service {
 public:
  Program(daemon::Context& context, route::Rewriter rewriter)
      : outbox_(context.loop(), context.offload(), real_file_system(),
                intake_from(context.settings()), std::move(rewriter),
                context.settings().text("myhostname"), context.settings().text("mail_name")),
        service_(context.loop(), outbox_, real_file_system(), options_from(context.settings())) {
    outbox_.start();
  }
  void accept(daemon::Client client) override { service_.accept(std::move(client)); }
  void drain(daemon::Drain reason) override { service_.drain(reason); }
  std::size_t pending() const override { return service_.pending(); }
  void stop() override { service_.stop(); }

 private:
  bounce::QueueOutbox outbox_;
  bounce::Service service_;
};

} // namespace

int main(int argc, char** argv) {
  return daemon::run(
      argc, argv,
      daemon::Program{
          .name = "bounce",
          .needs = {.lifetime = daemon::Lifetime::worker},
          .start = [](daemon::Context& context) -> Result<std::unique_ptr<daemon::Service>> {
            POSTRIDER_TRY(
                route::Rewriter rewriter,
                route::Rewriter::open(context.settings(), route::Rewriter::Scope::readdressing));
            return std::unique_ptr<daemon::Service>(
                std::make_unique<Program>(context, std::move(rewriter)));
          }});
}
