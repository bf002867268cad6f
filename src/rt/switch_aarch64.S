/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * switch_aarch64.S: the context switch. Saves x19-x30 and d8-d15, which the ABI makes the callee
 * keep. A signed return address stays good: a context resumes at the same sp. */
#if defined(__aarch64__)
    .text
/* void rt_switch(void **save, void *to) */
    .globl rt_switch
    .hidden rt_switch
    .type rt_switch, %function
    .p2align 4
rt_switch:
    .cfi_startproc
    hint #34
    sub sp, sp, #160
    .cfi_adjust_cfa_offset 160
    stp x19, x20, [sp]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    .cfi_adjust_cfa_offset -160
    ret
    .cfi_endproc
    .size rt_switch, .-rt_switch

/* Where a new stack starts: x19 holds its rt_stack. Backtraces end here. */
    .globl rt_context_entry
    .hidden rt_context_entry
    .type rt_context_entry, %function
    .p2align 4
rt_context_entry:
    .cfi_startproc
    .cfi_undefined x30
    hint #36
    mov x29, xzr
    mov x30, xzr
    msr fpcr, xzr
    mov x0, x19
    bl rt_stack_main
    brk #1
    .cfi_endproc
    .size rt_context_entry, .-rt_context_entry
#endif
#if defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
