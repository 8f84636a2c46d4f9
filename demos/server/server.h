/* server.h: the whole of a run: listen, answer, and at SIGTERM end in order. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include <stdbool.h>
#include <stdint.h>

struct server_options {
    const char *address;  /* IPv4, in figures */
    unsigned port;        /* 0: any that is free */
    unsigned workers;     /* 0: as many as there are CPUs */
    unsigned queue;       /* tiles that may wait to be drawn */
    unsigned connections; /* beyond which requests are refused */
    int64_t grace;        /* ns from SIGTERM to when what is still being drawn is cancelled */
};

/* Can `address` of the options be this? */
bool server_address_valid(const char *address);

/* The exit status: 0 after SIGTERM or SIGINT; 1 if something went wrong, which stderr tells. */
int server_run(const struct server_options *options);

#endif
