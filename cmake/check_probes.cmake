# The probes that HEADER names are in LIBRARY, under the provider "weft", and no others.
execute_process(COMMAND ${READELF} -nW ${LIBRARY} OUTPUT_VARIABLE notes COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "Provider: weft[ \n]+Name: [a-z_]+" found "${notes}")
list(TRANSFORM found REPLACE ".*Name: " "")
list(REMOVE_DUPLICATES found)
list(SORT found)

# The table in the header's comment: names in two columns, each before its arguments.
file(STRINGS ${HEADER} lines REGEX "^ \\*   [a-z]")
set(named)
foreach(line ${lines})
    string(REGEX MATCHALL "(steal|park|unpark|wake|job__[a-z]+|timer__[a-z]+)" names "${line}")
    list(APPEND named ${names})
endforeach()
list(REMOVE_DUPLICATES named)
list(SORT named)
if(NOT named OR NOT named STREQUAL found)
    message(FATAL_ERROR "${LIBRARY} has the probes ${found}, ${HEADER} names ${named}")
endif()
