// SPDX-License-Identifier: MIT
#include "smtpclient/content_pipeline.hpp"

#include "base/log.hpp"
#include "maps/ask.hpp"
#include "mime/seven_bit.hpp"
#include "smtpclient/rewriter.hpp"

namespace postrider::smtpclient {
namespace {

// The end of the pipeline: lines become bytes of the wire.
class Wire final : public mime::Sink {
 public:
  explicit Wire(smtp::LineFolder& folder) : folder_(folder) {}
  void to(std::string* out) { out_ = out; }

  void header(const mime::Header& header, const mime::Entity&) override {
    std::string_view text = header.text;
    for (;;) {
      const std::size_t end = text.find('\n');
      put({text.substr(0, end), true, end != std::string_view::npos || header.ends});
      if (end == std::string_view::npos) return;
      text.remove_prefix(end + 1);
    }
  }
  void more(const mime::Line& line) override { put(line); }
  void header_end(mime::Where, const mime::Entity&, mime::HeaderEnd) override {}
  void body(const mime::Line& line, const mime::Entity&) override { put(line); }

 private:
  void put(const mime::Line& line) {
    folder_.append(*out_, line.text);
    if (line.ends) folder_.append(*out_, "\r\n");
  }
  smtp::LineFolder& folder_;
  std::string* out_ = nullptr;
};

} // namespace

struct ContentPipeline::Stages {
  Stages(const Rewriting& what, const Options& options, std::string id, smtp::LineFolder& folder)
      : wire(folder) {
    mime::Sink* first = &wire;
    if (what.tables != nullptr)
      first = &rewriter.emplace(*what.tables, options, std::move(id), wire);
    if (what.to_seven_bit) first = &seven_bit.emplace(*first);
    using Depth = mime::Parser::Depth;
    Depth depth = Depth::header_only;
    if (what.to_seven_bit)
      depth = Depth::encodable;
    else if (checks(*what.tables))
      depth = Depth::parts;
    mime::Limits limits;
    limits.header = options.header_size_limit;
    limits.nesting = options.mime_nesting_limit;
    limits.boundary = options.mime_boundary_limit;
    parser.emplace(limits, depth, *first);
  }
  static bool checks(const Tables& t) {
    return !t.header_checks.empty() || !t.mime_header_checks.empty() ||
           !t.nested_header_checks.empty() || !t.body_checks.empty();
  }

  Wire wire;
  std::optional<Rewriter> rewriter;
  std::optional<mime::SevenBit> seven_bit;
  std::optional<mime::Parser> parser;
};

ContentPipeline::ContentPipeline(const Rewriting& what, const Options& options,
                                 const std::string& id, smtp::LineFolder& folder)
    : id_(id), stages_(std::make_unique<Stages>(what, options, id, folder)) {}

ContentPipeline::~ContentPipeline() = default;

void ContentPipeline::feed(ByteView piece, bool last, std::string& wire) {
  stages_->wire.to(&wire);
  stages_->parser->feed(piece);
  if (last) stages_->parser->finish();
}

bool ContentPipeline::may_wait() const {
  return stages_->rewriter && stages_->rewriter->may_wait();
}

ev::Task<void> ContentPipeline::get_answers(ev::Loop& loop, ev::Deadline deadline) {
  if (!stages_->rewriter) co_return;
  Rewriter& rewriter = *stages_->rewriter;
  const std::function<maps::Answer()> question = [&rewriter] { return rewriter.question(); };
  while (rewriter.lacks_answer()) {
    const maps::Answer answer =
        co_await maps::ask<std::optional<std::string>>(loop, question, deadline);
    rewriter.answer(answer);
  }
}

std::optional<Trouble> ContentPipeline::find_trouble(bool last) const {
  const auto because = [](Cause cause, std::string text) {
    return Trouble{cause, smtp::Step::body, {}, std::move(text)};
  };
  if (stages_->rewriter && stages_->rewriter->error()) {
    const Error error = table_error(*stages_->rewriter->error(), id_);
    return because(to_cause(error), error.text());
  }
  if (!stages_->seven_bit) return std::nullopt;
  if (stages_->parser->too_deep())
    return because(Cause::mime_nesting, "MIME nesting exceeds safety limit");
  if (last && stages_->seven_bit->converted() && stages_->parser->saw_signed())
    log::warning(id_ + ": signed content was converted to quoted-printable for a server without "
                       "8BITMIME: its signature is broken");
  return std::nullopt;
}

} // namespace postrider::smtpclient
