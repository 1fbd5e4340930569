/* SPDX-License-Identifier: MIT */
#include "config/channels.h"

#define CHANNEL(field) offsetof(struct channel_conf, field)

static const struct key channel_keys[] = {
    {.name = "history",
     .type = &key_bool,
     .offset = CHANNEL(history),
     .help = "keep messages for who comes back: true, or a table with details"},
    {.name = "history.size",
     .type = &key_count,
     .offset = CHANNEL(history_size),
     .standard = 100,
     .least = 1,
     .greatest = 10000,
     .help = "messages"},
    {.name = "history.ttl",
     .type = &key_time,
     .offset = CHANNEL(history_ttl_ms),
     .standard = 300000,
     .least = 1000,
     .greatest = 2592000000,
     .help = "after the last of them"},
    {0},
};

static const char *pattern_error(const struct site_conf *site, const char *pattern) {
    if (!*pattern || strlen(pattern) > site->limits.channel_name) return "is no channel's name";
    for (const char *p = pattern; *p; p++)
        if (*p <= ' ' || *p > '~' || strchr("?[]\\", *p)) return "is no channel's name";
    if (*pattern == '$' || !strncmp(pattern, "moonlatch:", 10)) return "is reserved";
    return NULL;
}

static void channel_read(struct reader *r, const struct conf_value *v, struct site_conf *site) {
    if (!v->key || v->type != CONF_TABLE) {
        reader_complain(r, v->line, "channels must be a table of tables, by pattern");
        return;
    }
    const char *error = pattern_error(site, v->key);
    if (error) reader_complain(r, v->line, "channels: \"%.100s\" %s", v->key, error);
    site->channels = mem_grow(site->channels, (site->channel_count + 1) * sizeof *site->channels);
    struct channel_conf *c = &site->channels[site->channel_count++];
    *c = (struct channel_conf){0};
    keys_init(channel_keys, c);
    c->pattern = slice_cstr(slice_of(v->key));
    text_format(&r->path, "channels[\"%.100s\"].", v->key);
    keys_read(r, channel_keys, v, c);
    text_clear(&r->path);
    if (c->history && site->layout == LAYOUT_NODE_TOKEN_SOCKJS)
        reader_complain(r, v->line,
                        "channels: a history cannot be had with redis.layout = "
                        "\"node-token-sockjs\"");
}

void config_channels_read(struct reader *r, const struct conf_value *table,
                          struct site_conf *site) {
    if (!table) return;
    if (table->type != CONF_TABLE)
        reader_complain(r, table->line, "channels must be a table of tables, by pattern");
    LIST_EACH(&table->items, link) {
        channel_read(r, container_of(link, struct conf_value, link), site);
    }
}

void config_channels_fini(struct site_conf *site) {
    for (size_t i = 0; i < site->channel_count; i++) {
        keys_fini(channel_keys, &site->channels[i]);
        mem_free(site->channels[i].pattern);
    }
    mem_free(site->channels);
}

static void channels_print(struct printer *p, const struct key *key, const void *field) {
    (void)key;
    const struct site_conf *site = container_of(field, struct site_conf, channels);
    text_str(p->out, "{\n");
    p->depth++;
    for (size_t i = 0; i < site->channel_count; i++) {
        print_indent(p);
        text_char(p->out, '[');
        print_quoted(p->out, slice_of(site->channels[i].pattern));
        text_str(p->out, "] = {\n");
        p->depth++;
        keys_print(p, channel_keys, &site->channels[i]);
        p->depth--;
        print_indent(p);
        text_str(p->out, "},\n");
    }
    p->depth--;
    print_indent(p);
    text_char(p->out, '}');
}

static void read_later(struct reader *r, const struct key *key, const struct conf_value *v,
                       void *field) {
    (void)r, (void)key, (void)v, (void)field;
}

const struct key_type key_channels = {
    .name = "a table of tables", .read = read_later, .print = channels_print};
