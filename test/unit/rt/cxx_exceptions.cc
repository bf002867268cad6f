/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * cxx_exceptions.cc: exceptions in goroutines that park and move: within a catch block, between a
 * throw and the rethrow of what it threw, within a destructor while the stack is unwound. Each
 * goroutine must meet its own. Ends with 1 when one met another's, or none ever moved. */
#include "sennit.h"
#include <atomic>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <unistd.h>

static std::atomic<int> wrong, moved;

/* Parks, and so may come back on another thread. */
static void park()
{
    pid_t before = gettid();
    sennit_yield();
    (void)sennit_sleep(nullptr, 50000);
    moved += gettid() != before;
}

static void must(bool fine) { wrong += !fine; }

struct parks_when_it_goes {
    int id;
    ~parks_when_it_goes()
    {
        must(std::uncaught_exceptions() == 1);
        park();
        must(std::uncaught_exceptions() == 1);
        try {
            throw id + 1000;
        } catch (int other) {
            park();
            must(other == id + 1000);
        }
    }
};

static void throw_through_a_destructor(int id)
{
    parks_when_it_goes guard{ id };
    throw std::runtime_error(std::to_string(id));
}

static void one_turn(int id)
{
    try {
        try {
            throw_through_a_destructor(id);
        } catch (const std::exception &) {
            park();
            must(std::uncaught_exceptions() == 0);
            throw; /* what is being handled here, not in another goroutine */
        }
    } catch (const std::runtime_error &e) {
        std::exception_ptr mine = std::current_exception();
        park();
        must(e.what() == std::to_string(id));
        must(mine == std::current_exception());
    }
    must(std::current_exception() == nullptr);
}

struct crew {
    sennit_wait_group done;
    int id;
};
static crew all[64];

static void member(void *arg)
{
    crew *me = static_cast<crew *>(arg);
    for (int i = 0; i < 100; i++)
        one_turn(me->id);
    sennit_wait_group_done(&all[0].done);
}

int main()
{
    const int n = sizeof all / sizeof *all;
    sennit_runtime_options four{};
    four.threads = 4;
    if (sennit_runtime(&four))
        return 1;
    sennit_wait_group_add(&all[0].done, n);
    for (int i = 0; i < n; i++) {
        all[i].id = i;
        if (sennit_go(member, &all[i]))
            return 1;
    }
    (void)sennit_wait_group_wait(&all[0].done, nullptr);
    std::printf("%d wrong, moved %d times\n", wrong.load(), moved.load());
    return wrong != 0 || moved == 0;
}
