/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * switch_x86_64.S: the context switch. Saves what the ABI makes the callee keep, and nothing of the
 * floating point control words, which a worker sets when it starts. */
#if defined(__x86_64__)
    .text
/* void rt_switch(void **save, void *to) */
    .globl rt_switch
    .hidden rt_switch
    .type rt_switch, @function
    .p2align 4
rt_switch:
    .cfi_startproc
    endbr64
    pushq %rbp
    .cfi_adjust_cfa_offset 8
    pushq %rbx
    .cfi_adjust_cfa_offset 8
    pushq %r12
    .cfi_adjust_cfa_offset 8
    pushq %r13
    .cfi_adjust_cfa_offset 8
    pushq %r14
    .cfi_adjust_cfa_offset 8
    pushq %r15
    .cfi_adjust_cfa_offset 8
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    .cfi_adjust_cfa_offset -8
    popq %r14
    .cfi_adjust_cfa_offset -8
    popq %r13
    .cfi_adjust_cfa_offset -8
    popq %r12
    .cfi_adjust_cfa_offset -8
    popq %rbx
    .cfi_adjust_cfa_offset -8
    popq %rbp
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_endproc
    .size rt_switch, .-rt_switch

/* Where a new stack starts: r12 holds its rt_stack. Backtraces end here. */
    .globl rt_context_entry
    .hidden rt_context_entry
    .type rt_context_entry, @function
    .p2align 4
rt_context_entry:
    .cfi_startproc
    .cfi_undefined rip
    endbr64
    xorl %ebp, %ebp
    movq %r12, %rdi
    call rt_stack_main
    ud2
    .cfi_endproc
    .size rt_context_entry, .-rt_context_entry
#endif
#if defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
