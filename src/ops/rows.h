// Rows of a matrix as fp32, in parallel.
#pragma once

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <type_traits>
#include <vector>

namespace zeta::ops {

// Calls body(row, values) for every row of a contiguous CPU matrix (rows, columns) of any floating dtype;
// values are fp32, converted one row at a time where the matrix is not. body runs on several threads at once.
template <typename Body>
void parallel_rows(const at::Tensor& matrix, const Body& body) {
  constexpr int64_t kElementsWorthAThread = 32768;
  const int64_t rows = matrix.size(0), columns = matrix.size(1);
  const int64_t grain = std::max<int64_t>(1, kElementsWorthAThread / std::max<int64_t>(1, columns));
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, matrix.scalar_type(), "zeta::parallel_rows", [&] {
    const scalar_t* data = matrix.const_data_ptr<scalar_t>();
    at::parallel_for(0, rows, grain, [&](int64_t begin, int64_t end) {
      std::vector<float> converted(std::is_same_v<scalar_t, float> ? 0 : static_cast<size_t>(columns));
      for (int64_t row = begin; row < end; ++row) {
        const scalar_t* values = data + row * columns;
        if constexpr (std::is_same_v<scalar_t, float>) {
          body(row, values);
        } else {
          std::copy_n(values, columns, converted.begin());
          body(row, converted.data());
        }
      }
    });
  });
}

}  // namespace zeta::ops
