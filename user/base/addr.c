/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses: text, kernel form, prefixes. */
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

bool addr_is_v4(const struct addr *a)
{
	return memcmp(a->ip, mapped, sizeof(mapped)) == 0;
}

bool addr_is_loopback(const struct addr *a)
{
	static const uint8_t one[16] = { [15] = 1 };

	return addr_is_v4(a) ? a->ip[12] == 127 : memcmp(a->ip, one, 16) == 0;
}

bool addr_is_any(const struct addr *a)
{
	static const uint8_t zero[16];

	return addr_is_v4(a) ? memcmp(a->ip + 12, zero, 4) == 0 : memcmp(a->ip, zero, 16) == 0;
}

uint64_t addr_hash(const struct addr *a)
{
	uint64_t lo, hi;

	memcpy(&hi, a->ip, 8);
	memcpy(&lo, a->ip + 8, 8);
	lo ^= hi * 0x9e3779b97f4a7c15ull;
	lo ^= (uint64_t)a->port << 17;
	lo *= 0xbf58476d1ce4e5b9ull;
	return lo ^ (lo >> 31);
}

int addr_parse_ip(struct slice text, struct addr *ret_a)
{
	char s[INET6_ADDRSTRLEN];
	struct addr a = { .port = 0 };

	if (text.len == 0 || text.len >= sizeof(s) || slice_find(text, '\0') >= 0)
		return -EINVAL;
	memcpy(s, text.ptr, text.len);
	s[text.len] = '\0';
	if (inet_pton(AF_INET, s, a.ip + 12) == 1)
		memcpy(a.ip, mapped, sizeof(mapped));
	else if (inet_pton(AF_INET6, s, a.ip) != 1)
		return -EINVAL;
	*ret_a = a;
	return 0;
}

int addr_parse(struct slice text, struct addr *ret_a)
{
	struct slice ip, port;
	struct addr a;
	uint64_t v;

	if (text.len && text.ptr[0] == '[') {
		ptrdiff_t end = slice_find(text, ']');

		if (end < 0 || (size_t)end + 1 >= text.len || text.ptr[end + 1] != ':')
			return -EINVAL;
		ip = slice_of(text.ptr + 1, (size_t)end - 1);
		port = slice_skip(text, (size_t)end + 2);
	} else {
		port = text;
		ip = slice_split(&port, ':');
		if (!port.ptr || slice_find(port, ':') >= 0)
			return -EINVAL;
	}
	if (addr_parse_ip(ip, &a) < 0 || slice_to_u64(port, &v) < 0 || v > 65535)
		return -EINVAL;
	a.port = (uint16_t)v;
	*ret_a = a;
	return 0;
}

int addr_parse_prefix(struct slice text, struct addr *ret_a, unsigned int *ret_bits)
{
	struct slice bits = text;
	struct slice ip = slice_split(&bits, '/');
	unsigned int max;
	struct addr a;
	uint64_t v;

	if (addr_parse_ip(ip, &a) < 0)
		return -EINVAL;
	max = addr_is_v4(&a) ? 32 : 128;
	v = max;
	if (bits.ptr && (slice_to_u64(bits, &v) < 0 || v > max))
		return -EINVAL;
	*ret_a = a;
	*ret_bits = (unsigned int)v + (128 - max);
	return 0;
}

bool addr_is_in(const struct addr *a, const struct addr *net, unsigned int bits)
{
	unsigned int whole = bits / 8;
	unsigned int rest = bits % 8;

	if (memcmp(a->ip, net->ip, whole) != 0)
		return false;
	return !rest || ((a->ip[whole] ^ net->ip[whole]) >> (8 - rest)) == 0;
}

size_t addr_format_ip(const struct addr *a, char out[static ADDR_TEXT_MAX])
{
	if (addr_is_v4(a))
		inet_ntop(AF_INET, a->ip + 12, out, ADDR_TEXT_MAX);
	else
		inet_ntop(AF_INET6, a->ip, out, ADDR_TEXT_MAX);
	return strlen(out);
}

size_t addr_format(const struct addr *a, char out[static ADDR_TEXT_MAX])
{
	char ip[ADDR_TEXT_MAX];

	addr_format_ip(a, ip);
	return (size_t)snprintf(out, ADDR_TEXT_MAX, addr_is_v4(a) ? "%s:%u" : "[%s]:%u", ip,
				a->port);
}

int addr_from_sockaddr(const struct sockaddr *sa, struct addr *ret_a)
{
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		memcpy(ret_a->ip, mapped, sizeof(mapped));
		memcpy(ret_a->ip + 12, &in->sin_addr, 4);
		ret_a->port = ntohs(in->sin_port);
		return 0;
	}
	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		memcpy(ret_a->ip, &in6->sin6_addr, 16);
		ret_a->port = ntohs(in6->sin6_port);
		return 0;
	}
	return -EAFNOSUPPORT;
}

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ret_ss)
{
	memset(ret_ss, 0, sizeof(*ret_ss));
	if (addr_is_v4(a)) {
		struct sockaddr_in *in = (void *)ret_ss;

		in->sin_family = AF_INET;
		memcpy(&in->sin_addr, a->ip + 12, 4);
		in->sin_port = htons(a->port);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (void *)ret_ss;

	in6->sin6_family = AF_INET6;
	memcpy(&in6->sin6_addr, a->ip, 16);
	in6->sin6_port = htons(a->port);
	return sizeof(*in6);
}
