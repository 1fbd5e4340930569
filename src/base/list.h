/* SPDX-License-Identifier: MIT */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/mem.h"

#include <stdbool.h>

/* A ring of links that live inside the things they link; the head is a link too. A link that is in
 * no list points at itself after list_init or list_remove, and may be removed again. */
struct list {
    struct list *prev;
    struct list *next;
};

static inline void list_init(struct list *l) { l->prev = l->next = l; }
static inline bool list_empty(const struct list *head) { return head->next == head; }
static inline bool list_linked(const struct list *link) { return link->next != link; }

static inline void list_insert_before(struct list *at, struct list *link) {
    link->prev = at->prev;
    link->next = at;
    at->prev->next = link;
    at->prev = link;
}

static inline void list_push(struct list *head, struct list *link) {
    list_insert_before(head, link);
}
static inline void list_push_front(struct list *head, struct list *link) {
    list_insert_before(head->next, link);
}

static inline void list_remove(struct list *link) {
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* Takes the first link out; NULL when there is none. */
static inline struct list *list_pop(struct list *head) {
    if (list_empty(head)) return NULL;
    struct list *link = head->next;
    list_remove(link);
    return link;
}

/* Moves all links of from to the end of to. */
static inline void list_move(struct list *to, struct list *from) {
    if (list_empty(from)) return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

/* Walks a list; the body may remove the link it is at, but no other. */
#define LIST_EACH(head, link)                                                                      \
    for (struct list *link = (head)->next, *link##_next = link->next; link != (head);              \
         link = link##_next, link##_next = link->next)

#endif
