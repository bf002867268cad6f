#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""seeded_race.py PROGRAM: passes when TSan reports the race that PROGRAM has, no other first."""
import os
import subprocess
import sys


def main():
    env = dict(os.environ, TSAN_OPTIONS="halt_on_error=1:exitcode=66", SENNIT_MAXPROCS="2")
    done = subprocess.run([sys.argv[1]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", timeout=60, check=False, env=env)
    first = done.stdout.split("Previous", 1)[0]
    good = done.returncode == 66 and "data race" in first and "racing_handler" in first
    print("reported" if good else f"not reported, ended with {done.returncode}:\n{done.stdout}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
