#include "kernels/cpu/packed_linear/int4.h"

#include <algorithm>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/packed_linear/int4_scale.h"

namespace zeta::cpu {
namespace scalar {
namespace {

constexpr int64_t kTileK = 256;

// Columns [k0, k0 + count) of row n, times their scales.
void unpack(const Int4Linear& args, int64_t n, int64_t k0, int64_t count, float* weights) {
  const int64_t groups = args.k / args.group_size;
  for (int64_t k = k0; k < k0 + count; ++k) {
    const int64_t group = n * groups + k / args.group_size;
    const float scale = int4_scale_at(args, group);
    const uint32_t code = args.packed[(n * args.k + k) / 8] >> 4 * (k % 8) & 15;
    weights[k - k0] = static_cast<float>(static_cast<int32_t>(code) - 8) * scale;
  }
}

}  // namespace

void int4_linear(const Int4Linear& args, int64_t begin, int64_t end) {
  float weights[kTileK];
  for (int64_t n = begin; n < end; ++n) {
    const float bias = args.bias == nullptr ? 0.0f : args.bias[n];
    for (int64_t m = 0; m < args.m; ++m) args.out[m * args.n + n] = bias;
    for (int64_t k0 = 0; k0 < args.k; k0 += kTileK) {
      const int64_t count = std::min(kTileK, args.k - k0);
      unpack(args, n, k0, count, weights);
      for (int64_t m = 0; m < args.m; ++m) {
        const float* x = args.x + m * args.k + k0;
        float sum = 0;
        for (int64_t k = 0; k < count; ++k) sum += weights[k] * x[k];
        args.out[m * args.n + n] += sum;
      }
    }
  }
}

void int4_linear(const Int4Int8Linear& args, int64_t begin, int64_t end) {
  const int64_t groups = args.k / args.group_size;
  for (int64_t m = 0; m < args.m; ++m) {
    const int8_t* q = args.q + m * args.q_stride;
    for (int64_t n = begin; n < end; ++n) {
      float total = 0;
      for (int64_t k = 0; k < args.k;) {
        const float scale = int4_scale_at(args, n * groups + k / args.group_size);
        int32_t sum = 0;
        for (const int64_t stop = k + args.group_size; k < stop; ++k) {
          const uint32_t code = args.packed[(n * args.k + k) / 8] >> 4 * (k % 8) & 15;
          sum += (static_cast<int32_t>(code) - 8) * q[k];
        }
        total += static_cast<float>(sum) * scale;
      }
      const float y = total * args.row_scale[m];
      args.out[m * args.n + n] = args.bias == nullptr ? y : y + args.bias[n];
    }
  }
}

}  // namespace scalar

// Not beside AMX: on the Xeon tried, vdpbf16ps was slower than fp32 (79 against 128 Gop/s a core, 512 rows).
bool int4_reads_bfloat16() { return isa() == Isa::kAvx512Bf16; }

void int4_linear(const Int4Linear& args, int64_t begin, int64_t end) {
  if (args.x == nullptr) return avx512_bf16::int4_linear(args, begin, end);
  if (isa() >= Isa::kAvx512Vnni) return avx512_vnni::int4_linear(args, begin, end);
  if (isa() >= Isa::kAvx512) return avx512::int4_linear(args, begin, end);
  if (isa() >= Isa::kAvx2) return avx2::int4_linear(args, begin, end);
  scalar::int4_linear(args, begin, end);
}

void int4_linear(const Int4Int8Linear& args, int64_t begin, int64_t end) {
  if (isa() >= Isa::kAvx512Vnni) return avx512_vnni::int4_linear(args, begin, end);
  if (isa() >= Isa::kAvx2) return avx2::int4_linear(args, begin, end);
  scalar::int4_linear(args, begin, end);
}

}  // namespace zeta::cpu
