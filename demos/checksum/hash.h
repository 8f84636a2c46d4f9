/* hash.h: the job: the SHA-256 of one file.
 *
 * A worker reads a file in chunks into a buffer of its own and asks between two chunks whether the job is still wanted:
 * that is what makes Ctrl-C and a time limit act at once, however large the file. */
#ifndef CHECKSUM_HASH_H
#define CHECKSUM_HASH_H

#include <weft/weft.h>

#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { DIGEST_SIZE = 32 };

/* What all jobs share. */
struct hashing {
    /* Written before the first job is submitted, then only read. */
    EVP_MD *sha256;
    int64_t limit;       /* ns a file, from when a worker takes it up; WEFT_FOREVER: none */
    int stop_descriptor; /* readable when everything is to stop */
    bool traced;         /* jobs get names, for the trace */
    /* Added to by the jobs, read by whoever draws the progress. */
    _Atomic(uint64_t) bytes;
    /* Held by the submitter while it submits a file and stores the handle in it, by a job while it reads the handle: a job
     * may well start before its submitter has the handle. */
    pthread_mutex_t submitting;
};

/* One file. It must stay where it is from hash_submit() until hash_settle() or until its executor is shut down. */
struct file {
    struct hashing *hashing;
    char *path;
    weft_future *job;                  /* written by hash_submit(), under `submitting` */
    weft_future *timed;                /* the job with its time limit; written by the job, read after the job is done */
    unsigned char digest[DIGEST_SIZE]; /* written by the job, read after the job is done */
};

/* 0 or an errno. What failed has left nothing to close. */
int hashing_open(struct hashing *hashing);
void hashing_close(struct hashing *hashing);

/* The hooks of an executor whose workers hash: each worker gets a digest context and a buffer, once. */
int hash_worker_start(unsigned worker, void *hashing);
void hash_worker_stop(unsigned worker, void *hashing);

/* Starts the work on file->path; file->hashing is set. 0 or an errno: then there is no job. */
int hash_submit(weft_executor *executor, struct file *file);

/* Waits for the end of the job and gives its futures back. 0: there is a digest; -ETIMEDOUT, -ECANCELED, or the errno with
 * which the file could not be read. */
int hash_settle(struct file *file);

/* Gives the futures back without waiting, after the executor was shut down. */
void hash_drop(struct file *file);

#endif
