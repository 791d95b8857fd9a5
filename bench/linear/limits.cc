// What this machine's cores and memory can do at most, measured: the yardstick of linear.py.
//
//   limits THREADS   prints one line of JSON: int8 multiply-add operations a second (vpdpbusd, or vpmaddubsw
//   where
//                    there is no VNNI) and bytes a second read from memory (huge pages), best of 8
#include <immintrin.h>
#include <sys/mman.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

// Work that the compiler may not shorten: 16 independent sums, enough for any latency.
__attribute__((target("avx512f,avx512vnni"))) int64_t products_vnni(int64_t rounds) {
  for (int64_t i = 0; i < rounds; ++i) {
    asm volatile(
        "vpdpbusd %%zmm31, %%zmm30, %%zmm0\n vpdpbusd %%zmm31, %%zmm30, %%zmm1\n"
        "vpdpbusd %%zmm31, %%zmm30, %%zmm2\n vpdpbusd %%zmm31, %%zmm30, %%zmm3\n"
        "vpdpbusd %%zmm31, %%zmm30, %%zmm4\n vpdpbusd %%zmm31, %%zmm30, %%zmm5\n"
        "vpdpbusd %%zmm31, %%zmm30, %%zmm6\n vpdpbusd %%zmm31, %%zmm30, %%zmm7\n"
        "vpdpbusd %%zmm31, %%zmm30, %%zmm8\n vpdpbusd %%zmm31, %%zmm30, %%zmm9\n"
        "vpdpbusd %%zmm31, %%zmm30, %%zmm10\n vpdpbusd %%zmm31, %%zmm30, %%zmm11\n" ::
            : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
              "xmm11");
  }
  return rounds * 12 * 64 * 2;
}

__attribute__((target("avx2"))) int64_t products_avx2(int64_t rounds) {
  for (int64_t i = 0; i < rounds; ++i) {
    asm volatile(
        "vpmaddubsw %%ymm15, %%ymm14, %%ymm8\n vpaddw %%ymm8, %%ymm0, %%ymm0\n"
        "vpmaddubsw %%ymm15, %%ymm14, %%ymm9\n vpaddw %%ymm9, %%ymm1, %%ymm1\n"
        "vpmaddubsw %%ymm15, %%ymm14, %%ymm10\n vpaddw %%ymm10, %%ymm2, %%ymm2\n"
        "vpmaddubsw %%ymm15, %%ymm14, %%ymm11\n vpaddw %%ymm11, %%ymm3, %%ymm3\n" ::
            : "xmm0", "xmm1", "xmm2", "xmm3", "xmm8", "xmm9", "xmm10", "xmm11");
  }
  return rounds * 4 * 32 * 2;
}

__attribute__((target("avx2"))) int64_t read(const char* from, int64_t bytes) {
  __m256i sum = _mm256_setzero_si256();
  for (int64_t i = 0; i < bytes; i += 256) {
    for (int64_t j = 0; j < 256; j += 32)
      sum = _mm256_or_si256(sum, _mm256_load_si256(reinterpret_cast<const __m256i*>(from + i + j)));
  }
  asm volatile("" : : "x"(sum));
  return bytes;
}

// Work a second of all threads together, from the first that begins to the last that ends; the best of 8
// rounds.
template <typename Work>
double best(int threads, const Work& work) {
  constexpr int kRounds = 8;
  struct Turn {
    Clock::time_point begin, end;
    int64_t done;
  };
  std::vector<std::vector<Turn>> turns(static_cast<size_t>(threads), std::vector<Turn>(kRounds));
  std::barrier together(threads);
  {
    std::vector<std::jthread> pool;
    for (int i = 0; i < threads; ++i) {
      pool.emplace_back([&, i] {
        for (Turn& turn : turns[static_cast<size_t>(i)]) {
          together.arrive_and_wait();
          turn.begin = Clock::now();
          turn.done = work(i);
          turn.end = Clock::now();
        }
      });
    }
  }
  double greatest = 0;
  for (size_t round = 0; round < kRounds; ++round) {
    auto begin = turns[0][round].begin, end = turns[0][round].end;
    int64_t sum = 0;
    for (const auto& thread : turns) {
      begin = std::min(begin, thread[round].begin);
      end = std::max(end, thread[round].end);
      sum += thread[round].done;
    }
    greatest =
        std::max(greatest, static_cast<double>(sum) / std::chrono::duration<double>(end - begin).count());
  }
  return greatest;
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 0;
  if (threads < 1) {
    std::fprintf(stderr, "usage: limits THREADS\n");
    return 2;
  }
  const bool vnni = __builtin_cpu_supports("avx512vnni");
  const double products =
      best(threads, [&](int) { return vnni ? products_vnni(2000000) : products_avx2(6000000); });
  constexpr int64_t kBytes = 256 << 20;  // each; far more than a cache
  std::vector<char*> buffers;
  for (int i = 0; i < threads; ++i) {
    buffers.push_back(static_cast<char*>(std::aligned_alloc(2 << 20, kBytes)));
    ::madvise(buffers.back(), kBytes, MADV_HUGEPAGE);
    std::fill_n(buffers.back(), kBytes, static_cast<char>(i + 1));
  }
  const double bytes = best(threads, [&](int i) { return read(buffers[static_cast<size_t>(i)], kBytes); });
  for (char* buffer : buffers) std::free(buffer);
  std::printf("{\"int8_ops\": %.6g, \"read_bytes\": %.6g}\n", products, bytes);
}
