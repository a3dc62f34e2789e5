/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities, no-new-privs, seccomp. */
#include "cmd/harden.h"

#include <cap-ng.h>
#include <errno.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>

/* What a skiffd with pods goes on doing: enter namespaces (SYS_ADMIN), set marks and attach to them
 * (NET_ADMIN), change maps (BPF), read executables of other users to classify them
 * (DAC_READ_SEARCH, SYS_PTRACE for /proc/PID/exe). Low ports may come with a new configuration
 * (NET_BIND_SERVICE). */
static const unsigned int for_pods[] = { CAP_SYS_ADMIN, CAP_NET_ADMIN,       CAP_BPF,
					 CAP_PERFMON,   CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE };

static int drop_capabilities(bool pods, struct err *e)
{
	if (geteuid() != 0)
		return 0; /* there is nothing to drop */
	capng_clear(CAPNG_SELECT_BOTH);
	capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
		     CAP_NET_BIND_SERVICE);
	for (size_t i = 0; pods && i < ARRAY_LEN(for_pods); i++)
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
			     for_pods[i]);
	if (capng_apply(CAPNG_SELECT_BOTH) != 0)
		return err_set(e, -EPERM, "cannot drop capabilities");
	return 0;
}

/* Never needed, whatever the configuration: a breach of the proxy shall not get them. */
static const int refused[] = {
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(pivot_root),
	SCMP_SYS(chroot),
	SCMP_SYS(move_mount),
	SCMP_SYS(open_tree),
	SCMP_SYS(fsopen),
	SCMP_SYS(fsmount),
	SCMP_SYS(swapon),
	SCMP_SYS(swapoff),
	SCMP_SYS(reboot),
	SCMP_SYS(sethostname),
	SCMP_SYS(setdomainname),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(keyctl),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(acct),
	SCMP_SYS(settimeofday),
	SCMP_SYS(clock_settime),
	SCMP_SYS(adjtimex),
	SCMP_SYS(ioperm),
	SCMP_SYS(iopl),
	SCMP_SYS(quotactl),
	SCMP_SYS(personality),
	SCMP_SYS(setuid),
	SCMP_SYS(setgid),
	SCMP_SYS(setreuid),
	SCMP_SYS(setregid),
	SCMP_SYS(setresuid),
	SCMP_SYS(setresgid),
	SCMP_SYS(setgroups),
	SCMP_SYS(mknod),
	SCMP_SYS(mknodat),
};

static int install_filter(struct err *e)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r = 0;

	if (!ctx)
		return err_set(e, -ENOMEM, "seccomp: no memory");
	for (size_t i = 0; i < ARRAY_LEN(refused) && r == 0; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r < 0 ? err_set(e, r, "seccomp: %s", strerror(-r)) : 0;
}

int harden(bool pods, struct err *e)
{
	int r = drop_capabilities(pods, e);

	if (r < 0)
		return r;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(e, -errno, "no-new-privs: %s", strerror(errno));
	return install_filter(e);
}
