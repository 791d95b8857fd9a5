# zeta::torch: the headers and CPU-side libraries of the torch wheel.
#
# torch's own CMake package asks for a CUDA toolkit as soon as the wheel was built with CUDA; we need only its
# headers and two libraries, so we name them ourselves. libtorch_cuda is loaded at run time by whoever has a GPU.
set(ZETA_PYTHON "${PROJECT_SOURCE_DIR}/.venv/bin/python" CACHE FILEPATH "Python that has the pinned torch")
file(STRINGS ${PROJECT_SOURCE_DIR}/torch-version.txt ZETA_TORCH_VERSION LIMIT_COUNT 1)

execute_process(
  COMMAND ${ZETA_PYTHON} -c "import importlib.metadata as m, importlib.util as u; print(m.version('torch') + ';' + u.find_spec('torch').submodule_search_locations[0])"
  OUTPUT_VARIABLE torch_found OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE torch_result)
if(NOT torch_result EQUAL 0)
  message(FATAL_ERROR "${ZETA_PYTHON} has no torch: run tools/setup, or set ZETA_PYTHON to a Python with torch ${ZETA_TORCH_VERSION}")
endif()
list(GET torch_found 0 torch_version)
list(GET torch_found 1 ZETA_TORCH_DIR)
if(NOT torch_version MATCHES "^${ZETA_TORCH_VERSION}([+]|$)")
  message(FATAL_ERROR "torch ${torch_version} found, expected ${ZETA_TORCH_VERSION} (torch-version.txt)")
endif()

add_library(zeta_torch INTERFACE)
add_library(zeta::torch ALIAS zeta_torch)
target_include_directories(zeta_torch SYSTEM INTERFACE
  ${ZETA_TORCH_DIR}/include ${ZETA_TORCH_DIR}/include/torch/csrc/api/include)
target_link_directories(zeta_torch INTERFACE ${ZETA_TORCH_DIR}/lib)
# The wheel finds its CUDA libraries through its own RPATH, which the linker does not follow.
target_link_options(zeta_torch INTERFACE -Wl,--allow-shlib-undefined)
target_link_libraries(zeta_torch INTERFACE torch_cpu c10)
