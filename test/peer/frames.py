#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""frames.py --bin DIR [--only PART]: rows of doc/http2.md as the frames that are exchanged, with
our server and with our client. A row is what is sent, and all that must come back for it, but for
SETTINGS and their ack, WINDOW_UPDATE, RST_STREAM with NO_ERROR, which an early answer may bring
(RFC 9113, 8.1), and the answer to our own PING at the end."""
import argparse
import os
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from h2wire import (  # noqa: E402
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, PRIORITY,
    PUSH, RST, SETTINGS, WINDOW, Conn, field, frame, headers, literal, message)
from programs import Server, path  # noqa: E402
import hostile_server as hostile  # noqa: E402

KINDS = ["DATA", "HEADERS", "PRIORITY", "RST", "SETTINGS", "PUSH", "PING", "GOAWAY", "WINDOW",
         "CONTINUATION"]
ERRORS = ["NO_ERROR", "PROTOCOL", "INTERNAL", "FLOW_CONTROL", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
          "FRAME_SIZE", "REFUSED_STREAM", "CANCEL", "COMPRESSION", "CONNECT", "ENHANCE_YOUR_CALM"]
PADDED, PRIO = 8, 32
LAST = b"the last"
u32 = struct.Struct(">I").pack
HELLO = message(field(1, b"you"))
ANSWER = ["HEADERS 1 200", "DATA 1 16", "HEADERS 1 end 0"]


def pairs(*settings):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", k, v) for k, v in settings))


def call(stream=1, body=HELLO, flags=0, **fields):
    """A whole call. replace: see h2wire."""
    return (frame(HEADERS, END_HEADERS | flags, stream, headers(**fields))
            + frame(DATA, END_STREAM, stream, body))


def asks(stream=1, **fields):
    return frame(HEADERS, END_HEADERS, stream, headers(**fields))


def over(code):
    return [f"GOAWAY {code}", "the end"]


def refused(code="PROTOCOL", stream=1):
    return [f"RST {stream} {code}"]


def told(status, stream=1):
    """gRPC's answer without a message."""
    return [f"HEADERS {stream} end 200 {status}"]


def again(*lines):
    """What lines say, and then a call on stream 3 is served: the connection has survived."""
    return list(lines) + [line.replace(" 1", " 3", 1) for line in ANSWER]


def web(status, code):
    return [f"HEADERS 1 {status} {code}", "DATA 1 end"]


class Heard(Conn):
    """Writes down what comes."""

    lines, said, skipped = (), {}, (SETTINGS, WINDOW)

    def heard(self, kind, flags, stream, body):
        end = " end" if kind in (DATA, HEADERS) and flags & END_STREAM else ""
        if kind == HEADERS:
            fields = self.said.get(stream, {})
            seen = " ".join(fields[k] for k in (":status", "grpc-status") if k in fields)
            return f"HEADERS {stream}{end} {seen}".rstrip()
        if kind == DATA:
            return f"DATA {stream}" + (end or f" {len(body)}")
        if kind in (RST, GOAWAY):
            code = int.from_bytes(body[-4:] if kind == RST else body[4:8], "big")
            return f"{KINDS[kind]} {str(stream) + ' ' if stream else ''}{ERRORS[code]}"
        return f"{KINDS[kind]}{' ack' if flags & ACK else ''} {body.hex()}"

    def talk(self, octets, count):
        """The lines that octets are answered with: until our PING is, and count of them came."""
        self.said, self.lines = {}, []
        self.send(octets + frame(PING, 0, 0, LAST))
        done = False
        while not done or len(self.lines) < count:
            got = self.read_frame()
            if got is None:
                self.lines.append("the end")
                break
            kind, flags, _, body = got
            if kind == PING and body == LAST:
                done = True
            elif kind not in self.skipped and (kind, body) != (RST, bytes(4)):
                self.lines.append(self.heard(*got))
        return self.lines

    def _apply(self, kind, flags, stream, body):
        before = dict(self.replies[stream].fields) if stream in self.replies else {}
        if stream in self.replies:
            self.replies[stream].fields = {}
        super()._apply(kind, flags, stream, body)
        if kind == HEADERS:
            self.said[stream] = dict(self.replies[stream].fields)
        elif stream:
            self.replies[stream].fields = before


def padded(kind, flags, stream, body, n):
    return frame(kind, flags | PADDED, stream, bytes([n]) + body + bytes(n))


