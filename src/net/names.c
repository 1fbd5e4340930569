/* SPDX-License-Identifier: MIT */
/* A name is in one of two lists: asking, while a query is on its way, or known. A query cannot be
 * taken back from a thread that is at it. So the query belongs to the name, which stays, and what
 * comes of it is there for the next who asks; only a name that is gone for good (names NULL) is
 * freed by its own query's answer. */
#include "net/names.h"

#include <assert.h>
#include <netdb.h>
#include <uv.h>

#define FAILURE_MS 1000

struct names {
    struct net *net;
    struct map by_host;
    struct list known; /* the longest unused first */
    struct list asking;
};

struct name {
    struct map_link by_host;
    struct list link;    /* in names->known or names->asking */
    struct names *names; /* NULL: nobody can find it any more */
    uv_getaddrinfo_t query;
    bool asking; /* query is on its way */
    struct list waiting;
    struct addresses *found; /* NULL: why */
    const char *why;
    uint64_t until_ms; /* known */
    char host[];
};

/* ---- addresses ---- */

struct addresses *addresses_ref(struct addresses *a) {
    if (a) a->refs++;
    return a;
}

void addresses_unref(struct addresses *a) {
    if (a && !--a->refs) mem_free(a);
}

/* NULL when there are none that can be dialed. */
static struct addresses *addresses_of(const struct addrinfo *list) {
    size_t most = 0;
    for (const struct addrinfo *i = list; i && most < NAMES_ADDRESSES_MAX; i = i->ai_next) most++;
    struct addresses *a = mem_new(sizeof *a + most * sizeof a->at[0]);
    a->refs = 1;
    for (const struct addrinfo *i = list; i && a->count < most; i = i->ai_next)
        if (i->ai_addrlen <= sizeof a->at[0]) memcpy(&a->at[a->count++], i->ai_addr, i->ai_addrlen);
    if (a->count) return a;
    addresses_unref(a);
    return NULL;
}

/* Numbers need no thread. */
static struct addresses *read_numbers(const char *host) {
    struct addrinfo want = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *list = NULL;
    if (getaddrinfo(host, NULL, &want, &list)) return NULL;
    struct addresses *a = addresses_of(list);
    freeaddrinfo(list);
    return a;
}

/* ---- names ---- */

static void name_free(struct name *n) {
    addresses_unref(n->found);
    mem_free(n);
}

/* Takes it out, so that nobody finds it; may free it. */
static void name_drop(struct name *n) {
    map_remove(&n->names->by_host, &n->by_host);
    list_remove(&n->link);
    n->names = NULL;
    if (!n->asking) name_free(n);
}

static struct name *name_find(const struct names *names, const char *host) {
    struct map_link *l = map_find(&names->by_host, slice_of(host));
    return l ? container_of(l, struct name, by_host) : NULL;
}

/* Makes room for one more; false when all that are kept are just being looked up. */
static bool make_room(struct names *names) {
    while (names->by_host.count >= names->net->limits->dns_names) {
        if (list_empty(&names->known)) return false;
        name_drop(container_of(names->known.next, struct name, link));
    }
    return true;
}

/* A new name, whose time is over; NULL when there is no room. */
static struct name *name_add(struct names *names, const char *host) {
    if (!make_room(names)) {
        metrics_limit(names->net->metrics, "dns_names", NULL);
        return NULL;
    }
    size_t n = strlen(host);
    struct name *name = mem_new(sizeof *name + n + 1);
    memcpy(name->host, host, n);
    name->names = names;
    list_init(&name->waiting);
    list_push(&names->known, &name->link);
    map_add(&names->by_host, &name->by_host, slice_make(name->host, n));
    return name;
}

/* ---- queries ---- */

static void move_to(struct list *list, struct name *n) {
    list_remove(&n->link);
    list_push(list, &n->link);
}

static const char *reason_of(int status) {
    return status == UV_EAI_AGAIN ? "no answer to the name lookup" : "name not found";
}

