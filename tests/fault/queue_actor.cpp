// SPDX-License-Identifier: MIT
#include "queue_actor.hpp"

#include <sstream>

namespace postrider::queue {

Options crash_options(const std::string& directory) {
  Options options;
  options.directory = directory;
  options.pool.segment_size = 24 << 10;
  options.pool.max_segments = 1;
  options.pool.min_free_bytes = 1 << 20;
  options.ledger.room = 8 << 10;
  options.index_map_size = 1 << 20;
  return options;
}

std::string content_of(const std::string& token, std::size_t size) {
  std::string out = "X-Token: " + token + "\r\n\r\n";
  while (out.size() + 2 < size)
    out.push_back(static_cast<char>('a' + out.size() * 7 % 26));
  out.resize(std::max<std::size_t>(size, 20) - 2);
  return out + "\r\n";
}

Actor::Actor(const std::string& directory, bool record_all, std::uint32_t max_segments)
    : fs(real_file_system(), directory), options(crash_options(directory)) {
  options.pool.max_segments = max_segments;
  if (record_all) {
    test::write_tree(directory, {});
    fs.start_recording();
  }
  auto opened = Queue::open(fs, clock, options, [](Arrived&&) {});
  POSTRIDER_CHECK(opened.ok(), opened ? "" : opened.error().text());
  queue = std::move(*opened);
}

Result<void> Actor::lend() {
  const std::uint64_t synced = mistakes.reuse_before_ledger ? UINT64_MAX : queue->ledger().synced();
  POSTRIDER_TRY(LendJob job,
                queue->pool().begin_lend(
                    1, synced, static_cast<std::uint64_t>(to_unix_micros(clock.wall()) / 1000)));
  job.run(fs);
  POSTRIDER_TRY(Lent lent, queue->finish_lend(job));
  loan_ = lent.info.loan;
  if (!mistakes.reuse_before_ledger) POSTRIDER_TRY_VOID(sync());
  writer_ = std::make_unique<SegmentWriter>(fs, lent.info, std::move(lent.fd));
  return {};
}

void Actor::return_writer() {
  writer_.reset();
  queue->writer_returned(loan_);
}

void Actor::give_up_writer() {
  writer_.reset();
  waiting_.clear();
  queue->writer_failed(loan_);
}

Result<void> Actor::submit(const std::string& token, int recipients, std::size_t content_size) {
  mail::Envelope envelope;
  envelope.sender = token + "@from.example";
  for (int i = 0; i < recipients; ++i)
    envelope.recipients.push_back({token + "-" + std::to_string(i) + "@to.example", "", 0});
  const std::string content = content_of(token, content_size);
  mail::ContentFacts facts;
  facts.size = content.size();
  fs.note("submit " + token + " " + std::to_string(recipients) + " " +
          std::to_string(content.size()));
  POSTRIDER_TRY(const Announced record,
                writer_->append(writer_->next_id(), envelope, facts, content));
  waiting_.emplace_back(token, record);
  return {};
}

Result<void> Actor::submit_report(const std::string& token, const std::string& original,
                                  std::vector<std::uint32_t> reported) {
  mail::Envelope envelope;
  envelope.recipients.push_back({token + "-0@to.example", "", 0});
  envelope.report_for = messages.at(original).state.id.text();
  envelope.report_kind = "failed";
  envelope.reported = std::move(reported);
  const std::string content = content_of(token, 60);
  mail::ContentFacts facts;
  facts.size = content.size();
  fs.note("submit " + token + " 1 " + std::to_string(content.size()));
  POSTRIDER_TRY(const Announced record,
                writer_->append(writer_->next_id(), envelope, facts, content));
  waiting_.emplace_back(token, record);
  return {};
}

Result<void> Actor::commit() {
  const SegmentWriter::Group group = writer_->begin_group();
  Result<void> synced = SegmentWriter::sync_group(fs, group);
  if (mistakes.believe_failed_sync) synced = {};
  POSTRIDER_TRY_VOID(writer_->finish_group(group, synced));
  return admit_acknowledged();
}

Result<void> Actor::commit_around(const std::string& late_token) {
  const SegmentWriter::Group group = writer_->begin_group();
  fs.sync_begins(group.fd->get());
  POSTRIDER_TRY_VOID(submit(late_token, 1));
  POSTRIDER_TRY_VOID(writer_->finish_group(group, SegmentWriter::sync_group(fs, group)));
  return admit_acknowledged();
}

Result<void> Actor::admit_acknowledged() {
  std::vector<Announced> records;
  std::vector<std::pair<std::string, Announced>> rest;
  for (auto& [token, record] : waiting_) {
    if (!mistakes.count_running_sync && !writer_->is_committed(record)) {
      rest.emplace_back(token, record);
      continue;
    }
    fs.note("ack " + token);
    records.push_back(record);
  }
  waiting_ = std::move(rest);
  std::vector<Error> refused;
  for (Arrived& arrived : queue->admit(loan_, records, Check::everything, &refused)) {
    const std::string token = arrived.state.envelope.recipients[0].address.substr(
        0, arrived.state.envelope.recipients[0].address.find('-'));
    messages.insert_or_assign(token, std::move(arrived));
  }
  if (!refused.empty()) return refused.front();
  return {};
}

Result<void> Actor::submit_large(const std::string& token, int recipients,
                                 std::size_t content_size) {
  mail::Envelope envelope;
  envelope.sender = token + "@from.example";
  for (int i = 0; i < recipients; ++i)
    envelope.recipients.push_back({token + "-" + std::to_string(i) + "@to.example", "", 0});
  const std::string content = content_of(token, content_size);
  fs.note("submit " + token + " " + std::to_string(recipients) + " " +
          std::to_string(content.size()));
  const Id id = writer_->next_id();
  POSTRIDER_TRY(Fd fd, queue->lend_file(loan_, id));
  FileWriter file(fs, std::move(fd), id, envelope);
  POSTRIDER_TRY_VOID(file.write(ByteView(content).substr(0, content.size() / 3)));
  POSTRIDER_TRY_VOID(file.write(ByteView(content).substr(content.size() / 3)));
  mail::ContentFacts facts;
  facts.size = content.size();
  POSTRIDER_TRY_VOID(file.finish(facts));
  auto committed = FileWriter::run_commit(fs, file.begin_commit());
  if (!committed) {
    queue->abandon_file(id);
    return committed;
  }
  AcceptFileJob job = queue->begin_accept(id);
  job.run(fs);
  POSTRIDER_TRY(Arrived arrived, queue->finish_accept(job));
  fs.note("ack " + token);
  messages.insert_or_assign(token, std::move(arrived));
  return {};
}

void Actor::settle(const std::string& token, std::uint32_t recipient, const std::string& how) {
  static_cast<void>(how);
  const std::string key = token + " " + std::to_string(recipient);
  unflushed_.emplace_back(key, queue->ledger().position());
  unsynced_.emplace_back(key, queue->ledger().position());
}

void Actor::deliver(const std::string& token, std::uint32_t recipient) {
  Event event;
  event.kind = EventKind::delivered;
  event.recipients = {recipient};
  Arrived& message = messages.at(token);
  const std::string said = "deliver " + token + " " + std::to_string(recipient);
  if (!mistakes.completion_before_250) fs.note(said);
  queue->delivered(message.state.id, recipient);
  if (mistakes.completion_before_250) {
    POSTRIDER_CHECK(sync().ok());
    fs.note(said);
  }
  POSTRIDER_CHECK(apply(message.state, event).ok());
  settle(token, recipient, "deliver");
}

void Actor::bounce(const std::string& token, std::uint32_t recipient) {
  Event event;
  event.kind = EventKind::bounced;
  event.recipients = {recipient};
  event.outcome.verdict = mail::Verdict::bounced;
  event.outcome.dsn = "5.1.1";
  event.outcome.text = "no such user";
  fs.note("bounce " + token + " " + std::to_string(recipient));
  this->event(token, event);
  settle(token, recipient, "bounce");
}

void Actor::drop(const std::string& token, std::uint32_t recipient) {
  Event event;
  event.kind = EventKind::dropped;
  event.recipients = {recipient};
  fs.note("drop " + token + " " + std::to_string(recipient));
  this->event(token, event);
  settle(token, recipient, "drop");
}

void Actor::defer(const std::string& token, std::uint32_t recipient, std::uint32_t attempts) {
  Event event;
  event.kind = EventKind::deferred;
  event.recipients = {recipient};
  event.attempts = attempts;
  event.next_try = 1000;
  event.outcome.dsn = "4.4.1";
  event.outcome.text = "connection refused";
  this->event(token, event);
}

void Actor::event(const std::string& token, const Event& event) {
  Arrived& message = messages.at(token);
  queue->mark(message.state.id, event);
  POSTRIDER_CHECK(apply(message.state, event).ok());
}

void Actor::finish(const std::string& token) {
  const Arrived& message = messages.at(token);
  POSTRIDER_CHECK(mistakes.removal_before_bounce || may_remove(message.state));
  queue->finish(message.state.id);
  messages.erase(token);
}

Result<void> Actor::migrate(const std::string& token, Folder folder) {
  Arrived& message = messages.at(token);
  std::vector<MigrateJob::Item> items(1);
  items[0].state = message.state;
  items[0].folder = folder;
  MigrateJob job = queue->begin_migrate(std::move(items));
  job.run(fs);
  queue->finish_migrate(job);
  if (job.items[0].error) return *job.items[0].error;
  message.state = job.items[0].state;
  message.folder = folder;
  return {};
}

Result<void> Actor::save(const std::string& token, Folder folder) {
  Arrived& message = messages.at(token);
  AppendJob job = queue->begin_save({{message.state.id, folder}});
  job.run(fs);
  queue->finish_save(job);
  if (job.items[0].error) return *job.items[0].error;
  message.folder = folder;
  return {};
}

void Actor::park(const std::string& token) { queue->park(messages.at(token).state); }

Result<void> Actor::load(const std::string& token) {
  LoadJob job = queue->begin_load({messages.at(token).state.id});
  job.run(fs);
  auto loaded = queue->finish_load(job);
  if (loaded.size() != 1) return Error(ErrorKind::not_found, "not loaded");
  messages.at(token) = std::move(loaded[0]);
  return {};
}

Result<void> Actor::flush() {
  POSTRIDER_TRY_VOID(queue->flush());
  for (const auto& [key, position] : unflushed_)
    fs.note("flushed " + key);
  unflushed_.clear();
  return {};
}

Result<void> Actor::sync() {
  POSTRIDER_TRY_VOID(flush());
  POSTRIDER_TRY_VOID(queue->sync_now());
  std::vector<std::pair<std::string, std::uint64_t>> rest;
  for (auto& entry : unsynced_) {
    if (queue->is_synced(entry.second))
      fs.note("settled " + entry.first);
    else
      rest.push_back(entry);
  }
  unsynced_ = std::move(rest);
  return {};
}

Result<void> Actor::run_all() {
  POSTRIDER_TRY_VOID(sync());
  return queue->run_all();
}

Result<void> Actor::rotate(const std::string& deliver_meanwhile) {
  POSTRIDER_TRY_VOID(flush());
  RotateJob job = queue->begin_rotation();
  deliver(deliver_meanwhile, 1);
  POSTRIDER_TRY_VOID(flush());
  job.run(fs);
  POSTRIDER_TRY_VOID(queue->finish_rotation(job));
  return sync();
}

std::string Actor::token_of(const MessageState& state) {
  const std::string& first = state.envelope.recipients[0].address;
  return first.substr(0, first.find('-'));
}

Result<void> Actor::restart() {
  fs.stop_failing();
  queue.reset();
  writer_.reset();
  waiting_.clear();
  unflushed_.clear();
  unsynced_.clear();
  messages.clear();
  ++options.pool.max_segments; // room for reports while the old mail is still there
  POSTRIDER_TRY(queue, Queue::open(fs, clock, options, [this](Arrived&& arrived) {
                  messages.insert_or_assign(token_of(arrived.state), std::move(arrived));
                }));
  return run_all();
}

Result<void> Actor::load_waiting() {
  POSTRIDER_TRY(const auto page, queue->index().page(Id(), 100));
  std::vector<Id> ids;
  for (const IndexEntry& entry : page)
    ids.push_back(Id(entry.number));
  LoadJob job = queue->begin_load(ids);
  job.run(fs);
  for (Arrived& arrived : queue->finish_load(job))
    messages.insert_or_assign(token_of(arrived.state), std::move(arrived));
  return {};
}

// The original goes only when its report is durable, as far as one can know.
Result<void> Actor::report_bounces(const std::string& token) {
  const MessageState& state = messages.at(token).state;
  std::vector<std::uint32_t> bounced;
  for (std::uint32_t r = 0; r < state.recipients.size(); ++r)
    if (wants_report(state, r)) bounced.push_back(r);
  if (bounced.empty()) return {};
  POSTRIDER_TRY_VOID(submit_report("b" + token, token, bounced));
  POSTRIDER_TRY_VOID(commit());
  Event reported;
  reported.kind = EventKind::reported;
  reported.recipients = std::move(bounced);
  event(token, reported);
  return {};
}

Result<void> Actor::finish_all() {
  POSTRIDER_TRY_VOID(load_waiting());
  POSTRIDER_TRY_VOID(lend());
  while (!messages.empty()) { // reports too
    const std::string token = messages.rbegin()->first;
    const MessageState& state = messages.at(token).state;
    for (std::uint32_t r = 0; r < state.recipients.size(); ++r)
      if (!is_settled(state.recipients[r])) deliver(token, r);
    POSTRIDER_TRY_VOID(report_bounces(token));
    finish(token);
  }
  POSTRIDER_TRY_VOID(run_all());
  return_writer();
  POSTRIDER_TRY_VOID(sync());
  for (int i = 0; i < 2; ++i) { // both segments
    POSTRIDER_TRY_VOID(lend());
    POSTRIDER_TRY_VOID(submit("m9" + std::to_string(i), 1));
    POSTRIDER_TRY_VOID(commit());
  }
  return {};
}

// --- the judge ---------------------------------------------------------------------------------

namespace {

struct Books {
  struct Submitted {
    int recipients = 0;
    std::size_t size = 0;
  };
  std::map<std::string, Submitted> submitted;
  std::set<std::string> acknowledged;
  std::set<std::string> delivered, bounced, dropped, flushed, settled; // "token recipient"
};

Books books_until(const std::vector<test::TraceOp>& trace, std::size_t prefix) {
  Books books;
  for (std::size_t i = 0; i < prefix; ++i) {
    if (trace[i].kind != test::TraceOp::Kind::note) continue;
    std::istringstream in(trace[i].bytes);
    std::string verb, token, recipient;
    in >> verb >> token;
    if (verb == "submit") in >> books.submitted[token].recipients >> books.submitted[token].size;
    if (verb == "ack") books.acknowledged.insert(token);
    in >> recipient;
    const std::string key = token + " " + recipient;
    if (verb == "deliver") books.delivered.insert(key);
    if (verb == "bounce") books.bounced.insert(key);
    if (verb == "drop") books.dropped.insert(key);
    if (verb == "flushed") books.flushed.insert(key);
    if (verb == "settled") books.settled.insert(key);
  }
  return books;
}

class Judge {
 public:
  Judge(const Books& books, const std::string& how, const std::string& scratch, Verdicts& verdicts,
        const std::function<void(test::FaultFs&)>& prepare)
      : books_(books), how_(how), fs_(real_file_system(), scratch),
        options_(crash_options(scratch)), verdicts_(verdicts) {
    if (prepare) prepare(fs_);
  }

