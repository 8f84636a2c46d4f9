# How the library, its tests and its demos are compiled in this tree. Nothing of it reaches those who link weft from
# their own build: weft_build is linked privately, and most of it is set only where weft is the top level.
add_library(weft_build INTERFACE)

# A shared library that names all it needs. Clang's sanitizer runtimes are in the program, not in the library.
set(weft_no_undefined "$<$<NOT:$<BOOL:${WEFT_SANITIZE}>>:LINKER:-z,defs>")

set(weft_as_one OFF) # see below
if(NOT PROJECT_IS_TOP_LEVEL)
    return()
endif()

target_compile_options(weft_build INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow)

if(WEFT_TINY)
    target_compile_definitions(weft_build INTERFACE WEFT_TINY WEFT_TEST_POINTS)
endif()

if(WEFT_SANITIZE STREQUAL "address")
    set(sanitize -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
    # A slab hands out pieces of large mappings; one mapping an object lets AddressSanitizer see each.
    target_compile_definitions(weft_build INTERFACE WEFT_SLAB_EACH)
elseif(WEFT_SANITIZE STREQUAL "thread")
    set(sanitize -fsanitize=thread -fno-omit-frame-pointer)
elseif(WEFT_SANITIZE)
    message(FATAL_ERROR "WEFT_SANITIZE is empty, address or thread, not ${WEFT_SANITIZE}")
endif()
target_compile_options(weft_build INTERFACE ${sanitize})
target_link_options(weft_build INTERFACE ${sanitize})

# The hot paths cross the borders of files: 5 to 20 % fewer instructions. gcc only, which makes plain code of the whole.
if(CMAKE_C_COMPILER_ID STREQUAL "GNU" AND CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT WEFT_TINY AND NOT WEFT_SANITIZE)
    option(WEFT_LTO "Optimise the library across its files, when gcc makes it for release" ON)
    include(CheckCSourceCompiles)
    set(weft_relocatable -r -nostdlib -flinker-output=nolto-rel)
    set(CMAKE_REQUIRED_FLAGS -flto)
    set(CMAKE_REQUIRED_LINK_OPTIONS ${weft_relocatable})
    check_c_source_compiles("int main(void) { return 0; }" weft_have_lto)
    unset(CMAKE_REQUIRED_FLAGS)
    unset(CMAKE_REQUIRED_LINK_OPTIONS)
    if(WEFT_LTO AND weft_have_lto)
        set(weft_as_one ON)
    endif()
endif()
