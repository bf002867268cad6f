/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * hazard_plugin.c: code that test_hazards opens and closes while a goroutine waits in it. It links
 * nothing: who opens it gives it the call that waits. */
#define PLUGIN_API __attribute__((visibility("default")))
PLUGIN_API void *plugin_receive;
PLUGIN_API void plugin_wait(void *gate);
void plugin_wait(void *gate)
{
    ((const void *(*)(void *, void *, void *))plugin_receive)(gate, 0, 0);
    __asm__ volatile("");
}
