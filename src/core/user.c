/* SPDX-License-Identifier: MIT */
#include "core/user.h"

#include "base/json.h"

struct user {
    struct map_link link; /* in site->users; the key is name */
    uint64_t sockets;
    char name[]; /* as JSON: 5 and "5" are two users */
};

static struct slice name_in(const struct socket *s) {
    const char *member = s->site->conf->user;
    if (!member || !strcmp(member, "off") || !s->auth) return (struct slice){NULL, 0};
    struct json_value name = json_member(buf_slice(s->auth), slice_of(member));
    return name.type == JSON_NULL ? (struct slice){NULL, 0} : name.raw;
}

static struct user *user_of(struct site *site, struct slice name) {
    struct map_link *l = map_find(&site->users, name);
    if (l) return container_of(l, struct user, link);
    struct user *u = mem_new(sizeof *u + name.n);
    memcpy(u->name, name.p, name.n);
    map_add(&site->users, &u->link, slice_make(u->name, name.n));
    return u;
}

bool user_enter(struct socket *s) {
    struct slice name = name_in(s);
    if (!name.n) return true;
    struct user *u = user_of(s->site, name);
    if (u->sockets >= s->site->limits->max_connections_per_user) {
        site_limit(s->site, "max_connections_per_user");
        return false;
    }
    u->sockets++;
    socket_work(s)->user = u;
    return true;
}

void user_leave(struct socket *s) {
    struct user *u = s->work ? s->work->user : NULL;
    if (!u) return;
    s->work->user = NULL;
    if (--u->sockets) return;
    map_remove(&s->site->users, &u->link);
    mem_free(u);
}
