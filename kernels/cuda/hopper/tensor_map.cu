#include "kernels/cuda/hopper/tensor_map.h"

namespace zeta::cuda::hopper {
namespace {

constexpr int64_t kElement = 2, kAlignment = 16 / kElement;

// The driver's function, asked for at run time: libcuda.so is not there where we link.
decltype(&cuTensorMapEncodeTiled) encode_function() {
  static const auto function = [] {
    void* entry = nullptr;
    cudaDriverEntryPointQueryResult found;
    const auto error =
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000, cudaEnableDefault, &found);
    return error == cudaSuccess && found == cudaDriverEntryPointSuccess ? entry : nullptr;
  }();
  return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function);
}

// A dimension of one element may have any stride.
bool aligned(int64_t size, int64_t stride) { return size <= 1 || (stride > 0 && stride % kAlignment == 0); }
cuuint64_t bytes(int64_t size, int64_t stride) {
  return static_cast<cuuint64_t>(size > 1 ? stride : kAlignment) * kElement;
}

}  // namespace

bool can_map_rows(const HalfTensor& t) {
  return reinterpret_cast<uintptr_t>(t.data) % 16 == 0 && aligned(t.rows, t.row_stride) &&
         aligned(t.heads, t.head_stride) && aligned(t.batch, t.batch_stride);
}
bool can_map(const HalfTensor& t) { return t.columns % kAlignment == 0 && can_map_rows(t); }

cudaError_t map_boxes(CUtensorMap* map, const HalfTensor& t, int box_rows) {
  const auto encode = encode_function();
  if (!encode) return cudaErrorNotSupported;
  const auto rows = static_cast<cuuint64_t>(t.rows > 0 ? t.rows : 1);  // none is never read
  const cuuint64_t sizes[] = {static_cast<cuuint64_t>(t.columns), rows, static_cast<cuuint64_t>(t.heads),
                              static_cast<cuuint64_t>(t.batch)};
  const cuuint64_t strides[] = {bytes(t.rows, t.row_stride), bytes(t.heads, t.head_stride),
                                bytes(t.batch, t.batch_stride)};
  const cuuint32_t box[] = {64, static_cast<cuuint32_t>(box_rows), 1, 1}, steps[] = {1, 1, 1, 1};
  const CUresult result =
      encode(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 4, const_cast<void*>(t.data), sizes, strides, box, steps,
             CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
             CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

}  // namespace zeta::cuda::hopper
