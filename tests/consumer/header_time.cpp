/* The same program as C++, where the macros are constant expressions as well. */
#include "header_time.c"

static_assert(WEFT_SECONDS(1.5) == 1500000000, "constexpr");
static_assert(WEFT_MICROSECONDS(LAST + 1) == WEFT_FOREVER, "saturates");
