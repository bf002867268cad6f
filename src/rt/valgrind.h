/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * valgrind.h: what Valgrind must be told about stacks, or it takes a switch for a huge frame and
 * all that stands there for undefined. Its client requests are an instruction sequence that does
 * nothing elsewhere, so that they are in every build, whether its header is there or not: the magic
 * is rotations of %rdi by 128 bits in all and an exchange of %rbx with itself; %rax points to the
 * request and five arguments, %rdx holds the answer. On x86-64; elsewhere nothing is told. */
#ifndef SENNIT_RT_VALGRIND_H
#define SENNIT_RT_VALGRIND_H

#include "base/base.h"

enum { VALGRIND_RUNNING = 0x1001, VALGRIND_REGISTER = 0x1501, VALGRIND_DEREGISTER = 0x1502 };

static inline uintptr_t valgrind_ask(uintptr_t request, uintptr_t a, uintptr_t b)
{
    uintptr_t answer = 0;
#if defined(__x86_64__)
    volatile uintptr_t args[6] = { request, a, b };
    __asm__ volatile("rolq $3, %%rdi\n\trolq $13, %%rdi\n\trolq $61, %%rdi\n\trolq $51, %%rdi\n\t"
                     "xchgq %%rbx, %%rbx"
                     : "+d"(answer)
                     : "a"(args)
                     : "cc", "memory");
#else
    (void)request, (void)a, (void)b;
#endif
    return answer;
}

#endif
