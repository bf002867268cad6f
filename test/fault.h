/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * fault.h: makes the n-th system call or allocation that can fail do so. */
#ifndef SENNIT_TEST_FAULT_H
#define SENNIT_TEST_FAULT_H

#include <stdbool.h>

void fault_arm(long n); /* the n-th from now, once */
void fault_disarm(void);
bool fault_fired(void);    /* since it was armed */
void fault_short_io(void); /* reads and writes move one to three octets at a time */

#endif