/* Takes found over. */
static void learn(struct name *n, struct addresses *found, const char *why) {
    uint64_t ttl_ms = n->names->net->limits->dns_ttl;
    if (!found && ttl_ms > FAILURE_MS) ttl_ms = FAILURE_MS;
    n->found = found;
    n->why = why;
    n->until_ms = loop_now_ms(n->names->net->loop) + ttl_ms;
    n->asking = false;
    move_to(&n->names->known, n);
}

/* Whoever is told may ask, forget and cancel as it likes: n may be gone before this returns. */
static void tell_all(struct name *n) {
    struct addresses *found = addresses_ref(n->found);
    const char *why = n->why;
    struct list told;
    list_init(&told);
    list_move(&told, &n->waiting);
    LIST_EACH(&told, link) container_of(link, struct name_wait, link)->name = NULL;
    for (struct list *link; (link = list_pop(&told));) {
        struct name_wait *w = container_of(link, struct name_wait, link);
        w->told(w, found, why);
    }
    addresses_unref(found);
}

static void on_answer(uv_getaddrinfo_t *query, int status, struct addrinfo *list) {
    struct name *n = container_of(query, struct name, query);
    struct addresses *found = status ? NULL : addresses_of(list);
    uv_freeaddrinfo(list);
    if (!n->names) {
        addresses_unref(found);
        name_free(n);
        return;
    }
    learn(n, found, found ? NULL : reason_of(status));
    tell_all(n);
}

/* Afterwards n is asking; or, when libuv will not even try, known to have failed. */
static void look_up(struct name *n) {
    struct addrinfo want = {.ai_socktype = SOCK_STREAM};
    addresses_unref(n->found);
    n->found = NULL;
    n->asking = true;
    move_to(&n->names->asking, n);
    int failed =
        uv_getaddrinfo(loop_uv(n->names->net->loop), &n->query, on_answer, n->host, NULL, &want);
    if (failed) learn(n, NULL, reason_of(failed));
}

/* ---- asking ---- */

static void ask(struct name *n, struct name_wait *w) {
    uint64_t now_ms = loop_now_ms(n->names->net->loop);
    if (!n->asking && n->until_ms <= now_ms) look_up(n);
    if (n->asking) {
        w->name = n;
        list_push(&n->waiting, &w->link);
        return;
    }
    move_to(&n->names->known, n); /* as the last used */
    struct addresses *found = addresses_ref(n->found);
    w->told(w, found, n->why); /* may free n */
    addresses_unref(found);
}

void names_ask(struct names *names, const char *host, struct name_wait *w) {
    list_init(&w->link);
    struct addresses *numbers = read_numbers(host);
    if (numbers) {
        w->told(w, numbers, NULL);
        addresses_unref(numbers);
        return;
    }
    struct name *n = name_find(names, host);
    if (!n) n = name_add(names, host);
    if (n) ask(n, w);
    else w->told(w, NULL, "too many name lookups");
}

/* The last to go takes the query back, when no thread is at it yet. */
void names_cancel(struct name_wait *w) {
    struct name *n = w->name;
    if (w->link.next) list_remove(&w->link);
    w->name = NULL;
    if (n && list_empty(&n->waiting) && !uv_cancel((uv_req_t *)&n->query)) name_drop(n);
}

void names_forget(struct names *names, const char *host, const struct addresses *found) {
    struct name *n = name_find(names, host);
    if (n && n->found == found) name_drop(n);
}

/* ---- life ---- */

struct names *names_new(struct net *net) {
    struct names *names = mem_new(sizeof *names);
    names->net = net;
    list_init(&names->known);
    list_init(&names->asking);
    return names;
}

void names_free(struct names *names) {
    if (!names) return;
    LIST_EACH(&names->known, link) name_drop(container_of(link, struct name, link));
    LIST_EACH(&names->asking, link) {
        struct name *n = container_of(link, struct name, link);
        assert(list_empty(&n->waiting));
        uv_cancel((uv_req_t *)&n->query);
        name_drop(n);
    }
    map_fini(&names->by_host);
    mem_free(names);
}
