/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * test_loop.c: SENNIT_THREADS_NONE, sennit_loop_fd, sennit_loop_run, sennit_on_host; foreign
 * threads in both modes; fork before and after use. */
#include "echo.h"
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void no_threads(void)
{
    sennit_err err = sennit_runtime(&(sennit_runtime_options){ .threads = SENNIT_THREADS_NONE });
    check(!err);
}

static int threads_alive(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/task");
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n - test_thread_sanitized();
}

/* As a host does it: sleeps in poll alone, until *done. */
static void host_until(_Atomic bool *done)
{
    struct pollfd p = { .fd = sennit_loop_fd(), .events = POLLIN };
    for (bool more = true; !*done;) {
        check(poll(&p, 1, more ? 0 : -1) >= 0);
        more = sennit_loop_run(SENNIT_MILLISECOND);
    }
}

static bool readable(int fd, int ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    return poll(&p, 1, ms) == 1;
}

static void set_flag(void *arg) { *(_Atomic bool *)arg = true; }

TEST(goroutine_runs_in_the_loop_and_nowhere_else)
{
    _Atomic bool ran = false;
    no_threads();
    check(!sennit_go(set_flag, (void *)&ran));
    check(readable(sennit_loop_fd(), 0));
    check(!ran);
    check(!sennit_loop_run(SENNIT_SECOND));
    check(ran);
    check(!readable(sennit_loop_fd(), 0));
    check_int(threads_alive(), 1);
}

static void yield_for_ever(void *arg)
{
    while (!*(_Atomic bool *)arg)
        sennit_yield();
}

TEST(budget_ends_a_turn_and_the_descriptor_tells_that_work_is_left)
{
    static _Atomic bool stop; /* read until the goroutine ends, which nobody waits for */
    no_threads();
    check(!sennit_go(yield_for_ever, (void *)&stop));
    check(sennit_loop_run(0));
    check(readable(sennit_loop_fd(), 0));
    check(sennit_loop_run(SENNIT_MILLISECOND));
    check(readable(sennit_loop_fd(), 0));
    stop = true;
    check(!sennit_loop_run(10 * SENNIT_SECOND));
}

static void sleep_then_set(void *arg)
{
    sennit_sleep(NULL, 20 * SENNIT_MILLISECOND);
    set_flag(arg);
}

TEST(timers_make_the_descriptor_readable)
{
    _Atomic bool done = false;
    no_threads();
    check(!sennit_go(sleep_then_set, (void *)&done));
    int64_t start = sennit_now();
    host_until(&done);
    check(sennit_now() - start >= 20 * SENNIT_MILLISECOND);
}

TEST(waiting_on_the_loops_thread_runs_the_loop)
{
    no_threads();
    check(!sennit_sleep(NULL, 5 * SENNIT_MILLISECOND));
    sennit_wait_group done = { 0 };
    sennit_chan *c = sennit_chan_new(sizeof(int), 0);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 5 * SENNIT_MILLISECOND);
    int n;
    check(sennit_chan_recv(c, ctx, &n) == sennit_ctx_error(ctx));
    sennit_ctx_free(ctx);
    check(!sennit_wait_group_wait(&done, NULL));
    sennit_chan_free(c);
    check_int(threads_alive(), 1);
}

static void busy_past(void *due)
{
    sennit_sleep(NULL, SENNIT_MILLISECOND);
    while (sennit_now() < *(int64_t *)due) {
    }
}

/* The timer fires while the loop looks for more to do, not while it sleeps. */
TEST(timer_that_came_due_beside_a_busy_goroutine_ends_a_wait)
{
    static int64_t due; /* read until the goroutine ends, which nobody waits for */
    due = sennit_now() + 10 * SENNIT_MILLISECOND;
    no_threads();
    check(!sennit_go(busy_past, &due));
    check(!sennit_sleep(NULL, 5 * SENNIT_MILLISECOND));
}

/* -- RPCs -------------------------------------------------------------------------------------- */

static const struct echo_service plain = { .unary = echo_back };