  void run(const std::string& where) {
    where_ = where;
    ++verdicts_.states;
    if (!collect()) return;
    for (const auto& [token, what] : books_.submitted)
      judge_message(token, what);
    for (const auto& [token, count] : seen_)
      if (!books_.submitted.contains(token)) violation("PHANTOM " + token);
    if (how_ == "kill" || how_ == "posix") drain();
  }

 private:
  void violation(const std::string& text) {
    ++verdicts_.violation_count;
    if (verdicts_.violations.size() < 8) verdicts_.violations.push_back(where_ + ": " + text);
  }

  bool collect() {
    auto opened = Queue::open(fs_, clock_, options_,
                              [this](Arrived&& arrived) { found_.push_back(std::move(arrived)); });
    if (!opened) {
      violation("recovery failed: " + opened.error().text());
      return false;
    }
    queue_ = std::move(*opened);
    if (auto done = queue_->run_all(); !done) {
      violation("recovery failed: " + done.error().text());
      return false;
    }
    const RecoverySummary& sum = queue_->recovered();
    if (sum.damaged_records + sum.damaged_files > 0) violation("CORRUPT: mail damaged");
    if (sum.marks_ahead > 0) violation("the ledger is ahead of its segments");
    if (sum.foreign || sum.ledger_lost) violation("ledger taken for lost or foreign");
    auto page = queue_->index().page(Id(), 100);
    if (!page) {
      violation("index: " + page.error().text());
      return false;
    }
    std::vector<Id> ids;
    for (const IndexEntry& entry : *page)
      ids.push_back(Id(entry.number));
    LoadJob job = queue_->begin_load(ids);
    job.run(fs_);
    for (const LoadJob::Item& item : job.items)
      if (item.error) violation("waiting message unreadable: " + item.error->text());
    for (Arrived& arrived : queue_->finish_load(job))
      found_.push_back(std::move(arrived));
    for (const Arrived& arrived : found_) {
      const std::string& first = arrived.state.envelope.recipients[0].address;
      const std::string token = first.substr(0, first.find('-'));
      ++seen_[token];
      state_[token] = &arrived;
    }
    return true;
  }