METHOD = {":method": "GET"}
SERVER = {
    # 4.1, 4.2
    "unknown types with and without flags":
        (frame(0xb7, 0xff, 0, b"x") + frame(0xb7, 0, 5, b"x") + call(), ANSWER),
    "the reserved bit of an id": (frame(HEADERS, END_HEADERS, 1 | 1 << 31, headers())
                                  + frame(DATA, END_STREAM, 1, HELLO), ANSWER),
    "a frame one octet too large": (asks() + frame(DATA, 0, 1, bytes(16385)), over("FRAME_SIZE")),
    # 4.3, 6.10
    "a block in three frames": (frame(HEADERS, 0, 1, headers()[:7]) + frame(
        CONTINUATION, 0, 1, headers()[7:9]) + frame(CONTINUATION, END_HEADERS, 1, headers()[9:])
        + frame(DATA, END_STREAM, 1, HELLO), ANSWER),
    "a block that is interrupted": (frame(HEADERS, 0, 1, headers()) + frame(PRIORITY, 0, 1, bytes(
        5)), over("PROTOCOL")),
    "a block continued on another stream": (frame(HEADERS, 0, 1, headers()) + frame(
        CONTINUATION, END_HEADERS, 3), over("PROTOCOL")),
    "a block that does not decode": (frame(HEADERS, END_HEADERS, 1, b"\x80"), over("COMPRESSION")),
    "a table size above ours": (frame(HEADERS, END_HEADERS, 1, b"\x3f\xe2\x1f" + headers()),
                                over("COMPRESSION")),
    "a table size that is not first": (frame(HEADERS, END_HEADERS, 1, headers() + b"\x20"),
                                       over("COMPRESSION")),
    # 5.1
    "DATA on an idle stream": (frame(DATA, END_STREAM, 1, b"x"), over("PROTOCOL")),
    "WINDOW_UPDATE on an idle stream": (frame(WINDOW, 0, 1, u32(1)), over("PROTOCOL")),
    "RST_STREAM on an idle stream": (frame(RST, 0, 1, u32(8)), over("PROTOCOL")),
    "PRIORITY on an idle stream": (frame(PRIORITY, 0, 1, u32(3) + b"\0") + call(), ANSWER),
    "PRIORITY after the end": (call() + frame(PRIORITY, 0, 1, u32(3) + b"\0"), ANSWER),
    "WINDOW_UPDATE after a reset": (asks() + frame(RST, 0, 1, u32(8)) + frame(
        WINDOW, 0, 1, u32(1)) + call(3), again()),
    # 5.1.1
    "an even id": (frame(HEADERS, END_HEADERS, 2, headers()), over("PROTOCOL")),
    "an id below the last": (asks(5) + asks(3), over("PROTOCOL")),
    "HEADERS on stream 0": (frame(HEADERS, END_HEADERS, 0, headers()), over("PROTOCOL")),
    # 6.1 - 6.10
    "padding": (padded(HEADERS, END_HEADERS, 1, headers(), 9)
                + padded(DATA, END_STREAM, 1, HELLO, 200), ANSWER),
    "padding and priority": (padded(HEADERS, END_HEADERS | PRIO, 1, bytes(5) + headers(), 9)
                             + frame(DATA, END_STREAM, 1, HELLO), ANSWER),
    "more padding than HEADERS": (frame(HEADERS, END_HEADERS | PADDED, 1, b"\xff" + headers()[
        :40]), over("PROTOCOL")),
    "padding as long as DATA": (asks() + frame(DATA, PADDED, 1, b"\4abcd") + frame(
        RST, 0, 1, u32(8)) + call(3), again()),
    "more padding than DATA": (asks() + frame(DATA, PADDED, 1, b"\5abcd"), over("PROTOCOL")),
    "padded DATA of no octet": (asks() + frame(DATA, PADDED, 1), over("FRAME_SIZE")),
    "HEADERS too short for their priority": (frame(HEADERS, END_HEADERS | PRIO, 1, b"abc"),
                                             over("FRAME_SIZE")),
    "a stream that depends on itself": (frame(HEADERS, END_HEADERS | PRIO, 1, u32(1) + b"\0"
                                              + headers()) + call(3), again(*refused())),
    "PRIORITY of four octets": (asks() + frame(PRIORITY, 0, 1, bytes(4)) + call(3),
                                again(*refused("FRAME_SIZE"))),
    "PRIORITY on stream 0": (frame(PRIORITY, 0, 0, bytes(5)), over("PROTOCOL")),
    "RST_STREAM of five octets": (asks() + frame(RST, 0, 1, bytes(5)), over("FRAME_SIZE")),
    "RST_STREAM on stream 0": (frame(RST, 0, 0, bytes(4)), over("PROTOCOL")),
    "SETTINGS on a stream": (frame(SETTINGS, 0, 1), over("PROTOCOL")),
    "SETTINGS of seven octets": (frame(SETTINGS, 0, 0, bytes(7)), over("FRAME_SIZE")),
    "an ack with octets": (frame(SETTINGS, ACK, 0, bytes(6)), over("FRAME_SIZE")),
    "ENABLE_PUSH of 2": (pairs((2, 2)), over("PROTOCOL")),
    "a window above the most": (pairs((4, 1 << 31)), over("FLOW_CONTROL")),
    "frames smaller than the least": (pairs((5, 16383)), over("PROTOCOL")),
    "frames larger than the most": (pairs((5, 1 << 24)), over("PROTOCOL")),
    "an unknown setting": (pairs((0xfff, 1)) + call(), ANSWER),
    "PUSH_PROMISE": (asks() + frame(PUSH, END_HEADERS, 1, u32(2) + headers()), over("PROTOCOL")),
    "PING": (frame(PING, 0, 0, b"12345678"), ["PING ack " + b"12345678".hex()]),
    "the ack of a PING that was not": (frame(PING, ACK, 0, b"12345678") + call(), ANSWER),
    "PING on a stream": (frame(PING, 0, 1, bytes(8)), over("PROTOCOL")),
    "PING of nine octets": (frame(PING, 0, 0, bytes(9)), over("FRAME_SIZE")),
    "GOAWAY on a stream": (frame(GOAWAY, 0, 1, bytes(8)), over("PROTOCOL")),
    "GOAWAY of seven octets": (frame(GOAWAY, 0, 0, bytes(7)), over("FRAME_SIZE")),
    "WINDOW_UPDATE of 0 on a stream": (asks() + frame(WINDOW, 0, 1, u32(0)) + call(3),
                                       again(*refused())),
    "WINDOW_UPDATE of 0": (frame(WINDOW, 0, 0, u32(0)), over("PROTOCOL")),
    "WINDOW_UPDATE of three octets": (frame(WINDOW, 0, 0, bytes(3)), over("FRAME_SIZE")),
    "a stream's window too large": (asks() + frame(WINDOW, 0, 1, u32(0x7fffffff)) + call(3),
                                    again(*refused("FLOW_CONTROL"))),
    "the connection's window too large": (frame(WINDOW, 0, 0, u32(0x7fffffff)),
                                          over("FLOW_CONTROL")),
    "CONTINUATION of nothing": (frame(CONTINUATION, END_HEADERS, 1), over("PROTOCOL")),
    # 8.1: trailers
    "trailers": (asks() + frame(DATA, 0, 1, HELLO) + frame(
        HEADERS, END_HEADERS | END_STREAM, 1, literal("x", "y")), ANSWER),
    "trailers that do not end": (asks() + frame(DATA, 0, 1, HELLO) + frame(
        HEADERS, END_HEADERS, 1, literal("x", "y")) + call(3), again(*refused())),
    "a pseudo-header in trailers": (asks() + frame(DATA, 0, 1, HELLO) + frame(
        HEADERS, END_HEADERS | END_STREAM, 1, literal(":path", "/")) + call(3),
        again(*refused())),
    "content-length that is right": (call(replace={"content-length": str(len(HELLO))}), ANSWER),
    "content-length of more": (call(replace={"content-length": "99"}) + call(3),
                               again(*refused())),
    "content-length of less": (call(replace={"content-length": "1"}) + call(3),
                               again(*refused())),
    "content-length that is no number": (call(replace={"content-length": "-5"}) + call(3),
                                         again(*refused())),
    "content-length twice and different": (frame(HEADERS, END_HEADERS, 1, headers() + literal(
        "content-length", "10") + literal("content-length", "11")) + call(3),
        again(*refused())),
    # 8.2, 8.3
    **{f"a field {name!r}: {value!r}": (call(replace={name: value}) + call(3), again(*refused()))
       for name, value in (("Upper", "x"), ("a b", "x"), ("a", "x\ny"), ("a", "x\0y"),
                           ("a", " x"), ("a", "x\t"), ("connection", "keep-alive"),
                           ("keep-alive", "1"), ("proxy-connection", "1"),
                           ("transfer-encoding", "chunked"), ("upgrade", "h2c"),
                           ("te", "gzip"), (":status", "200"), (":nope", "x"), (":method", ""),
                           (":path", ""))},
    **{f"no {name}": (call(replace={name: None}) + call(3), again(*refused()))
       for name in (":method", ":scheme", ":path")},
    "two paths": (frame(HEADERS, END_HEADERS, 1, literal(":path", "/a") + headers())
                  + call(3), again(*refused())),
    "a pseudo-header behind a field": (frame(HEADERS, END_HEADERS, 1, literal("a", "b")
                                             + headers()) + call(3), again(*refused())),
    "an empty name": (frame(HEADERS, END_HEADERS, 1, headers() + literal("", "x")) + call(3),
                      again(*refused())),
    "cookies in pieces": (frame(HEADERS, END_HEADERS, 1, headers() + literal("cookie", "a=b")
                                + literal("cookie", "c=d")) + frame(DATA, END_STREAM, 1, HELLO),
                          ANSWER),
    "no te": (call(replace={"te": None}), ANSWER),
    "no authority": (call(replace={":authority": None}), ANSWER),
    "a host instead of an authority": (call(replace={":authority": None, "host": "test"}),
                                       ANSWER),
    "CONNECT": (frame(HEADERS, END_HEADERS | END_STREAM, 1, literal(":method", "CONNECT")
                      + literal(":authority", "a:1")), web("405", "13")),
    # gRPC: what is none, and messages
    "GET": (frame(HEADERS, END_HEADERS | END_STREAM, 1, headers(replace=METHOD)),
            web("405", "13")),
    "PUT": (call(replace={":method": "PUT"}), web("405", "13")),
    "JSON": (call(replace={"content-type": "application/json"}), web("415", "2")),
    "no content-type": (call(replace={"content-type": None}), web("415", "2")),
    "gRPC-Web": (call(replace={"content-type": "application/grpc-web"}), web("415", "2")),
    "application/grpc;charset": (call(replace={"content-type": "application/grpc;charset=utf-8"}),
                                 ANSWER),
    "an unknown service": (call(path="/no.Such/Method"), told(12)),
    "an unknown method": (call(path="/helloworld.Greeter/Nope"), told(12)),
    "a path with a query": (call(path="/helloworld.Greeter/SayHello?x"), told(12)),
    "a path with two slashes": (call(path="//helloworld.Greeter/SayHello"), told(12)),
    "a path in percent": (call(path="/helloworld.Greeter/SayHell%6f"), told(12)),
    "a path with a slash behind it": (call(path="/helloworld.Greeter/SayHello/"), told(12)),
    "a flag of 2": (call(body=b"\2" + HELLO[1:]), told(13)),
    "a compressed flag without an encoding": (call(body=b"\1" + HELLO[1:]), told(13)),
    "an encoding that is not there": (call(body=b"\1" + HELLO[1:], grpc_encoding="zip9"),
                                      told(12)),
    "gzip that is none": (call(body=b"\1" + HELLO[1:], grpc_encoding="gzip"), told(13)),
    "a length of more than came": (call(body=message(b"abc", length=9)), told(13)),
    "a length of less than came": (call(body=message(b"abc", length=1)), told(13)),
    "half a prefix": (call(body=b"\0\0"), told(13)),
    "no message": (call(body=b""), told(13)),
    "two messages": (call(body=HELLO + HELLO), told(13)),
    "no protobuf": (call(body=message(b"\x0a\x09ab")), told(13)),
    "a message over the limit": (asks() + frame(DATA, 0, 1, b"\0" + u32(4194305)),
                                 told(8)),
    "a length of 4 GiB": (asks() + frame(DATA, 0, 1, b"\0\xff\xff\xff\xff"),
                          told(8)),
    "a -bin value that is no base64": (call(replace={"x-bin": "*"}), web("400", "13")),
    "a -bin value with padding": (call(replace={"x-bin": "Zg=="}), ANSWER),
    "a -bin value of several": (call(replace={"x-bin": "Zg,Zm8="}), ANSWER),
    **{f"grpc-timeout {text!r}": (call(grpc_timeout=text), web("400", "13"))
       for text in ("", "1", "S", "123456789S", "1x", "-1S", "1.5S")},
    "grpc-timeout of long": (call(grpc_timeout="99999999H"), ANSWER),
    "grpc-timeout of nothing": (call(grpc_timeout="0n"), told(4)),
    "metadata of reserved names": (call(replace={"grpc-nope": "x"}), ANSWER),
}


