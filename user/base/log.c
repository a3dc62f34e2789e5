/* SPDX-License-Identifier: Apache-2.0 */
/* The log goes to standard error; the level can change while running (admin /logging). */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "base/slice.h"

static _Atomic int level_in_force = LOG_INFO;

static const char *const names[] = {
#define X(id, name) [LOG_##id] = name,
	LOG_LEVELS(X)
#undef X
};

enum log_level log_level_get(void)
{
	return (enum log_level)atomic_load_explicit(&level_in_force, memory_order_relaxed);
}

void log_level_set(enum log_level level)
{
	atomic_store_explicit(&level_in_force, (int)level, memory_order_relaxed);
}

const char *log_level_name(enum log_level level)
{
	return names[level];
}

bool log_level_parse(const char *name, enum log_level *ret_level)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], name) == 0) {
			*ret_level = (enum log_level)i;
			return true;
		}
	return false;
}

void log_line(enum log_level level, const char *room, const char *fmt, ...)
{
	struct timespec ts;
	struct tm tm;
	char text[2048], line[2048];
	size_t at;
	va_list ap;
	int n;

	if (level < log_level_get())
		return;
	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	at = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &tm);
	at += (size_t)snprintf(line + at, sizeof(line) - at,
			       ".%03ldZ %s %s: ", ts.tv_nsec / 1000000, names[level], room);
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	/* What came from a peer must neither forge lines nor steer the terminal that shows them. */
	at = slice_escape(slice_str(text), "", line, at, sizeof(line) - 1);
	line[at++] = '\n';
	/* Nothing can be done about a log that cannot be written. */
	if (write(STDERR_FILENO, line, at) < 0)
		return;
}