  void judge_message(const std::string& token, const Books::Submitted& what) {
    if (seen_[token] > 1) violation("DOUBLED " + token);
    const Arrived* arrived = state_.contains(token) ? state_[token] : nullptr;
    if (arrived != nullptr) {
      if (!books_.acknowledged.contains(token)) ++verdicts_.unacknowledged;
      check_content(token, what, *arrived);
    }
    for (int r = 0; r < what.recipients; ++r)
      judge_recipient(token, r, arrived);
  }

  void check_content(const std::string& token, const Books::Submitted& what,
                     const Arrived& arrived) {
    const MessageState& state = arrived.state;
    if (static_cast<int>(state.recipients.size()) != what.recipients)
      return violation("CROSSED " + token + ": recipients");
    auto fd = queue_->open_content(state.place, state.id, arrived.folder);
    if (!fd) return violation("UNREADABLE " + token + ": " + fd.error().text());
    auto bytes = fs_.pread(fd->get(), state.facts.size, state.content_offset);
    if (!bytes || *bytes != content_of(token, what.size)) violation("CORRUPT " + token);
    ContentCheck check(state.id, state.place);
    if (bytes) check.feed(*bytes);
    if (auto same = check.confirm(fs_, fd->get()); !same)
      violation("CORRUPT " + token + ": " + same.error().text());
    fd->reset();
    queue_->close_content(state.place);
  }