TEST(loops_thread_calls_a_server_of_its_own)
{
    struct echo_server e;
    no_threads();
    echo_start(&e, &plain, NULL, (sennit_server_options){ 0 });
    sennit_conn *c = echo_dial(e.address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    struct echo_msg reply;
    for (int i = 0; i < 100; i++) {
        check(!echo_call(c, ctx, "hello", &reply));
        check_str(reply.text.data, "hello");
    }
    check_int(threads_alive(), 1);
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    echo_stop(&e);
}

struct caller {
    const char *address;
    _Atomic bool done;
    int right;
};

static void call_some(void *arg)
{
    struct caller *a = arg;
    sennit_conn *c = echo_dial(a->address);
    for (int i = 0; i < 50; i++) {
        sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
        struct echo_msg reply;
        if (!echo_call(c, ctx, "hello", &reply) && strcmp(reply.text.data, "hello") == 0)
            a->right++;
        sennit_ctx_free(ctx);
    }
    sennit_conn_free(c);
    a->done = true;
}

static void *call_some_thread(void *arg)
{
    call_some(arg);
    return NULL;
}

static void call_in_host_loop(const char *target_host)
{
    struct echo_server e;
    char address[160];
    no_threads();
    echo_start(&e, &plain, NULL, (sennit_server_options){ 0 });
    snprintf(address, sizeof address, "%s%s", target_host, strrchr(e.address, ':'));
    struct caller a = { .address = address };
    check(!sennit_go(call_some, &a));
    host_until(&a.done);
    check_int(a.right, 50);
    echo_stop(&e);
    check_int(threads_alive(), 1);
}
TEST(rpcs_in_the_hosts_loop) { call_in_host_loop("127.0.0.1"); }
TEST(names_are_looked_up_without_a_thread) { call_in_host_loop("localhost"); }

TEST(foreign_thread_calls_while_the_loop_runs)
{
    struct echo_server e;
    pthread_t t;
    no_threads();
    echo_start(&e, &plain, NULL, (sennit_server_options){ 0 });
    struct caller a = { .address = e.address };
    check(pthread_create(&t, NULL, call_some_thread, &a) == 0);
    struct pollfd p = { .fd = sennit_loop_fd(), .events = POLLIN };
    for (bool more = true; !a.done;) {
        poll(&p, 1, more ? 0 : 5); /* a.done alone makes nothing readable */
        more = sennit_loop_run(SENNIT_MILLISECOND);
    }
    pthread_join(t, NULL);
    check_int(a.right, 50);
    echo_stop(&e);
}

/* -- foreign threads, both modes --------------------------------------------------------------- */

static void add_up(void *arg) { ++*(_Atomic int *)arg; }

struct foreign {
    sennit_chan *chan;
    _Atomic int ran;
};

static void *foreign_main(void *arg)
{
    struct foreign *f = arg;
    for (int i = 1; i <= 100; i++) {
        check(!sennit_go(add_up, (void *)&f->ran));
        check(!sennit_chan_send(f->chan, NULL, &i));
    }
    return NULL;
}

static void foreign_sends(size_t capacity)
{
    struct foreign f = { .chan = sennit_chan_new(sizeof(int), capacity) };
    pthread_t t;
    int sum = 0;
    check(!sennit_sleep(NULL, 1)); /* starts: in test mode the first one has the loop */
    check(pthread_create(&t, NULL, foreign_main, &f) == 0);
    for (int i = 0, n = 0; i < 100; i++, sum += n)
        check(!sennit_chan_recv(f.chan, NULL, &n));
    pthread_join(t, NULL);
    check_int(sum, 5050);
    while (f.ran < 100)
        sennit_sleep(NULL, SENNIT_MILLISECOND);
    sennit_chan_free(f.chan);
}
TEST(foreign_thread_sends_with_threads) { foreign_sends(0); }
TEST(foreign_thread_sends_buffered_with_threads) { foreign_sends(7); }
TEST(foreign_thread_sends_without_threads) { no_threads(), foreign_sends(0); }
TEST(foreign_thread_sends_buffered_without_threads) { no_threads(), foreign_sends(7); }

static void *wake_later(void *arg)
{
    usleep(20000);
    check(!sennit_go(set_flag, arg));
    return NULL;
}

TEST(foreign_thread_wakes_the_host_from_its_sleep)
{
    _Atomic bool done = false;
    pthread_t t;
    no_threads();
    check(!sennit_loop_run(0));
    check(pthread_create(&t, NULL, wake_later, (void *)&done) == 0);
    host_until(&done);
    pthread_join(t, NULL);
}

/* -- on_host ----------------------------------------------------------------------------------- */

struct host_seen {
    pthread_t thread;
    const char *stack;
    bool in_goroutine;
    int n;
    _Atomic bool done;
};

static sennit_err look_at_host(void *arg)
{
    struct host_seen *s = arg;
    s->thread = pthread_self();
    s->stack = __builtin_frame_address(0);
    s->in_goroutine = rt_in_goroutine();
    s->n++;
    sennit_sleep(NULL, SENNIT_MILLISECOND); /* runs the loop inside */
    return sennit_errorf(SENNIT_ABORTED, "seen %d", s->n);
}

static void visit_host(void *arg)
{
    struct host_seen *s = arg;
    sennit_err err = sennit_on_host(look_at_host, s);
    check(err && err->code == SENNIT_ABORTED);
    check_str(err->message, "seen 1");
    sennit_yield();
    check_str(err->message, "seen 1");
    s->done = true;
}

static bool on_this_stack(const char *p)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0), there = (uintptr_t)p;
    return there < here + 4000000 && there > here - 4000000;
}

