# One object of the whole library, optimised across its files, in place of weft_objects' own. It is plain code, which
# every linker reads, so the shared library, the archive, and with it the tests have the same instructions.
target_compile_options(weft_objects PRIVATE -flto=auto -fno-fat-lto-objects)
separate_arguments(weft_flags NATIVE_COMMAND "${CMAKE_C_COMPILER_ARG1} ${CMAKE_C_FLAGS} ${CMAKE_C_FLAGS_RELEASE}")
set(weft_code ${CMAKE_CURRENT_BINARY_DIR}/weft_whole.o)
add_custom_command(OUTPUT ${weft_code}
    COMMAND ${CMAKE_C_COMPILER} ${weft_flags} -flto=auto ${weft_relocatable} -o ${weft_code}
        $<TARGET_OBJECTS:weft_objects>
    DEPENDS weft_objects $<TARGET_OBJECTS:weft_objects>
    COMMENT "Optimising the library as a whole"
    COMMAND_EXPAND_LISTS VERBATIM)
set_source_files_properties(${weft_code} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
# Two libraries are made of it; so that it is made once.
add_custom_target(weft_whole DEPENDS ${weft_code})
