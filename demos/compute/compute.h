/* compute.h: the two computations that the servers offer: how many primes there are, and a key from a password.
 *
 * Both take as long as their arguments ask for, in a few hundred kilobytes, and look every fraction of a millisecond
 * whether the job that they run in has been asked to stop. They may run in any number of jobs at once. */
#ifndef DEMOS_COMPUTE_H
#define DEMOS_COMPUTE_H

#include <stddef.h>
#include <stdint.h>

/* What a server takes from strangers: some minutes of work at the most, unless a deadline comes first. */
enum { SECRET_MOST = 1024, KEY_LENGTH = 32, KEY_MOST = 256 };
#define PRIMES_MOST     INT64_C(1000000000000)
#define ITERATIONS_MOST INT64_C(1000000000)

/* Counts the primes up to `last`, 0 <= last <= PRIMES_MOST. 0; ECANCELED: the calling job is to stop; ENOMEM. */
int count_primes(int64_t last, int64_t *count);

/* A password and what is to be made of it. The lengths in bytes, each at most SECRET_MOST and KEY_MOST. */
struct derivation {
    unsigned char password[SECRET_MOST], salt[SECRET_MOST];
    size_t password_length, salt_length, key_length;
    int64_t iterations;
};

/* PBKDF2 with HMAC-SHA256 (RFC 8018): writes key_length bytes. 0; ECANCELED: the calling job is to stop; ENOMEM. */
int derive_key(const struct derivation *derivation, unsigned char *key);

/* Writes 2 * length lower-case hexadecimal digits and a terminating zero. */
void write_hex(char *text, const unsigned char *bytes, size_t length);

#endif
