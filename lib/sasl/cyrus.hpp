// SPDX-License-Identifier: MIT
// One client connection of Cyrus SASL: its callbacks, its security properties, its steps. Every
// member but the constructor may block in a plug-in, so they run in jobs of the offload pool, one
// at a time; the destructor runs wherever the last owner goes.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/secret.hpp"

namespace postrider::sasl {

struct Dialogue;

class Cyrus {
 public:
  struct Step {
    int code = 0;            // of Cyrus; see below
    bool has_output = false; // an empty response is one, too
    Secret output;
    std::string mechanism; // of start()
  };

  static Result<void> initialize(const std::string& plugin_path);

  // The dialogue must outlive it.
  explicit Cyrus(const Dialogue& dialogue);
  ~Cyrus();
  Cyrus(const Cyrus&) = delete;
  Cyrus& operator=(const Cyrus&) = delete;

  Step start(const std::string& mechanisms); // blanks between
  Step step(std::string_view challenge);

  static bool ended(const Step& step);  // nothing more to say
  static bool failed(const Step& step); // of no more use
  static Error error_of(const Step& step);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

} // namespace postrider::sasl
