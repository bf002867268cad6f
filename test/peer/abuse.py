#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""abuse.py --bin DIR [--only PART]: peers that want to hurt a real server, one class each. Ceilings
are counts of what the server bore, octets of its memory, and descriptors; another client must be
answered all the while. Then patterns that only look like abuse: they must be borne."""
import argparse
import concurrent.futures
import os
import re
import resource
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from h2wire import (  # noqa: E402
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, PRIORITY, RST,
    SETTINGS, WINDOW, Conn, field, frame, headers, literal, message, small_reader)
from programs import Server, path, run  # noqa: E402

CALM = 11
BUDGET = 1000
u32 = struct.Struct(">I").pack
sanitized = False  # then memory says nothing


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1)) * 1024


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Growth:
    """Checks that the server holds at most so many octets more inside than at the beginning."""

    def __init__(self, server, octets):
        self.server, self.octets = server, octets

    def __enter__(self):
        self.before = resident(self.server.process.pid)
        return self

    def check(self):
        """Stacks that handlers have left are given back after a second."""
        for _ in range(60):
            grown = resident(self.server.process.pid) - self.before
            if sanitized or grown <= self.octets:
                return
            time.sleep(0.05)
        raise AssertionError(f"{grown} octets more of {self.octets}")

    def __exit__(self, kind, *_):
        if kind is None:
            self.check()


def answered(server):
    """Another client is served meanwhile."""
    with Conn(server.port) as conn:
        conn.start(1, message(field(1, b"else")))
        reply = conn.reply(1)
        assert reply.data == message(field(1, b"Hello else")), reply


def request(stream, end=False):
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, headers())


# -- floods: cut off by the budget -----------------------------------------------------------------

def cpu(pid):
    """Seconds that its threads have run."""
    spent = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="utf-8") as file:
            spent += int(file.read().split()[0])
    return spent / 1e9


def flood(server, start, item, most, octets=1 << 20):
    """item(i) is sent until the server says ENHANCE_YOUR_CALM, or 20 times what it should bear.
    What opens streams is cut off soon after the budget, and no flood takes more of the CPU than 10
    us an item that it bears: bench/floods measures, this notices what is of another kind."""
    before = cpu(server.process.pid)
    with Growth(server, octets), Conn(server.port) as conn:
        conn.send(start)
        for i in range(0, 20 * most, 50):
            conn.send(b"".join(item(k) for k in range(i, i + 50)))
        answered(server)
        conn.end()
        assert conn.goaway == CALM, f"GOAWAY {conn.goaway} {conn.goaway_text!r}"
        streams = (conn.last_id + 1) // 2
        assert streams <= 1.5 * most, f"{streams} streams were opened"
        took = cpu(server.process.pid) - before
        assert sanitized or took <= 10e-6 * 20 * most, f"{took:.3f} s of CPU"
        return conn


FLOODS = {
    "resets": (b"", lambda i: request(2 * i + 1) + frame(RST, 0, 2 * i + 1, u32(8))),
    "made_resets_by_zero_increments":
        (b"", lambda i: request(2 * i + 1) + frame(WINDOW, 0, 2 * i + 1, u32(0))),
    "made_resets_by_overflow":
        (b"", lambda i: request(2 * i + 1) + frame(WINDOW, 0, 2 * i + 1, u32(0x7fffffff))),
    "made_resets_by_data_after_the_end":
        (b"", lambda i: request(2 * i + 1, True) + frame(DATA, 0, 2 * i + 1, b"x")),
    "made_resets_by_priorities":
        (b"", lambda i: request(2 * i + 1) + frame(PRIORITY, 0, 2 * i + 1, bytes(4))),
    "made_resets_by_wrong_messages":
        (b"", lambda i: request(2 * i + 1) + frame(DATA, 0, 2 * i + 1, b"\7" + bytes(9))),
    "malformed_requests":
        (b"", lambda i: frame(HEADERS, END_HEADERS, 2 * i + 1, headers(replace={"Upper": "x"}))),
    "empty_names": (b"", lambda i: frame(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1,
                                         headers() + literal("", ""))),
    "streams_over_the_limit": (b"", lambda i: request(2 * i + 1)),
    "pings": (b"", lambda i: frame(PING, 0, 0, bytes(8))),
    "ping_acks": (b"", lambda i: frame(PING, 1, 0, bytes(8))),
    "settings": (b"", lambda i: frame(SETTINGS)),
    "large_settings": (b"", lambda i: frame(SETTINGS, 0, 0, struct.pack(">HI", 3, i) * 32)),
    "settings_acks": (b"", lambda i: frame(SETTINGS, 1)),
    "window_updates": (b"", lambda i: frame(WINDOW, 0, 0, u32(1))),
    "priorities": (b"", lambda i: frame(PRIORITY, 0, 1, u32(3) + b"\0")),
    "unknown_frames": (b"", lambda i: frame(0xb0, 0, 0, b"x")),
    "empty_data": (request(1), lambda i: frame(DATA, 0, 1)),
    "late_frames": (request(1) + frame(RST, 0, 1, u32(8)), lambda i: frame(RST, 0, 1, u32(8))),
    "empty_continuations": (b"", lambda i: frame(CONTINUATION, 0, 1) if i else
                            frame(HEADERS, 0, 1, headers())),
    "header_lists_over_the_limit":
        (b"", lambda i: frame(HEADERS, END_STREAM, 2 * i + 1, headers() + literal(
            "a", "x" * 15000)) + frame(CONTINUATION, END_HEADERS, 2 * i + 1,
                                       literal("b", "y" * 5000))),
}


def floods(server, name):
    start, item = FLOODS[name]
    flood(server, start, item, BUDGET)


def settings_of_many_entries(server):
    with Conn(server.port) as conn:
        conn.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 3, 1) * 33))
        conn.end()
        assert conn.goaway == CALM, conn.goaway


def pings_that_are_too_many_are_told_so_once(server):
    """However many more lie in the same read."""
    with Conn(server.port) as conn:
        conn.send(frame(PING, 0, 0, bytes(8)) * 500)
        frames = list(iter(conn.read_frame, None))
        told = [body[8:] for kind, _, _, body in frames if kind == GOAWAY]
        assert told == [b"too_many_pings"], told[:5]


def hpack_bombs(server):
    value = literal("x", "v" * 4000)
    with Growth(server, 1 << 20):
        for block in (b"\x40" + value[1:] + b"\xbe" * 12000,
                      b"\x40" + literal("n" * 4000, "")[1:] + b"\x7e\x00" * 6000):
            for _ in range(20):
                with Conn(server.port) as conn:
                    conn.send(frame(HEADERS, END_HEADERS, 1, headers() + block))
                    conn.end()
                    assert conn.goaway == CALM, conn.goaway
        answered(server)


# -- peers that hold on ----------------------------------------------------------------------------

def calls_unread(conn):
    """Calls as fast as they are taken, and not an octet is read. How many octets were taken."""
    conn.sock.settimeout(1)
    sent = 0
    try:
        for i in range(200000):
            out = request(2 * i + 1) + frame(DATA, END_STREAM, 2 * i + 1,
                                             message(field(1, b"z" * 1000)))
            conn.sock.sendall(out)
            sent += len(out)
    except (TimeoutError, socket.timeout, ConnectionError):
        pass
    return sent


def never_reads(args):
    """Every window is open: what waits, waits for the socket. The server begins no more handlers,
    then reads no more: 320 KiB of answers, 64 requests and what one turn of reading brought."""
    with Server(path(args.bin, "hello_server"), "--port=0") as server:
        octets_on_many_streams(server)
        with Growth(server, 3 << 19) as growth, Conn(server.port, settings=frame(
                SETTINGS, 0, 0, struct.pack(">HI", 4, 0x7fffffff))) as conn:
            conn.send(frame(WINDOW, 0, 0, u32(0x7fffffff - 65535)))
            sent = calls_unread(conn)
            growth.check()
            answered(server)
            assert 1 << 20 < sent < 64 << 20, f"{sent} octets were taken"


def reads_late(server):
    """Nothing is read until the server has stopped reading, too; then nothing was lost. All calls
    together fit the connection's window: what they take is not given back meanwhile."""
    calls, text = 256, b"y" * 3700
    with Conn(server.port, settings=frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 20)),
              sock=small_reader(server.port)) as conn:
        conn.send(frame(WINDOW, 0, 0, u32(64 << 20)))
        out = b"".join(request(2 * i + 1) + frame(DATA, END_STREAM, 2 * i + 1,
                                                  message(field(1, text))) for i in range(calls))
        sender = threading.Thread(target=conn.sock.sendall, args=(out,))
        sender.start()
        sender.join(0.5)
        for i in range(calls):
            reply = conn.reply(2 * i + 1)
            assert reply.data == message(field(1, b"Hello " + text)), (i, len(reply.data))
        sender.join()


