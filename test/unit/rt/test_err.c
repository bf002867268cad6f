/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_err.c: reasons and hints of errors. That every status of the library has one is checked over
 * the sources, by test/house/check_errors_doc. */
#include "harness.h"
#include "rt/err.h"
#include "rt/rt.h"

static void check_reason(sennit_err err, const char *reason)
{
    check_str(sennit_err_reason(err), reason);
    check(!sennit_err_hint(err)[0] == !reason[0]);
}

TEST(static_errors_have_reasons)
{
    check_reason(sennit_no_memory, "SENNIT-E303");
    check_reason(sennit_closed, "SENNIT-E132");
    check_reason(&err_ctx_cancelled, "SENNIT-E301");
    check_reason(&err_ctx_expired, "SENNIT-E302");
}

TEST(every_reason_is_found_with_its_code_and_hint){
#define ROW(number, name, status, hint)                                                            \
    {                                                                                              \
        sennit_err err = sennit_errorf(WHY(name), "text");                                         \
        check_int(err->code, SENNIT_##status);                                                     \
        check_str(sennit_err_reason(err), "SENNIT-E" #number);                                     \
        check_str(sennit_err_hint(err), hint);                                                     \
        check_str(err->message, "text");                                                           \
    }
    WHY_TABLE(ROW)
#undef ROW
}

TEST(errors_of_users_and_success_have_none)
{
    static const struct sennit_error mine = { .code = SENNIT_ABORTED, .message = "mine" };
    check_reason(NULL, "");
    check_reason(&mine, "");
    check_reason(sennit_errorf(SENNIT_NOT_FOUND, "no such file"), "");
    sennit_err odd = sennit_errorf((sennit_code)(999 << 8 | 5), "a number that is no reason");
    check_reason(odd, "");
    check_int(odd->code, 999 << 8 | 5);
}

TEST_FAULTS(copies_keep_the_reason)
{
    sennit_auto(sennit_arena) *a = sennit_arena_new();
    sennit_err err = sennit_errorf(WHY_AS(WHY(COMPRESSOR), SENNIT_INTERNAL), "no %s", "snappy");
    if (!a || err == sennit_no_memory) {
        check(test_under_fault());
        return;
    }
    sennit_err held = err_hold(err);
    sennit_err made[] = { sennit_err_copy(NULL, err), sennit_err_copy(a, err), err_own(err), held,
                          sennit_err_detail(err, "type/x", sennit_s("y")) };
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        check(made[i] != sennit_no_memory || test_under_fault());
        if (made[i] == sennit_no_memory)
            continue;
        check_reason(made[i], "SENNIT-E108");
        check_int(made[i]->code, SENNIT_INTERNAL);
    }
    err_drop(held);
}

__attribute__((constructor)) static void at_end(void) { test_at_end = rt_shutdown; }
