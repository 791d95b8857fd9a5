#include "src/serving/scheduling/ordered_delivery.h"

#include <utility>

namespace zeta::serving {

class OrderedDelivery::Sink final : public ResponseSink {
 public:
  Sink(std::shared_ptr<OrderedDelivery> delivery, uint64_t number)
      : delivery_(std::move(delivery)), number_(number) {}
  void send(InferResponse response) override { delivery_->put(number_, std::move(response)); }

 private:
  const std::shared_ptr<OrderedDelivery> delivery_;
  const uint64_t number_;
};

std::shared_ptr<ResponseSink> OrderedDelivery::wrap(std::shared_ptr<ResponseSink> sink) {
  MutexLock lock(mutex_);
  const uint64_t number = first_ + slots_.size();
  slots_.push_back({std::move(sink), std::nullopt});
  return std::make_shared<Sink>(shared_from_this(), number);
}

void OrderedDelivery::put(uint64_t number, InferResponse response) {
  {
    MutexLock lock(mutex_);
    slots_[number - first_].response = std::move(response);
    if (delivering_) return;  // whoever delivers takes this one too
    delivering_ = true;
  }
  while (true) {
    Slot slot;
    {
      MutexLock lock(mutex_);
      if (slots_.empty() || !slots_.front().response) {
        delivering_ = false;
        return;
      }
      slot = std::move(slots_.front());
      slots_.pop_front();
      ++first_;
    }
    if (slot.response) slot.sink->send(*std::move(slot.response));
  }
}

}  // namespace zeta::serving
