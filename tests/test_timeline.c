/* test_timeline.c: the demo that draws traces, as far as it reads them: JSON to the letter, traces that are none, input
 * that means harm; and that a picture is well-formed whatever the names are.
 *
 * Nothing of weft is used here but the format. */
#define _POSIX_C_SOURCE 200809L
#include "json.h"
#include "lanes.h"
#include "svg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- JSON ---- */

static const char *mistake_in(const char *text, size_t size)
{
    struct json json;
    char *copy = malloc(size + 1); /* of its exact size, for AddressSanitizer */
    assert_non_null(copy);
    char *exact = realloc(copy, size ? size : 1);
    memcpy(exact, text, size);
    json_begin(&json, exact, size);
    json_skip(&json);
    json_finish(&json);
    free(exact);
    return json.error;
}

static void test_json_that_is_well_formed(void **state)
{
    static const char *const good[] = {"{}",
                                       "[]",
                                       " [ 1 , -2.5e+3 , true,false,null,\"\" ]\n",
                                       "{\"a\":{\"b\":[[[]]]},\"c\":0}",
                                       "\"\\u00e9\\ud83d\\ude00\\/\"",
                                       "0",
                                       "-0.0",
                                       "1E-9",
                                       "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x7f\""};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (mistake_in(good[i], strlen(good[i])))
            fail_msg("%s: %s", good[i], mistake_in(good[i], strlen(good[i])));
}

static void test_json_that_is_not(void **state)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "{",
                                      "[",
                                      "]",
                                      "[1,]",
                                      "[,1]",
                                      "[1 2]",
                                      "{\"a\"}",
                                      "{\"a\":}",
                                      "{a:1}",
                                      "{\"a\":1,}",
                                      "{1:1}",
                                      "tru",
                                      "nul",
                                      "TRUE",
                                      "01",
                                      "-",
                                      "1.",
                                      ".5",
                                      "1e",
                                      "1e999",
                                      "-1e999",
                                      "NaN",
                                      "+1",
                                      "\"",
                                      "\"\\",
                                      "\"\\x\"",
                                      "\"\\u12\"",
                                      "\"\\u12g4\"",
                                      "\"\\ud800\"",
                                      "\"\\ud800\\u0041\"",
                                      "\"\\udc00\"",
                                      "\"\n\"",
                                      "\"\xff\"",
                                      "\"\xc0\xaf\"",
                                      "\"\xed\xa0\x80\"",
                                      "\"\xe2\x82\"",
                                      "\"\xf4\x90\x80\x80\"",
                                      "[] []",
                                      "{} x",
                                      "'a'",
                                      "1111111111111111111111111111111111111111111111111111111111111111111111"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (!mistake_in(bad[i], strlen(bad[i])))
            fail_msg("%s was taken", bad[i]);
    assert_non_null(mistake_in("[\0]", 3));
    assert_non_null(mistake_in("\"a\0b\"", 5));
}

static void test_nesting_ends_before_the_stack_does(void **state)
{
    enum { DEEP = 200000 };
    char *text = malloc(DEEP);
    (void)state;
    assert_non_null(text);
    memset(text, '[', DEEP);
    assert_string_equal(mistake_in(text, DEEP), "nested too deep");
    for (size_t i = 0; i + 5 <= DEEP; i += 5)
        memcpy(text + i, "{\"\": ", 5);
    assert_string_equal(mistake_in(text, DEEP), "nested too deep");
    free(text);
}

static void test_texts_are_decoded_and_cut_between_characters(void **state)
{
    static const char text[] = "\"\\u0041\\n\\u0000\xc3\xa9\\ud83d\\ude00z\"";
    struct json json;
    char long_enough[32], cut[8];
    (void)state;
    json_begin(&json, text, sizeof text - 1);
    assert_true(json_string(&json, long_enough, sizeof long_enough));
    assert_string_equal(long_enough, "A\n\xef\xbf\xbd\xc3\xa9\xf0\x9f\x98\x80z");
    json_begin(&json, text, sizeof text - 1);
    assert_true(json_string(&json, cut, sizeof cut));
    assert_string_equal(cut, "A\n\xef\xbf\xbd\xc3\xa9");
    assert_true(json_finish(&json));
}

/* ---- traces ---- */

#define EVENT(members) "{\"pid\":1,\"tid\":1," members "}"
#define BEGIN(ts)      EVENT("\"ph\":\"B\",\"ts\":" #ts ",\"name\":\"a<b>&\\\"'\\u0001\",\"cat\":\"job\"")
#define END(ts)        EVENT("\"ph\":\"E\",\"ts\":" #ts ",\"args\":{\"outcome\":\"failed\",\"code\":7}")

