/* survey.h: how many bytes there are to hash in all, found out while they are being hashed.
 *
 * Without it a progress line could tell neither the part done nor the time left. It is one more job on the same pool: it
 * walks the same paths as the hashing does, ahead of it, and only adds up sizes. */
#ifndef CHECKSUM_SURVEY_H
#define CHECKSUM_SURVEY_H

#include <weft/weft.h>

struct survey;

/* The paths must stay until survey_close(). NULL: errno says why. */
struct survey *survey_start(weft_executor *executor, char *const paths[], size_t n);

/* The sum once it is complete, 0 until then, and if it failed, and of NULL. Any thread. */
uint64_t survey_bytes(const struct survey *survey);

/* After the executor was shut down. NULL does nothing. */
void survey_close(struct survey *survey);

#endif
