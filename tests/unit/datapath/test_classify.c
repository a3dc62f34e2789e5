/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which executables count as splicing (datapath/classify.c), over ELF files made here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "datapath/datapath_impl.h"

/* What goes into a made-up ELF file. */
struct plan {
	const char *symbol;  /* of .dynsym; NULL: no .dynsym */
	bool defined;        /* here, not imported */
	bool interpreter;    /* PT_INTERP: dynamically linked */
	const char *section; /* name of one more section */
};

#define NAMES_MAX 256

struct file {
	Elf64_Ehdr head;
	Elf64_Phdr program;
	Elf64_Shdr sections[5];
	Elf64_Sym symbols[2];
	char symbol_names[NAMES_MAX];
	char section_names[NAMES_MAX];
};

static Elf64_Word name_add(char *names, const char *name)
{
	size_t at = 1;

	while (names[at])
		at += strlen(names + at) + 1;
	must(at + strlen(name) + 1 < NAMES_MAX);
	memcpy(names + at, name, strlen(name) + 1);
	return (Elf64_Word)at;
}

static Elf64_Shdr section_of(struct file *f, const char *name, Elf64_Word type, size_t at, size_t n)
{
	return (Elf64_Shdr){
		.sh_name = name_add(f->section_names, name),
		.sh_type = type,
		.sh_offset = at,
		.sh_size = n,
	};
}

static void file_make(struct file *f, const struct plan *plan)
{
	memset(f, 0, sizeof(*f));
	memcpy(f->head.e_ident, ELFMAG, SELFMAG);
	f->head.e_ident[EI_CLASS] = ELFCLASS64;
	f->head.e_ident[EI_DATA] = ELFDATA2LSB;
	f->head.e_ident[EI_VERSION] = EV_CURRENT;
	f->head.e_type = ET_DYN;
	f->head.e_machine = EM_X86_64;
	f->head.e_version = EV_CURRENT;
	f->head.e_ehsize = sizeof(f->head);
	f->head.e_phoff = offsetof(struct file, program);
	f->head.e_phentsize = sizeof(f->program);
	f->head.e_phnum = 1;
	f->head.e_shoff = offsetof(struct file, sections);
	f->head.e_shentsize = sizeof(f->sections[0]);
	f->head.e_shnum = 5;
	f->head.e_shstrndx = 4;
	f->program.p_type = plan->interpreter ? PT_INTERP : PT_LOAD;
	if (plan->symbol) {
		f->symbols[1].st_name = name_add(f->symbol_names, plan->symbol);
		f->symbols[1].st_shndx = plan->defined ? 1 : SHN_UNDEF;
		f->sections[1] = section_of(f, ".dynsym", SHT_DYNSYM,
					    offsetof(struct file, symbols), sizeof(f->symbols));
		f->sections[1].sh_link = 2;
		f->sections[1].sh_entsize = sizeof(f->symbols[0]);
	}
	f->sections[2] = section_of(f, ".dynstr", SHT_STRTAB, offsetof(struct file, symbol_names),
				    NAMES_MAX);
	if (plan->section)
		f->sections[3] = section_of(f, plan->section, SHT_PROGBITS, 0, 0);
	f->sections[4] = section_of(f, ".shstrtab", SHT_STRTAB,
				    offsetof(struct file, section_names), NAMES_MAX);
}

static enum skiff_exec_verdict classify_bytes(const void *bytes, size_t n, bool library)
{
	int fd = memfd_create("elf", MFD_CLOEXEC);
	enum skiff_exec_verdict verdict;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	verdict = classify_file(fd, library);
	close(fd);
	return verdict;
}

