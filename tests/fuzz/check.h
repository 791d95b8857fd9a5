// What must hold whatever comes in.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace zeta {

inline void check(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz: %s\n", what);
  std::abort();
}

}  // namespace zeta
