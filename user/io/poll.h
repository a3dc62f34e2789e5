/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For a thread whose own poll(2) also serves a loop: it polls io_poll_fd for POLLIN, waits
 * io_next_timeout at most, and calls io_run_once(io, 0) after either. What was asked of the loop
 * since then (a timer, output) is in the next io_next_timeout.
 */
#ifndef SKIFF_IO_POLL_H
#define SKIFF_IO_POLL_H

#include "io/io.h"

/* Readable when a turn has something to do. -ENOTSUP unless the loop is of IO_EPOLL. */
int io_poll_fd(const struct io *io);
/* Milliseconds until a turn is due, for poll(2): 0 now, -1 only when the descriptor is readable. */
int io_next_timeout(struct io *io);

#endif