static void by_imports(void **state)
{
	static const struct {
		struct plan plan;
		bool library;
		enum skiff_exec_verdict verdict;
	} cases[] = {
		{{"recv", false, true, NULL}, false, SKIFF_EXEC_PLAIN},
		{{"sendfile", false, true, NULL}, false, SKIFF_EXEC_PLAIN},
		{{"splice", false, true, NULL}, false, SKIFF_EXEC_SPLICES},
		{{"vmsplice", false, true, NULL}, false, SKIFF_EXEC_SPLICES},
		{{"tee", false, true, NULL}, false, SKIFF_EXEC_SPLICES},
		{{"splice_array", false, true, NULL}, false, SKIFF_EXEC_PLAIN},
		{{"splice", true, true, NULL}, false, SKIFF_EXEC_PLAIN}, /* its own function */
		/* static programs call the kernel themselves */
		{{NULL, false, false, NULL}, false, SKIFF_EXEC_SPLICES},
		{{"recv", false, false, NULL}, false, SKIFF_EXEC_SPLICES},
		{{NULL, false, true, NULL}, false, SKIFF_EXEC_SPLICES},
		/* so does Go, also with cgo */
		{{"recv", false, true, ".gopclntab"}, false, SKIFF_EXEC_SPLICES},
		{{"recv", false, true, ".note.go.buildid"}, false, SKIFF_EXEC_SPLICES},
		{{"recv", false, true, ".go.buildinfo"}, false, SKIFF_EXEC_SPLICES},
		{{"recv", false, true, ".note.gnu.build-id"}, false, SKIFF_EXEC_PLAIN},
		/* libraries: only what they import */
		{{"recv", false, false, NULL}, true, SKIFF_EXEC_PLAIN},
		{{"splice", true, false, NULL}, true, SKIFF_EXEC_PLAIN}, /* the C library */
		{{"splice", false, false, NULL}, true, SKIFF_EXEC_SPLICES},
		{{NULL, false, false, NULL}, true, SKIFF_EXEC_PLAIN},
	};
	struct file f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		print_message("case %zu\n", i);
		file_make(&f, &cases[i].plan);
		assert_int_equal(classify_bytes(&f, sizeof(f), cases[i].library),
				 cases[i].verdict);
	}
}

static void what_is_no_elf_counts_as_splicing(void **state)
{
	struct file f;

	(void)state;
	assert_int_equal(classify_bytes("", 0, false), SKIFF_EXEC_SPLICES);
	assert_int_equal(classify_bytes("#!/bin/sh\n", 10, false), SKIFF_EXEC_SPLICES);
	assert_int_equal(classify_bytes("#!/bin/sh\n", 10, true), SKIFF_EXEC_SPLICES);
	file_make(&f, &(struct plan){"recv", false, true, NULL});
	/* cut within what is looked at: never more lenient than the whole */
	for (size_t n = 0; n < offsetof(struct file, symbols); n++)
		assert_int_equal(classify_bytes(&f, n, false), SKIFF_EXEC_SPLICES);
}

static void this_process_and_a_gone_one(void **state)
{
	(void)state;
	/* linked with the C library and others, some of which may splice: but it is judged */
	assert_int_not_equal(classify_process((uint32_t)getpid()), SKIFF_EXEC_UNKNOWN);
	assert_int_equal(classify_process(0x7ffffff0), SKIFF_EXEC_UNKNOWN);
}

/* A child of this program that ends within @us. */
static pid_t short_child(useconds_t us)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		usleep(us);
		_exit(0);
	}
	return pid;
}

/* While it is looked at a process may end: then nothing is known, whatever had been seen. */
static void one_that_ends_meanwhile(void **state)
{
	enum skiff_exec_verdict alive = classify_process((uint32_t)getpid()), v;
	unsigned int gone = 0;

	(void)state;
	for (useconds_t us = 0; us < 1000; us++) {
		pid_t pid = short_child(us);

		v = classify_process((uint32_t)pid);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		if (v != alive && v != SKIFF_EXEC_UNKNOWN)
			fail_msg("%d instead of %d, after %u us", v, alive, us);
		gone += v == SKIFF_EXEC_UNKNOWN;
	}
	assert_in_range(gone, 1, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_imports),
		cmocka_unit_test(what_is_no_elf_counts_as_splicing),
		cmocka_unit_test(this_process_and_a_gone_one),
		cmocka_unit_test(one_that_ends_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
