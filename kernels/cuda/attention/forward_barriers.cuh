// The barriers at which the forward's loading warp and its warpgroups meet.
#pragma once

namespace zeta::cuda {

// By one thread; the caller publishes them.
template <class Traits>
__device__ __forceinline__ void init_forward_barriers(typename Traits::Shared& shared) {
  for (int i = 0; i < Traits::kQueryStages; ++i)
    shared.q_full[i].init(1), shared.q_free[i].init(Traits::kGroups);
  for (int i = 0; i < Traits::kStages; ++i) {
    shared.k_full[i].init(1), shared.k_free[i].init(Traits::kGroups);
    shared.v_full[i].init(1), shared.v_free[i].init(Traits::kGroups);
  }
}

}  // namespace zeta::cuda
