/* api.c: finds the calls by their names.
 *
 * The first word of the context that RedisModule_OnLoad gets is the address of the function that finds them; that is all
 * a module may know of it. */
#include "api.h"

#include <string.h>

void (*redis_set_attributes)(redis_context *, const char *, int, int);
int (*redis_create_command)(redis_context *, const char *, redis_command *, const char *, int, int, int);
int (*redis_subscribe)(redis_context *, redis_event, redis_event_handler *);
void (*redis_log)(redis_context *, const char *, const char *, ...);
int (*redis_context_flags)(redis_context *);
int (*redis_string_to_integer)(const redis_string *, long long *);
const char *(*redis_string_bytes)(const redis_string *, size_t *);
int (*redis_wrong_arity)(redis_context *);
int (*redis_reply_error)(redis_context *, const char *);
int (*redis_reply_integer)(redis_context *, long long);
int (*redis_reply_bytes)(redis_context *, const char *, size_t);
int (*redis_reply_status)(redis_context *, const char *);
int (*redis_reply_map)(redis_context *, long);
redis_blocked *(*redis_block)(redis_context *, redis_command *, redis_command *, void (*)(redis_context *, void *),
                              long long);
int (*redis_unblock)(redis_blocked *, void *);
void (*redis_on_disconnect)(redis_blocked *, void (*)(redis_context *, redis_blocked *));
void *(*redis_blocked_data)(redis_context *);
int (*redis_register_info)(redis_context *, void (*)(redis_info *, int));
int (*redis_info_section)(redis_info *, const char *);
int (*redis_info_number)(redis_info *, const char *, unsigned long long);

static int (*name_is_busy)(const char *name);

static const struct {
    const char *name;
    void *function; /* the address of one of the pointers above */
} calls[] = {
    {"RedisModule_Log", &redis_log}, /* first: to tell what is missing */
    {"RedisModule_IsModuleNameBusy", &name_is_busy},
    {"RedisModule_SetModuleAttribs", &redis_set_attributes},
    {"RedisModule_CreateCommand", &redis_create_command},
    {"RedisModule_SubscribeToServerEvent", &redis_subscribe},
    {"RedisModule_GetContextFlags", &redis_context_flags},
    {"RedisModule_StringToLongLong", &redis_string_to_integer},
    {"RedisModule_StringPtrLen", &redis_string_bytes},
    {"RedisModule_WrongArity", &redis_wrong_arity},
    {"RedisModule_ReplyWithError", &redis_reply_error},
    {"RedisModule_ReplyWithLongLong", &redis_reply_integer},
    {"RedisModule_ReplyWithStringBuffer", &redis_reply_bytes},
    {"RedisModule_ReplyWithSimpleString", &redis_reply_status},
    {"RedisModule_ReplyWithMap", &redis_reply_map},
    {"RedisModule_BlockClient", &redis_block},
    {"RedisModule_UnblockClient", &redis_unblock},
    {"RedisModule_SetDisconnectCallback", &redis_on_disconnect},
    {"RedisModule_GetBlockedClientPrivateData", &redis_blocked_data},
    {"RedisModule_RegisterInfoFunc", &redis_register_info},
    {"RedisModule_InfoAddSection", &redis_info_section},
    {"RedisModule_InfoAddFieldULongLong", &redis_info_number},
};

bool redis_api_find(redis_context *context, const char *name, int version)
{
    int (*find)(const char *name, void *function);

    memcpy(&find, context, sizeof find);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        if (find(calls[i].name, calls[i].function) != REDIS_OK) {
            if (redis_log != NULL) {
                redis_log(context, "warning", "%s: no %s; wanted is Redis 7.0 or later", name, calls[i].name);
            }
            return false;
        }
    }
    if (name_is_busy(name)) {
        redis_log(context, "warning", "%s: a module of that name is loaded already", name);
        return false;
    }
    redis_set_attributes(context, name, version, REDIS_API_VERSION);
    return true;
}
