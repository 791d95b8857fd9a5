# The warnings every target of ours is built with; foreign headers are SYSTEM.
add_library(zeta_warnings INTERFACE)
target_compile_options(zeta_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Werror=return-type)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(zeta_warnings INTERFACE -Wthread-safety)
endif()
