/* SPDX-License-Identifier: MIT */
#include "script/lib_history.h"

#include "script/lib_json.h"
#include "script/lib_socket.h"
#include "script/runtime.h"
#include "script/task.h"

#include "core/history.h"
#include "core/hub.h"

/* The store cannot be told to forget a question, so the answer may come when nobody waits. */
struct reading {
    struct wait wait;
    struct buf *page; /* NULL: the store is away */
    bool answered, over;
};

static void reading_free(struct reading *r) {
    buf_unref(r->page);
    mem_free(r);
}

static void on_page(void *arg, int status, struct buf *data) {
    struct reading *r = arg;
    r->answered = true;
    if (!status && data) r->page = buf_ref(data);
    if (r->over) reading_free(r);
    else task_resume(&r->wait);
}

static int push_page(lua_State *L, struct wait *wait) {
    const struct reading *r = container_of(wait, struct reading, wait);
    if (!r->page) return lua_push_failure(L, "unavailable");
    lua_json_push(L, buf_slice(r->page));
    return 1;
}

static void on_over(struct wait *wait) {
    struct reading *r = container_of(wait, struct reading, wait);
    r->over = true;
    if (r->answered) reading_free(r);
}

int lib_core_history(lua_State *L) {
    struct site *site = runtime_of(vm_of(L))->site;
    struct slice channel = lua_check_slice(L, 1);
    lua_Integer since = luaL_checkinteger(L, 2), limit = luaL_checkinteger(L, 3);
    task_may_wait(L, "server:history");
    if (channel_name_error(site, channel)) return lua_push_failure(L, "bad_channel");
    const struct channel_conf *conf = channel_conf_of(site, channel);
    if (!conf) return lua_push_failure(L, "no_history");
    struct store *store = site->core->store;
    struct reading *r = mem_new(sizeof *r);
    r->wait.push = push_page;
    r->wait.over = on_over;
    store->ops->history(store, site, channel, conf, since < 0 ? HISTORY_NEWEST : (uint64_t)since,
                        (uint64_t)limit, on_page, r);
    return task_wait(L, &r->wait);
}
