/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over files and folders of inputs, without libFuzzer: how `make check` keeps
 * every input that ever mattered. No input at all is a failure: a corpus that nobody sees is none.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_ROOM 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static unsigned long inputs;

static int replay_file(const char *path, size_t size)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc(size ? size : 1); /* exactly the size: an over-read is seen */
	int rc = -1;

	if (!f || !data || fread(data, 1, size, f) != size) {
		fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
		goto out;
	}
	/* Said before the run: after a crash it is the last line. */
	printf("input %s (%zu bytes)\n", path, size);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, size);
	inputs++;
	rc = 0;
out:
	free(data);
	if (f)
		fclose(f);
	return rc;
}

static int replay(const char *path)
{
	struct dirent *d;
	struct stat st;
	int failed = 0;
	DIR *dir;

	if (stat(path, &st)) {
		fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
		return -1;
	}
	if (!S_ISDIR(st.st_mode))
		return replay_file(path, (size_t)st.st_size);
	dir = opendir(path);
	if (!dir) {
		fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
		return -1;
	}
	while ((d = readdir(dir))) {
		char in[PATH_ROOM];

		if (d->d_name[0] == '.')
			continue;
		snprintf(in, sizeof(in), "%s/%s", path, d->d_name);
		failed |= replay(in);
	}
	closedir(dir);
	return failed;
}

int main(int argc, char **argv)
{
	int failed = 0;

	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	for (int i = 1; i < argc; i++)
		failed |= replay(argv[i]);
	printf("%lu inputs replayed\n", inputs);
	if (!inputs)
		fprintf(stderr, "replay: no inputs: give files or folders that have some\n");
	return failed || !inputs;
}
