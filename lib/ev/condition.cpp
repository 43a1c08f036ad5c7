// SPDX-License-Identifier: MIT
#include "ev/condition.hpp"

namespace postrider::ev {

void Condition::Awaiter::link() {
  previous_ = condition_.last_;
  next_ = nullptr;
  (previous_ ? previous_->next_ : condition_.first_) = this;
  condition_.last_ = this;
  linked_ = true;
}

void Condition::Awaiter::unlink() {
  if (!linked_) return;
  linked_ = false;
  (previous_ ? previous_->next_ : condition_.first_) = next_;
  (next_ ? next_->previous_ : condition_.last_) = previous_;
}

void Condition::notify_one() {
  if (Awaiter* awaiter = first_) {
    awaiter->unlink();
    awaiter->wake();
  }
}

void Condition::notify_all() {
  while (first_ != nullptr)
    notify_one();
}

} // namespace postrider::ev
