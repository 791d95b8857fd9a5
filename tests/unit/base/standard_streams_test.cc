#include "src/base/standard_streams.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace zeta {
namespace {

bool is_null_device(int descriptor) {
  struct stat its {
  }, null_device{};
  return fstat(descriptor, &its) == 0 && stat("/dev/null", &null_device) == 0 && S_ISCHR(its.st_mode) &&
         its.st_rdev == null_device.st_rdev;
}

// In a process of its own, since it closes what the test reports to. 0: all as it should be.
template <typename Check>
int in_child(Check check) {
  const pid_t child = fork();
  if (child == 0) _exit(check());
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(StandardStreams, ClosedOnesBecomeTheNullDevice) {
  EXPECT_EQ(in_child([] {
              for (int descriptor = 0; descriptor < 3; ++descriptor) close(descriptor);
              open_standard_streams();
              for (int descriptor = 0; descriptor < 3; ++descriptor) {
                if (!is_null_device(descriptor)) return 1;
              }
              const int next = dup(0);  // nothing else was left open there
              return next > STDERR_FILENO ? 0 : 2;
            }),
            0);
}

TEST(StandardStreams, OpenOnesStay) {
  EXPECT_EQ(in_child([] {
              int ends[2];
              if (pipe(ends) != 0 || dup2(ends[1], STDERR_FILENO) < 0) return 1;
              close(STDIN_FILENO);
              open_standard_streams();
              struct stat its {};
              if (fstat(STDERR_FILENO, &its) != 0 || !S_ISFIFO(its.st_mode)) return 2;
              return is_null_device(STDIN_FILENO) ? 0 : 3;
            }),
            0);
}

}  // namespace
}  // namespace zeta
