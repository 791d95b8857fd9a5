#include "src/ops/flash_attention_cuda_operands.h"

#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>

#include <algorithm>

#include "src/ops/flash_attention_check.h"

namespace zeta::ops {

using at::Tensor;

namespace {

constexpr int64_t kElements = 8;  // of 16 bytes

bool on_hopper(const Tensor& q) {
  const auto* device = at::cuda::getDeviceProperties(q.get_device());
  return device->major == 9 && device->minor == 0;
}

}  // namespace

Tensor hopper_readable(const Tensor& t) {
  if (const int64_t rest = t.size(3) % kElements; rest != 0)
    return at::constant_pad_nd(t, {0, kElements - rest}).contiguous();
  bool reads = t.stride(3) == 1 && reinterpret_cast<uintptr_t>(t.const_data_ptr()) % 16 == 0;
  for (int64_t d = 0; d < 3; ++d)
    reads = reads && (t.size(d) == 1 || (t.stride(d) > 0 && t.stride(d) % kElements == 0));
  return reads ? t : t.clone(at::MemoryFormat::Contiguous);
}

cuda::AttentionTensor hopper_operand(const Tensor& t) {
  return {t.data_ptr(), t.stride(0), t.stride(1), t.stride(2)};
}

cuda::HalfType hopper_type(const Tensor& q) {
  return q.scalar_type() == at::kHalf ? cuda::HalfType::kFloat16 : cuda::HalfType::kBFloat16;
}

bool hopper_can_read(const Tensor& q, const Tensor& k, const Tensor& v) {
  return at::isReducedFloatingType(q.scalar_type()) && q.numel() > 0 && k.numel() > 0 && v.numel() > 0 &&
         on_hopper(q);
}

bool must_be_deterministic(const AttentionOptions& options) {
  return options.deterministic || at::globalContext().deterministicAlgorithms();
}

HopperOperands::HopperOperands(const Tensor& q_, const Tensor& k_, const Tensor& v_)
    : q(hopper_readable(q_)),
      k(hopper_readable(k_)),
      v(hopper_readable(v_)),
      type(hopper_type(q)),
      shape{q.size(0), q.size(1), k.size(1), q.size(2), k.size(2), q.size(3), v.size(3)} {}

HopperOptions::HopperOptions(const Tensor& q, const Tensor& k, const std::optional<Tensor>& mask_,
                             const AttentionOptions& o, int64_t batch) {
  const int64_t full[] = {q.size(0), q.size(2), q.size(1), k.size(1)};
  if (mask_) {
    mask = mask_->expand(full);
    options.mask = {mask.const_data_ptr<bool>(), mask.stride(0), mask.stride(1), mask.stride(2),
                    mask.stride(3)};
  }
  if (o.bias) {
    bias = o.bias->expand(full);
    options.bias = {bias.const_data_ptr(), bias.scalar_type() != q.scalar_type(),
                    bias.stride(0),        bias.stride(1),
                    bias.stride(2),        bias.stride(3)};
  }
  options.window_left = o.window_left.expect_int();
  options.window_right = o.window_right.expect_int();
  options.softcap = static_cast<float>(o.softcap);
  if (o.alibi_slopes) {
    slopes = o.alibi_slopes->expand({batch, q.size(2)});
    if (slopes.stride(1) != 1) slopes = slopes.contiguous();
    options.alibi_slopes = slopes.const_data_ptr<float>();
    options.alibi_batch_stride = slopes.stride(0);
  }
  if (o.sinks) {
    sinks = o.sinks->to(at::kFloat).contiguous();
    options.sinks = sinks.const_data_ptr<float>();
  }
  if (o.dropout_p > 0) {
    rng_state = o.rng_state->contiguous();
    options.dropout_threshold = attention_dropout_threshold(o.dropout_p);
    options.rng_state = rng_state.const_data_ptr<int64_t>();
  }
}

HopperPacking::HopperPacking(const Tensor& q, const std::vector<PackedSequence>& sequences, bool key_tiles,
                             int rows, int queries, bool causal) {
  std::vector<cuda::PackedSequence> places;
  struct Tile {
    int64_t work;
    cuda::PackedTile tile;
  };
  std::vector<Tile> tiles;
  for (const PackedSequence& s : sequences) {
    const auto index = static_cast<int32_t>(places.size());
    places.push_back({static_cast<int32_t>(s.first_query), static_cast<int32_t>(s.seq_q),
                      static_cast<int32_t>(s.first_key), static_cast<int32_t>(s.seq_k),
                      packing.query_blocks});
    packing.query_blocks += static_cast<int32_t>((s.seq_q + queries - 1) / queries);
    packing.longest_query = std::max(packing.longest_query, static_cast<int32_t>(s.seq_q));
    const int64_t size = key_tiles ? s.seq_k : s.seq_q, other = key_tiles ? s.seq_q : s.seq_k;
    for (int32_t block = 0; block * int64_t{rows} < size; ++block) {
      // Keys that the block's last query sees, or queries that see the block's first key.
      const int64_t seen =
          key_tiles ? s.seq_k - block * int64_t{rows} : (block + 1) * int64_t{rows} + s.seq_k - s.seq_q;
      tiles.push_back({causal ? std::min(seen, other) : other, {block, index}});
    }
  }
  std::stable_sort(tiles.begin(), tiles.end(), [](const Tile& a, const Tile& b) { return a.work > b.work; });
  constexpr auto kPlace = static_cast<int64_t>(sizeof(cuda::PackedSequence) / sizeof(int32_t)),
                 kTile = static_cast<int64_t>(sizeof(cuda::PackedTile) / sizeof(int32_t));
  const auto place_count = static_cast<int64_t>(places.size()),
             tile_count = static_cast<int64_t>(tiles.size());
  const Tensor host =
      at::empty({tile_count * kTile + place_count * kPlace}, at::TensorOptions(at::kInt).pinned_memory(true));
  auto* to = host.data_ptr<int32_t>();
  for (const Tile& t : tiles) *to++ = t.tile.block, *to++ = t.tile.sequence;
  for (const cuda::PackedSequence& s : places)
    for (const int32_t word : {s.first_query, s.seq_q, s.first_key, s.seq_k, s.first_block}) *to++ = word;
  tables = host.to(q.device(), /*non_blocking=*/true);
  const auto* from = tables.const_data_ptr<int32_t>();
  packing.tiles = reinterpret_cast<const cuda::PackedTile*>(from);
  packing.sequences = reinterpret_cast<const cuda::PackedSequence*>(from + tile_count * kTile);
  packing.tile_count = static_cast<int32_t>(tile_count);
  packing.sequence_count = static_cast<int32_t>(place_count);
}

}  // namespace zeta::ops
