// The seccomp profile of sandboxes: what a pause process and the runtime that starts it need, and nothing else.
// The runtime's own profile names three times as many calls on three architectures, and compiling it takes a third of the time a sandbox needs to start.
import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { SecurityProfile } from "../runtime/runtime.ts";

/** Memory, threads, signals, time and files a process has or opens: no sockets, no mounts, no other processes' business. */
const CALLS = `
  access arch_prctl brk capget capset chdir clock_getres clock_gettime clock_nanosleep clone clone3 close close_range dup dup2 dup3
  epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd2 execve execveat exit exit_group
  faccessat faccessat2 fchdir fcntl fstat fstatfs futex getcwd getdents64 getegid geteuid getgid getgroups getpgid getpgrp getpid getppid
  getrandom getresgid getresuid getrlimit getsid gettid gettimeofday getuid ioctl lseek lstat madvise membarrier memfd_create mincore mmap mprotect mremap munmap
  nanosleep newfstatat open openat openat2 pipe2 poll ppoll prctl pread64 prlimit64 pselect6 pwrite64 read readlink readlinkat readv restart_syscall rseq
  rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait sched_getaffinity sched_yield sendfile set_robust_list set_tid_address
  setgid setgroups setresgid setresuid setuid sigaltstack stat statfs statx tgkill timer_create timer_delete timer_settime umask uname wait4 waitid write writev
`.trim().split(/\s+/);

/** The profile as a file holds it; without architectures it is for the machine's own alone. */
export function pauseProfile(): object {
  return { defaultAction: "SCMP_ACT_ERRNO", syscalls: [{ names: CALLS, action: "SCMP_ACT_ALLOW" }] };
}

/** Failures in a row. */
const MAX_MISFITS = 3;
const STARTER_FAILED = /OCI runtime|seccomp|not permitted|container task/i;

/** Which profile sandboxes get: the narrow one, as long as the runtime can start them under it. */
export class PauseProfile {
  #written: Promise<void> | undefined;
  #misfits = 0;

  /** The file is written when it is first needed. */
  constructor(readonly path: string) {}

  /** For a pod whose last so many sandboxes failed, and for a runtime of its own choice or none. */
  async choose({ failures, runtimeHandler }: { readonly failures: number; readonly runtimeHandler: string }): Promise<SecurityProfile> {
    if (failures > 0 || runtimeHandler !== "" || this.#misfits >= MAX_MISFITS) return { type: "RuntimeDefault" };
    this.#written ??= this.#write();
    return this.#written.then(() => ({ type: "Localhost", localhostRef: this.path }), () => {
      this.#written = undefined;
      return { type: "RuntimeDefault" };
    });
  }

  /** A sandbox runs under this profile. */
  worked(profile: SecurityProfile): void {
    if (profile.type === "Localhost") this.#misfits = 0;
  }

  /** A sandbox could not be made. Where it is the program starting it that failed, that may be another runc than the list was made for. */
  failed(profile: SecurityProfile, message: string): void {
    if (profile.type === "Localhost" && STARTER_FAILED.test(message)) this.#misfits++;
  }

  async #write(): Promise<void> {
    await mkdir(dirname(this.path), { recursive: true });
    await writeFile(this.path, JSON.stringify(pauseProfile()), { mode: 0o600 });
  }
}
