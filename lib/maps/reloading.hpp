// SPDX-License-Identifier: MIT
// The content of one file, parsed, and parsed again when the file has changed. The clock is asked
// at each use, the file at most once a second. What is wrong becomes warnings, once each time.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/text_file.hpp"
#include "maps/map.hpp"

namespace postrider::maps {

template <typename Content>
struct Loaded {
  Content content;
  FileStamp stamp;
  std::vector<std::string> problems; // that did not keep it from being loaded
};

template <typename Content>
class Reloading {
 public:
  // Makes Content from the file at the path; called again when `stamp_of(path)` changes.
  using Read = Result<Loaded<Content>> (*)(const std::string& path);

  Reloading(std::string path, const MapOptions& options, Read read)
      : path_(std::move(path)), clock_(*options.clock), warn_(options.warn), read_(read) {
    checked_ = clock_.steady();
    reload();
    if (!content_) warn_(problem_->text());
  }

  // Good until the next call. Error: the file never could be read.
  Result<const Content*> current() {
    const SteadyTime now = clock_.steady();
    if (now - checked_ >= std::chrono::seconds(1)) {
      checked_ = now;
      look();
    }
    if (!content_) return *problem_;
    return const_cast<const Content*>(&*content_);
  }

 private:
  void look() {
    const auto stamp = stamp_of(path_);
    if (stamp.ok() && seen_ == *stamp) return;
    const bool was_fine = !problem_;
    const std::string before = problem_ ? problem_->text() : std::string();
    if (!stamp.ok()) {
      seen_.reset();
      problem_ = stamp.error();
    } else {
      reload();
    }
    if (problem_ && (was_fine || problem_->text() != before))
      warn_(problem_->text() + (content_ ? "; the old content stays in force" : ""));
  }

  void reload() {
    // A file that is wrong is read again when it changes; one that the system did not let us read,
    // each time.
    const auto stamp = stamp_of(path_);
    seen_ = stamp.ok() ? std::optional(*stamp) : std::nullopt;
    auto read = read_(path_);
    if (!read) {
      problem_ = read.error();
      if (problem_->kind() != ErrorKind::config) seen_.reset();
      return;
    }
    seen_ = read->stamp;
    problem_.reset();
    content_.emplace(std::move(read->content));
    for (const std::string& text : read->problems)
      warn_(text);
  }

  std::string path_;
  Clock& clock_;
  Warn warn_;
  Read read_;
  SteadyTime checked_;
  std::optional<FileStamp> seen_;
  std::optional<Error> problem_;
  std::optional<Content> content_;
};

} // namespace postrider::maps
