/* weft/weft.h: every public header but testing.h.
 *
 * Read in this order: base.h for codes, time and threads, executor.h for who runs, future.h for what is awaited,
 * combine.h for futures made of others. */
#ifndef WEFT_WEFT_H
#define WEFT_WEFT_H

#include <weft/base.h>
#include <weft/combine.h>
#include <weft/executor.h>
#include <weft/future.h>

#endif
