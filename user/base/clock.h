/* SPDX-License-Identifier: Apache-2.0 */
/* Monotonic and wall time in nanoseconds. Hot paths use the loop's cached time (io_now). */
#ifndef SKIFF_BASE_CLOCK_H
#define SKIFF_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NSEC_PER_MSEC 1000000ull
#define NSEC_PER_SEC 1000000000ull

static inline uint64_t clock_read(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static inline uint64_t clock_mono_ns(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

static inline uint64_t clock_wall_ns(void)
{
	return clock_read(CLOCK_REALTIME);
}

#endif
