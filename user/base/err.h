/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reason that travels with a negative return to the one place that logs or prints it: what
 * failed, with which object, why, and what to do.
 */
#ifndef SKIFF_BASE_ERR_H
#define SKIFF_BASE_ERR_H

#include "base/base.h"

#define ERR_TEXT_MAX 1024

struct err {
	char text[ERR_TEXT_MAX];
};

/* Writes the reason (cut at ERR_TEXT_MAX) and returns @code, so: return err_set(e, -EINVAL, ...).
 * A NULL @e is allowed. */
int err_set(struct err *e, int code, const char *fmt, ...) printf_like(3, 4);

/* Puts "<prefix>: " before the reason that is there. Returns @code. */
int err_prefix(struct err *e, int code, const char *fmt, ...) printf_like(3, 4);

#endif
