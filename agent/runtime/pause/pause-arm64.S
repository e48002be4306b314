// The process that holds a pod's namespaces: sleeps, reaps orphans, and exits at once on SIGTERM or SIGINT.
// Signals are blocked and then waited for, because an init process is only sent blocked or handled signals.
	.globl _start
	.text
_start:
	mov	x0, #0x4002		// set: SIGINT | SIGTERM | SIGCHLD
	movk	x0, #1, lsl #16
	str	x0, [sp, #-16]!
	mov	x19, sp
	mov	x8, #135		// rt_sigprocmask(SIG_BLOCK, set, NULL, 8)
	mov	x0, #0
	mov	x1, x19
	mov	x2, #0
	mov	x3, #8
	svc	#0
wait:
	mov	x8, #137		// rt_sigtimedwait(set, NULL, NULL, 8)
	mov	x0, x19
	mov	x1, #0
	mov	x2, #0
	mov	x3, #8
	svc	#0
	tbnz	w0, #31, wait
	cmp	w0, #17			// SIGCHLD
	b.ne	quit
reap:
	mov	x8, #260		// wait4(-1, NULL, WNOHANG, NULL)
	mov	x0, #-1
	mov	x1, #0
	mov	x2, #1
	mov	x3, #0
	svc	#0
	cmp	w0, #0
	b.gt	reap
	b	wait
quit:
	mov	x8, #94			// exit_group(0)
	mov	x0, #0
	svc	#0
	.section .note.GNU-stack, "", %progbits
