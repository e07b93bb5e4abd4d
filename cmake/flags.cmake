# Flags for the code that is ours; generated code links shimd-flags-generated instead.
add_library(shimd-flags INTERFACE)
target_include_directories(shimd-flags INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
target_compile_definitions(shimd-flags INTERFACE _GNU_SOURCE SHIMD_VERSION="${PROJECT_VERSION}")
target_compile_options(shimd-flags INTERFACE -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes
                       -Wmissing-prototypes -Wformat=2)
if(SHIMD_WERROR)
  target_compile_options(shimd-flags INTERFACE -Werror)
endif()

# Hardening goes with optimisation only: _FORTIFY_SOURCE needs it, sanitizers do not like it.
if(SHIMD_SANITIZE)
  add_compile_options(-fsanitize=${SHIMD_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${SHIMD_SANITIZE})
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  add_compile_options(-fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE
                      -D_FORTIFY_SOURCE=2)
  add_link_options(-pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed)
endif()
