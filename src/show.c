/* SPDX-License-Identifier: MIT */
#include "show.h"

/* Cells are made first, then the widths of the columns are known, then the rows are written. */

#define GAP 2      /* spaces between columns */
#define NARROW 8   /* no column is cut to less, nor to less than its name */
#define COLUMNS 32 /* more of them are not shown */

/* ---- texts ---- */

/* Reads the code point at the start of valid UTF-8; returns how many bytes it has. */
static size_t code_point(struct slice s, uint32_t *out) {
    unsigned char first = (unsigned char)s.p[0];
    size_t n = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    *out = n == 1 ? first : first & (0x7fu >> n);
    for (size_t i = 1; i < n && i < s.n; i++) *out = *out << 6 | ((unsigned char)s.p[i] & 0x3f);
    return n < s.n ? n : s.n;
}

/* Controls of ASCII and of Latin-1, line separators, and what turns the direction of writing. */
static bool is_harmful(uint32_t c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069) || c == 0x200e || c == 0x200f || c == 0x061c;
}

void show_text(struct text *out, struct slice text, bool lines) {
    uint32_t c;
    for (size_t n; text.n; text = slice_from(text, n)) {
        n = code_point(text, &c);
        bool kept = !is_harmful(c) || (lines && (c == '\n' || c == '\t'));
        if (kept) text_add(out, slice_upto(text, n));
        else if (c == '\n') text_str(out, "\\n");
        else text_format(out, c < 0x80 ? "\\x%02x" : "\\u{%x}", (unsigned)c);
    }
}

/* How many characters s has, at most most of them, and where they end. */
static size_t count_characters(struct slice s, size_t most, size_t *bytes) {
    size_t count = 0, at = 0;
    uint32_t c;
    for (; at < s.n && count < most; count++) at += code_point(slice_from(s, at), &c);
    *bytes = at;
    return count;
}

static size_t width_of(struct slice s) {
    size_t bytes;
    return count_characters(s, SIZE_MAX, &bytes);
}

static void add_spaces(struct text *out, size_t n) {
    while (n--) text_char(out, ' ');
}

/* ---- cells ---- */

static void add_string(struct text *out, struct slice raw, bool lines) {
    struct text room = {0};
    show_text(out, json_string(raw, &room), lines);
    text_fini(&room);
}

static void add_cell(struct text *out, struct json_value value);

static void add_list(struct text *out, struct json_value list) {
    struct json_value item;
    bool first = true;
    for (struct slice rest = list.raw; json_next(&rest, &item); first = false) {
        if (!first) text_char(out, ',');
        if (item.type == JSON_ARRAY) show_text(out, item.raw, false);
        else add_cell(out, item);
    }
}

/* A value within a line: a text without quotes, a list joined by commas, all else as JSON. */
static void add_cell(struct text *out, struct json_value value) {
    if (value.type == JSON_STRING) add_string(out, value.raw, false);
    else if (value.type == JSON_ARRAY) add_list(out, value);
    else if (value.type != JSON_NONE) show_text(out, value.raw, false);
}

/* ---- tables ---- */

struct column {
    struct text name;    /* as it is, not as it is shown */
    size_t width, least; /* it is not cut to less than its name */
    bool right;          /* all numbers */
};

struct table {
    struct slice rows; /* a raw JSON_ARRAY of objects */
    struct column columns[COLUMNS];
    size_t count;
};

static bool is_table(struct json_value value) {
    struct json_value item;
    struct slice rest = value.raw;
    if (value.type != JSON_ARRAY || !json_next(&rest, &item)) return false;
    for (rest = value.raw; json_next(&rest, &item);)
        if (item.type != JSON_OBJECT) return false;
    return true;
}

static bool has_column(const struct table *t, struct slice name) {
    for (size_t i = 0; i < t->count; i++)
        if (slice_eq(text_slice(&t->columns[i].name), name)) return true;
    return false;
}

static void add_column(struct table *t, struct slice name) {
    if (t->count == COLUMNS || has_column(t, name)) return;
    struct column *column = &t->columns[t->count++];
    struct text shown = {0};
    text_add(&column->name, name);
    show_text(&shown, name, false);
    column->width = width_of(text_slice(&shown));
    column->least = column->width > NARROW ? column->width : NARROW;
    column->right = true;
    text_fini(&shown);
}

static bool any_has(struct slice rows, struct slice name) {
    struct json_value row;
    while (json_next(&rows, &row))
        if (json_member(row.raw, name).type != JSON_NONE) return true;
    return false;
}

static void find_columns(struct table *t, struct slice wanted) {
    struct json_value first, value;
    struct slice rest = t->rows, name;
    struct text room = {0};
    while (slice_next(&wanted, ',', &name))
        if (any_has(t->rows, name)) add_column(t, name);
    if (!json_next(&rest, &first)) return;
    for (rest = first.raw; json_next_member(&rest, &name, &value);)
        add_column(t, json_string(name, &room));
    text_fini(&room);
}

static void measure_row(struct table *t, struct slice row) {
    struct text cell = {0};
    for (size_t i = 0; i < t->count; i++) {
        struct column *column = &t->columns[i];
        struct json_value value = json_member(row, text_slice(&column->name));
        text_clear(&cell);
        add_cell(&cell, value);
        size_t width = width_of(text_slice(&cell));
        if (width > column->width) column->width = width;
        if (value.type != JSON_NUMBER) column->right = false;
    }
    text_fini(&cell);
}

