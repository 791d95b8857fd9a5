// Functions of a library that was opened at run time.
#pragma once

#include <dlfcn.h>

namespace zeta::serving {

// Takes the function called `name` from `library`, which dlopen gave; whether it is there.
template <class Function>
bool find_function(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

}  // namespace zeta::serving
