# Runs PROGRAM and compares what it prints with the file EXPECTED. Times of day are written HH:MM:SS there, and
# durations in seconds count to the tenth.
execute_process(COMMAND ${PROGRAM} OUTPUT_VARIABLE printed COMMAND_ERROR_IS_FATAL ANY)
file(READ ${EXPECTED} expected)
foreach(text printed expected)
    string(REGEX REPLACE "[0-9][0-9]:[0-9][0-9]:[0-9][0-9]" "HH:MM:SS" ${text} "${${text}}")
    string(REGEX REPLACE "([0-9]+\\.[0-9])[0-9]+ seconds" "\\1 seconds" ${text} "${${text}}")
endforeach()
if(NOT printed STREQUAL expected)
    message(FATAL_ERROR "${PROGRAM} printed\n${printed}\nbut expected was\n${expected}")
endif()
