/* probe.h: places where a tracer of the system may look in.
 *
 * Static user-space probes (USDT) of the provider "weft", for bpftrace, perf, SystemTap and gdb: each is one no-op
 * instruction and a note in the file that says where it is and where its arguments are then. Compiled in where
 * sys/sdt.h is (WEFT_PROBES, CMakeLists.txt); otherwise they are nothing at all.
 *
 *   job__submit   job, function         steal     thief, victim (workers by index)
 *   job__start    job, function         park, unpark   worker
 *   job__done     job, code             wake      worker
 *   job__cancel   job, reason           timer__arm, timer__fire   executor
 *
 *     bpftrace -e 'usdt:./libweft.so:weft:job__start { @[usym(arg1)] = count(); }' -p PID
 *
 * Names and arguments are for whoever looks, not an interface that programs are built on. */
#ifndef WEFT__PROBE_H
#define WEFT__PROBE_H

#ifdef WEFT_PROBES
#include <sys/sdt.h>
/* gcc takes the many lines of a probe's assembler text for as many instructions, and would not inline what holds
 * one; clang warns of an extension where the header's macros are used. */
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wgnu-zero-variadic-macro-arguments"
#elif defined(__GNUC__)
#define __volatile__ __volatile__ __inline__
#endif
#define WEFT__PROBE1(name, a)    DTRACE_PROBE1(weft, name, a)
#define WEFT__PROBE2(name, a, b) DTRACE_PROBE2(weft, name, a, b)
#else
#define WEFT__PROBE1(name, a)    ((void)0)
#define WEFT__PROBE2(name, a, b) ((void)0)
#endif

#endif
