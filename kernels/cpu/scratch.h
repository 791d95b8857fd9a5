// Uninitialised memory that starts at a cache line.
//
// Of its own type, not std::vector, and of no linkage: files built for different instruction sets include it,
// and none may lend its machine code to another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

namespace zeta::cpu {
namespace {

template <typename T>
struct Scratch {
  explicit Scratch(int64_t count)
      : data(static_cast<T*>(::operator new(static_cast<size_t>(count) * sizeof(T), std::align_val_t{64}))) {}
  ~Scratch() { ::operator delete(data, std::align_val_t{64}); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* const data;
};

}  // namespace
}  // namespace zeta::cpu