def never_gives_window(server):
    """The answers fill the windows that every connection begins with. Those behind them hold no
    handlers; then none begins, and the requests of the rest are held."""
    with Growth(server, 1 << 20) as growth, Conn(server.port) as conn:
        sent = calls_unread(conn)
        growth.check()
        answered(server)
        assert sent < 64 << 20, f"{sent} octets were taken"


def window_of_nothing(server):
    """As many answers as there are streams wait for a window that never comes."""
    count = 256
    with Growth(server, 1 << 20) as growth, Conn(server.port, settings=frame(
            SETTINGS, 0, 0, struct.pack(">HI", 4, 0))) as conn:
        for i in range(count):
            conn.start(2 * i + 1, message(field(1, b"w" * 1000)))
        conn.send(request(2 * count + 1))
        assert conn.reply(2 * count + 1).rst == 7
        growth.check()
        answered(server)


def pour(conn, stream, body):
    """Sends a call as far as the connection's window allows. False: it is used up, and no more of
    it has come once the server has said all that it had to say."""
    out = request(stream)
    for at in range(0, len(body), 16384):
        piece = body[at:at + 16384]
        if conn.window < len(piece):
            conn.send(out + frame(SETTINGS))
            out = b""
            while (got := conn.read_frame()) and (got[0], got[1]) != (SETTINGS, 1):
                if got[0] == WINDOW and got[2] == 0:
                    conn.window += int.from_bytes(got[3], "big")
            if conn.window < len(piece):
                return False
        conn.window -= len(piece)
        out += frame(DATA, END_STREAM if at + 16384 >= len(body) else 0, stream, piece)
    conn.send(out)
    return True


