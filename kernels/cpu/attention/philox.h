// Philox4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011). A function of key and
// counter, for many counters side by side, which compilers turn into vector code.
#pragma once

#include <cstdint>

namespace zeta::cpu {
namespace {

template <int kLanes>
struct Philox {
  uint32_t words[4][kLanes];  // the counters, and after run() the random words

  void run(uint64_t key) {
    uint32_t key_low = static_cast<uint32_t>(key), key_high = static_cast<uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
      for (int i = 0; i < kLanes; ++i) {
        const uint64_t a = uint64_t{0xD2511F53} * words[0][i], b = uint64_t{0xCD9E8D57} * words[2][i];
        const uint32_t first = static_cast<uint32_t>(b >> 32) ^ words[1][i] ^ key_low;
        const uint32_t third = static_cast<uint32_t>(a >> 32) ^ words[3][i] ^ key_high;
        words[0][i] = first;
        words[1][i] = static_cast<uint32_t>(b);
        words[2][i] = third;
        words[3][i] = static_cast<uint32_t>(a);
      }
      key_low += 0x9E3779B9;
      key_high += 0xBB67AE85;
    }
  }
};

}  // namespace
}  // namespace zeta::cpu
