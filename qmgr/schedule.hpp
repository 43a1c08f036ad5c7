// SPDX-License-Identifier: MIT
// Who goes next. Destinations of a transport take turns, one delivery each. Mail comes in two
// sizes: a large mailing earns a turn for smaller mail with every few deliveries of its own, so
// small mail overtakes it and cannot starve it. The same rule holds between the destinations of a
// transport and within one destination. Pure.
#pragma once

#include <algorithm>
#include <cstdint>
#include <list>

namespace postrider::qmgr {

enum class Size : std::uint8_t { small, large };

struct TurnLimits {
  std::uint32_t cost = 5;      // delivery_slot_cost: deliveries that earn one turn; < 2: never
  std::uint32_t loan = 3;      // delivery_slot_loan: turns lent in advance
  std::uint32_t discount = 50; // delivery_slot_discount: per cent of a turn that is forgiven
  std::uint32_t minimum = 3;   // minimum_delivery_slots: mail that earns fewer is never overtaken
};

// A message with this many deliveries over one transport.
constexpr Size size_of(std::uint32_t deliveries, const TurnLimits& limits) {
  return limits.cost >= 2 && deliveries >= static_cast<std::uint64_t>(limits.cost) *
                                               std::max(limits.minimum, 1U)
             ? Size::large
             : Size::small;
}

// The account of turns between small and large mail. Matters only while both wait.
class Turns {
 public:
  explicit Turns(const TurnLimits& limits) : limits_(&limits) {}

  // Which goes now. REQUIRES that one of them waits.
  Size next(bool small_waits, bool large_waits) const {
    if (!large_waits) return Size::small;
    if (!small_waits) return Size::large;
    return credit_ + loan() >= price() ? Size::small : Size::large;
  }
  // Tells what went while both waited.
  void took(Size size) {
    if (size == Size::small)
      credit_ -= price();
    else
      credit_ = std::min(credit_ + 100, kMost * price_of_turn());
  }
  // Nothing large waits any more: the account begins anew.
  void clear() { credit_ = 0; }

 private:
  static constexpr std::int64_t kMost = 10; // turns that can be saved up
  std::int64_t price_of_turn() const { return 100 * static_cast<std::int64_t>(limits_->cost); }
  std::int64_t price() const {
    return std::max<std::int64_t>(1, price_of_turn() * (100 - limits_->discount) / 100);
  }
  std::int64_t loan() const { return limits_->loan * price(); }
  const TurnLimits* limits_;
  std::int64_t credit_ = 0; // in hundredths of a delivery
};

// Round robin over things that can go now. T has a member `round` of type Round<T>::Place. A thing
// stands in the ring at most once, in the part of the size that it asked for.
template <typename T>
class Round {
 public:
  struct Place {
    typename std::list<T*>::iterator at{};
    bool in = false;
    Size size = Size::small;
  };
  explicit Round(const TurnLimits& limits) : turns_(limits) {}

  // At the end of the round. What is in already keeps its place, unless its size changed.
  void add(T& thing, Size size) {
    if (thing.round.in && thing.round.size == size) return;
    remove(thing);
    std::list<T*>& ring = ring_of(size);
    if (spare_.empty()) {
      thing.round.at = ring.insert(ring.end(), &thing);
    } else {
      thing.round.at = spare_.begin();
      *thing.round.at = &thing;
      ring.splice(ring.end(), spare_, thing.round.at);
    }
    thing.round.in = true;
    thing.round.size = size;
  }
  void remove(T& thing) {
    if (!thing.round.in) return;
    spare_.splice(spare_.end(), ring_of(thing.round.size), thing.round.at);
    thing.round.in = false;
    if (spare_.size() > 1024) spare_.clear();
  }
  bool empty() const { return small_.empty() && large_.empty(); }
  std::size_t size() const { return small_.size() + large_.size(); }
  // Takes the one whose turn it is out of the ring; null when there is none.
  T* take() {
    if (empty()) return nullptr;
    const bool both = !small_.empty() && !large_.empty();
    const Size size = turns_.next(!small_.empty(), !large_.empty());
    if (both) turns_.took(size);
    if (large_.empty()) turns_.clear();
    T* thing = ring_of(size).front();
    remove(*thing);
    return thing;
  }

 private:
  std::list<T*>& ring_of(Size size) { return size == Size::small ? small_ : large_; }
  Turns turns_;
  std::list<T*> small_, large_, spare_;
};

} // namespace postrider::qmgr
