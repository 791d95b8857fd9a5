// Clang's thread-safety attributes: which mutex guards a field, which a function needs. Checked by
// -Wthread-safety (clang), ignored by other compilers.
// https://clang.llvm.org/docs/ThreadSafetyAnalysis.html
#pragma once

#ifdef __clang__
#define ZETA_THREAD_ATTRIBUTE(x) __attribute__((x))
#else
#define ZETA_THREAD_ATTRIBUTE(x)
#endif

#define ZETA_CAPABILITY(name) ZETA_THREAD_ATTRIBUTE(capability(name))
#define ZETA_SCOPED_CAPABILITY ZETA_THREAD_ATTRIBUTE(scoped_lockable)
#define ZETA_GUARDED_BY(mutex) ZETA_THREAD_ATTRIBUTE(guarded_by(mutex))
#define ZETA_REQUIRES(...) ZETA_THREAD_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define ZETA_EXCLUDES(...) ZETA_THREAD_ATTRIBUTE(locks_excluded(__VA_ARGS__))
#define ZETA_ACQUIRE(...) ZETA_THREAD_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define ZETA_RELEASE(...) ZETA_THREAD_ATTRIBUTE(release_capability(__VA_ARGS__))
#define ZETA_NO_THREAD_SAFETY_ANALYSIS ZETA_THREAD_ATTRIBUTE(no_thread_safety_analysis)
