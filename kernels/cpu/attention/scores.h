// A block of scores, of query rows against keys, in either order.
#pragma once

#include <cstdint>

namespace zeta::cpu {
namespace {

template <class T>
struct Scores {
  T* data;
  int64_t row_stride;
  int64_t key_stride;

  T& at(int64_t row, int64_t key) const { return data[row * row_stride + key * key_stride]; }
};

}  // namespace
}  // namespace zeta::cpu
