/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * blocks.h: freed blocks of 512 octets to 4 MiB, kept for the next taker. Behind sys.malloc and
 * sys.free alone. The system's allocator gives large blocks back to the kernel at each free, and
 * every page costs a fault when it comes again: a third of the time of a 64 KiB call. Smaller ones
 * it keeps, but each thread's apart from all others'. */
#ifndef SENNIT_BASE_BLOCKS_H
#define SENNIT_BASE_BLOCKS_H

#include "base/base.h"

size_t blocks_size(size_t size); /* the least size above it that is kept; or size, if it is large */
size_t blocks_large(size_t size); /* what to ask the system for: blocks_size from 16 KiB on */
void *blocks_take(size_t size);   /* NULL: none is there */
bool blocks_keep(void *p);        /* false: free it */
/* Releases what nobody has needed since the last call. True: some are left, call again. */
bool blocks_trim(void (*release)(void *));

#endif
