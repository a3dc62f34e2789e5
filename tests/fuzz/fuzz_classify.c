/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the executable classifier, which reads ELF files that a pod brings along.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "datapath/datapath_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("elf", MFD_CLOEXEC);

	if (fd < 0)
		return 0;
	if (write(fd, data, size) == (ssize_t)size) {
		enum skiff_exec_verdict program = classify_file(fd, false);
		enum skiff_exec_verdict library = classify_file(fd, true);

		/* a library is asked less: what is plain as a program is plain as a library */
		must(program != SKIFF_EXEC_PLAIN || library == SKIFF_EXEC_PLAIN);
	}
	close(fd);
	return 0;
}