static const char good_trace[] =
    "{\"traceEvents\":[\n"
    "{\"pid\":1,\"tid\":1,\"ph\":\"M\",\"name\":\"thread_name\",\"args\":{\"name\":\"w-<0>\"}},\n"
    "{\"pid\":1,\"tid\":1,\"ph\":\"B\",\"ts\":1,\"name\":\"a<b>&\\\"'\\u0001\",\"cat\":\"job\"},\n"
    "{\"pid\":1,\"tid\":1,\"ph\":\"B\",\"ts\":2,\"name\":\"a<b>&\\\"'\\u0001\",\"cat\":\"job\"},\n"
    "{\"pid\":1,\"tid\":1,\"ph\":\"E\",\"ts\":3.5,\"args\":{\"outcome\":\"failed\",\"code\":7}},\n"
    "{\"pid\":1,\"tid\":1,\"ph\":\"C\",\"ts\":0,\"name\":\"other\"},\n"
    "{\"pid\":1,\"tid\":1,\"ph\":\"E\",\"ts\":9,\"args\":{\"outcome\":\"failed\",\"code\":7}},\n"
    "{\"pid\":1,\"tid\":1,\"ph\":\"X\",\"ts\":10,\"dur\":2,\"name\":\"x\",\"cat\":\"?\"},\n"
    "{\"ph\":\"s\",\"tid\":7,\"ts\":0.5,\"id\":3,\"name\":\"f\",\"cat\":\"flow\"},\n"
    "{\"ph\":\"f\",\"tid\":1,\"ts\":10.5,\"id\":3,\"name\":\"f\",\"cat\":\"flow\"},\n"
    "{\"pid\":1,\"tid\":1,\"ph\":\"i\",\"ts\":11,\"name\":\"steal\",\"cat\":\"steal\",\"args\":{}},\n"
    "{\"pid\":1,\"tid\":1,\"ph\":\"B\",\"ts\":12,\"name\":\"a<b>&\\\"'\\u0001\",\"cat\":\"job\"}\n"
    "],\"otherData\":{\"lost\":4,\"workers\":[{\"worker\":0,\"succeeded\":0,\"failed\":2,\"stolen\":1}]}}";

static void test_a_trace_becomes_lanes(void **state)
{
    struct trace trace;
    size_t line;
    (void)state;
    assert_null(trace_read(&trace, good_trace, sizeof good_trace - 1, &line));
    assert_int_equal(trace.n_lanes, 2);
    assert_int_equal(trace.n_slices, 4);
    assert_string_equal(trace.lanes[0].name, "w-<0>");
    const struct slice *s = trace.slices;
    assert_true(s[0].from == 1 && s[0].to == 9 && s[0].depth == 0 && s[0].outcome == OUTCOME_FAILED);
    assert_true(s[1].from == 2 && s[1].to == 3.5 && s[1].depth == 1);
    assert_true(s[2].from == 10 && s[2].to == 12 && s[2].kind == KIND_OTHER);
    assert_true(s[3].from == 12 && s[3].to == trace.to && s[3].outcome == OUTCOME_UNFINISHED);
    assert_int_equal(trace.lanes[0].jobs[OUTCOME_FAILED], 2);
    assert_int_equal(trace.lanes[0].steals, 1);
    assert_true(trace.lost == 4 && trace.from == 0.5 && trace.to == 12);
    assert_true(trace.n_counters == 1 && trace.counters[0].failed == 2 && trace.counters[0].stolen == 1);
    assert_ptr_equal(trace_worker_lane(&trace, 0), &trace.lanes[0]);
    assert_null(trace_worker_lane(&trace, 1));
    assert_true(trace_arrow_start(&trace, 3)->at == 0.5);
    assert_null(trace_arrow_start(&trace, 4));
    trace_free(&trace);
}

