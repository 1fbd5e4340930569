/* SPDX-License-Identifier: MIT */
/* A form becomes a tree first, because names may come in any order. Items of a list have numbers: given
 * ones, or the next. */
#include "base/form.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/url.h"
#include "base/utf8.h"

enum node_kind { NODE_NEW, NODE_TEXT, NODE_LIST, NODE_TABLE };

struct node {
    struct node *next;  /* sibling; of a list's items in the order of their numbers */
    struct node *first; /* child */
    enum node_kind kind;
    uint64_t index;   /* in a list */
    struct buf *name; /* in a table */
    struct buf *text; /* of a NODE_TEXT */
};

static struct node *node_new(uint64_t index, struct slice name) {
    struct node *n = mem_new(sizeof *n);
    n->index = index;
    n->name = buf_copy(name);
    return n;
}

/* The tree is at most FORM_DEPTH_MAX deep, and a list of one name more. */
static void node_free(struct node *n) {
    while (n->first) {
        struct node *child = n->first;
        n->first = child->next;
        node_free(child);
    }
    buf_unref(n->name);
    buf_unref(n->text);
    mem_free(n);
}

/* ---- growing ---- */

static bool become(struct node *n, enum node_kind kind) {
    if (n->kind == NODE_NEW) n->kind = kind;
    return n->kind == kind;
}

static struct node *list_child(struct node *list, uint64_t index) {
    struct node **at = &list->first;
    while (*at && (*at)->index < index) at = &(*at)->next;
    if (*at && (*at)->index == index) return *at;
    struct node *n = node_new(index, (struct slice){NULL, 0});
    n->next = *at;
    *at = n;
    return n;
}

static struct node *list_append(struct node *list) {
    uint64_t next = 0;
    for (const struct node *n = list->first; n; n = n->next) next = n->index + 1;
    return list_child(list, next);
}

static struct node *table_child(struct node *table, struct slice name) {
    struct node **at = &table->first;
    while (*at && !slice_eq(buf_slice((*at)->name), name)) at = &(*at)->next;
    if (!*at) *at = node_new(0, name);
    return *at;
}

/* The child that the part of a name between two brackets means; NULL: there cannot be one. */
static struct node *child_of(struct node *n, struct slice part, bool last) {
    uint64_t index;
    if (!part.n) {
        if (!become(n, NODE_LIST)) return NULL;
        bool inner = n->first && n->first->kind >= NODE_LIST;
        return !last && inner ? n->first : list_append(n); /* args[][id]=1&args[][age]=2 is one */
    }
    bool number = slice_u64(part, &index) && index <= FORM_INDEX_MAX;
    if (number && n->kind != NODE_TABLE)
        return become(n, NODE_LIST) ? list_child(n, index) : NULL;
    return become(n, NODE_TABLE) ? table_child(n, part) : NULL;
}

/* A second text under one name makes a list of both. */
static bool node_set(struct node *n, struct slice text) {
    if (n->kind == NODE_TEXT) {
        n->kind = NODE_LIST;
        struct node *before = list_append(n);
        before->kind = NODE_TEXT;
        before->text = n->text;
        n->text = NULL;
    }
    if (n->kind == NODE_LIST) n = list_append(n);
    if (!become(n, NODE_TEXT)) return false;
    n->text = buf_copy(text);
    return true;
}

/* Takes "[part]" off *rest. */
static bool next_part(struct slice *rest, struct slice *part) {
    size_t end = slice_find(*rest, ']');
    if (rest->p[0] != '[' || end == rest->n) return false;
    *part = slice_make(rest->p + 1, end - 1);
    *rest = slice_from(*rest, end + 1);
    return true;
}

static bool field_add(struct node *root, struct slice name, struct slice text) {
    size_t bracket = slice_find(name, '[');
    struct slice rest = slice_from(name, bracket), part;
    if (!bracket) return false;
    struct node *n = table_child(root, slice_upto(name, bracket));
    for (int depth = 0; n && rest.n; depth++) {
        if (depth == FORM_DEPTH_MAX || !next_part(&rest, &part)) return false;
        n = child_of(n, part, !rest.n);
    }
    return n && node_set(n, text);
}

static bool field_read(struct node *root, struct slice field) {
    struct text name = {0}, text = {0};
    size_t equals = slice_find(field, '=');
    bool good = url_decode(&name, slice_upto(field, equals), true) &&
                url_decode(&text, slice_from(field, equals + 1), true) &&
                utf8_valid(text_slice(&name)) && utf8_valid(text_slice(&text)) &&
                field_add(root, text_slice(&name), text_slice(&text));
    text_fini(&name);
    text_fini(&text);
    return good;
}

/* ---- writing ---- */

static void node_write(struct text *out, const struct node *n) {
    if (n->kind == NODE_TEXT) {
        json_quote(out, buf_slice(n->text));
        return;
    }
    text_char(out, n->kind == NODE_LIST ? '[' : '{');
    for (const struct node *child = n->first; child; child = child->next) {
        if (child != n->first) text_char(out, ',');
        if (n->kind == NODE_TABLE) {
            json_quote(out, buf_slice(child->name));
            text_char(out, ':');
        }
        node_write(out, child);
    }
    text_char(out, n->kind == NODE_LIST ? ']' : '}');
}

bool form_to_json(struct text *out, struct slice body) {
    struct node *root = node_new(0, (struct slice){NULL, 0});
    struct slice field;
    int fields = 0;
    bool good = true;
    root->kind = NODE_TABLE;
    while (good && body.n && slice_next(&body, '&', &field))
        if (field.n) good = fields++ < FORM_FIELDS_MAX && field_read(root, field);
    if (good) node_write(out, root);
    node_free(root);
    return good;
}
