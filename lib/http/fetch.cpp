// SPDX-License-Identifier: MIT
#include "http/fetch.hpp"

#include <algorithm>
#include <curl/curl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/check.hpp"
#include "ev/bridge.hpp"

namespace postrider::http {
namespace {

ErrorKind kind_of(CURLcode code) {
  switch (static_cast<int>(code)) {
  case CURLE_OPERATION_TIMEDOUT: return ErrorKind::timeout;
  case CURLE_PEER_FAILED_VERIFICATION:
  case CURLE_SSL_ISSUER_ERROR: return ErrorKind::refused;
  case CURLE_COULDNT_RESOLVE_HOST:
  case CURLE_COULDNT_CONNECT:
  case CURLE_SSL_CONNECT_ERROR:
  case CURLE_GOT_NOTHING:
  case CURLE_RECV_ERROR:
  case CURLE_SEND_ERROR:
  case CURLE_PARTIAL_FILE: return ErrorKind::closed;
  case CURLE_SSL_CACERT_BADFILE:
  case CURLE_URL_MALFORMAT:
  case CURLE_UNSUPPORTED_PROTOCOL: return ErrorKind::config;
  default: return ErrorKind::protocol;
  }
}

struct Slist {
  curl_slist* list = nullptr;
  Slist() = default;
  Slist(const Slist&) = delete;
  Slist& operator=(const Slist&) = delete;
  ~Slist() { curl_slist_free_all(list); }
  void add(const std::string& text) { list = curl_slist_append(list, text.c_str()); }
};

// "host:port:address,address": what CURLOPT_RESOLVE takes. Empty: the URL has no host.
std::string fixed_addresses(const std::string& url, const std::vector<std::string>& addresses) {
  CURLU* parts = curl_url();
  char* host = nullptr;
  char* port = nullptr;
  std::string out;
  if (curl_url_set(parts, CURLUPART_URL, url.c_str(), 0) == CURLUE_OK &&
      curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
      curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK) {
    out = std::string(host) + ":" + port + ":";
    for (const std::string& address : addresses) {
      if (out.back() != ':') out += ",";
      out += address.find(':') == std::string::npos ? address : "[" + address + "]";
    }
  }
  curl_free(host);
  curl_free(port);
  curl_url_cleanup(parts);
  return out;
}

} // namespace

// curl tells which sockets to watch and when to call again. The loop's watches are edge-triggered
// and curl expects level-triggered ones: its sockets stand in an epoll of their own, which the loop
// watches, and which is asked until it has nothing more.
struct Fetcher::Impl {
  // One request. It stands in the frame of fetch(); curl knows its address until it is removed.
  struct Transfer {
    Impl& owner;
    CURL* easy;
    Slist headers, addresses;
    std::size_t most;
    Response response;
    bool too_large = false;
    char reason[CURL_ERROR_SIZE] = "";
    ev::Bridge<CURLcode> done;

    Transfer(Impl& impl, std::size_t limit)
        : owner(impl), easy(curl_easy_init()), most(limit), done(impl.loop) {}
    ~Transfer() {
      if (easy == nullptr) return;
      curl_multi_remove_handle(owner.multi, easy);
      curl_easy_cleanup(easy);
    }
    Transfer(const Transfer&) = delete;
    Transfer& operator=(const Transfer&) = delete;
    Result<void> prepare(const Request& request);
    static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self);
  };

  ev::Loop& loop;
  CURLM* multi;
  Fd epoll;
  std::unique_ptr<ev::FdWatch> watch;
  ev::Timer timer; // as curl wants it
  ev::Timer again; // sockets are still ready: in the next turn
  std::size_t under_way = 0;

  explicit Impl(ev::Loop& l);
  ~Impl();
  void pump();
  void tick();
  void collect();
  static int on_socket(CURL*, curl_socket_t fd, int what, void* self, void* known);
  static int on_timer(CURLM*, long milliseconds, void* self);
};

Fetcher::Impl::Impl(ev::Loop& l)
    : loop(l), multi(nullptr), epoll(::epoll_create1(EPOLL_CLOEXEC)),
      timer(
          l, [](void* self) { static_cast<Impl*>(self)->tick(); }, this),
      again(
          l, [](void* self) { static_cast<Impl*>(self)->pump(); }, this) {
  static const CURLcode once = curl_global_init(CURL_GLOBAL_DEFAULT);
  POSTRIDER_CHECK(once == CURLE_OK, "libcurl can be used");
  multi = curl_multi_init();
  POSTRIDER_CHECK(multi != nullptr && epoll, "libcurl can be used");
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
  curl_multi_setopt(multi, CURLMOPT_TIMERDATA, this);
  watch = std::make_unique<ev::FdWatch>(
      loop, epoll.get(), [](void* self, bool, bool) { static_cast<Impl*>(self)->pump(); }, this);
}

Fetcher::Impl::~Impl() {
  POSTRIDER_CHECK(under_way == 0, "a Fetcher outlives its requests");
  watch.reset();
  curl_multi_cleanup(multi);
}

