/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * The program of the test projects: JSON in, wire, JSON out. */
#include "note.sennit.h"

#include <stdio.h>

int main(void)
{
    sennit_auto(sennit_arena) *a = sennit_arena_new();
    sennit_str json = sennit_s("{\"text\":\"hi\",\"when\":\"2026-01-02T03:04:05Z\"}");
    note_Note in, out;
    sennit_err err = note_Note_from_json(a, json, NULL, &in);
    if (!err)
        err = note_Note_decode(a, note_Note_encode(a, &in), &out);
    if (!err)
        err = note_Note_to_json(a, &out, NULL, &json);
    puts(err ? err->message : json.data);
    return err != NULL;
}