  void judge_recipient(const std::string& token, int r, const Arrived* arrived) {
    const std::string key = token + " " + std::to_string(r);
    const bool delivered = books_.delivered.contains(key);
    const bool bounced = books_.bounced.contains(key);
    const bool dropped = books_.dropped.contains(key);
    const RecipientState* state =
        arrived != nullptr && static_cast<std::size_t>(r) < arrived->state.recipients.size()
            ? &arrived->state.recipients[static_cast<std::size_t>(r)]
            : nullptr;
    const bool open = state != nullptr && state->status == Status::open;
    if (open) {
      if (books_.settled.contains(key))
        violation("DUPLICATE " + key + ": its mark was synced");
      else if (how_ == "kill" && books_.flushed.contains(key))
        violation("DUPLICATE " + key + ": its mark was written");
      else if (delivered || bounced || dropped)
        ++verdicts_.duplicates;
      return;
    }
    if (!books_.acknowledged.contains(token)) return;
    if (delivered || dropped) return;
    if (bounced) {
      // Told, about to be told, or being told: the report is in the queue or has arrived.
      const bool to_tell =
          state != nullptr && wants_report(arrived->state, static_cast<std::size_t>(r));
      const bool told =
          state_.contains("b" + token) || books_.delivered.contains("b" + token + " 0");
      if (!to_tell && !told) violation("LOST bounce of " + key);
      return;
    }
    violation("LOST " + key);
  }