def window_of_nothing_for_large_answers(server):
    """Some answers wait; then no handler begins, and the peer is given no more window either: what
    its requests hold is at most the window that it had, 1 MiB."""
    text = b"w" * 60000
    body, calls = message(field(1, text)), 0
    with Growth(server, 5 << 19) as growth, Conn(server.port, settings=frame(
            SETTINGS, 0, 0, struct.pack(">HI", 4, 0))) as conn:
        conn.window = 65535
        while calls < 256 and pour(conn, 2 * calls + 1, body):
            calls += 1
        assert 10 < calls < 40, f"{calls} requests of 60 KB were taken"
        growth.check()
        answered(server)


def windows_that_come_late(server):
    """Of the streams, and of the connection: then every call is answered, those too that had not
    begun."""
    text = b"l" * 20000
    for settings in (struct.pack(">HI", 4, 0), struct.pack(">HI", 4, 0x7fffffff)):
        with Conn(server.port, settings=frame(SETTINGS, 0, 0, settings)) as conn:
            conn.window, calls = 65535, 0
            while calls < 256 and pour(conn, 2 * calls + 1, message(field(1, text))):
                calls += 1
            assert 20 < calls < 200, f"{calls} calls were taken"
            conn.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) +
                      frame(WINDOW, 0, 0, u32(64 << 20)))
            for i in range(calls):
                reply = conn.reply(2 * i + 1)
                assert reply.data == message(field(1, b"Hello " + text)), (
                    i, reply, conn.goaway_text)
                assert reply.status == 0, (i, reply)


def half_open_streams(server):
    with Growth(server, 2 << 20) as growth:
        conns = []
        for _ in range(4):
            conn = Conn(server.port)
            conn.send(b"".join(request(2 * i + 1) for i in range(256)))
            conn.send(frame(PING, 0, 0, b"all here"))
            conns.append(conn)
        growth.check()
        answered(server)
        for conn in conns:
            conn.close()


def data_in_crumbs(server):
    """A window of one octet at a time: the answer goes out in crumbs, until the budget is spent."""
    with Conn(server.port, settings=frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))) as conn:
        conn.start(1, message(field(1, b"c" * 10000)))
        for _ in range(60):
            conn.send(frame(WINDOW, 0, 1, u32(1)) * 50)
            answered(server)
        conn.end()
        assert conn.goaway == CALM, conn.goaway
        assert len(conn.replies[1].data) <= BUDGET + 100, len(conn.replies[1].data)


