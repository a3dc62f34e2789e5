/* SPDX-License-Identifier: Apache-2.0 */
/* When the next turn of a loop is due. The descriptor is the backend's: loop_epoll.c. */
#include "io/poll.h"

#include "io/io_impl.h"

int io_next_timeout(struct io *io)
{
	uint64_t next, now;

	if (!list_is_empty(&io->dirty) || !list_is_empty(&io->ready) || io->woken)
		return 0;
	next = wheel_next(&io->wheel);
	if (next == UINT64_MAX)
		return -1;
	now = clock_mono_ns();
	if (next <= now / NSEC_PER_MSEC)
		return 0;
	/* The tick begins within a millisecond of which a part has passed. */
	next = next - now / NSEC_PER_MSEC;
	return next < INT32_MAX ? (int)next : INT32_MAX;
}