TEST(on_host_runs_on_the_stack_of_the_loops_thread)
{
    struct host_seen s = { .n = 0 };
    no_threads();
    check(!sennit_go(visit_host, &s));
    host_until(&s.done);
    check(pthread_equal(s.thread, pthread_self()));
    check(on_this_stack(s.stack));
    check(!s.in_goroutine);
    check_int(s.n, 1);
}

static void *visit_host_thread(void *arg)
{
    visit_host(arg);
    return NULL;
}

TEST(on_host_from_a_foreign_thread_and_from_the_host_itself)
{
    struct host_seen s = { .n = 0 };
    pthread_t t;
    no_threads();
    sennit_loop_fd();
    check(pthread_create(&t, NULL, visit_host_thread, &s) == 0);
    while (!s.done)
        sennit_sleep(NULL, SENNIT_MILLISECOND);
    pthread_join(t, NULL);
    check(pthread_equal(s.thread, pthread_self()));
    sennit_err err = sennit_on_host(look_at_host, &s);
    check_str(err->message, "seen 2");
}

TEST(on_host_and_the_loop_are_refused_with_threads)
{
    struct host_seen s = { .n = 0 };
    if (getenv("SENNIT_THREADS"))
        return; /* the whole program runs in the other mode */
    sennit_err err = sennit_on_host(look_at_host, &s);
    check(err && err->code == SENNIT_FAILED_PRECONDITION && s.n == 0);
    check_int(sennit_loop_fd(), -1);
    check(!sennit_loop_run(0));
    err = sennit_runtime(&(sennit_runtime_options){ .threads = SENNIT_THREADS_NONE });
    check(err && err->code == SENNIT_FAILED_PRECONDITION);
}

static sennit_err doze(void *arg)
{
    usleep(1000);
    check(pthread_equal(*(pthread_t *)arg, pthread_self()));
    return NULL;
}

static void block_some(void *arg)
{
    struct host_seen *s = arg;
    check(!sennit_blocking(NULL, doze, &s->thread));
    sennit_blocking_begin();
    sennit_blocking_end();
    s->done = true;
}

TEST(blocking_work_makes_no_thread)
{
    struct host_seen s = { .thread = pthread_self() };
    no_threads();
    check(!sennit_go(block_some, &s));
    host_until(&s.done);
    check_int(threads_alive(), 1);
}

TEST(pinned_goroutines_run_without_threads)
{
    _Atomic bool done = false;
    no_threads();
    check(!sennit_go_with(&(sennit_go_options){ .pin = true }, sleep_then_set, (void *)&done));
    host_until(&done);
}