  // Everything is delivered; then nothing may come back.
  void drain() {
    state_.clear();
    for (Arrived& arrived : found_) {
      for (std::uint32_t r = 0; r < arrived.state.recipients.size(); ++r)
        if (!is_settled(arrived.state.recipients[r])) queue_->delivered(arrived.state.id, r);
      queue_->finish(arrived.state.id);
    }
    if (auto done = queue_->run_all(); !done) return violation("drain: " + done.error().text());
    if (auto done = queue_->close(); !done) return violation("drain: " + done.error().text());
    queue_.reset();
    std::size_t again = 0;
    auto opened = Queue::open(fs_, clock_, options_, [&](Arrived&&) { ++again; });
    if (!opened) return violation("drained queue: " + opened.error().text());
    if (again != 0) violation("RESURRECTED after a clean stop");
    if ((*opened)->index_is_stale()) violation("index stale after a clean stop");
    auto left = (*opened)->index().size();
    if (!left || *left != 0) violation("RESURRECTED in the index");
  }

  const Books& books_;
  std::string how_, where_;
  test::FaultFs fs_;
  test::ManualClock clock_;
  Options options_;
  Verdicts& verdicts_;
  std::unique_ptr<Queue> queue_;
  std::vector<Arrived> found_;
  std::map<std::string, int> seen_;
  std::map<std::string, const Arrived*> state_;
};

} // namespace

namespace {

bool is_power_cut(const std::string& how) {
  return how == "posix" || how == "ext4" || how == "names" || how.starts_with("minus");
}

// What is on the disk and in the books, as one number.
std::size_t fingerprint(const test::Tree& tree, std::size_t notes) {
  std::size_t sum = notes;
  const auto add = [&sum](const std::string& text) {
    sum = sum * 1'000'003 + std::hash<std::string>()(text);
  };
  for (const auto& [name, bytes] : tree) {
    add(name);
    add(bytes);
  }
  return sum;
}

using Wanted = std::function<bool(const std::string& how, const test::Tree& tree)>;

void judge_prefix(const test::FaultFs& recorded, std::size_t prefix, const std::string& scratch,
                  const std::function<void(test::FaultFs&)>& prepare, Verdicts& verdicts,
                  const Wanted& wanted = {}) {
  const std::vector<test::TraceOp>& trace = recorded.trace();
  const Books books = books_until(trace, prefix);
  const std::string where =
      "after " + std::to_string(prefix) + " of " + std::to_string(trace.size()) + ", ";
  test::CrashStates(recorded.base(), trace)
      .each(prefix, [&](const std::string& how, const test::Tree& tree) {
        if (wanted && !wanted(how, tree)) return;
        test::write_tree(scratch, tree);
        Judge(books, how, scratch, verdicts, prepare).run(where + how);
      });
}

} // namespace

Verdicts judge_all(const test::FaultFs& recorded, const std::string& scratch,
                   const std::function<void(test::FaultFs&)>& prepare) {
  Verdicts verdicts;
  const std::vector<test::TraceOp>& trace = recorded.trace();
  for (std::size_t prefix = 0; prefix <= trace.size(); ++prefix) {
    // Notes change no file: what was promised counts before the next operation.
    if (prefix < trace.size() && trace[prefix].kind == test::TraceOp::Kind::note) continue;
    judge_prefix(recorded, prefix, scratch, prepare, verdicts);
  }
  return verdicts;
}

Verdicts judge_power_cuts(const test::FaultFs& recorded, std::size_t first,
                          const std::string& scratch) {
  Verdicts verdicts;
  const std::vector<test::TraceOp>& trace = recorded.trace();
  std::set<std::size_t> seen; // what is not synced yet leaves the same state again and again
  std::size_t notes = 0;
  for (std::size_t prefix = first; prefix <= trace.size(); ++prefix) {
    if (prefix > 0 && trace[prefix - 1].kind == test::TraceOp::Kind::note) ++notes;
    if (prefix < trace.size() && trace[prefix].kind == test::TraceOp::Kind::note) continue;
    judge_prefix(recorded, prefix, scratch, {}, verdicts,
                 [&](const std::string& how, const test::Tree& tree) {
                   return is_power_cut(how) && seen.insert(fingerprint(tree, notes)).second;
                 });
  }
  return verdicts;
}

Verdicts judge_end(const test::FaultFs& recorded, const std::string& scratch) {
  Verdicts verdicts;
  judge_prefix(recorded, recorded.trace().size(), scratch, {}, verdicts);
  return verdicts;
}

} // namespace postrider::queue
