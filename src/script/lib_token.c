/* SPDX-License-Identifier: MIT */
#include "script/lib_token.h"

#include "script/lib_socket.h"
#include "script/runtime.h"
#include "script/task.h"

#include "base/id.h"
#include "core/token.h"

#include <errno.h>

/* A token that is on its way into the store, and the task that waits for it. */
struct issuing {
    struct wait wait;
    bool done, over; /* the store has answered; nobody waits any more */
    int status;
    char token[UUID_LENGTH + 1];
};

static void on_issued(void *arg, int status, const char *token) {
    struct issuing *i = arg;
    i->done = true;
    i->status = status;
    if (token) memcpy(i->token, token, UUID_LENGTH);
    if (i->over) mem_free(i);
    else task_resume(&i->wait);
}

static int push_token(lua_State *L, struct wait *wait) {
    const struct issuing *i = container_of(wait, struct issuing, wait);
    if (i->status) return lua_push_failure(L, i->status == -ENOSPC ? "limit" : "unavailable");
    lua_pushlstring(L, i->token, UUID_LENGTH);
    return 1;
}

static void on_over(struct wait *wait) {
    struct issuing *i = container_of(wait, struct issuing, wait);
    i->over = true;
    if (i->done) mem_free(i);
}

int lib_core_token(lua_State *L) {
    struct site *site = vm_of(L)->site;
    task_may_wait(L, "token");
    struct buf *auth = runtime_encode(L, 1);
    struct issuing *i = mem_new(sizeof *i);
    i->wait.push = push_token;
    i->wait.over = on_over;
    int status = token_issue(site, auth, NULL, site->conf->token.ttl_ms, on_issued, i);
    buf_unref(auth);
    if (!status) return task_wait(L, &i->wait);
    mem_free(i);
    return lua_push_failure(L, status == -E2BIG ? "too_large" : "unavailable");
}
