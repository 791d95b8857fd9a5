// 16 keys or values of one kv head on their way from the cache to a warp's own shared memory.
#pragma once

#include <cstdint>

#include "kernels/cuda/decode/plan.cuh"
#include "kernels/cuda/memory.cuh"

namespace zeta::cuda {

// 16 rows of kDim elements of type C in pieces of 16 bytes, permuted so that the eight rows that a warp reads
// at once lie in different banks. Dimensions beyond the tensor's are 0.
template <class C, int kDim>
struct CacheTile {
  static constexpr int kPieces = kDim * static_cast<int>(sizeof(C)) / 16;  // of a row: 4 to 32
  static constexpr int kBytes = kTileKeys * kPieces * 16;

  __device__ static int offset(int row, int piece) {
    const int turn = kPieces >= 8 ? row & 7 : row >> 1 & 3;
    return (row * kPieces + (piece ^ turn)) * 16;
  }
};

// Where the row of a key lies; no page: nowhere.
struct KeyPlace {
  int page;
  int row;
};

__device__ inline KeyPlace key_place(const DecodeTask& a, int sequence, int key, int end, bool& bad) {
  if (key >= end) return {-1, 0};
  if (a.keys.table == nullptr) return {sequence, key};
  const int index = a.page_shift >= 0 ? key >> a.page_shift : key / a.keys.page_size;
  const int page = __ldg(a.keys.table + int64_t{sequence} * a.keys.table_stride + index);
  bad |= page < 0 || page >= a.keys.num_pages;
  return {page < a.keys.num_pages ? page : -1, key - index * a.keys.page_size};
}

// The places of a warp's tiles. Where pages hold whole tiles, lane l knows that of tile 32 i + l, and of the
// one 32 tiles on, so that the table is read long before the keys.
struct TilePlaces {
  int sequence;
  int first;   // key of the warp's first tile
  int stride;  // keys between two of its tiles
  int end;
  bool whole_tiles;
  bool bad = false;
  KeyPlace now = {};
  KeyPlace later = {};

  __device__ TilePlaces(const DecodeTask& a, int sequence_, int first_, int stride_, int end_)
      : sequence(sequence_),
        first(first_),
        stride(stride_),
        end(end_),
        whole_tiles(a.keys.table == nullptr || a.keys.page_size % kTileKeys == 0) {
    if (!whole_tiles) return;
    now = look_up(a, 0);
    if (first + 32 * stride < end) later = look_up(a, 32);
  }

  // Sizes below 2³⁰ leave room for the keys of 64 tiles beyond.
  __device__ KeyPlace look_up(const DecodeTask& a, int tile) {
    return key_place(a, sequence, first + (tile + static_cast<int>(threadIdx.x % 32)) * stride, end, bad);
  }

  // Of the first row of a tile, for all lanes; tiles come in turn.
  __device__ KeyPlace first_row(const DecodeTask& a, int tile) {
    if (tile % 32 == 0 && tile > 0) {
      now = later;
      later = look_up(a, tile + 32);
    }
    return {__shfl_sync(~0u, now.page, tile % 32), __shfl_sync(~0u, now.row, tile % 32)};
  }

  // Of row lane % 16 of a tile.
  __device__ KeyPlace own_row(const DecodeTask& a, int tile) {
    const int row = threadIdx.x % kTileKeys;
    return key_place(a, sequence, first + tile * stride + row, end, bad);
  }
};

// Starts the copy of a tile of k or v whose `count` rows follow each other from `place` on; `data` is the kv
// head's.
template <class C, int kDim>
__device__ void load_tile(const DecodeTensor& t, const C* data, int dim, KeyPlace place, int count,
                          uint8_t* tile) {
  using Tile = CacheTile<C, kDim>;
  constexpr int kAtOnce = 32 / Tile::kPieces;  // rows
  const int lane = threadIdx.x % 32, piece = lane % Tile::kPieces, row = lane / Tile::kPieces;
  const bool inside = piece * 16 < dim * static_cast<int>(sizeof(C)) && place.page >= 0;
  count = inside ? count : 0;
  const C* from = data;
  if (inside)
    from += int64_t{place.page} * t.batch_stride + int64_t{place.row + row} * t.seq_stride +
            piece * (16 / sizeof(C));
#pragma unroll
  for (int i = 0; i < kTileKeys; i += kAtOnce) {
    copy_16_async(tile + Tile::offset(i + row, piece), from, i + row < count);
    from += kAtOnce * t.seq_stride;
  }
}

// … whose rows lie anywhere; `place` is that of row lane % 16.
template <class C, int kDim>
__device__ void gather_tile(const DecodeTensor& t, const C* data, int dim, KeyPlace place, uint8_t* tile) {
  using Tile = CacheTile<C, kDim>;
  constexpr int kAtOnce = 32 / Tile::kPieces;
  const int lane = threadIdx.x % 32, piece = lane % Tile::kPieces;
  const bool inside = piece * 16 < dim * static_cast<int>(sizeof(C));
#pragma unroll 1
  for (int i = lane / Tile::kPieces; i < kTileKeys; i += kAtOnce) {
    const int page = __shfl_sync(~0u, place.page, i), row = __shfl_sync(~0u, place.row, i);
    const bool wanted = inside && page >= 0;
    const C* const from =
        data + int64_t{page} * t.batch_stride + int64_t{row} * t.seq_stride + piece * (16 / sizeof(C));
    copy_16_async(tile + Tile::offset(i, piece), wanted ? from : data, wanted);
  }
}

}  // namespace zeta::cuda
