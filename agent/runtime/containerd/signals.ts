// Numbers CRI gives stop signals; they are the alphabet's, not the kernel's.

const NAMED = "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN".split(" ");
const RTMIN = 35;
const RTMAX = 65;

/** CRI's number of `SIGTERM`, `SIGRTMIN+3` and the like; 0, the image's default, for what it does not know. */
export function criSignal(name: string): number {
  const relative = /^SIGRT(MIN\+|MAX-)(\d+)$/.exec(name);
  if (relative) return relative[1] === "MIN+" ? RTMIN + Number(relative[2]) : RTMAX - Number(relative[2]);
  if (name === "SIGRTMAX") return RTMAX;
  return NAMED.indexOf(name.replace(/^SIG/, "")) + 1;
}
