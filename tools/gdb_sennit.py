# SPDX-License-Identifier: Apache-2.0 OR MIT
"""For gdb, on a live process or a core file, with the library's debug information:

    (gdb) source tools/gdb_sennit.py
    (gdb) sennit goroutines        all of them: id, name (a handler's is its method), state, what
                                   each waits for and since when
    (gdb) sennit bt 12             where goroutine 12 stands (waiting or runnable)
    (gdb) sennit dump              both, of all

Nothing is called in the process, so it works on cores, too: on the kernel's; gdb's own
generate-core-file leaves out slabs of stacks, whose guards it cannot read. In a core the time is
the runtime's last look at the clock. Frames are followed by frame pointers, which the library
keeps; code that does not keep them ends a backtrace early."""
import time

import gdb

STATES = ["ended", "runnable", "running", "waiting"]
PARKED = 3
RUNNING = 2
FRAMES = 64


def text(value):
    return value.string(errors="replace") if int(value) else ""


def goroutines():
    """All records that are in use, by id."""
    chunk = gdb.parse_and_eval("g_chunks")
    found = []
    while int(chunk):
        array = chunk["g"]
        found += [array[i] for i in range(int(chunk["n"])) if int(array[i]["state"])]
        chunk = chunk["next"]
    return sorted(found, key=lambda g: int(g["id"]))


def now():
    """As sys_now: the clock of this machine, on which a live process runs."""
    connection = gdb.selected_inferior().connection
    if connection and connection.type == "native":
        return time.monotonic_ns()
    return int(gdb.parse_and_eval("rt_state.coarse"))


def word(address):
    pointer = gdb.lookup_type("unsigned long").pointer()
    return int(gdb.Value(address).cast(pointer).dereference())


def place(pc):
    symbol = gdb.execute(f"info symbol {pc - 1:#x}", to_string=True).split(" in section")[0].strip()
    line = gdb.find_pc_line(pc - 1)
    where = f" at {line.symtab.filename}:{line.line}" if line.symtab else ""
    return f"{pc:#x} in {symbol}{where}"


def describe(g):
    state = int(g["state"])
    line = f"goroutine {int(g['id'])} ({text(g['name'])}): {STATES[state & 3]}"
    if state == PARKED and int(g["reason"]):
        age = max(0, now() - int(g["u"]["since"])) / 1e9
        line += f", {text(g['reason'])}, for {age:.3f} s"
    return line


def backtrace(g):
    """The saved registers lie at sp, as switch_*.S puts them."""
    if int(g["state"]) == RUNNING:
        return ["it runs: look for its thread by `thread apply all bt`"]
    sp, stack = int(g["sp"]), g["stack"]
    if not sp or not int(stack):
        return ["has not run yet"]
    x86 = "x86-64" in gdb.execute("show architecture", to_string=True)
    fp, pc = (word(sp), word(sp + 8)) if x86 else (word(sp + 10 * 8), word(sp + 11 * 8))
    low, high = int(stack["base"]), int(stack["base"]) + int(stack["size"])
    lines, last = [], sp
    while pc and len(lines) < FRAMES:
        lines.append(f"#{len(lines)}  {place(pc)}")
        if not last < fp < high - 16 or fp < low or fp & 7:
            break
        last, pc, fp = fp, word(fp + 8), word(fp)
    return lines


class Sennit(gdb.Command):
    """sennit goroutines | sennit bt ID | sennit dump"""

    def __init__(self):
        super().__init__("sennit", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        words = argument.split()
        if words == ["goroutines"]:
            for g in goroutines():
                print(describe(g))
        elif words == ["dump"]:
            for g in goroutines():
                print(describe(g))
                print("\n".join("  " + line for line in backtrace(g)))
        elif len(words) == 2 and words[0] == "bt":
            found = [g for g in goroutines() if int(g["id"]) == int(words[1])]
            print("\n".join(backtrace(found[0])) if found else "no such goroutine")
        else:
            print(self.__doc__)


Sennit()
