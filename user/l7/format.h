/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envoy's substitution formats ("%REQ(X?Y):Z%", "%RESPONSE_CODE%" ...): compiled once with the
 * configuration, evaluated per stream. Serves access logs and header values.
 * Source: Envoy's documentation, "Access logging: command operators".
 */
#ifndef SKIFF_L7_FORMAT_H
#define SKIFF_L7_FORMAT_H

#include "base/buf.h"
#include "base/err.h"
#include "l7/info.h"

#define L7_FORMAT_MAX 65536	 /* bytes of one format */
#define L7_FORMAT_VALUE_MAX 65536 /* bytes of one evaluated value */

struct l7_format;

/* Compiles @text into @a. -EINVAL with the operator and its place in @e for an unknown or malformed
 * one. */
int l7_format_compile(struct slice text, struct arena *a, const struct l7_format **ret_f,
		      struct err *e);
/* The format that access logs have when none is given. */
const struct l7_format *l7_format_default(struct arena *a);
/* Appends the text. An absent value is "-", or nothing with @omit_empty. */
void l7_format_text(const struct l7_format *f, const struct l7_info *in, bool omit_empty,
		    struct buf *out);
/* Appends the value as JSON: a number where the format is one operator that yields one (Envoy types
 * them), null where it is one absent operator, else a string. With @omit_empty an absent single
 * value appends nothing and the answer is false. */
bool l7_format_json_value(const struct l7_format *f, const struct l7_info *in, bool omit_empty,
			  struct buf *out);
/* Appends @s as a JSON string with its quotes; bytes that are no UTF-8 become \u00xx. */
void l7_json_text(struct slice s, struct buf *out);
/* Is the text free of operators? Then @ret_text is it. */
bool l7_format_is_literal(const struct l7_format *f, struct slice *ret_text);
/* Short names of the set flags joined with ",", or "-". @long_names: the long ones. */
void l7_flags_text(uint32_t flags, bool long_names, struct buf *out);

#endif
