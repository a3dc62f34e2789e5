/* SPDX-License-Identifier: Apache-2.0 */
/* Least privilege after start-up. */
#ifndef SKIFF_CMD_HARDEN_H
#define SKIFF_CMD_HARDEN_H

#include <stdbool.h>

#include "base/err.h"

/*
 * Keeps only the capabilities that serving needs (@pods: those for entering namespaces and
 * changing BPF maps too), sets no-new-privs, and installs a seccomp filter that refuses what a
 * proxy never does (executing programs, tracing, mounting, kernel modules, keys ...) for all
 * threads that start after it. Call it before threads are made. -errno with @e set.
 */
int harden(bool pods, struct err *e);

#endif