TEST_FAULTS(start_without_threads_fails_cleanly)
{
    _Atomic bool done = false;
    no_threads();
    int fd = sennit_loop_fd();
    check(fd >= 0 || test_under_fault());
    sennit_err err = sennit_go(sleep_then_set, (void *)&done);
    check(!err || test_under_fault());
    if (!err)
        host_until(&done);
}

TEST(number_of_threads_is_checked)
{
    sennit_err err = sennit_runtime(&(sennit_runtime_options){ .threads = -2 });
    check(err && err->code == SENNIT_INVALID_ARGUMENT);
    check(!sennit_runtime(&(sennit_runtime_options){ .threads = 1 }));
    check(!sennit_sleep(NULL, 1));
    if (!getenv("SENNIT_THREADS"))
        check_int(rt_counts().workers, 1);
}

/* -- fork -------------------------------------------------------------------------------------- */

static int child_status(pid_t child)
{
    int status = 0;
    check(waitpid(child, &status, 0) == child);
    return status;
}

TEST(fork_before_first_use_starts_afresh)
{
    sennit_conn *c = echo_dial("127.0.0.1:1"); /* an object alone uses nothing */
    pid_t child = fork();
    struct echo_server e;
    echo_start(&e, &plain, NULL, (sennit_server_options){ 0 });
    struct caller a = { .address = e.address };
    call_some(&a);
    echo_stop(&e);
    sennit_conn_free(c);
    if (child == 0)
        exit(a.right == 50 && rt_shutdown() ? 0 : 9);
    check_int(child_status(child), 0);
    check_int(a.right, 50);
}

static void fork_after_use(void)
{
    struct echo_server e;
    echo_start(&e, &plain, NULL, (sennit_server_options){ 0 });
    sennit_conn *c = echo_dial(e.address);
    sennit_ctx *ctx = sennit_ctx_timeout(NULL, 10 * SENNIT_SECOND);
    struct echo_msg reply;
    check(!echo_call(c, ctx, "parent", &reply));
    pid_t child = fork();
    if (child == 0) {
        sennit_err err = echo_call(c, ctx, "child", &reply);
        bool fine = err && err->code == SENNIT_FAILED_PRECONDITION && strstr(err->message, "fork");
        err = sennit_go(set_flag, &e);
        fine = fine && err && err->code == SENNIT_FAILED_PRECONDITION;
        err = sennit_listen(e.server, "127.0.0.1:0");
        fine = fine && err && err->code == SENNIT_FAILED_PRECONDITION;
        err = sennit_serve(e.server);
        fine = fine && err && err->code == SENNIT_FAILED_PRECONDITION;
        err = sennit_conn_ready(c, NULL);
        fine = fine && err && err->code == SENNIT_FAILED_PRECONDITION;
        _exit(fine ? 0 : 9);
    }
    check_int(child_status(child), 0);
    child = fork();
    if (child == 0) {
        check(freopen("/dev/null", "w", stderr) != NULL);
        signal(SIGABRT, SIG_DFL);
        alarm(10);
        sennit_conn_free(c); /* would wait */
        _exit(9);
    }
    int status = child_status(child);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    check(!echo_call(c, ctx, "parent", &reply)); /* the children did no harm */
    check_str(reply.text.data, "parent");
    sennit_ctx_free(ctx);
    sennit_conn_free(c);
    echo_stop(&e);
}
TEST(child_of_a_process_that_used_the_library_is_told) { fork_after_use(); }
TEST(child_of_a_process_without_threads_is_told) { no_threads(), fork_after_use(); }

static void fork_in_goroutine(void *arg)
{
    pid_t child = fork();
    if (child == 0) {
        sennit_err err = sennit_go(set_flag, arg);
        _exit(err && err->code == SENNIT_FAILED_PRECONDITION ? 0 : 9);
    }
    check_int(child_status(child), 0);
    child = fork();
    if (child == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(9);
    }
    check_int(child_status(child), 0);
    sennit_wait_group_done(arg);
}

TEST(child_made_in_a_goroutine_may_exec)
{
    sennit_wait_group done = { 0 };
    sennit_wait_group_add(&done, 1);
    check(!sennit_go(fork_in_goroutine, &done));
    sennit_wait_group_wait(&done, NULL);
}
