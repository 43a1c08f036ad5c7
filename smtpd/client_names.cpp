// SPDX-License-Identifier: MIT
#include "client_names.hpp"

namespace postrider::smtpd {

ev::Task<Result<dns::ClientName>> ClientNames::find(net::Address client, Duration limit) {
  struct Place { // one of those under way, as long as it lives
    ClientNames& names;
    const std::string address;
    Place(ClientNames& n, std::string a) : names(n), address(std::move(a)) {
      ++names.under_way_;
      ++names.per_address_[address];
    }
    ~Place() {
      --names.under_way_;
      if (--names.per_address_[address] == 0) names.per_address_.erase(address);
    }
  };
  const Place place(*this, client.text());
  if (under_way_ > kMostAtOnce || per_address_[place.address] > kMostPerAddress) {
    dns::ClientName nameless;
    nameless.status = nameless.reverse_status = dns::NameStatus::temporary;
    nameless.problem = "too many look-ups of client names: " + place.address + " is not looked up";
    co_return nameless;
  }
  const ev::Deadline deadline = loop_.after(limit);
  Result<dns::ClientName> name =
      co_await dns::look_up_client_name(resolver_, hosts_, client, deadline);
  co_return std::move(name);
}

} // namespace postrider::smtpd
