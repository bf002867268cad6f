/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * model_scenes.h: what model.c plays. */
#ifndef SENNIT_MODEL_SCENES_H
#define SENNIT_MODEL_SCENES_H

#include <stdbool.h>

struct model_scene {
    const char *name;
    void (*start)(void); /* plain stores: before the threads */
    void (*fn[3])(void);
    void (*end)(void);
};
extern const struct model_scene model_scenes[];

void model_sleep(const volatile void *on);
void model_wake(const volatile void *on);
void model_read(const void *p);
void model_write(const void *p);
void model_check(bool fine, const char *what);

#endif
