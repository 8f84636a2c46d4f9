/* tokens_table.h: which pairs stress_tokens.c tries on which tokens, and what may come of each.
 *
 * Discipline. An outcome is a triple: what the two calls answered (YES: 0, NO: refused in the one way that it may be,
 * MUTE: it has no answer) and how the token ended: clear, set, or set because its own deadline passed. Constant data,
 * read by both racers. */
#ifndef WEFT_TESTS_TOKENS_TABLE_H
#define WEFT_TESTS_TOKENS_TABLE_H

#include <stdint.h>

typedef enum {
    CANCEL,
    CANCEL_ABOVE, /* the token above it */
    CANCEL_JOB,   /* the job whose own token it is */
    EXPIRE,       /* the clock reaches its deadline */
    HURRY,        /* the deadline is moved to now */
    CLOSE,
    RESCHEDULE, /* to much later */
    FORGO,      /* to never */
    SUBMIT,     /* a job with the token */
    HOOK,
    UNHOOK, /* takes back a hook that was registered before */
    CHILD,  /* makes a token below it, with a hook */
    END,    /* the job that was submitted with it before may end */
    RELEASE,
    SHUT_DOWN, /* of the executor, in a mode drawn at random, at one item of the batch */
    ACTIONS
} action;

static const char *const action_names[ACTIONS] = {"cancel", "cancel above", "cancel job", "expire",  "hurry",
                                                  "close",  "reschedule",   "forgo",      "submit",  "hook",
                                                  "unhook", "child",        "end",        "release", "shut down"};

typedef enum { PLAIN, SCOPE, BELOW, SHIELDED, CURRENT, TOKENS } kind;

static const char *const token_names[TOKENS] = {"token", "scope", "token below", "shielded token", "a job's token"};

enum { YES, NO, MUTE };
enum { CLEAR, SET, EXPIRED };
static const char *const end_names[] = {"clear", "set", "expired"};
#define IS(left, right, end) (UINT32_C(1) << (((left)*3 + (right)) * 3 + (end)))
#define ENDS(end)            IS(MUTE, MUTE, end)

enum { ON_PLAIN = 1 << PLAIN, ON_SCOPE = 1 << SCOPE, ON_BELOW = 1 << BELOW, ON_SHIELDED = 1 << SHIELDED };
enum { ON_CURRENT = 1 << CURRENT, ON_TIMED = ON_SCOPE | ON_BELOW | ON_SHIELDED };
enum { ON_MADE = ON_PLAIN | ON_TIMED, ON_ALL = ON_MADE | ON_CURRENT };

typedef struct row {
    unsigned kinds;
    action left, right;
    uint32_t legal;
} row;

/* Against whatever has no answer and sets nothing. */
#define BYSTANDERS(kinds, left, legal)                                                                                 \
    {kinds, left, SUBMIT, legal}, {kinds, left, HOOK, legal}, {kinds, left, UNHOOK, legal},                            \
        {kinds, left, CHILD, legal}, {kinds, left, END, legal},                                                        \
    {                                                                                                                  \
        kinds, left, RELEASE, legal                                                                                    \
    }

