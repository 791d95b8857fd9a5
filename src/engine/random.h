// Random numbers that depend on a key and a counter alone, so that a completion does not depend on what else
// the batch holds: Philox 4×32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC'11).
#pragma once

#include <array>
#include <cstdint>

namespace zeta::engine {

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// The `index`-th number in [0, 1) of the stream `seed`, 53 random bits.
double uniform(uint64_t seed, uint64_t index);

}  // namespace zeta::engine
