# Programs stand in bin/ and shared objects in lib/, in the build tree and in the wheel alike, so that a program
# finds its libraries the same way everywhere. torch lies beside the package in site-packages.
set(ZETA_INSTALL_BIN zeta/bin)
set(ZETA_INSTALL_LIB zeta/lib)
set(CMAKE_BUILD_RPATH "${ZETA_TORCH_DIR}/lib")
set(CMAKE_BUILD_RPATH_USE_ORIGIN ON)
set(CMAKE_INSTALL_RPATH "$ORIGIN/../lib;$ORIGIN/../../torch/lib")

# zeta_install(TARGET): put a program or shared object into the wheel.
function(zeta_install target)
  install(TARGETS ${target}
    RUNTIME DESTINATION ${ZETA_INSTALL_BIN} COMPONENT wheel
    LIBRARY DESTINATION ${ZETA_INSTALL_LIB} COMPONENT wheel)
endfunction()

# Libraries that a target machine cannot be expected to have travel in the wheel under the name they are linked by.
function(zeta_bundle_library path)
  get_filename_component(real ${path} REALPATH)
  execute_process(COMMAND readelf -d ${real} OUTPUT_VARIABLE dynamic)
  string(REGEX MATCH "SONAME[^\n]*\\[([^]]+)\\]" _ "${dynamic}")
  install(FILES ${real} DESTINATION ${ZETA_INSTALL_LIB} RENAME ${CMAKE_MATCH_1} COMPONENT wheel)
endfunction()
zeta_bundle_library(${PROMETHEUS_CORE_LIBRARY})
