/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Path normalization: the form that matching, rewriting and the next hop see. The rules are those
 * of Envoy's normalize_path, merge_slashes and path_with_escaped_slashes_action, learnt by asking
 * it; tests/integration/envoy-diff keeps the answers. The query is never touched.
 */
#include <errno.h>

#include "route/route.h"

#define NO_STRAY (SIZE_MAX / 2)

struct out {
	char *p;
	size_t n;
	size_t stray; /* place of the last '%' that begins no escape, or NO_STRAY */
};

static bool is_hex(char c)
{
	return isxdigit((unsigned char)c) != 0;
}

static unsigned int hex(char c)
{
	return c <= '9' ? (unsigned int)(c - '0') : (unsigned int)((c | 0x20) - 'a') + 10;
}

/* The byte that the escape at the front stands for, or -1. */
static int escape(struct slice s)
{
	if (s.len < 3 || s.ptr[0] != '%' || !is_hex(s.ptr[1]) || !is_hex(s.ptr[2]))
		return -1;
	return (int)(hex(s.ptr[1]) * 16 + hex(s.ptr[2]));
}

static bool is_slash(struct slice s)
{
	return s.len && (s.ptr[0] == '/' || s.ptr[0] == '\\');
}

/* Bytes of a dot at the front, written as it is or escaped; 0: none. */
static size_t dot(struct slice s)
{
	return s.len && s.ptr[0] == '.' ? 1 : escape(s) == '.' ? 3 : 0;
}

static void put(struct out *o, char c)
{
	o->p[o->n++] = c;
	/* A stray '%' must not become an escape through what was decoded behind it. */
	if (o->stray + 3 == o->n && is_hex(o->p[o->n - 2]) && is_hex(c)) {
		memmove(o->p + o->stray + 3, o->p + o->stray + 1, 2);
		memcpy(o->p + o->stray + 1, "25", 2);
		o->n += 2;
	}
}

/* Drops the last segment; what stays ends in '/'. */
static void up(struct out *o)
{
	if (o->n > 1)
		o->n--;
	while (o->n > 1 && o->p[o->n - 1] != '/')
		o->n--;
	if (o->stray >= o->n)
		o->stray = NO_STRAY;
}

/* A dot at the front of @s: takes it, and the segment when it is "." or "..". Returns bytes used.
 */
static size_t take_dot(struct out *o, struct slice s)
{
	size_t first = dot(s);
	struct slice rest = slice_skip(s, first);
	size_t second = dot(rest);

	if (!o->n || o->p[o->n - 1] != '/') {
		put(o, '.');
		return first;
	}
	if (!rest.len || is_slash(rest))
		return first + (rest.len > 0);
	rest = slice_skip(rest, second);
	if (second && (!rest.len || is_slash(rest))) {
		up(o);
		return first + second + (rest.len > 0);
	}
	put(o, '.');
	return first;
}

static bool is_unreserved(int c)
{
	return c < 0x80 && (isalnum(c) || (c && strchr("-._~", c)));
}

static void put_escaped(struct out *o, unsigned char c)
{
	static const char digits[] = "0123456789ABCDEF";

	put(o, '%');
	put(o, digits[c >> 4]);
	put(o, digits[c & 15]);
}

/* A '%' at the front. Bytes used; 0: not allowed. */
static size_t take_percent(struct out *o, struct slice s)
{
	int c = escape(s);

	if (c == 0)
		return 0;
	if (c > 0 && is_unreserved(c)) {
		put(o, (char)c);
		return 3;
	}
	if (c < 0)
		o->stray = o->n;
	for (size_t i = 0; i < (c < 0 ? 1 : 3); i++)
		put(o, s.ptr[i]);
	return c < 0 ? 1 : 3;
}

static size_t take_byte(struct out *o, struct slice s)
{
	unsigned char c = (unsigned char)s.ptr[0];

	if (c == 0 || c >= 0x7f)
		return 0;
	if (c == '\\')
		put(o, '/');
	else if (c <= ' ' || strchr("\"<>^`{|}", c))
		put_escaped(o, c);
	else
		put(o, (char)c);
	return 1;
}

