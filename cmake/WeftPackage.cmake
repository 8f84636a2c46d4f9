# Debian packages, one for each component: libweft0, libweft-dev, weft-demos. `cmake --workflow --preset debian` makes
# them in build/debian: it configures with the prefix /usr, which is what puts libraries where Debian has them.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME weft)
set(CPACK_PACKAGE_VENDOR "the weft authors")
set(CPACK_PACKAGE_CONTACT "the weft authors <weft@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/compress_manual.cmake)

set(CPACK_COMPONENTS_ALL runtime development)
if(WEFT_DEMOS)
    list(APPEND CPACK_COMPONENTS_ALL demos)
endif()
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "${CPACK_PACKAGE_CONTACT}")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS ON)
find_program(WEFT_SHLIBDEPS dpkg-shlibdeps)
mark_as_advanced(WEFT_SHLIBDEPS)
if(WEFT_SHLIBDEPS)
    set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
    set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR})
endif()

set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")

# The lines below the summary.
string(CONCAT text
    "weft runs functions of a C program on a pool of threads that steal work from\n"
    "one another, and hands out futures for what will come of them. Every wait can\n"
    "have a limit, every job can be asked to stop, and every future ends with\n"
    "exactly one outcome.\n.\n")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME libweft0)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_COMPONENT_RUNTIME_DESCRIPTION "${text}This package has the shared library.")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libweft-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SHLIBDEPS OFF)
set(CPACK_COMPONENT_DEVELOPMENT_DEPENDS runtime)
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION
    "${text}This package has the headers, the static library and the manual pages.")

set(CPACK_DEBIAN_DEMOS_PACKAGE_NAME weft-demos)
set(CPACK_DEBIAN_DEMOS_PACKAGE_SECTION devel)
set(CPACK_COMPONENT_DEMOS_DEPENDS runtime)
set(CPACK_COMPONENT_DEMOS_DESCRIPTION "${text}This package has programs that show it, in /usr/libexec/weft.")

include(CPack)
