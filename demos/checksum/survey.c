/* survey.c: a job whose value is the survey it was given, filled in. */
#define _POSIX_C_SOURCE 200809L
#include "survey.h"

#include "walk.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

struct survey {
    /* Written by survey_start(), before the job starts. */
    char *const *paths;
    size_t n;
    weft_future *job; /* written after the job was submitted, which does not look at it */
    uint64_t bytes;   /* written by the job, read when it has succeeded */
};

static bool unwanted(void *data)
{
    (void)data;
    return weft_cancelled();
}

static uint64_t size_of(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0;
}

static void *add_up(void *arg)
{
    struct survey *survey = arg;
    struct walk_item item;
    int code = -ENOMEM;

    struct walk *walk = walk_open(survey->paths, survey->n, unwanted, NULL);
    while (walk != NULL && (code = walk_next(walk, &item)) == 1) {
        survey->bytes += item.error == 0 ? size_of(item.path) : 0;
        free(item.path);
    }
    walk_close(walk);
    if (code != 0) {
        return weft_fail(code == -ECANCELED ? code : -code);
    }
    return survey;
}

struct survey *survey_start(weft_executor *executor, char *const paths[], size_t n)
{
    struct survey *survey = calloc(1, sizeof *survey);
    if (survey == NULL) {
        return NULL;
    }
    survey->paths = paths;
    survey->n = n;
    survey->job = weft_submit(executor, add_up, survey);
    if (survey->job == NULL) {
        free(survey);
        return NULL;
    }
    return survey;
}

uint64_t survey_bytes(const struct survey *survey)
{
    return survey != NULL && weft_future_state(survey->job) == WEFT_SUCCEEDED ? survey->bytes : 0;
}

void survey_close(struct survey *survey)
{
    if (survey != NULL) {
        weft_future_release(survey->job);
        free(survey);
    }
}
