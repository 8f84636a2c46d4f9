# The manual pages, made from the headers: docs/man/pages.awk. Without an awk there are none.
find_program(WEFT_AWK NAMES awk mawk gawk)
mark_as_advanced(WEFT_AWK)
if(NOT WEFT_AWK)
    message(STATUS "no awk: the manual pages are left out")
    return()
endif()

file(GLOB weft_manual_sources CONFIGURE_DEPENDS include/weft/*.h docs/man/*.7)
list(TRANSFORM weft_manual_sources REPLACE "^${CMAKE_CURRENT_SOURCE_DIR}/" "")
set(weft_manual_dir ${CMAKE_CURRENT_BINARY_DIR}/man)
string(TIMESTAMP weft_manual_date "%Y-%m-%d" UTC)
add_custom_command(OUTPUT ${weft_manual_dir}/made
    COMMAND ${CMAKE_COMMAND} -E rm -rf ${weft_manual_dir}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${weft_manual_dir}/man3 ${weft_manual_dir}/man7
    COMMAND ${WEFT_AWK} -v out=${weft_manual_dir} -v version=${PROJECT_VERSION} -v date=${weft_manual_date}
        -f docs/man/pages.awk -f docs/man/text.awk ${weft_manual_sources}
    COMMAND ${CMAKE_COMMAND} -E touch ${weft_manual_dir}/made
    DEPENDS ${weft_manual_sources} docs/man/pages.awk docs/man/text.awk
    WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}
    COMMENT "Making the manual pages"
    VERBATIM)
add_custom_target(weft_manual ALL DEPENDS ${weft_manual_dir}/made)
install(DIRECTORY ${weft_manual_dir}/man3 ${weft_manual_dir}/man7 DESTINATION ${CMAKE_INSTALL_MANDIR}
    COMPONENT development)
