/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does an executable splice(2) from sockets? Bytes that sk_msg put into its socket would be
 * invisible to it. Read from the dynamic symbols that it and its libraries import; what cannot be
 * told (Go, static programs, unreadable files) counts as splicing. It is a guess on the safe side,
 * not a proof: a raw syscall(2) in a dynamic program is not seen.
 */
#include "datapath/datapath_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <unistd.h>

#define LIBRARIES_MAX 256 /* of one process; beyond, it counts as splicing */

/* sendfile is not here: it reads files, and writing into a socket is always safe. */
static const char *const splicers[] = {"splice", "vmsplice", "tee"};

/* A Go program calls the kernel itself, whatever it imports. */
static const char *const go_sections[] = {".note.go.buildid", ".gopclntab", ".go.buildinfo"};

static bool is_one_of(const char *name, const char *const *list, size_t n)
{
	for (size_t i = 0; name && i < n; i++) {
		if (strcmp(name, list[i]) == 0)
			return true;
	}
	return false;
}

/* Is one of the splicers among the symbols that the file wants from others? */
static bool imports_splicer(Elf *elf, Elf_Scn *scn, const GElf_Shdr *shdr)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t n = data && shdr->sh_entsize ? data->d_size / shdr->sh_entsize : 0;
	GElf_Sym sym;

	for (size_t i = 0; i < n; i++) {
		if (!gelf_getsym(data, (int)i, &sym) || sym.st_shndx != SHN_UNDEF)
			continue;
		if (is_one_of(elf_strptr(elf, shdr->sh_link, sym.st_name), splicers,
			      ARRAY_LEN(splicers)))
			return true;
	}
	return false;
}

static enum skiff_exec_verdict classify_elf(Elf *elf, bool library)
{
	Elf_Scn *scn = NULL;
	bool dynamic = false;
	size_t names;
	GElf_Shdr shdr;

	if (elf_kind(elf) != ELF_K_ELF || elf_getshdrstrndx(elf, &names) < 0)
		return SKIFF_EXEC_SPLICES;
	while ((scn = elf_nextscn(elf, scn))) {
		if (!gelf_getshdr(scn, &shdr))
			return SKIFF_EXEC_SPLICES;
		if (is_one_of(elf_strptr(elf, names, shdr.sh_name), go_sections,
			      ARRAY_LEN(go_sections)))
			return SKIFF_EXEC_SPLICES;
		if (shdr.sh_type != SHT_DYNSYM)
			continue;
		dynamic = true;
		if (imports_splicer(elf, scn, &shdr))
			return SKIFF_EXEC_SPLICES;
	}
	return dynamic || library ? SKIFF_EXEC_PLAIN : SKIFF_EXEC_SPLICES;
}

/* A static-pie program has dynamic symbols but no interpreter: nobody resolves its imports. */
static bool has_interpreter(Elf *elf)
{
	size_t n = 0;
	GElf_Phdr phdr;

	if (elf_getphdrnum(elf, &n) < 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (gelf_getphdr(elf, (int)i, &phdr) && phdr.p_type == PT_INTERP)
			return true;
	}
	return false;
}

enum skiff_exec_verdict classify_file(int fd, bool library)
{
	enum skiff_exec_verdict verdict = SKIFF_EXEC_SPLICES;
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!elf)
		return verdict;
	if (library || has_interpreter(elf))
		verdict = classify_elf(elf, library);
	elf_end(elf);
	return verdict;
}

/* ---- a running process ----------------------------------------------------------------------- */

/* One mapping of a file with code. */
struct mapping {
	unsigned long from, to;
	const char *path;
};

static bool mapping_parse(char *line, struct mapping *ret_m)
{
	struct mapping m;
	char perms[8];
	int at = 0;

	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "%lx-%lx %7s %*s %*s %*s %n", &m.from, &m.to, perms, &at) < 3 || !at ||
	    perms[2] != 'x' || line[at] != '/')
		return false;
	m.path = line + at;
	*ret_m = m;
	return true;
}

/* By range, not by path: the pod's symbolic links are not followed, deleted files are found. */
static enum skiff_exec_verdict classify_library(uint32_t tgid, const struct mapping *m)
{
	enum skiff_exec_verdict verdict;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/map_files/%lx-%lx", tgid, m->from, m->to);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return SKIFF_EXEC_SPLICES; /* unmapped since: cannot be told */
	verdict = classify_file(fd, true);
	close(fd);
	return verdict;
}

static enum skiff_exec_verdict classify_libraries(uint32_t tgid)
{
	enum skiff_exec_verdict verdict = SKIFF_EXEC_PLAIN;
	char line[PATH_MAX + 128], last[PATH_MAX + 128] = "", path[64];
	int left = LIBRARIES_MAX;
	struct mapping m;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%u/maps", tgid);
	maps = fopen(path, "re");
	if (!maps)
		return SKIFF_EXEC_SPLICES;
	while (verdict == SKIFF_EXEC_PLAIN && fgets(line, sizeof(line), maps)) {
		if (!mapping_parse(line, &m) || strcmp(m.path, last) == 0)
			continue;
		snprintf(last, sizeof(last), "%s", m.path);
		verdict = left-- > 0 ? classify_library(tgid, &m) : SKIFF_EXEC_SPLICES;
	}
	fclose(maps);
	return verdict;
}

enum skiff_exec_verdict classify_process(uint32_t tgid)
{
	enum skiff_exec_verdict verdict;
	char path[64], one;
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/exe", tgid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return SKIFF_EXEC_UNKNOWN; /* gone: the next one of its kind is asked about */
	verdict = classify_file(fd, false);
	close(fd);
	if (verdict != SKIFF_EXEC_PLAIN)
		return verdict;
	verdict = classify_libraries(tgid);
	/* One that ended meanwhile had no libraries any more, or none that could be opened. */
	return readlink(path, &one, 1) < 0 ? SKIFF_EXEC_UNKNOWN : verdict;
}
