# Programs stand in bin/ and shared objects in lib/, in the build tree and in the wheel alike, so that a program
# finds its libraries the same way everywhere. torch lies beside the package in site-packages.
set(ZETA_INSTALL_BIN zeta/bin)
set(ZETA_INSTALL_LIB zeta/lib)
set(CMAKE_BUILD_RPATH "${ZETA_TORCH_DIR}/lib")
set(CMAKE_BUILD_RPATH_USE_ORIGIN ON)
set(CMAKE_INSTALL_RPATH "$ORIGIN/../lib;$ORIGIN/../../torch/lib")

# Search paths that also hold for what our libraries need in turn: bundled ones have none of their own.
add_link_options(LINKER:--disable-new-dtags)

# zeta_install(TARGET): put a program or shared object into the wheel.
function(zeta_install target)
  install(TARGETS ${target}
    RUNTIME_DEPENDENCY_SET zeta_runtime
    RUNTIME DESTINATION ${ZETA_INSTALL_BIN} COMPONENT wheel
    LIBRARY DESTINATION ${ZETA_INSTALL_LIB} COMPONENT wheel)
endfunction()

# Libraries that a target machine cannot be expected to have travel in the wheel, with all that they need in turn.
# Debian's archives of them are not position-independent. The rest is glibc, libstdc++ or torch's.
install(RUNTIME_DEPENDENCY_SET zeta_runtime
  PRE_INCLUDE_REGEXES "^libabsl_" "^libprometheus" "^libgrpc" "^lib(gpr|upb|address_sorting|cares|re2|ssl|crypto|z)[.]so"
  PRE_EXCLUDE_REGEXES ".*"
  LIBRARY DESTINATION ${ZETA_INSTALL_LIB} COMPONENT wheel)