int Fetcher::Impl::on_socket(CURL*, curl_socket_t fd, int what, void* self, void* known) {
  auto* impl = static_cast<Impl*>(self);
  epoll_event event{};
  event.data.fd = fd;
  if ((what & CURL_POLL_IN) != 0) event.events |= EPOLLIN;
  if ((what & CURL_POLL_OUT) != 0) event.events |= EPOLLOUT;
  if (what == CURL_POLL_REMOVE) {
    ::epoll_ctl(impl->epoll.get(), EPOLL_CTL_DEL, fd, nullptr);
    return 0;
  }
  ::epoll_ctl(impl->epoll.get(), known == nullptr ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
  curl_multi_assign(impl->multi, fd, impl);
  impl->again.arm(impl->loop.after(Duration::zero())); // it may be ready already
  return 0;
}

int Fetcher::Impl::on_timer(CURLM*, long milliseconds, void* self) {
  auto* impl = static_cast<Impl*>(self);
  impl->timer.arm(milliseconds < 0 ? ev::Deadline::never()
                                   : impl->loop.after(std::chrono::milliseconds(milliseconds)));
  return 0;
}

void Fetcher::Impl::tick() {
  int running = 0;
  curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
  collect();
}

void Fetcher::Impl::pump() {
  constexpr int kRounds = 16; // then others have their turn
  for (int round = 0; round < kRounds; ++round) {
    epoll_event events[16];
    const int count = ::epoll_wait(epoll.get(), events, 16, 0);
    if (count <= 0) return collect();
    for (int i = 0; i < count; ++i) {
      int mask = 0, running = 0;
      if ((events[i].events & EPOLLIN) != 0) mask |= CURL_CSELECT_IN;
      if ((events[i].events & EPOLLOUT) != 0) mask |= CURL_CSELECT_OUT;
      if ((events[i].events & (EPOLLERR | EPOLLHUP)) != 0) mask |= CURL_CSELECT_ERR;
      curl_multi_socket_action(multi, events[i].data.fd, mask, &running);
    }
  }
  again.arm(loop.after(Duration::zero()));
  collect();
}

void Fetcher::Impl::collect() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    Transfer* transfer = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    transfer->done.complete(message->data.result);
  }
}

std::size_t Fetcher::Impl::Transfer::on_body(char* data, std::size_t size, std::size_t count,
                                             void* self) {
  auto* transfer = static_cast<Transfer*>(self);
  const std::size_t bytes = size * count;
  if (bytes > transfer->most - transfer->response.body.size()) {
    transfer->too_large = true;
    return 0; // ends the transfer
  }
  transfer->response.body.append(data, bytes);
  return bytes;
}

Result<void> Fetcher::Impl::Transfer::prepare(const Request& request) {
  if (easy == nullptr) return Error(ErrorKind::limit, "no memory for a request");
  bool good = true;
  const auto set = [&](CURLoption option, auto value) {
    good = curl_easy_setopt(easy, option, value) == CURLE_OK && good;
  };
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "https");
  set(CURLOPT_PROXY, "");
  set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_FORBID_REUSE, 1L);
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  set(CURLOPT_SSL_VERIFYPEER, 1L);
  set(CURLOPT_SSL_VERIFYHOST, 2L);
  set(CURLOPT_SSL_SESSIONID_CACHE, 0L);
  set(CURLOPT_CAINFO, request.ca_file.c_str());
  set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  set(CURLOPT_USERAGENT, "postrider");
  set(CURLOPT_ERRORBUFFER, reason);
  set(CURLOPT_WRITEFUNCTION, on_body);
  set(CURLOPT_WRITEDATA, this);
  set(CURLOPT_PRIVATE, this);
  for (const std::string& header : request.headers)
    headers.add(header);
  set(CURLOPT_HTTPHEADER, headers.list);
  if (!request.addresses.empty()) {
    addresses.add(fixed_addresses(request.url, request.addresses));
    set(CURLOPT_RESOLVE, addresses.list);
  }
  if (!request.form.empty()) {
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.form.size()));
    set(CURLOPT_COPYPOSTFIELDS, request.form.c_str());
  }
  if (!good) return Error(ErrorKind::config, "the request cannot be made");
  return {};
}

Fetcher::Fetcher(ev::Loop& loop) : impl_(std::make_unique<Impl>(loop)) {}
Fetcher::~Fetcher() = default;

namespace {
struct Counted {
  std::size_t& count;
  explicit Counted(std::size_t& c) : count(c) { ++count; }
  ~Counted() { --count; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
};
} // namespace

ev::Task<Result<Response>> Fetcher::fetch(ev::Lent<const Request> request, ev::Deadline deadline) {
  if (impl_->under_way >= kMostAtATime)
    co_return Error(ErrorKind::busy, "too many requests are under way");
  const Counted counted(impl_->under_way);
  Impl::Transfer transfer(*impl_, request->most);
  Result<void> prepared = transfer.prepare(*request);
  if (!prepared) co_return prepared.error();
  curl_multi_add_handle(impl_->multi, transfer.easy);
  Result<CURLcode> code = co_await transfer.done.wait(deadline, "an answer by HTTPS");
  if (!code) co_return code.error();
  if (transfer.too_large)
    co_return Error(ErrorKind::limit,
                    "a body of more than " + std::to_string(transfer.most) + " bytes");
  if (*code != CURLE_OK)
    co_return Error(kind_of(*code),
                    transfer.reason[0] != '\0' ? transfer.reason : curl_easy_strerror(*code));
  long status = 0;
  char* type = nullptr;
  curl_easy_getinfo(transfer.easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(transfer.easy, CURLINFO_CONTENT_TYPE, &type);
  transfer.response.status = static_cast<int>(status);
  if (type != nullptr) transfer.response.content_type = type;
  co_return std::move(transfer.response);
}

} // namespace postrider::http