def within(seconds, least, conn_octets):
    """The server closes after at least and at most so long."""
    def check(server):
        start = time.monotonic()
        with socket.create_connection(("127.0.0.1", server.port), 30) as sock:
            sock.sendall(conn_octets)
            try:
                while sock.recv(65536):
                    pass
            except ConnectionError:
                pass
        took = time.monotonic() - start
        assert least <= took <= seconds, f"closed after {took:.1f} s"
    return check


def dripping_frame(server):
    """A header block of which an octet comes now and then."""
    start = time.monotonic()
    with Conn(server.port) as conn:
        conn.sock.settimeout(30)
        while (got := conn.read_frame()) and got[0] != SETTINGS:
            pass  # its ack must not come within the block
        conn.send(frame(HEADERS, 0, 1, headers()))
        piece = frame(CONTINUATION, 0, 1, literal("a", "b"))
        closed = threading.Event()

        def drip():
            for octet in piece:
                if closed.wait(0.8):
                    return
                conn.send(bytes([octet]))
        thread = threading.Thread(target=drip)
        thread.start()
        conn.end()
        closed.set()
        thread.join()
        took = time.monotonic() - start
        assert conn.goaway == CALM and 8 <= took <= 20, (conn.goaway, took)


SLOW = {
    "silence_instead_of_a_preface": within(20, 8, b""),
    "half_a_preface": within(20, 8, PREFACE[:10]),
    "a_preface_without_settings": within(20, 8, PREFACE),
    "half_a_frame": within(20, 8, PREFACE + frame(SETTINGS) + frame(PING, 0, 0, bytes(8))[:12]),
    "half_a_header_block": within(20, 8, PREFACE + frame(SETTINGS) + frame(HEADERS, 0, 1, b"\x83")),
    "dripping_frame": dripping_frame,
}


def churn(server):
    """2,000 connections come and go, each at another stage: no descriptor is left, and of memory
    only what pools keep."""
    before = descriptors(server.process.pid)
    whole = PREFACE + frame(SETTINGS) + request(1) + frame(DATA, 0, 1, message(b"")[:3])
    with Growth(server, 6 << 20):
        for i in range(2000):
            with socket.create_connection(("127.0.0.1", server.port), 10) as sock:
                sock.sendall(whole[:i % len(whole)])
                if i % 2:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        answered(server)
        for _ in range(100):
            if descriptors(server.process.pid) <= before:
                break
            time.sleep(0.05)
        assert descriptors(server.process.pid) <= before, "descriptors are left"


# -- a server of its own ---------------------------------------------------------------------------

def out_of_descriptors(args):
    """More connections than descriptors: those that are served stay so, others wait, and the server
    neither ends nor spins; it accepts again as soon as one is free."""
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    plain = subprocess.Popen

    def limited(*a, **k):
        return plain(*a, preexec_fn=few, **k)
    subprocess.Popen = limited
    try:
        server = Server(path(args.bin, "greeter_server"), "-port", "0")
    finally:
        subprocess.Popen = plain
    with server:
        first = Conn(server.port)
        held = [socket.create_connection(("127.0.0.1", server.port), 10) for _ in range(80)]
        time.sleep(0.3)
        ticks = os.sysconf("SC_CLK_TCK")

        def cpu():
            with open(f"/proc/{server.process.pid}/stat", encoding="utf-8") as file:
                return sum(int(x) for x in file.read().rsplit(")", 1)[1].split()[11:13]) / ticks
        before = cpu()
        time.sleep(1)
        assert cpu() - before <= 0.1, f"{cpu() - before} s of CPU in a second"
        first.start(1, message(field(1, b"still")))
        assert first.reply(1).data == message(field(1, b"Hello still"))
        for sock in held:
            sock.close()
        answered(server)
        first.close()


def handlers_stay_within_the_limit(args):
    """Calls are reset as soon as their handlers run: those count on until they return. The barrier
    server's handlers wait for each other: with 257 inside they would go on, 256 is the limit."""
    with Server(path(args.tests, "barrier_server"), "-port", "0", "-inside", "257", "-limit", "256",
                "-stubborn", "1", graceful=False) as server:
        def seen():
            while (got := conn.read_frame()) and (got[0], got[1]) != (SETTINGS, 1):
                pass
            assert got, conn.goaway_text

        with Conn(server.port) as conn:
            seen()
            for i in range(300):
                stream = 2 * i + 1
                conn.start(stream, message(field(1, b"x")))
                conn.send(frame(SETTINGS))  # whose ack says that the call was seen
                seen()
                if conn.replies.get(stream) and conn.replies[stream].rst is not None:
                    assert conn.replies[stream].rst == 7 and i >= 256, (i, conn.replies[stream])
                else:
                    assert i < 256, "a handler too many runs"
                    conn.send(frame(RST, 0, stream, u32(8)))
        server.process.kill()  # they would wait for ever


