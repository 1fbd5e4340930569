/* SPDX-License-Identifier: MIT */
#include "core/msg.h"

#include "base/json.h"
#include "base/mem.h"
#include "core/socket.h"

bool position_read(const struct json_value *epoch, const struct json_value *offset,
                   struct position *at) {
    *at = (struct position){0};
    if (epoch->type != JSON_STRING || epoch->raw.n != EPOCH_LENGTH + 2) return false;
    if (memchr(epoch->raw.p, '\\', epoch->raw.n) || !slice_u64(offset->raw, &at->offset))
        return false;
    memcpy(at->epoch, epoch->raw.p + 1, EPOCH_LENGTH);
    return true;
}

struct msg *msg_new(struct slice channel, struct buf *body, const struct position *at) {
    struct msg *m = mem_new(sizeof *m + channel.n);
    m->refs = 1;
    if (channel.n) memcpy(m->name, channel.p, channel.n);
    m->channel = slice_make(m->name, channel.n);
    m->body = buf_ref(body);
    if (at) m->at = *at;
    return m;
}

void msg_unref(struct msg *m) {
    if (--m->refs) return;
    for (int i = 0; i < MSG_WIRES && m->wires[i].wire; i++) buf_unref(m->wires[i].wire);
    buf_unref(m->body);
    attachments_fini(&m->attachments);
    mem_free(m);
}

struct buf *msg_json(const struct msg *m, const struct socket *s) {
    (void)s;
    struct text t = {0};
    text_add(&t, SLICE("{\"channel\":"));
    json_quote(&t, m->channel);
    text_add(&t, SLICE(",\"message\":"));
    text_add(&t, buf_slice(m->body));
    if (m->at.epoch[0])
        text_format(&t, ",\"offset\":%llu,\"epoch\":\"%s\"", (unsigned long long)m->at.offset,
                    m->at.epoch);
    text_char(&t, '}');
    return text_take(&t);
}

static struct buf *encode(const struct msg *m, const struct socket *s) {
    const struct session_ops *ops = s->session->ops;
    struct buf *text = s->dialect->render(m, s);
    if (!ops->wrap) return text;
    struct buf *wire = ops->wrap(buf_slice(text));
    buf_unref(text);
    return wire;
}

struct buf *msg_wire(struct msg *m, const struct socket *s) {
    const struct session *session = s->session;
    int i = 0;
    for (; i < MSG_WIRES && m->wires[i].wire; i++)
        if (m->wires[i].endpoint == s->endpoint && m->wires[i].wrap == session->ops->wrap &&
            m->wires[i].eio3 == session->eio3)
            return buf_ref(m->wires[i].wire);
    struct buf *wire = encode(m, s);
    if (i < MSG_WIRES) {
        m->wires[i].endpoint = s->endpoint;
        m->wires[i].wrap = session->ops->wrap;
        m->wires[i].eio3 = session->eio3;
        m->wires[i].wire = buf_ref(wire);
    }
    return wire;
}

void msg_send(struct msg *m, struct socket *s) {
    struct buf *wire = msg_wire(m, s);
    s->session->ops->send(s->session, wire, false);
    buf_unref(wire);
    if (!s->dialect->emit) return; /* where bytes stand, its clients read the placeholder */
    for (uint32_t i = 0; i < m->attachments.count; i++)
        socket_send_binary(s, m->attachments.list[i]);
}

static bool is_event(struct slice body) {
    if (body.p[0] != '{') return false;
    return json_member(body, SLICE("event")).type == JSON_STRING &&
           json_member(body, SLICE("args")).type == JSON_ARRAY;
}

struct msg *msg_replace(const struct msg *m, struct buf *body) {
    struct msg *other = msg_new(m->channel, body, &m->at);
    other->is_event = m->is_event && is_event(buf_slice(body));
    other->logged = m->logged;
    if (other->is_event) attachments_copy(&other->attachments, &m->attachments);
    return other;
}
