/* SPDX-License-Identifier: MIT */
#include "show.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* order matters: cmocka wants the above */
#include <cmocka.h>

static const struct json_limits limits = {32, 1000, 100, false};

static void shows_with(const char *json, const char *columns, size_t width, const char *expected) {
    struct json_value value;
    struct text out = {0};
    assert_int_equal(json_check(slice_of(json), &limits, &value), JSON_OK);
    show_value(&out, value, columns, width);
    text_char(&out, 0);
    assert_string_equal(text_slice(&out).p, expected);
    text_fini(&out);
}

/* What is shown of the JSON, in so many characters. */
static void shows(const char *json, size_t width, const char *expected) {
    shows_with(json, NULL, width, expected);
}

static void named_columns_come_first(void **state) {
    (void)state;
    shows_with("[{\"b\":1,\"a\":2},{\"a\":3,\"c\":4}]", "c,none,a", 0,
               "c  a  b\n   2  1\n4  3  \n");
}

static void a_list_of_objects_is_a_table(void **state) {
    (void)state;
    shows("[{\"sid\":\"a\",\"n\":1,\"tags\":[\"x\",2]},{\"n\":123,\"sid\":\"longer\"}]", 0,
          "sid       n  tags\n"
          "a         1  x,2\n"
          "longer  123  \n");
    shows("[{\"a\":{\"b\":\"c\"}}]", 0, "a\n{\"b\":\"c\"}\n");
}

static void an_object_is_lines_with_its_tables_below(void **state) {
    (void)state;
    shows("{\"uptime\":3,\"rows\":[{\"a\":1}],\"store\":\"memory\",\"none\":[],\"null\":null}", 0,
          "uptime  3\n"
          "store   memory\n"
          "none    \n"
          "null    null\n"
          "\n"
          "a\n"
          "1\n");
}

static void texts_and_scalars_stand_alone(void **state) {
    (void)state;
    shows("\"two\\nlines\\t!\"", 0, "two\nlines\t!\n");
    shows("{\"text\":\"two\\nlines\\n\"}", 0, "two\nlines\n");
    shows("{\"text\":\"\"}", 0, "");
    shows("{\"result\":{\"a\":1}}", 0, "a  1\n");
    shows("{\"result\":\"hello\"}", 0, "hello\n");
    shows("{\"result\":1,\"more\":2}", 0, "result  1\nmore    2\n");
    shows("{\"text\":1}", 0, "text  1\n");
    shows("{}", 0, "");
    shows("[\"a\",2]", 0, "a\n2\n");
    shows("[]", 0, "");
    shows("1.50", 0, "1.50\n");
}

static void long_cells_are_cut_to_the_width(void **state) {
    (void)state;
    shows("[{\"id\":1,\"text\":\"abcdefghijklmnopqrstuvwxyz\"}]", 20,
          "id  text\n"
          " 1  abcdefghijklmno…\n");
    shows("[{\"id\":1,\"text\":\"äöüäöüäöüäöüäöüäöüäöü\"}]", 20,
          "id  text\n"
          " 1  äöüäöüäöüäöüäöü…\n");
    shows("[{\"a\":\"0123456789\",\"b\":\"0123456789\"}]", 18, "a         b\n0123456…  0123456…\n");
    shows("[{\"long name\":\"0123456789\",\"b\":1}]", 12, "long name  b\n01234567…  1\n");
}

static void columns_that_do_not_fit_are_left_out(void **state) {
    (void)state;
    shows("[{\"a\":\"0123456789\",\"b\":\"0123456789\",\"c\":1}]", 18,
          "a         b\n0123456…  0123456…\n");
    shows("[{\"long name\":1,\"b\":1}]", 3, "long name\n        1\n");
}

static void strangers_do_not_drive_the_terminal(void **state) {
    (void)state;
    shows("\"\\u001b[2J\\r\\u0000\\u007f\\u009b\"", 0, "\\x1b[2J\\x0d\\x00\\x7f\\u{9b}\n");
    shows("\"a\\u202eb\\u2066\\u200f\\u2028\"", 0, "a\\u{202e}b\\u{2066}\\u{200f}\\u{2028}\n");
    shows("[{\"\\u001b\":\"a\\nb\\tc\"}]", 0, "\\x1b\na\\nb\\x09c\n");
    shows("{\"a\\u001b\":[\"\\u001b\"]}", 0, "a\\x1b  \\x1b\n");
    shows("[[\"\\u001b\"]]", 0, "\\x1b\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(named_columns_come_first),
        cmocka_unit_test(a_list_of_objects_is_a_table),
        cmocka_unit_test(an_object_is_lines_with_its_tables_below),
        cmocka_unit_test(texts_and_scalars_stand_alone),
        cmocka_unit_test(long_cells_are_cut_to_the_width),
        cmocka_unit_test(columns_that_do_not_fit_are_left_out),
        cmocka_unit_test(strangers_do_not_drive_the_terminal),
    };
    return cmocka_run_group_tests_name("show", tests, NULL, NULL);
}