# -- no false alarms -------------------------------------------------------------------------------

def octets_on_many_streams(server):
    """200 streams at a time send their calls octet by octet in DATA frames of one."""
    body = message(field(1, b"tiny"))
    with Conn(server.port) as conn:
        for turn in range(5):
            streams = [2 * (200 * turn + i) + 1 for i in range(200)]
            conn.send(b"".join(request(s) for s in streams))
            for k, octet in enumerate(body):
                end = END_STREAM if k == len(body) - 1 else 0
                conn.send(b"".join(frame(DATA, end, s, bytes([octet])) for s in streams))
            for s in streams:
                assert conn.reply(s).data == message(field(1, b"Hello tiny")), conn.replies[s]


def many_resets_among_calls(server):
    """One call in two is cancelled, for 3,000 calls."""
    with Conn(server.port) as conn:
        for i in range(1500):
            conn.send(request(4 * i + 1) + frame(RST, 0, 4 * i + 1, u32(8)))
            conn.start(4 * i + 3, message(field(1, b"x")))
            assert conn.reply(4 * i + 3).status == 0, conn.goaway_text


def pings_and_updates_with_every_call(server):
    with Conn(server.port) as conn:
        for i in range(2000):
            conn.start(2 * i + 1, message(field(1, b"x")))
            assert conn.reply(2 * i + 1).status == 0, conn.goaway_text
            conn.send(frame(PING, 0, 0, bytes(8)) * 3 + frame(WINDOW, 0, 0, u32(9)))


def idle_for_long(server):
    """Three seconds without a frame, then a call; a stream that idles is finished, too."""
    with Conn(server.port) as conn:
        conn.send(request(1))
        time.sleep(3)
        conn.send(frame(DATA, END_STREAM, 1, message(field(1, b"late"))))
        assert conn.reply(1).data == message(field(1, b"Hello late"))


def errors_of_the_caller(server):
    """3,000 calls of an unknown method are no attack."""
    with Conn(server.port) as conn:
        for i in range(3000):
            conn.start(2 * i + 1, message(b""), headers(path="/no.Such/Method"))
            assert conn.reply(2 * i + 1).status == 12, conn.goaway_text


ALONE = [settings_of_many_entries, pings_that_are_too_many_are_told_so_once, hpack_bombs,
         reads_late, never_gives_window, window_of_nothing, window_of_nothing_for_large_answers,
         windows_that_come_late,
         half_open_streams, data_in_crumbs, churn]
BORNE = [octets_on_many_streams, many_resets_among_calls, pings_and_updates_with_every_call,
         idle_for_long, errors_of_the_caller]


def main():
    global sanitized
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--tests", required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--sanitized", action="store_true", help="measure no memory")
    args = parser.parse_args()
    sanitized = args.sanitized
    passed = failed = 0

    def case(name, what, *arguments):
        nonlocal passed, failed
        if args.only not in name:
            return
        try:
            what(*arguments)
            passed += 1
        except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
            failed += 1
            print(f"FAIL  {name}: {type(error).__name__} {error}", flush=True)

    with Server(path(args.bin, "greeter_server"), "-port", "0") as server:
        octets_on_many_streams(server)  # pools and buffers have their usual size from here on
        with concurrent.futures.ThreadPoolExecutor(len(SLOW)) as pool:
            slow = [pool.submit(case, name, what, server) for name, what in SLOW.items()]
            for name in FLOODS:
                case("flood_of_" + name, floods, server, name)
            for what in ALONE + BORNE:
                case(what.__name__, what, server)
            for future in slow:
                future.result()
        assert server.alive(), server.text()
        code, text = run(path(args.bin, "greeter_client"), "-addr", server.addr)
        assert code == 0, text
    for what in (never_reads, out_of_descriptors, handlers_stay_within_the_limit):
        case(what.__name__, what, args)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
