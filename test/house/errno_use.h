/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * errno_use.h: see errno_use.c. Returns whether errno was another thread's. */
#ifndef SENNIT_TEST_ERRNO_USE_H
#define SENNIT_TEST_ERRNO_USE_H

int errno_use(int value);

#endif
