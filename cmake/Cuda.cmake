# The CUDA half, built only where ZETA_CUDA is on: with the compiler that requirements-cuda.lock installs from wheels,
# which fits torch's CUDA, else with a system toolkit. libzeta_ops.so never depends on it.
option(ZETA_CUDA "Build libzeta_ops_cuda.so" OFF)
if(NOT ZETA_CUDA)
  return()
endif()

set(wheel_cuda ${ZETA_TORCH_DIR}/../nvidia/cu13)
find_program(system_nvcc nvcc PATHS /usr/local/cuda/bin NO_CACHE)
if(EXISTS ${wheel_cuda}/bin/nvcc)
  file(REAL_PATH ${wheel_cuda} wheel_cuda)
  set(CMAKE_CUDA_COMPILER ${wheel_cuda}/bin/nvcc CACHE FILEPATH "")
  set(CMAKE_CUDA_FLAGS_INIT "-L${wheel_cuda}/lib")
elseif(system_nvcc)
  set(CMAKE_CUDA_COMPILER ${system_nvcc} CACHE FILEPATH "")
else()
  message(FATAL_ERROR "ZETA_CUDA needs nvcc: install requirements-cuda.lock (tools/setup --preset cuda does) or a CUDA 13 toolkit")
endif()

# Ampere's code as PTX runs on everything newer; Hopper's own instructions need its own machine code.
set(CMAKE_CUDA_ARCHITECTURES "80-real;80-virtual;90a-real" CACHE STRING "")
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
enable_language(CUDA)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 13 OR CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 14)
  message(FATAL_ERROR "${CMAKE_CUDA_COMPILER} is of CUDA ${CMAKE_CUDA_COMPILER_VERSION}, and torch's CUDA is 13: install requirements-cuda.lock")
endif()

add_library(zeta_torch_cuda INTERFACE)
add_library(zeta::torch_cuda ALIAS zeta_torch_cuda)
target_include_directories(zeta_torch_cuda SYSTEM INTERFACE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
target_link_libraries(zeta_torch_cuda INTERFACE zeta::torch torch_cuda c10_cuda)
