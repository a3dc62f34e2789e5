/* SPDX-License-Identifier: Apache-2.0 */
/* What a peer's text does to a log line and to the terminal that shows it: nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <unistd.h>

#include "base/log.h"
#include "base/slice.h"

/* The line that the log writes for @text, behind its room; static. */
static const char *logged(const char *text)
{
	static char line[4096];
	int fds[2], err = dup(STDERR_FILENO);
	const char *at;
	ssize_t n;

	assert_int_equal(pipe(fds), 0);
	dup2(fds[1], STDERR_FILENO);
	log_error("test", "%s", text);
	dup2(err, STDERR_FILENO);
	close(err);
	close(fds[1]);
	n = read(fds[0], line, sizeof(line) - 1);
	close(fds[0]);
	assert_true(n > 0);
	line[n] = '\0';
	at = strstr(line, " test: ");
	assert_non_null(at);
	return at + 7;
}

static void control_characters_are_escaped(void **state)
{
	(void)state;
	assert_string_equal(logged("pod a\r\n2026 error"), "pod a\\r\\n2026 error\n");
	assert_string_equal(logged("\033[2J\tx\x7f"), "\\u001b[2J\\tx\\u007f\n");
	assert_string_equal(logged("\xc2\x9b" "31m"), "\\u009b31m\n");
	assert_string_equal(logged("\x9b" "31m\xff"), "\\x9b31m\\xff\n");
}

static void text_stays_as_it_is(void **state)
{
	(void)state;
	assert_string_equal(logged("caf\xc3\xa9 \xe8\xbd\xbb\xe8\x88\x9f \xf0\x9f\x9a\xa3 'a\\b'"),
			    "caf\xc3\xa9 \xe8\xbd\xbb\xe8\x88\x9f \xf0\x9f\x9a\xa3 'a\\b'\n");
}

static void no_character_hides_in_a_broken_one(void **state)
{
	(void)state;
	assert_string_equal(logged("\xe0\x80\x9b"), "\\xe0\\x80\\x9b\n"); /* too long */
	assert_string_equal(logged("\xc1\x9b"), "\\xc1\\x9b\n");
	assert_string_equal(logged("\xed\xa0\x80"), "\\xed\\xa0\\x80\n"); /* a surrogate */
	assert_string_equal(logged("\xc2"), "\\xc2\n");		       /* cut off */
}

static void long_lines_are_cut_between_characters(void **state)
{
	char text[4000];
	const char *line;
	size_t n;

	(void)state;
	memset(text, '\033', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	line = logged(text);
	n = strlen(line);
	assert_true(n > 1900 && n < 2048);
	assert_int_equal(n % SLICE_ESCAPED, 1);
	assert_string_equal(line + n - 7, "\\u001b\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(control_characters_are_escaped),
		cmocka_unit_test(text_stays_as_it_is),
		cmocka_unit_test(no_character_hides_in_a_broken_one),
		cmocka_unit_test(long_lines_are_cut_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
