/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An IP address and port as one small value. IPv4 is kept as IPv4-mapped IPv6 (::ffff:a.b.c.d),
 * so that one code path and one map key serve both.
 */
#ifndef SKIFF_BASE_ADDR_H
#define SKIFF_BASE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "base/slice.h"

struct addr {
	uint8_t ip[16]; /* network order; IPv4 mapped */
	uint16_t port;	/* host order */
};

#define ADDR_TEXT_MAX 56 /* "[v6]:port" and NUL */

bool addr_is_v4(const struct addr *a);
bool addr_is_loopback(const struct addr *a);
bool addr_is_any(const struct addr *a); /* 0.0.0.0 or :: */

static inline bool addr_ip_is_equal(const struct addr *a, const struct addr *b)
{
	return memcmp(a->ip, b->ip, 16) == 0;
}

static inline bool addr_is_equal(const struct addr *a, const struct addr *b)
{
	return a->port == b->port && addr_ip_is_equal(a, b);
}

uint64_t addr_hash(const struct addr *a);

/* Reads an IP address without port ("10.0.0.1", "fe80::1"). 0 or -EINVAL. */
int addr_parse_ip(struct slice text, struct addr *ret_a);
/* Reads "ip:port" or "[ip6]:port". 0 or -EINVAL. */
int addr_parse(struct slice text, struct addr *ret_a);
/* Reads "ip/bits" or "ip"; @ret_bits counts in 128 bits (IPv4: + 96). 0 or -EINVAL. */
int addr_parse_prefix(struct slice text, struct addr *ret_a, unsigned int *ret_bits);
/* Do the first @bits (of 128) agree? */
bool addr_is_in(const struct addr *a, const struct addr *net, unsigned int bits);

/* Text without and with port; NUL-terminated; returns the length. */
size_t addr_format_ip(const struct addr *a, char out[static ADDR_TEXT_MAX]);
size_t addr_format(const struct addr *a, char out[static ADDR_TEXT_MAX]);

/* From and to the kernel's form; a mapped address becomes AF_INET. */
int addr_from_sockaddr(const struct sockaddr *sa, struct addr *ret_a); /* 0, -EAFNOSUPPORT */
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ret_ss);

#endif
