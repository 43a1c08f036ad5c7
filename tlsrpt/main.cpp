// SPDX-License-Identifier: MIT
// tlsrpt: counts what delivery agents saw of the TLS of recipient domains, and tells these once a
// day (RFC 8460). Its file of counts is below data_directory; it asks DNS, posts to strangers by
// HTTPS, and hands mail in as smtpd does. It sees no mail; who took it over could send mail in the
// name of this host, to anybody, and report what is not so. Protocol: lib/proto/tlsrpt.hpp.
#include "daemon/run.hpp"
#include "service.hpp"

int main(int argc, char** argv) {
  using namespace postrider;
  daemon::Program program;
  program.name = "tlsrpt";
  program.needs.lifetime = daemon::Lifetime::resident;
  tlsrpt::Options options;
  program.open = [&options](daemon::Context& context) -> Result<void> {
    POSTRIDER_TRY(options, tlsrpt::Options::load(context.settings()));
    return {};
  };
  program.start = [&options](daemon::Context& context) -> Result<std::unique_ptr<daemon::Service>> {
    POSTRIDER_TRY(
        tlsrpt::Accounts accounts,
        tlsrpt::Accounts::open(options.file, options.most_domains, context.loop().clock().wall()));
    auto outlet = std::make_unique<tlsrpt::NetworkOutlet>(context.loop(), context.offload(),
                                                          std::move(options.outlet));
    return std::unique_ptr<daemon::Service>(std::make_unique<tlsrpt::Service>(
        context.loop(), std::move(accounts), std::move(options.reporter), std::move(outlet)));
  };
  return daemon::run(argc, argv, program);
}
