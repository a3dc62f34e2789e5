/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names to addresses without stopping the loop: libc's resolver (/etc/hosts, nsswitch, DNS) in a
 * thread that lives for one look-up and has the rights of the thread that asked.
 */
#ifndef SKIFF_IO_RESOLVE_H
#define SKIFF_IO_RESOLVE_H

#include "io/io.h"

#define IO_LOOKUP_ADDRS 16 /* taken from one answer */

struct io_lookup;

/*
 * Looks @name up; @fn follows on the loop, once, never from inside this call: @n addresses with
 * @port, or 0 and the reason. The look-up is gone after it. NULL with @e when there is no thread.
 */
struct io_lookup *io_lookup_start(struct io *io, const char *name, uint16_t port,
				  void (*fn)(void *arg, const struct addr *v, unsigned int n,
					     const char *reason),
				  void *arg, struct err *e);
/* No answer is wanted any more; the loop may be freed after it. NULL is allowed. */
void io_lookup_cancel(struct io_lookup *l);

#endif
