/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * switch_x86_64.S: the context switch. It saves the frame pointer alone: rt_switch_to tells the
 * compiler that all other registers are lost, and that keeps what it needs. Nothing of the floating
 * point control words, which a worker sets when it starts. */
#if defined(__x86_64__)
    .text
/* %rdi: where to save the stack pointer; %rsi: the one to go on with */
    .globl rt_switch
    .hidden rt_switch
    .type rt_switch, @function
    .p2align 4
rt_switch:
    .cfi_startproc
    pushq %rbp
    .cfi_adjust_cfa_offset 8
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %rbp
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_endproc
    .size rt_switch, .-rt_switch

/* Saves as rt_switch does and starts rt_stack_main(%rdx) on the stack whose end is %rsi. By a jump:
 * processors predict where a ret goes by the calls before. One that dies here leaves by a ret
 * without a call of its own (rt_switch_last), and so all rets of who comes back are foretold; a
 * call here would put them out of step (four times 5 ns when a goroutine starts and ends while
 * another waits for it). */
    .globl rt_switch_fresh
    .hidden rt_switch_fresh
    .type rt_switch_fresh, @function
    .p2align 4
rt_switch_fresh:
    .cfi_startproc
    pushq %rbp
    .cfi_adjust_cfa_offset 8
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    movq %rdx, %rdi
    xorl %ebp, %ebp
    leaq rt_context_end(%rip), %rax
    pushq %rax
    jmp rt_stack_main
    .cfi_endproc
    .size rt_switch_fresh, .-rt_switch_fresh

/* Whence rt_stack_main seems to have been called. Backtraces end here. */
    .type rt_context_entry, @function
rt_context_entry:
    .cfi_startproc
    .cfi_undefined rip
    nop
rt_context_end:
    ud2
    .cfi_endproc
    .size rt_context_entry, .-rt_context_entry
#endif
#if defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