# -- with our client: what its call is answered with, and what it says to that ---------------------

def answer(stream, *fields):
    return hostile.head(stream, *fields) + hostile.data(stream, HELLO) + hostile.tail(stream)


def reply(*fields, **how):
    return lambda s: hostile.head(s, *fields, **how) + hostile.data(s, HELLO) + hostile.tail(s)


FINE = []
CLIENT = {
    "an answer": (answer, FINE),
    "unknown types": (lambda s: frame(0xb7, 0xff, 0, b"x") + frame(0xb7, 0, s, b"x") + answer(s),
                        FINE),
    "a frame one octet too large": (lambda s: hostile.head(s) + frame(DATA, 0, s, bytes(16385)),
                                    over("FRAME_SIZE")),
    "a block that is interrupted": (lambda s: frame(HEADERS, 0, s, b"\x88") + frame(
        PRIORITY, 0, s, bytes(5)), over("PROTOCOL")),
    "a block continued on another stream": (lambda s: frame(HEADERS, 0, s, b"\x88") + frame(
        CONTINUATION, END_HEADERS, s + 2), over("PROTOCOL")),
    "a block that does not decode": (lambda s: frame(HEADERS, END_HEADERS, s, b"\x80"),
                                     over("COMPRESSION")),
    "a table size above ours": (lambda s: frame(HEADERS, END_HEADERS, s, b"\x3f\xe2\x1f\x88"),
                                over("COMPRESSION")),
    "a table size that is not first": (lambda s: frame(HEADERS, END_HEADERS, s, b"\x88\x20"),
                                       over("COMPRESSION")),
    "HEADERS on an idle stream": (lambda s: hostile.head(s + 2), over("PROTOCOL")),
    "HEADERS on an even stream": (lambda s: hostile.head(2), over("PROTOCOL")),
    "HEADERS on stream 0": (lambda s: hostile.head(0), over("PROTOCOL")),
    "DATA on an idle stream": (lambda s: frame(DATA, 0, s + 2, b"x"), over("PROTOCOL")),
    "WINDOW_UPDATE on an idle stream": (lambda s: frame(WINDOW, 0, s + 2, u32(1)),
                                        over("PROTOCOL")),
    "RST_STREAM on an idle stream": (lambda s: frame(RST, 0, s + 2, u32(8)), over("PROTOCOL")),
    "RST_STREAM": (lambda s: frame(RST, 0, s, u32(8)), FINE),
    "RST_STREAM of five octets": (lambda s: frame(RST, 0, s, bytes(5)), over("FRAME_SIZE")),
    "padding": (lambda s: padded(HEADERS, END_HEADERS, s, b"\x88" + hostile.block(
        ("content-type", "application/grpc")), 9) + padded(DATA, 0, s, HELLO, 200)
        + hostile.tail(s), FINE),
    "more padding than HEADERS": (lambda s: frame(HEADERS, END_HEADERS | PADDED, s, b"\xff\x88"),
                                  over("PROTOCOL")),
    "more padding than DATA": (lambda s: hostile.head(s) + frame(DATA, PADDED, s, b"\5abcd"),
                               over("PROTOCOL")),
    "a stream that depends on itself": (lambda s: frame(
        HEADERS, END_HEADERS | PRIO, s, u32(s) + b"\0\x88"), refused()),
    "PRIORITY of four octets": (lambda s: frame(PRIORITY, 0, s, bytes(4)), refused("FRAME_SIZE")),
    "SETTINGS on a stream": (lambda s: frame(SETTINGS, 0, s), over("PROTOCOL")),
    "SETTINGS of seven octets": (lambda s: frame(SETTINGS, 0, 0, bytes(7)), over("FRAME_SIZE")),
    "an ack with octets": (lambda s: frame(SETTINGS, ACK, 0, bytes(6)), over("FRAME_SIZE")),
    "ENABLE_PUSH of 1": (lambda s: pairs((2, 1)), over("PROTOCOL")),
    "a window above the most": (lambda s: pairs((4, 1 << 31)), over("FLOW_CONTROL")),
    "PUSH_PROMISE": (lambda s: frame(PUSH, END_HEADERS, s, u32(2) + headers()), over("PROTOCOL")),
    "PING": (lambda s: frame(PING, 0, 0, b"12345678") + answer(s),
             ["PING ack " + b"12345678".hex()]),
    "PING on a stream": (lambda s: frame(PING, 0, s, bytes(8)), over("PROTOCOL")),
    "PING of nine octets": (lambda s: frame(PING, 0, 0, bytes(9)), over("FRAME_SIZE")),
    "GOAWAY on a stream": (lambda s: frame(GOAWAY, 0, s, bytes(8)), over("PROTOCOL")),
    "GOAWAY of seven octets": (lambda s: frame(GOAWAY, 0, 0, bytes(7)), over("FRAME_SIZE")),
    "WINDOW_UPDATE of 0 on a stream": (lambda s: frame(WINDOW, 0, s, u32(0)), refused()),
    "WINDOW_UPDATE of 0": (lambda s: frame(WINDOW, 0, 0, u32(0)), over("PROTOCOL")),
    "WINDOW_UPDATE of three octets": (lambda s: frame(WINDOW, 0, 0, bytes(3)), over("FRAME_SIZE")),
    "the connection's window too large": (lambda s: frame(WINDOW, 0, 0, u32(0x7fffffff)),
                                          over("FLOW_CONTROL")),
    "CONTINUATION of nothing": (lambda s: frame(CONTINUATION, END_HEADERS, s), over("PROTOCOL")),
    "an interim response": (lambda s: hostile.head(s, status="103", kind=None) + answer(s), FINE),
    "DATA before HEADERS": (lambda s: hostile.data(s, HELLO), refused()),
    "trailers that do not end": (lambda s: hostile.head(s) + frame(
        HEADERS, END_HEADERS, s, literal("grpc-status", "0")), refused()),
    "a pseudo-header in trailers": (lambda s: hostile.head(s) + hostile.tail(
        s, "0", (":status", "200")), refused()),
    "content-length of more": (reply(("content-length", "99")), refused()),
    "content-length of less": (reply(("content-length", "1")), refused()),
    **{f"a field {name!r}: {value!r}": (reply((name, value)), refused())
       for name, value in (("Upper", "x"), ("a b", "x"), ("a", "x\ny"), ("a", "x\0y"),
                           ("a", " x"), ("connection", "close"), ("transfer-encoding", "chunked"),
                           ("upgrade", "h2c"), (":path", "/"), ("", "x"))},
    **{f"a status {text!r}": (reply(status=text), refused()) for text in ("", "20", "2000", "2x0",
                                                                         "101")},
    "two statuses": (lambda s: frame(HEADERS, END_HEADERS, s, b"\x88\x88"), refused()),
    "no status": (lambda s: frame(HEADERS, END_HEADERS, s, hostile.block(
        ("content-type", "application/grpc"))), refused()),
    "cookies": (reply(("set-cookie", "a=b"), ("set-cookie", "c=d")), FINE),
}


