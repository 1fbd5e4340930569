/* SPDX-License-Identifier: MIT */
#include "net/http_response.h"

#include "base/mem.h"

#include <ctype.h>
#include <llhttp.h>

_Static_assert(LLHTTP_STRICT_MODE, "without it llhttp 8.1.0 lets smuggled headers through");

#define INTERIM_MAX 8

struct response_parser {
    llhttp_t llhttp;
    struct http_response *out;
    size_t max_head, max_body;
    size_t head_bytes;
    unsigned interim;
    bool head; /* of a HEAD request */
    bool begun, headed, done, large;
};

static bool is_interim(const llhttp_t *llhttp) {
    return llhttp->status_code >= 100 && llhttp->status_code < 200;
}

static int count_head(struct response_parser *p, size_t n) {
    p->head_bytes += n;
    if (p->head_bytes <= p->max_head) return 0;
    p->large = true;
    return HPE_USER;
}

/* What comes behind a body in chunks is counted and dropped: a line there that passes for a header
 * has got around whoever looked at the headers. */
static int on_field(llhttp_t *llhttp, const char *at, size_t n) {
    struct response_parser *p = llhttp->data;
    int error = count_head(p, n);
    if (error || p->headed) return error;
    char *to = text_reserve(&p->out->head, n);
    for (size_t i = 0; i < n; i++) to[i] = (char)tolower((unsigned char)at[i]);
    text_commit(&p->out->head, n);
    return 0;
}

/* After a name come a colon and a space, after a value the end of its line: two bytes. */
static int on_part_complete(llhttp_t *llhttp) {
    struct response_parser *p = llhttp->data;
    if (!p->headed) text_char(&p->out->head, 0);
    return count_head(p, 2);
}

static int on_value(llhttp_t *llhttp, const char *at, size_t n) {
    struct response_parser *p = llhttp->data;
    int error = count_head(p, n);
    if (!error && !p->headed) text_add(&p->out->head, slice_make(at, n));
    return error;
}

/* Whatever its headers say (RFC 9112 section 6.3); llhttp believes the headers. */
static bool is_bodiless(const struct response_parser *p) {
    int status = p->llhttp.status_code;
    return p->head || is_interim(&p->llhttp) || status == 204 || status == 304;
}

static int on_headers_complete(llhttp_t *llhttp) {
    struct response_parser *p = llhttp->data;
    p->out->status = llhttp->status_code;
    /* llhttp takes "2" for a status as well: RFC 9110 section 15 knows three digits only. */
    if (llhttp->status_code < 100 || llhttp->status_code > 999) return -1;
    if (llhttp->status_code == 101) return -1;
    p->headed = true;
    if (is_bodiless(p)) return 1;
    if (llhttp->flags & F_CONTENT_LENGTH && llhttp->content_length > p->max_body) {
        p->large = true;
        return -1;
    }
    return 0;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t n) {
    struct response_parser *p = llhttp->data;
    if (n > p->max_body - p->out->body.n) {
        p->large = true;
        return HPE_USER;
    }
    text_add(&p->out->body, slice_make(at, n));
    return 0;
}

/* A 204 that says it has a body may be followed by one. */
static bool promises_a_body(const llhttp_t *llhttp) {
    return llhttp->status_code == 204 &&
           (llhttp->flags & F_TRANSFER_ENCODING || llhttp->content_length);
}

static int on_message_complete(llhttp_t *llhttp) {
    struct response_parser *p = llhttp->data;
    if (is_interim(llhttp)) {
        text_clear(&p->out->head);
        p->headed = false;
        return ++p->interim > INTERIM_MAX ? -1 : 0;
    }
    p->done = true;
    p->out->keep_alive = llhttp_should_keep_alive(llhttp) && !promises_a_body(llhttp);
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {.on_header_field = on_field,
                                           .on_header_field_complete = on_part_complete,
                                           .on_header_value = on_value,
                                           .on_header_value_complete = on_part_complete,
                                           .on_headers_complete = on_headers_complete,
                                           .on_body = on_body,
                                           .on_message_complete = on_message_complete};

struct response_parser *response_parser_new(struct http_response *out, bool head, size_t max_head,
                                            size_t max_body) {
    struct response_parser *p = mem_new(sizeof *p);
    llhttp_init(&p->llhttp, HTTP_RESPONSE, &settings);
    p->llhttp.data = p;
    p->out = out;
    p->head = head;
    p->max_head = max_head;
    p->max_body = max_body;
    return p;
}

void response_parser_free(struct response_parser *p) { mem_free(p); }

enum response_step response_feed(struct response_parser *p, struct slice bytes) {
    if (!bytes.n) return RESPONSE_MORE;
    p->begun = true;
    enum llhttp_errno error = llhttp_execute(&p->llhttp, bytes.p, bytes.n);
    if (p->large) return RESPONSE_LARGE;
    if (p->done) {
        if (llhttp_get_error_pos(&p->llhttp) != bytes.p + bytes.n) p->out->keep_alive = false;
        return RESPONSE_DONE;
    }
    return error == HPE_OK ? RESPONSE_MORE : RESPONSE_BROKEN;
}

enum response_step response_end(struct response_parser *p) {
    if (p->begun) llhttp_finish(&p->llhttp); /* calls on_message_complete, if that is how it ends */
    if (!p->done) return RESPONSE_BROKEN;
    p->out->keep_alive = false;
    return RESPONSE_DONE;
}

bool response_begun(const struct response_parser *p) { return p->begun; }

void http_response_fini(struct http_response *r) {
    text_fini(&r->head);
    text_fini(&r->body);
}
