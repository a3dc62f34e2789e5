/* SPDX-License-Identifier: Apache-2.0 */
/* Points in time as text: strftime, plus the fractions and seconds that Envoy's formats add. */
#include <time.h>

#include "base/clock.h"
#include "l7/format_impl.h"

#define SPEC_TEXT_MAX 128 /* of one strftime conversion */

struct moment {
	uint64_t wall_ns;
	struct tm tm;
};

static void append_digits(uint64_t ns, unsigned int digits, struct buf *out)
{
	char text[16];

	snprintf(text, sizeof(text), "%09u", (unsigned int)(ns % NSEC_PER_SEC));
	buf_add(out, text, digits);
}

/* Digits of the fraction without the zeros at its end. */
static unsigned int digits_needed(uint64_t ns)
{
	uint64_t rest = ns % NSEC_PER_SEC;
	unsigned int n = 9;

	while (n && rest % 10 == 0) {
		rest /= 10;
		n--;
	}
	return n;
}

/* "+01:30", maybe with seconds. */
static void append_offset(const struct moment *t, bool seconds, struct buf *out)
{
	long east = t->tm.tm_gmtoff;
	unsigned int s = (unsigned int)(east < 0 ? -east : east);

	buf_printf(out, "%c%02u:%02u", east < 0 ? '-' : '+', s / 3600, s / 60 % 60);
	if (seconds)
		buf_printf(out, ":%02u", s % 60);
}

/* "%Ez", "%E*z", "%:z", "%::z" at the front. Bytes used, 0: it is none of them. */
static size_t append_zone(const struct moment *t, struct slice s, struct buf *out)
{
	static const struct {
		struct slice spec;
		bool seconds;
	} specs[] = { { { "%Ez", 3 }, false }, { { "%E*z", 4 }, true },
		      { { "%:z", 3 }, false }, { { "%::z", 4 }, true } };

	for (size_t i = 0; i < ARRAY_LEN(specs); i++)
		if (slice_has_prefix(s, specs[i].spec)) {
			append_offset(t, specs[i].seconds, out);
			return specs[i].spec.len;
		}
	return 0;
}

/* "%E4S", "%E*S", "%E3f", "%E*f" at the front. Bytes used, 0: it is none of them. */
static size_t append_extended(const struct moment *t, struct slice s, struct buf *out)
{
	unsigned int digits;

	if (s.len < 4 || s.ptr[1] != 'E' || (s.ptr[3] != 'S' && s.ptr[3] != 'f'))
		return 0;
	if (s.ptr[2] == '*')
		digits = digits_needed(t->wall_ns);
	else if (s.ptr[2] >= '0' && s.ptr[2] <= '9')
		digits = (unsigned int)(s.ptr[2] - '0');
	else
		return 0;
	if (s.ptr[3] == 'S')
		buf_printf(out, digits ? "%02d." : "%02d", t->tm.tm_sec);
	append_digits(t->wall_ns, digits, out);
	return 4;
}

static size_t append_strftime(const struct moment *t, struct slice s, struct buf *out)
{
	bool modified = s.len > 2 && (s.ptr[1] == 'E' || s.ptr[1] == 'O');
	size_t n = modified ? 3 : 2;
	char spec[4] = "", text[SPEC_TEXT_MAX];

	memcpy(spec, s.ptr, n);
	buf_add(out, text, strftime(text, sizeof(text), spec, &t->tm));
	return n;
}

/* The conversion at the front of @s, which begins with '%'. Returns bytes used. */
static size_t append_spec(const struct moment *t, struct slice s, struct buf *out)
{
	size_t used;

	if (s.len < 2) {
		buf_add_char(out, '%');
		return 1;
	}
	if (s.ptr[1] == 's') {
		buf_add_u64(out, t->wall_ns / NSEC_PER_SEC);
		return 2;
	}
	if (s.ptr[1] == 'f') {
		append_digits(t->wall_ns, 9, out);
		return 2;
	}
	if (s.len > 2 && s.ptr[1] >= '1' && s.ptr[1] <= '9' && s.ptr[2] == 'f') {
		append_digits(t->wall_ns, (unsigned int)(s.ptr[1] - '0'), out);
		return 3;
	}
	used = append_extended(t, s, out);
	if (!used)
		used = append_zone(t, s, out);
	return used ? used : append_strftime(t, s, out);
}

static void moment_set(struct moment *t, uint64_t wall_ns, bool local)
{
	time_t s = (time_t)(wall_ns / NSEC_PER_SEC);

	t->wall_ns = wall_ns - wall_ns % 1000; /* Envoy's clock has microseconds */
	if (local) {
		localtime_r(&s, &t->tm);
		return;
	}
	gmtime_r(&s, &t->tm);
	t->tm.tm_zone = "UTC";
}

/* "2026-11-23T14:42:08.276Z": each log line has it, so the part down to seconds is kept. */
static void append_default(uint64_t wall_ns, struct buf *out)
{
	static _Thread_local uint64_t kept_second = UINT64_MAX;
	static _Thread_local char kept[64];
	static _Thread_local size_t kept_len;

	if (kept_second != wall_ns / NSEC_PER_SEC) {
		struct moment t;

		moment_set(&t, wall_ns, false);
		kept_len = strftime(kept, sizeof(kept), "%Y-%m-%dT%H:%M:%S.", &t.tm);
		kept_second = wall_ns / NSEC_PER_SEC;
	}
	buf_add(out, kept, kept_len);
	append_digits(wall_ns, 3, out);
	buf_add_char(out, 'Z');
}

void time_append(uint64_t wall_ns, struct slice format, bool local, struct buf *out)
{
	struct moment t;

	if (!format.len && !local) {
		append_default(wall_ns, out);
		return;
	}
	if (!format.len)
		format = SLICE("%Y-%m-%dT%H:%M:%S.%3f%z");
	moment_set(&t, wall_ns, local);
	for (size_t i = 0; i < format.len;) {
		struct slice rest = slice_skip(format, i);

		if (rest.ptr[0] == '%') {
			i += append_spec(&t, rest, out);
		} else {
			buf_add_char(out, rest.ptr[0]);
			i++;
		}
	}
}