def with_server(server, octets, wanted):
    with Heard(server.port) as conn:
        return conn.talk(octets, len(wanted))


class HeardPeer(hostile.Peer, Heard):
    """A server that hears what a client says; its next call may come meanwhile."""

    skipped = (SETTINGS, WINDOW, HEADERS, DATA)


def with_client(program, how, wanted):
    found = []

    def script(peer):
        if peer.hello() and not peer.n:
            found.extend(peer.talk(how(peer.request()), len(wanted)))
        peer.serve()
    stage = hostile.Stage(script, HeardPeer)
    try:
        subprocess.run([program, "--port", str(stage.port), "--calls", "2"],
                       capture_output=True, timeout=30, check=False)
    finally:
        stage.stop()
    return found + stage.errors


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--only", default="", help="a part of the names to run")
    args = parser.parse_args()
    passed = failed = 0

    def row(role, name, wanted, play, *how):
        nonlocal passed, failed
        if args.only not in f"{role} {name}":
            return
        try:
            got = play(*how, wanted)
        except OSError as error:
            got = [repr(error)]
        passed, failed = passed + (got == wanted), failed + (got != wanted)
        if got != wanted:
            print(f"FAIL  {role} {name}: {got}, not {wanted}", flush=True)

    with Server(path(args.bin, "greeter_server"), "-port", "0") as server:
        for name, (octets, wanted) in SERVER.items():
            row("server", name, wanted, with_server, server, octets)
        assert server.alive(), server.text()
    for name, (how, wanted) in CLIENT.items():
        row("client", name, wanted, with_client, path(args.bin, "probe_client"), how)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
