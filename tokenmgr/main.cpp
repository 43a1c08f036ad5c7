// SPDX-License-Identifier: MIT
// tokenmgr: gets OAuth 2.0 tokens for delivery agents from files, commands and token endpoints, and
// keeps which logins were refused. Holds the refresh tokens of the site; talks to agents, to token
// endpoints by HTTPS, and is the only program that runs commands of oauth_token_sources, with its
// own rights. It sees no mail and no password. Who took it over could send mail as the site does
// wherever that needs a token. Protocol: lib/proto/tokenmgr.hpp.
#include "daemon/run.hpp"
#include "service.hpp"

int main(int argc, char** argv) {
  using namespace postrider;
  daemon::Program program;
  program.name = "tokenmgr";
  program.needs.lifetime = daemon::Lifetime::resident;
  tokenmgr::Options options;
  program.open = [&options](daemon::Context& context) -> Result<void> {
    POSTRIDER_TRY(options, tokenmgr::Options::load(context.settings()));
    return {};
  };
  program.start = [&options](daemon::Context& context) -> Result<std::unique_ptr<daemon::Service>> {
    return std::unique_ptr<daemon::Service>(
        std::make_unique<tokenmgr::Service>(context.loop(), std::move(options)));
  };
  return daemon::run(argc, argv, program);
}
