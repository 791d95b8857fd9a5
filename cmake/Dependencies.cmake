# System libraries, static where the distribution has archives, so that the wheel runs on a machine without them.
if(POLICY CMP0167)
  cmake_policy(SET CMP0167 NEW)
endif()
set(Boost_USE_STATIC_LIBS ON)
find_package(Boost 1.81 REQUIRED)
find_package(absl REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(Threads REQUIRED)
if(ZETA_BUILD_TESTS)
  find_package(GTest REQUIRED)
endif()

# Debian's archive of Boost.JSON is not position-independent, so it cannot go into a backend: compile it ourselves.
add_library(zeta_boost_json STATIC ${CMAKE_CURRENT_LIST_DIR}/boost_json.cc)
add_library(Boost::json ALIAS zeta_boost_json)
target_link_libraries(zeta_boost_json PUBLIC Boost::headers)

# Debian's package config also demands curl and zlib for parts we do not use, so name the one library we do.
find_path(PROMETHEUS_INCLUDE_DIR prometheus/registry.h REQUIRED)
find_library(PROMETHEUS_CORE_LIBRARY prometheus-cpp-core REQUIRED)
add_library(zeta_prometheus INTERFACE)
add_library(zeta::prometheus ALIAS zeta_prometheus)
target_include_directories(zeta_prometheus SYSTEM INTERFACE ${PROMETHEUS_INCLUDE_DIR})
target_link_libraries(zeta_prometheus INTERFACE ${PROMETHEUS_CORE_LIBRARY})

# The archive of protobuf rather than the shared object, whose symbols would stand before those of the protobuf
# inside libtorch. gRPC is shared, as Abseil is.
find_program(PROTOC_PROGRAM protoc REQUIRED)
find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)
find_path(PROTOBUF_INCLUDE_DIR google/protobuf/text_format.h REQUIRED)
find_library(PROTOBUF_LIBRARY NAMES libprotobuf.a protobuf REQUIRED)
add_library(zeta_protobuf INTERFACE)
add_library(zeta::protobuf ALIAS zeta_protobuf)
target_include_directories(zeta_protobuf SYSTEM INTERFACE ${PROTOBUF_INCLUDE_DIR})
target_link_libraries(zeta_protobuf INTERFACE ${PROTOBUF_LIBRARY} Threads::Threads)

find_path(GRPC_INCLUDE_DIR grpcpp/grpcpp.h REQUIRED)
find_library(GRPCXX_LIBRARY grpc++ REQUIRED)
find_library(GRPC_LIBRARY grpc REQUIRED)
find_library(GPR_LIBRARY gpr REQUIRED)
add_library(zeta_grpcpp INTERFACE)
add_library(zeta::grpc ALIAS zeta_grpcpp)
target_include_directories(zeta_grpcpp SYSTEM INTERFACE ${GRPC_INCLUDE_DIR})
target_link_libraries(zeta_grpcpp INTERFACE
  ${GRPCXX_LIBRARY} ${GRPC_LIBRARY} ${GPR_LIBRARY} zeta::protobuf absl::synchronization absl::strings)

# Regular expressions in linear time; gRPC needs it anyway.
find_path(RE2_INCLUDE_DIR re2/re2.h REQUIRED)
find_library(RE2_LIBRARY re2 REQUIRED)
add_library(zeta_re2 INTERFACE)
add_library(zeta::re2 ALIAS zeta_re2)
target_include_directories(zeta_re2 SYSTEM INTERFACE ${RE2_INCLUDE_DIR})
target_link_libraries(zeta_re2 INTERFACE ${RE2_LIBRARY})

find_package(ZLIB REQUIRED)
find_package(OpenSSL 3 REQUIRED)