static void test_traces_that_are_none(void **state)
{
    static const struct {
        const char *text, *mistake;
    } bad[] = {
        {"{}", "no trace: there are no traceEvents"},
        {"1", "an object was expected"},
        {"{\"traceEvents\":3}", "an array was expected"},
        {"{\"traceEvents\":[3]}", "an object was expected"},
        {"[" END(1) "]", "the end of a slice that has not begun"},
        {"[" BEGIN(2) "," END(1) "]", "in a lane, an event that comes before the one above it"},
        {"[" EVENT("\"ph\":\"B\",\"name\":\"x\"") "]", "an event without a time"},
        {"[{\"ph\":\"B\",\"ts\":1}]", "an event without a lane (tid from 0 to 1000000000)"},
        {"[{\"ph\":\"B\",\"ts\":1,\"tid\":-1}]", "an event without a lane (tid from 0 to 1000000000)"},
        {"[{\"ph\":\"B\",\"ts\":1,\"tid\":1e30}]", "an event without a lane (tid from 0 to 1000000000)"},
        {"[{\"ph\":\"X\",\"ts\":1,\"dur\":-1,\"tid\":1}]", "a slice that ends before it begins"},
        {"[{\"ph\":7}]", "a text was expected"},
    };
    struct trace trace;
    size_t line;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *mistake = trace_read(&trace, bad[i].text, strlen(bad[i].text), &line);
        assert_non_null(mistake);
        assert_string_equal(mistake, bad[i].mistake);
        assert_int_equal(line, 1);
        trace_free(&trace);
    }
}

static void test_a_trace_that_is_cut_off_anywhere_is_refused(void **state)
{
    struct trace trace;
    size_t line;
    (void)state;
    for (size_t n = 0; n < sizeof good_trace - 1; n++) {
        char *exact = malloc(n ? n : 1);
        assert_non_null(exact);
        memcpy(exact, good_trace, n);
        assert_non_null(trace_read(&trace, exact, n, &line));
        trace_free(&trace);
        free(exact);
    }
}

/* ---- the picture ---- */

/* Tags are closed in the order in which they were opened, and texts hold nothing that XML does not allow. */
static void check_picture(const char *svg)
{
    char open[64][16];
    size_t depth = 0;
    for (const char *c = svg; *c; c++) {
        assert_true((unsigned char)*c >= ' ' || *c == '\n');
        if (*c == '&') {
            assert_true(c[1] == '#');
        } else if (*c == '<') {
            size_t n = strcspn(c + 1, " />");
            const char *end = strchr(c, '>');
            assert_non_null(end);
            if (c[1] == '/') {
                n = (size_t)(end - c - 2);
                assert_true(depth > 0 && strlen(open[depth - 1]) == n && memcmp(open[depth - 1], c + 2, n) == 0);
                depth--;
            } else if (end[-1] != '/') {
                assert_true(depth < 64 && n < 16);
                memcpy(open[depth], c + 1, n);
                open[depth++][n] = '\0';
            }
            c = end;
        } else {
            assert_true(*c != '>');
        }
    }
    assert_int_equal(depth, 0);
}

/* The picture, if the text is a trace; to be freed. */
static char *draw(const char *text, size_t size)
{
    struct trace trace;
    size_t line, length;
    char *svg = NULL;
    if (!trace_read(&trace, text, size, &line)) {
        FILE *out = open_memstream(&svg, &length);
        assert_non_null(out);
        assert_true(svg_write(out, &trace, &(struct svg_options){trace.from, trace.to, 800}));
        assert_int_equal(fclose(out), 0);
    }
    trace_free(&trace);
    return svg;
}

static void test_a_picture_is_well_formed_whatever_the_names_are(void **state)
{
    (void)state;
    char *svg = draw(good_trace, sizeof good_trace - 1);
    assert_non_null(svg);
    check_picture(svg);
    assert_non_null(strstr(svg, "a&#60;b&#62;&#38;&#34;&#39;&#xfffd;"));
    assert_non_null(strstr(svg, "class=\"arrow\""));
    assert_non_null(strstr(svg, "4 events lost"));
    free(svg);
    assert_non_null(svg = draw("[]", 2));
    check_picture(svg);
    free(svg);
}

static void test_every_byte_changed(void **state)
{
    static const char instead[] = "\0\"\\{}[]9e-,:\xff";
    char text[sizeof good_trace];
    (void)state;
    for (size_t i = 0; i < sizeof good_trace - 1; i++)
        for (size_t k = 0; k < sizeof instead - 1; k++) {
            memcpy(text, good_trace, sizeof text);
            text[i] = instead[k];
            char *svg = draw(text, sizeof text - 1);
            if (svg)
                check_picture(svg);
            free(svg);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_that_is_well_formed),
        cmocka_unit_test(test_json_that_is_not),
        cmocka_unit_test(test_nesting_ends_before_the_stack_does),
        cmocka_unit_test(test_texts_are_decoded_and_cut_between_characters),
        cmocka_unit_test(test_a_trace_becomes_lanes),
        cmocka_unit_test(test_traces_that_are_none),
        cmocka_unit_test(test_a_trace_that_is_cut_off_anywhere_is_refused),
        cmocka_unit_test(test_a_picture_is_well_formed_whatever_the_names_are),
        cmocka_unit_test(test_every_byte_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
