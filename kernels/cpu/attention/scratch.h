// Scratch memory of one range of work, cut into aligned pieces.
#pragma once

#include <cstddef>
#include <cstdint>

namespace zeta::cpu {

constexpr size_t kScratchAlignment = 64;

// Hands out consecutive pieces of a block of memory; over nullptr it only adds up the size that is needed.
class ScratchCursor {
 public:
  explicit ScratchCursor(void* memory) : memory_(static_cast<std::byte*>(memory)) {}

  template <class T>
  T* take(int64_t count) {
    T* piece = memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + used_);
    const size_t bytes = static_cast<size_t>(count) * sizeof(T);
    used_ += (bytes + kScratchAlignment - 1) / kScratchAlignment * kScratchAlignment;
    return piece;
  }

  size_t used() const { return used_; }

 private:
  std::byte* memory_;
  size_t used_ = 0;
};

}  // namespace zeta::cpu