/* Parameters of the segments "." and "..", as in "/..;x/", go: servers disagree about them. */
static struct slice drop_dot_params(struct slice path, struct arena *a)
{
	size_t n = 0;
	char *p;

	if (!path.len || !memmem(path.ptr, path.len, ".;", 2))
		return path;
	p = arena_alloc(a, path.len);
	for (size_t i = 0; i < path.len; i++) {
		bool dots = path.ptr[i] == ';' && n > 1 && p[n - 1] == '.' &&
			    (p[n - 2] == '/' || (n > 2 && p[n - 2] == '.' && p[n - 3] == '/'));

		while (dots && i < path.len && path.ptr[i] != '/')
			i++;
		if (i < path.len)
			p[n++] = path.ptr[i];
	}
	return slice_of(p, n);
}

static int canonical(struct slice path, struct arena *a, struct slice *ret_path)
{
	/* An escaped byte grows by two; so does a stray '%', at most once in three bytes. */
	struct out o = { arena_alloc(a, 3 * path.len + 2), 0, NO_STRAY };

	if (!is_slash(path))
		put(&o, '/');
	for (size_t i = 0; i < path.len;) {
		struct slice rest = slice_skip(path, i);
		size_t used = dot(rest)		    ? take_dot(&o, rest) :
			      rest.ptr[0] == '%' ? take_percent(&o, rest) :
						     take_byte(&o, rest);

		if (!used)
			return -EINVAL;
		i += used;
	}
	*ret_path = slice_of(o.p, o.n);
	return 0;
}

/* "%2f" and "%5c" become what they stand for. Was there one? */
static bool unescape_slashes(struct slice *path, struct arena *a)
{
	size_t n = 0;
	char *p;

	if (slice_find(*path, '%') < 0)
		return false;
	p = arena_alloc(a, path->len);
	for (size_t i = 0; i < path->len; n++) {
		int c = escape(slice_skip(*path, i));
		bool decode = c == '/' || c == '\\';

		p[n] = decode ? (char)c : path->ptr[i];
		i += decode ? 3 : 1;
	}
	if (n == path->len)
		return false;
	*path = slice_of(p, n);
	return true;
}

/* A path of slashes only keeps two, as in Envoy. */
static struct slice merge_slashes(struct slice path, struct arena *a)
{
	size_t n = 0;
	char *p;

	if (!path.len || !memmem(path.ptr, path.len, "//", 2))
		return path;
	p = arena_alloc(a, path.len);
	for (size_t i = 0; i < path.len; i++)
		if (path.ptr[i] != '/' || !n || p[n - 1] != '/')
			p[n++] = path.ptr[i];
	if (n == 1 && p[0] == '/')
		p[n++] = '/';
	return slice_of(p, n);
}

static int normalize(const struct mesh_http_manager *hcm, struct slice path, struct arena *a,
		     struct slice *ret_path)
{
	bool had_slashes = hcm->escaped_slashes != MESH_SLASHES_KEEP && unescape_slashes(&path, a);

	*ret_path = path;
	if (had_slashes && hcm->escaped_slashes == MESH_SLASHES_REJECT)
		return -EINVAL;
	if (hcm->normalize_path && canonical(drop_dot_params(path, a), a, &path) < 0)
		return -EINVAL;
	*ret_path = hcm->merge_slashes ? merge_slashes(path, a) : path;
	return had_slashes && hcm->escaped_slashes == MESH_SLASHES_REDIRECT;
}

int route_path_normalize(const struct mesh_http_manager *hcm, struct slice path, struct arena *a,
			 struct slice *ret_path)
{
	ptrdiff_t at = slice_find(path, '?');
	struct slice only = at < 0 ? path : slice_first(path, (size_t)at);
	struct slice query = slice_skip(path, only.len);
	struct slice to = only;
	int r;

	if (slice_find(path, '#') >= 0)
		return -EINVAL;
	r = normalize(hcm, only, a, &to);
	if (to.ptr == only.ptr && to.len == only.len)
		*ret_path = path;
	else
		*ret_path = query.len ? arena_join(a, (struct slice[]){ to, query }, 2) : to;
	return r;
}
