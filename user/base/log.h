/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines: "time level room: what failed, with which object, why, what happens next". Rooms
 * base, l7, mesh, codec and route never log; they return. Thread-safe, one write(2) a line.
 */
#ifndef SKIFF_BASE_LOG_H
#define SKIFF_BASE_LOG_H

#include <stdbool.h>

#include "base/base.h"

#define LOG_LEVELS(X) X(TRACE, "trace") X(DEBUG, "debug") X(INFO, "info") X(WARN, "warning") X(ERROR, "error") X(OFF, "off")

enum log_level {
#define X(id, name) LOG_##id,
	LOG_LEVELS(X)
#undef X
};

/* @room: the component's name, a literal. Suppressed below the level in force. */
void log_line(enum log_level level, const char *room, const char *fmt, ...) printf_like(3, 4);

enum log_level log_level_get(void);
void log_level_set(enum log_level level);
const char *log_level_name(enum log_level level);
/* Reads a level's name. false: no such level. */
bool log_level_parse(const char *name, enum log_level *ret_level);

#define log_debug(room, ...) \
	do { \
		if (unlikely(log_level_get() <= LOG_DEBUG)) \
			log_line(LOG_DEBUG, room, __VA_ARGS__); \
	} while (0)
#define log_info(room, ...) log_line(LOG_INFO, room, __VA_ARGS__)
#define log_warn(room, ...) log_line(LOG_WARN, room, __VA_ARGS__)
#define log_error(room, ...) log_line(LOG_ERROR, room, __VA_ARGS__)

#endif
