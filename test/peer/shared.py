#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""shared.py --bin DIR --tests DIR [--calls N]: 100 goroutines and 8 threads on one connection, one
kind of client and then two, against our own servers; then 1,008 handlers on two workers that all
wait until the last one is inside."""
import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from programs import Server, path, run  # noqa: E402


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--tests", required=True)
    parser.add_argument("--calls", type=int, default=1000)
    args = parser.parse_args()
    failed = 0
    for name, kinds in (("greeter_server", 1), ("multiplex_server", 2)):
        with Server(path(args.bin, name), "-port", "0") as server:
            code, text = run(path(args.tests, "share_conn"), "-addr", server.addr, "-kinds",
                             str(kinds), "-calls", str(args.calls), seconds=280)
            print(f"{name}: {text}")
            failed += code != 0
    os.environ["SENNIT_MAXPROCS"] = "2"
    with Server(path(args.tests, "barrier_server"), "-port", "0", "-inside", "1008") as server:
        code, text = run(path(args.tests, "share_conn"), "-addr", server.addr, "-goroutines",
                         "1000", "-calls", "1", seconds=120)
        print(f"barrier_server: {text}")
        failed += code != 0
    print(f"{3 - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
