/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * death.h: a function must end its process by a signal, with this text on stderr. */
#ifndef SENNIT_TEST_DEATH_H
#define SENNIT_TEST_DEATH_H

#include "harness.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static inline void check_dies(void (*fn)(void), const char *text)
{
    char said[4096];
    size_t n = 0;
    int out[2], status;
    check(pipe(out) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        dup2(out[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        fn();
        _exit(0);
    }
    close(out[1]);
    for (ssize_t r; (r = read(out[0], said + n, sizeof said - 1 - n)) > 0;)
        n += (size_t)r;
    said[n] = 0;
    close(out[0]);
    check(waitpid(pid, &status, 0) == pid);
    if (!strstr(said, text))
        test_failed(__FILE__, __LINE__, "it said \"%s\", not \"%s\"", said, text);
    check(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
}

#endif
