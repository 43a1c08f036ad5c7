// SPDX-License-Identifier: MIT
// Random numbers. `secure` comes from getrandom(2); `Jitter` is cheap and for spreading load only.
#pragma once

#include <cstdint>
#include <random>

namespace postrider {

std::uint64_t secure_random();

class Jitter {
 public:
  explicit Jitter(std::uint64_t seed = secure_random()) : engine_(seed) {}
  // Uniform in [0, bound). REQUIRES bound > 0.
  std::uint64_t below(std::uint64_t bound) {
    return std::uniform_int_distribution<std::uint64_t>(0, bound - 1)(engine_);
  }
  std::mt19937_64& engine() { return engine_; }

 private:
  std::mt19937_64 engine_;
};

} // namespace postrider
