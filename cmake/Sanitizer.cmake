if(ZETA_SANITIZER STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=address,undefined)
elseif(ZETA_SANITIZER STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_compile_definitions(BOOST_ASIO_DISABLE_FENCED_BLOCK)  # the sanitizer sees no fences; Asio's locks do without
  add_link_options(-fsanitize=thread)
elseif(ZETA_SANITIZER)
  message(FATAL_ERROR "ZETA_SANITIZER=${ZETA_SANITIZER}: expected address or thread")
endif()
if(ZETA_SANITIZER AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_compile_options(-Wno-maybe-uninitialized)  # gcc loses its way in the sanitizers' code and warns of libstdc++'s
endif()
