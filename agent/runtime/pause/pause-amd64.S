# The process that holds a pod's namespaces: sleeps, reaps orphans, and exits at once on SIGTERM or SIGINT.
# Signals are blocked and then waited for, because an init process is only sent blocked or handled signals.
	.globl _start
	.text
_start:
	push	$0x14002		# set: SIGINT | SIGTERM | SIGCHLD
	mov	%rsp, %rbx
	mov	$14, %eax		# rt_sigprocmask(SIG_BLOCK, set, NULL, 8)
	xor	%edi, %edi
	mov	%rbx, %rsi
	xor	%edx, %edx
	mov	$8, %r10d
	syscall
wait:
	mov	$128, %eax		# rt_sigtimedwait(set, NULL, NULL, 8)
	mov	%rbx, %rdi
	xor	%esi, %esi
	xor	%edx, %edx
	mov	$8, %r10d
	syscall
	test	%eax, %eax
	js	wait
	cmp	$17, %eax		# SIGCHLD
	jne	quit
reap:
	mov	$61, %eax		# wait4(-1, NULL, WNOHANG, NULL)
	mov	$-1, %rdi
	xor	%esi, %esi
	mov	$1, %edx
	xor	%r10d, %r10d
	syscall
	test	%eax, %eax
	jg	reap
	jmp	wait
quit:
	mov	$231, %eax		# exit_group(0)
	xor	%edi, %edi
	syscall
	.section .note.GNU-stack, "", %progbits