static size_t total_width(const struct table *t) {
    size_t total = 0;
    for (size_t i = 0; i < t->count; i++) total += t->columns[i].width + (i ? GAP : 0);
    return total;
}

/* The widest column that can be cut, or NULL. */
static struct column *widest(struct table *t) {
    struct column *found = NULL;
    for (size_t i = 0; i < t->count; i++) {
        struct column *column = &t->columns[i];
        if (column->width > column->least && (!found || column->width > found->width))
            found = column;
    }
    return found;
}

/* Takes from the widest column until all fit; when there is nothing to take, the last ones go. */
static void fit(struct table *t, size_t width) {
    struct column *column;
    for (size_t i = 0; i < t->count; i++) {
        column = &t->columns[i];
        size_t most = width > column->least ? width : column->least;
        if (column->width > most) column->width = most;
    }
    while (total_width(t) > width && (column = widest(t))) column->width--;
    while (total_width(t) > width && t->count > 1) text_fini(&t->columns[--t->count].name);
}

static void write_cell(struct text *out, const struct column *column, struct slice cell,
                       bool last) {
    size_t bytes, width = width_of(cell);
    if (width > column->width) {
        count_characters(cell, column->width - 1, &bytes);
        text_add(out, slice_upto(cell, bytes));
        text_str(out, "…");
        width = column->width;
    } else {
        if (column->right) add_spaces(out, column->width - width);
        text_add(out, cell);
        if (column->right) width = column->width;
    }
    if (!last) add_spaces(out, column->width - width + GAP);
}

/* row NULL: the names. */
static void write_row(struct text *out, const struct table *t, const struct slice *row) {
    struct text cell = {0};
    for (size_t i = 0; i < t->count; i++) {
        const struct column *column = &t->columns[i];
        text_clear(&cell);
        struct slice name = text_slice(&column->name);
        if (row) add_cell(&cell, json_member(*row, name));
        else show_text(&cell, name, false);
        write_cell(out, column, text_slice(&cell), i + 1 == t->count);
    }
    text_char(out, '\n');
    text_fini(&cell);
}

static void show_table(struct text *out, struct slice rows, const char *columns, size_t width) {
    struct table t = {.rows = rows};
    struct json_value item;
    find_columns(&t, slice_of(columns));
    for (struct slice rest = rows; json_next(&rest, &item);) measure_row(&t, item.raw);
    if (width) fit(&t, width);
    write_row(out, &t, NULL);
    for (struct slice rest = rows; json_next(&rest, &item);) write_row(out, &t, &item.raw);
    while (t.count) text_fini(&t.columns[--t.count].name);
}

/* ---- objects ---- */

static size_t longest_name(struct slice object) {
    struct slice rest = object, name;
    struct json_value value;
    struct text shown = {0};
    size_t longest = 0;
    while (json_next_member(&rest, &name, &value)) {
        text_clear(&shown);
        add_string(&shown, name, false);
        size_t width = width_of(text_slice(&shown));
        if (!is_table(value) && width > longest) longest = width;
    }
    text_fini(&shown);
    return longest;
}

static void write_line(struct text *out, struct slice name, struct json_value value,
                       size_t longest) {
    struct text shown = {0};
    add_string(&shown, name, false);
    text_add(out, text_slice(&shown));
    add_spaces(out, longest - width_of(text_slice(&shown)) + GAP);
    add_cell(out, value);
    text_char(out, '\n');
    text_fini(&shown);
}

static void show_object(struct text *out, struct slice object, const char *columns, size_t width) {
    struct slice rest, name;
    struct json_value value;
    size_t longest = longest_name(object), before = out->n;
    for (rest = object; json_next_member(&rest, &name, &value);)
        if (!is_table(value)) write_line(out, name, value, longest);
    for (rest = object; json_next_member(&rest, &name, &value);) {
        if (!is_table(value)) continue;
        if (out->n != before) text_char(out, '\n');
        show_table(out, value.raw, columns, width);
    }
}

/* What is alone in {"text":...} or {"result":...} is there to be read and nothing else. */
static struct json_value unwrap(struct json_value value) {
    struct slice rest = value.raw, name;
    struct json_value inner, more;
    bool alone = value.type == JSON_OBJECT && json_next_member(&rest, &name, &inner) &&
                 !json_next_member(&rest, &name, &more);
    if (!alone) return value;
    rest = value.raw;
    json_next_member(&rest, &name, &inner);
    bool is_text = slice_is(name, "\"text\"") && inner.type == JSON_STRING;
    return is_text || slice_is(name, "\"result\"") ? inner : value;
}

static void show_items(struct text *out, struct json_value list) {
    struct json_value item;
    for (struct slice rest = list.raw; json_next(&rest, &item);) {
        add_cell(out, item);
        text_char(out, '\n');
    }
}

void show_value(struct text *out, struct json_value value, const char *columns, size_t width) {
    value = unwrap(value);
    if (is_table(value)) {
        show_table(out, value.raw, columns, width);
    } else if (value.type == JSON_ARRAY) {
        show_items(out, value);
    } else if (value.type == JSON_OBJECT) {
        show_object(out, value.raw, columns, width);
    } else {
        if (value.type == JSON_STRING) add_string(out, value.raw, true);
        else add_cell(out, value);
        if (out->n && text_slice(out).p[out->n - 1] != '\n') text_char(out, '\n');
    }
}