static const row rows[] = {
    {ON_ALL, CANCEL, CANCEL, ENDS(SET)},
    {ON_MADE, CANCEL, CLOSE, IS(MUTE, YES, SET)},
    {ON_MADE, CANCEL, RESCHEDULE, IS(MUTE, YES, SET)},
    {ON_MADE, CANCEL, FORGO, IS(MUTE, YES, SET)},
    BYSTANDERS(ON_ALL, CANCEL, ENDS(SET)),

    {ON_TIMED, EXPIRE, CANCEL, ENDS(SET) | ENDS(EXPIRED)},
    {ON_TIMED, EXPIRE, CLOSE, IS(MUTE, YES, CLEAR) | IS(MUTE, NO, EXPIRED)},
    {ON_TIMED, EXPIRE, RESCHEDULE, IS(MUTE, YES, CLEAR) | IS(MUTE, NO, EXPIRED)},
    {ON_TIMED, EXPIRE, FORGO, IS(MUTE, YES, CLEAR) | IS(MUTE, NO, EXPIRED)},
    BYSTANDERS(ON_TIMED, EXPIRE, ENDS(EXPIRED)),

    {ON_TIMED, HURRY, CANCEL, IS(YES, MUTE, SET) | IS(YES, MUTE, EXPIRED)},
    {ON_TIMED, HURRY, CLOSE, IS(YES, YES, CLEAR) | IS(YES, NO, EXPIRED) | IS(NO, YES, CLEAR)},
    BYSTANDERS(ON_TIMED, HURRY, IS(YES, MUTE, EXPIRED)),

    {ON_BELOW, CANCEL_ABOVE, CANCEL_ABOVE, ENDS(SET)},
    {ON_BELOW, CANCEL_ABOVE, CANCEL, ENDS(SET)},
    {ON_BELOW, CANCEL_ABOVE, EXPIRE, ENDS(SET) | ENDS(EXPIRED)},
    {ON_BELOW, CANCEL_ABOVE, CLOSE, IS(MUTE, YES, SET)},
    {ON_BELOW, CANCEL_ABOVE, RESCHEDULE, IS(MUTE, YES, SET)},
    BYSTANDERS(ON_BELOW, CANCEL_ABOVE, ENDS(SET)),
    {ON_SHIELDED, CANCEL_ABOVE, CANCEL, ENDS(SET)},
    {ON_SHIELDED, CANCEL_ABOVE, EXPIRE, ENDS(EXPIRED)},
    {ON_SHIELDED, CANCEL_ABOVE, CLOSE, IS(MUTE, YES, CLEAR)},
    BYSTANDERS(ON_SHIELDED, CANCEL_ABOVE, ENDS(CLEAR)),

    {ON_CURRENT, CANCEL_JOB, CANCEL, ENDS(SET)},
    {ON_CURRENT, CANCEL_JOB, CANCEL_JOB, ENDS(SET)},
    {ON_CURRENT, CANCEL_JOB, SUBMIT, ENDS(SET)},
    {ON_CURRENT, CANCEL_JOB, HOOK, ENDS(SET)},
    {ON_CURRENT, CANCEL_JOB, UNHOOK, ENDS(SET)},
    {ON_CURRENT, CANCEL_JOB, CHILD, ENDS(SET)},
    {ON_CURRENT, CANCEL_JOB, END, ENDS(SET) | ENDS(CLEAR)},
    {ON_CURRENT, CANCEL_JOB, RELEASE, ENDS(SET)},
    {ON_CURRENT, END, SUBMIT, ENDS(CLEAR)},
    {ON_CURRENT, END, HOOK, ENDS(CLEAR)},
    {ON_CURRENT, END, UNHOOK, ENDS(CLEAR)},
    {ON_CURRENT, END, CHILD, ENDS(CLEAR)},
    {ON_CURRENT, END, RELEASE, ENDS(CLEAR)},

    {ON_TIMED, CLOSE, CLOSE, IS(YES, YES, CLEAR)},
    {ON_TIMED, CLOSE, RESCHEDULE, IS(YES, YES, CLEAR) | IS(YES, NO, CLEAR)},
    BYSTANDERS(ON_TIMED, CLOSE, IS(YES, MUTE, CLEAR)),
    {ON_TIMED, RESCHEDULE, RESCHEDULE, IS(YES, YES, CLEAR)},
    {ON_TIMED, RESCHEDULE, FORGO, IS(YES, YES, CLEAR)},
    BYSTANDERS(ON_TIMED, RESCHEDULE, IS(YES, MUTE, CLEAR)),

    {ON_ALL, SUBMIT, SUBMIT, ENDS(CLEAR)},
    {ON_ALL, SUBMIT, HOOK, ENDS(CLEAR)},
    {ON_ALL, SUBMIT, CHILD, ENDS(CLEAR)},
    {ON_ALL, SUBMIT, RELEASE, ENDS(CLEAR)},
    {ON_ALL, HOOK, HOOK, ENDS(CLEAR)},
    {ON_ALL, HOOK, UNHOOK, ENDS(CLEAR)},
    {ON_ALL, HOOK, RELEASE, ENDS(CLEAR)},
    {ON_ALL, UNHOOK, UNHOOK, ENDS(CLEAR)},
    {ON_ALL, UNHOOK, RELEASE, ENDS(CLEAR)},
    {ON_ALL, CHILD, CHILD, ENDS(CLEAR)},
    {ON_ALL, CHILD, RELEASE, ENDS(CLEAR)},
    {ON_ALL, RELEASE, RELEASE, ENDS(CLEAR)},

    /* A shutdown sets no token; whether it leaves time for a deadline, or for a request from above, is not promised. */
    {ON_MADE, SHUT_DOWN, CANCEL, ENDS(SET)},
    {ON_TIMED, SHUT_DOWN, EXPIRE, ENDS(CLEAR) | ENDS(EXPIRED)},
    {ON_TIMED, SHUT_DOWN, CLOSE, IS(MUTE, YES, CLEAR)},
    {ON_TIMED, SHUT_DOWN, RESCHEDULE, IS(MUTE, YES, CLEAR)},
    {ON_TIMED, SHUT_DOWN, HURRY, IS(MUTE, YES, CLEAR) | IS(MUTE, YES, EXPIRED)},
    {ON_BELOW, SHUT_DOWN, CANCEL_ABOVE, ENDS(CLEAR) | ENDS(SET)},
    {ON_SHIELDED, SHUT_DOWN, CANCEL_ABOVE, ENDS(CLEAR)},
    BYSTANDERS(ON_MADE, SHUT_DOWN, ENDS(CLEAR)),
};

enum { ROWS = sizeof rows / sizeof rows[0] };

#endif
