/* SPDX-License-Identifier: Apache-2.0 */
/* The lists of what is built in; see builtin.c. */
#ifndef SKIFF_CMD_BUILTIN_H
#define SKIFF_CMD_BUILTIN_H

struct codec;
struct filter;

extern const struct codec *const builtin_codecs[];   /* in sniffing order, NULL-terminated */
extern const struct filter *const builtin_filters[]; /* NULL-terminated */

#endif
