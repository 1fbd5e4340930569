/* SPDX-License-Identifier: MIT */
#ifndef BASE_FORM_H
#define BASE_FORM_H

#include "base/buf.h"

/* Bodies of HTML forms (application/x-www-form-urlencoded) with nested names as PHP and Rails write
 * them: rooms[]=a&rooms[]=b, args[0]=x, args[][id]=1, user[name]=ann. A name that comes twice is a
 * list. All values are texts. */

#define FORM_FIELDS_MAX 1000
#define FORM_DEPTH_MAX 5 /* brackets of a name */
#define FORM_INDEX_MAX 99

/* Appends the form as a JSON object. False (nothing of use appended) when it is broken: an escape
 * or brackets that are none, no UTF-8, one name for a list and for an object, or above the bounds.
 */
bool form_to_json(struct text *out, struct slice body) __attribute__((warn_unused_result));

#endif
