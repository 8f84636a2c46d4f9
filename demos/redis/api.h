/* api.h: the calls of Redis that the module makes, by its own names.
 *
 * A module is not linked against Redis: the server hands it one function that finds the others by name. What is declared
 * here follows the module API reference of Redis 7 (redis.io, "Modules API reference"); every call named there has been
 * in it since version 7.0 at the latest. The types are never looked into.
 *
 * Threads: redis_unblock() may be called on any thread, all others only on the server's main thread. */
#ifndef DEMOS_REDIS_API_H
#define DEMOS_REDIS_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct redis_context redis_context; /* of one call from the server */
typedef struct redis_string redis_string;   /* an argument; the server's */
typedef struct redis_blocked redis_blocked; /* a client that waits for its answer */
typedef struct redis_info redis_info;

/* Passed by value, so its shape is part of the interface. */
typedef struct redis_event {
    uint64_t id, version;
} redis_event;

enum { REDIS_OK = 0, REDIS_ERROR = 1 };
enum { REDIS_API_VERSION = 1 };
enum { REDIS_IN_SCRIPT = 1 << 0, REDIS_IN_TRANSACTION = 1 << 1, REDIS_MUST_NOT_BLOCK = 1 << 21 };
enum { REDIS_EVENT_SHUTDOWN = 5 };

typedef int redis_command(redis_context *context, redis_string **arguments, int n);
typedef void redis_event_handler(redis_context *context, redis_event event, uint64_t part, void *data);

/* Each is written once, by redis_api_find(). */
extern void (*redis_set_attributes)(redis_context *context, const char *name, int version, int api_version);
extern int (*redis_create_command)(redis_context *context, const char *name, redis_command *command, const char *flags,
                                   int first_key, int last_key, int key_step);
extern int (*redis_subscribe)(redis_context *context, redis_event event, redis_event_handler *handler);
extern void (*redis_log)(redis_context *context, const char *level, const char *format, ...);
extern int (*redis_context_flags)(redis_context *context);

extern int (*redis_string_to_integer)(const redis_string *string, long long *value);
extern const char *(*redis_string_bytes)(const redis_string *string, size_t *length);

extern int (*redis_wrong_arity)(redis_context *context);
extern int (*redis_reply_error)(redis_context *context, const char *text);
extern int (*redis_reply_integer)(redis_context *context, long long value);
extern int (*redis_reply_bytes)(redis_context *context, const char *bytes, size_t length);
extern int (*redis_reply_status)(redis_context *context, const char *text);
extern int (*redis_reply_map)(redis_context *context, long n);

/* Once redis_block() has returned a handle, redis_unblock() must be called for it exactly once, also if the client
 * has gone; `released` is then called with what was passed there. */
extern redis_blocked *(*redis_block)(redis_context *context, redis_command *answer, redis_command *timed_out,
                                     void (*released)(redis_context *context, void *data), long long milliseconds);
extern int (*redis_unblock)(redis_blocked *blocked, void *data);
extern void (*redis_on_disconnect)(redis_blocked *blocked, void (*gone)(redis_context *, redis_blocked *));
extern void *(*redis_blocked_data)(redis_context *context); /* in `answer`: what redis_unblock() got */

extern int (*redis_register_info)(redis_context *context, void (*fill)(redis_info *info, int for_crash_report));
extern int (*redis_info_section)(redis_info *info, const char *name);
extern int (*redis_info_number)(redis_info *info, const char *field, unsigned long long value);

/* Finds them all and announces the module. False: the server is too old, or has a module of that name. */
bool redis_api_find(redis_context *context, const char *name, int version);

#endif
