/* SPDX-License-Identifier: MIT */
#include "base/form.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct row {
    const char *form, *json; /* json NULL: it is broken */
};

static void assert_rows(const struct row *row) {
    for (; row->form; row++) {
        struct text out = {0};
        bool good = form_to_json(&out, slice_of(row->form));
        if (good != (row->json != NULL)) fail_msg("%s", row->form);
        text_char(&out, 0);
        if (good) assert_string_equal(row->json, text_slice(&out).p);
        text_fini(&out);
    }
}

static void fields_are_texts(void **state) {
    (void)state;
    assert_rows((const struct row[]){
        {"", "{}"},
        {"&&", "{}"},
        {"a=1", "{\"a\":\"1\"}"},
        {"a", "{\"a\":\"\"}"},
        {"a=b=c&d=", "{\"a\":\"b=c\",\"d\":\"\"}"},
        {"a+b=%22+%00", "{\"a b\":\"\\\" \\u0000\"}"},
        {"__proto__=1", "{\"__proto__\":\"1\"}"},
        {NULL, NULL},
    });
}

static void names_nest(void **state) {
    (void)state;
    assert_rows((const struct row[]){
        {"a[]=1&a[]=2", "{\"a\":[\"1\",\"2\"]}"},
        {"a=1&a=2&a=3", "{\"a\":[\"1\",\"2\",\"3\"]}"},
        {"a[1]=y&a[0]=x&a[]=z", "{\"a\":[\"x\",\"y\",\"z\"]}"},
        {"a[]=txt&a[][id]=1", "{\"a\":[\"txt\",{\"id\":\"1\"}]}"},
        {"a[][id]=1&a[][age]=2", "{\"a\":[{\"id\":\"1\",\"age\":\"2\"}]}"},
        {"a[b][c]=1&a[b][d]=2&a[e]=3", "{\"a\":{\"b\":{\"c\":\"1\",\"d\":\"2\"},\"e\":\"3\"}}"},
        {"a[x]=1&a[7]=2", "{\"a\":{\"x\":\"1\",\"7\":\"2\"}}"},
        {"a[1000]=2", "{\"a\":{\"1000\":\"2\"}}"},
        {"a[1][2][3][4][5]=x", "{\"a\":[[[[[\"x\"]]]]]}"},
        {"a[b][]=1&a[b]=2", "{\"a\":{\"b\":[\"1\",\"2\"]}}"},
        {NULL, NULL},
    });
}

static void what_is_broken_is_refused(void **state) {
    (void)state;
    assert_rows((const struct row[]){
        {"a=%", NULL},
        {"a=%zz", NULL},
        {"%ff=1", NULL},
        {"a=%c3", NULL},
        {"=1", NULL},
        {"[a]=1", NULL},
        {"a[=1", NULL},
        {"a[b]c=1", NULL},
        {"a[]=1&a[b]=2", NULL},
        {"a[b]=1&a[]=2", NULL},
        {"a[b]=1&a=2", NULL},
        {"a=1&a[b]=2", NULL},
        {"a[1][2][3][4][5][6]=x", NULL},
        {NULL, NULL},
    });
}

static void there_is_a_bound(void **state) {
    (void)state;
    struct text form = {0}, out = {0};
    for (int i = 0; i < FORM_FIELDS_MAX; i++) text_str(&form, "a[]=1&");
    assert_true(form_to_json(&out, text_slice(&form)));
    text_str(&form, "b=1");
    text_clear(&out);
    assert_false(form_to_json(&out, text_slice(&form)));
    text_fini(&form);
    text_fini(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_texts),
        cmocka_unit_test(names_nest),
        cmocka_unit_test(what_is_broken_is_refused),
        cmocka_unit_test(there_is_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
