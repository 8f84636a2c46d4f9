# cmake --install: the libraries, the headers with their manual pages, and what find_package(weft) and pkg-config read.
# Nothing that is installed names the prefix, so the tree may be moved. Components:
#
#   runtime      the shared library, as programs load it
#   development  headers, the static library, the link that -lweft finds, CMake and pkg-config files, manual pages
#   demos        the demos' programs, in libexec/weft
include(CMakePackageConfigHelpers)

install(TARGETS weft weft_static EXPORT weft_targets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT development
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(DIRECTORY include/weft DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development
    FILES_MATCHING PATTERN "*.h")

set(weft_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/weft)
install(EXPORT weft_targets NAMESPACE weft:: FILE weft-targets.cmake DESTINATION ${weft_package_dir}
    COMPONENT development)
configure_package_config_file(cmake/weft-config.cmake.in weft-config.cmake INSTALL_DESTINATION ${weft_package_dir}
    NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(weft-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/weft-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/weft-config-version.cmake
    DESTINATION ${weft_package_dir} COMPONENT development)

# Relative to the file itself, unless the directories are absolute.
foreach(directory LIBDIR INCLUDEDIR)
    cmake_path(ABSOLUTE_PATH CMAKE_INSTALL_${directory} BASE_DIRECTORY "\${prefix}"
        OUTPUT_VARIABLE weft_pc_${directory})
endforeach()
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig
    OUTPUT_VARIABLE weft_prefix_from_pc)
configure_file(cmake/weft.pc.in weft.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/weft.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)

# Where Debian looks for the terms of a package.
foreach(component runtime:libweft0 development:libweft-dev demos:weft-demos)
    string(REPLACE ":" ";" component ${component})
    list(POP_BACK component package)
    install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/${package} RENAME copyright
        COMPONENT ${component})
endforeach()

# A program of the demos: installed where it finds the library beside it, wherever the tree is put.
function(weft_install_demo target)
    cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_LIBDIR BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBEXECDIR}/weft
        OUTPUT_VARIABLE libdir)
    set_target_properties(${target} PROPERTIES INSTALL_RPATH "$ORIGIN/${libdir}")
    install(TARGETS ${target} DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/weft COMPONENT demos)
endfunction()
