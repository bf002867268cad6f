/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * scene.h: what the scenes share: workers, items, and the state of the runtime before each run. */
#ifndef SENNIT_MODEL_SCENE_H
#define SENNIT_MODEL_SCENE_H

#include "model.h"
#include "rt/rt_private.h"

extern struct rt_g model_gs[MODEL_THREADS]; /* model.c: the stand-ins of the threads */

enum { SCENE_ITEMS = 12 };
extern struct rt_worker scene_workers[MODEL_THREADS];
extern struct rt_task scene_tasks[SCENE_ITEMS];
extern int scene_data[SCENE_ITEMS], scene_ran[SCENE_ITEMS];

/* The first n threads are workers, the others plain threads. Tasks count in scene_ran. */
void scene_runtime(int n);
/* As whoever makes an item and whoever gets it: its data go with it. */
uintptr_t scene_item(int i);
bool scene_got(uintptr_t item); /* false: it was none */
int scene_sum(void);            /* of scene_ran */

#endif
