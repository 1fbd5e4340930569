/* SPDX-License-Identifier: MIT */
#include "config/environment.h"

#include "config/keys.h"

#include <stdlib.h>

/* The environment as a conf file: what the variables say is checked as in one. */

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

const char *environment_site(void) {
    bool meant = variable("AUTH_URL") || variable("API_KEY");
    return meant ? variable("SITE_NAME") : NULL;
}

/* Numbers are written bare: a time without a unit is one of seconds. */
static void add_value(struct text *out, const char *value) {
    uint64_t number;
    if (slice_u64(slice_of(value), &number)) text_str(out, value);
    else print_quoted(out, slice_of(value));
}

void environment_site_source(struct text *out) {
    static const struct {
        const char *variable, *key;
    } rows[] = {{"AUTH_URL", "auth_url"},
                {"AUTH_SCHEME", "auth_scheme"},
                {"USER_ROOM_PREFIX", "user_room_prefix"},
                {"PUBLIC_CHANNEL", "public_channel"},
                {"UPDATE_USER_URL", "update_user_url"},
                {"DEVICE_TTL", "device_ttl"}};
    const char *api_key = variable("API_KEY"), *weak = variable("WEAK_API_KEY");
    text_str(out, "return { script = false, push = {\n");
    if (weak && !strcmp(weak, "true")) text_str(out, "weak_api_key = true,\n");
    if (api_key) {
        text_str(out, "api_key = ");
        print_quoted(out, slice_of(api_key));
        text_str(out, ",\n");
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *value = variable(rows[i].variable);
        if (!value) continue;
        text_format(out, "%s = ", rows[i].key);
        add_value(out, value);
        text_str(out, ",\n");
    }
    text_str(out, "} }\n");
}

bool environment_gateway(const char *key, struct text *out) {
    bool is_listen = !strcmp(key, "listen");
    const char *value = environment_site() ? variable(is_listen ? "PORT" : "REDIS_URL") : NULL;
    if (value) text_format(out, "%s%s", is_listen ? ":" : "", value);
    return value != NULL;
}
