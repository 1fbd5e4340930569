/* SPDX-License-Identifier: MIT */
#ifndef SHOW_H
#define SHOW_H

#include "base/json.h"

/* Shows JSON (checked) to people: a list of objects as a table, whose columns are the members of
 * the first, those named in columns ("sid,auth") before all others, also where only another row has
 * one; an object as lines "name  value", its lists of objects as tables below them; a text as
 * it is; the same with what is alone in {"result":...} or {"text":...}. Long cells of a
 * table are cut until it is no wider than width characters, and then its last columns left out; 0:
 * neither. Names and texts may come from strangers: nothing in them reaches the terminal as a
 * control character, nor turns the direction of writing. */
void show_value(struct text *out, struct json_value value, const char *columns, size_t width);

/* Appends a text of a stranger; its line breaks and tabs stay where lines is set. */
void show_text(struct text *out, struct slice text, bool lines);

#endif
