/* pool.h: a pool of threads that takes jobs from outside and gives a handle for each; every library behind this face.
 *
 * A workload is a program written against it (w2.c, w7.c), linked once with each library's file in this folder. Handles
 * are numbered, and what stands for them was touched before the clock starts, so a library is charged only for the memory
 * that it needs beside them.
 *
 * Which class a pool is in: weft, libuv and Asio with std::packaged_task hand out handles of their own; to oneTBB and
 * GLib a futex word a job is added (common/flag.h). libuv's caller brings the memory of each request himself, so it is
 * counted, for there is no job without it; and its jobs end on the loop, which the waiting thread runs. */
#ifndef BENCH_POOL_H
#define BENCH_POOL_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef void *pool_job(void *arg);

/* Starts `workers` threads that will run `job`; at most `most` handles at a time. One pool a process. */
void pool_start(unsigned workers, size_t most, pool_job *job);

/* What another thread than the one that called pool_start does before it first submits, and after its last wait. */
void pool_enter(void);
void pool_leave(void);

/* Submits job(arg); its handle is number i. Several threads may do so at once, for different i. */
void pool_submit(size_t i, void *arg);

/* Blocks until jobs first to first + n - 1 are done, all that the calling thread has submitted. */
void pool_wait_some(size_t first, size_t n);

/* Blocks until job i, or all of the first n, are done. */
void pool_wait(size_t i);
void pool_wait_all(size_t n);

/* Gives the first n handles back; their jobs are done. */
void pool_release(size_t n);

/* Bytes that the library has taken from its allocator by its own count; 0: it keeps none. */
size_t pool_bytes(void);

void pool_stop(void);

#ifdef __cplusplus
}
#endif
#endif
