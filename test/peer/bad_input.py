#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""bad_input.py --bin DIR [--tests DIR]: wrong peers against the real servers. Each case names the
error that must come back; after each the same server must still answer the real client."""
import argparse
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from h2wire import (  # noqa: E402
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, PUSH, RST,
    SECONDS, SETTINGS, WINDOW, Conn, field, frame, headers, literal, message, small_reader,
    varint)
from programs import Server, path, plain, run  # noqa: E402

OK, INVALID, EXHAUSTED, UNIMPLEMENTED, INTERNAL = 0, 3, 8, 12, 13
PROTOCOL, FLOW_CONTROL, FRAME_SIZE, COMPRESSION = 1, 3, 6, 9
ECHO = "/grpc.examples.echo.Echo/UnaryEcho"


def call(port, body, end=True, **fields):
    with Conn(port) as conn:
        if len(body) > 65535:
            conn.send(frame(HEADERS, END_HEADERS, 1, headers(**fields)))
            send_within_windows(conn, 1, body)
        else:
            conn.start(1, body, headers(**fields), end)
        reply = conn.reply(1)
        assert conn.goaway is None, f"the connection was closed: {conn.goaway_text}"
        return reply


def expect(reply, status, text=""):
    assert reply.status == status, f"grpc-status {reply.status} of {status}: {reply}"
    said = reply.fields.get("grpc-message", "")
    assert text in said, f"{said!r} has no {text!r}"


def raw(port, octets):
    """What a server says to octets, until it closes or falls silent for long."""
    with socket.create_connection(("127.0.0.1", port), SECONDS) as sock:
        out = b""
        try:
            sock.sendall(octets)
            while True:
                got = sock.recv(65536)
                if not got:
                    return out
                out += got
        except (ConnectionResetError, BrokenPipeError):
            return out


# -- the connection --------------------------------------------------------------------------------

def wrong_preface(port):
    tls_hello = b"\x16\x03\x01\x02\x00\x01" + b"x" * 64
    for octets in (PREFACE.replace(b"SM", b"XX"), b"\0" * 64, tls_hello):
        raw(port, octets)  # returns: the server closed


def http1_get(port):
    for request in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"POST /x HTTP/1.1\r\nHost: a\r\n\r\n",
                    b"HEAD / HTTP/1.0\r\n\r\n"):
        said = raw(port, request)
        head, _, body = said.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 505 "), said[:200]
        assert request[:4] == b"HEAD" or body.strip().count(b"\n") == 0 and body.strip(), body


def garbage(port):
    rng = random.Random(20)
    for _ in range(40):
        octets = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 400)))
        for start in (b"", PREFACE, PREFACE + frame(SETTINGS)):
            with socket.create_connection(("127.0.0.1", port), SECONDS) as sock:
                sock.sendall(start + octets)


def bad_frames(port):
    request = frame(HEADERS, END_HEADERS, 1, headers())
    for octets, codes in (
            (frame(DATA, 0, 0, b"x"), (PROTOCOL,)),
            (frame(DATA, 0, 1, b"x"), (PROTOCOL, 5)),
            (frame(HEADERS, END_HEADERS, 2, headers()), (PROTOCOL,)),
            (frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"), (COMPRESSION,)),
            (frame(CONTINUATION, END_HEADERS, 1, b""), (PROTOCOL,)),
            (frame(HEADERS, 0, 1, headers()) + frame(PING, 0, 0, bytes(8)), (PROTOCOL,)),
            (frame(PUSH, END_HEADERS, 1, bytes(4)), (PROTOCOL,)),
            (frame(SETTINGS, 0, 0, bytes(5)), (FRAME_SIZE,)),
            (frame(SETTINGS, 1, 0, bytes(6)), (FRAME_SIZE,)),
            (frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 31)), (FLOW_CONTROL,)),
            (frame(PING, 0, 0, bytes(7)), (FRAME_SIZE,)),
            (frame(WINDOW, 0, 0, bytes(4)), (PROTOCOL,)),
            (request + frame(WINDOW, 0, 0, struct.pack(">I", 0x7FFFFFFF)), (FLOW_CONTROL,)),
            (request + frame(RST, 0, 1, bytes(3)), (FRAME_SIZE,)),
            (request + frame(DATA, 0, 1, bytes(16385)), (FRAME_SIZE,)),
            (struct.pack(">IBI", 0xFFFFFF << 8, 0, 1) + bytes(100), (FRAME_SIZE, PROTOCOL)),
    ):
        with Conn(port) as conn:
            conn.send(octets)
            conn.end()
            assert conn.goaway in codes, f"{octets[:40]!r}: GOAWAY {conn.goaway} of {codes}"


def last_words(port, wrap=lambda sock: sock):
    """A peer that is slow to read and writes on breaks a rule: it reads what had been answered,
    then GOAWAY with the reason, then the end. A server that just closed would reset the connection
    at the next octet, and what was not yet on its way would be lost."""
    text, calls = b"w" * 60000, 16
    with small_reader(port) as sock:
        with Conn(port, settings=frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0x7fffffff))
                  + frame(WINDOW, 0, 0, struct.pack(">I", 0x7f000000)), sock=wrap(sock)) as conn:
            for i in range(calls):
                conn.start(2 * i + 1, message(field(1, text)))
            time.sleep(0.2)
            conn.send(frame(DATA, 0, 0, b"x"))
            for _ in range(20):
                conn.send(frame(PING, 0, 0, bytes(8)) * 10)
                time.sleep(0.01)
            conn.end()
            assert conn.goaway == PROTOCOL, f"GOAWAY {conn.goaway} {conn.goaway_text!r}"


def unknown_frames_are_skipped(port):
    with Conn(port) as conn:
        conn.send(frame(0xbe, 0xff, 0, b"grease") + frame(0xef, 0, 7, bytes(1000)))
        conn.start(1, message(field(1, b"grease")))
        expect(conn.reply(1), OK)


def cut_everywhere(port):
    """A good call, its connection closed after each octet: half by FIN, half by RST."""
    whole = (PREFACE + frame(SETTINGS) + frame(HEADERS, END_HEADERS, 1, headers())
             + frame(DATA, END_STREAM, 1, message(field(1, b"cut"))))
    for end in range(len(whole)):
        for reset in (False, True):
            sock = socket.create_connection(("127.0.0.1", port), SECONDS)
            sock.sendall(whole[:end])
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()


ROUTE = "/routeguide.RouteGuide/"


def conversation(method, *messages, end=True):
    """What a client sends on stream 1, as frames."""
    frames = [PREFACE, frame(SETTINGS), frame(SETTINGS, ACK),
              frame(HEADERS, END_HEADERS, 1, headers(ROUTE + method))]
    frames += [frame(DATA, 0, 1, m) for m in messages]
    return frames + ([frame(DATA, END_STREAM, 1)] if end else [])


POINT = message(b"\x08\x01\x10\x02")
NOTE = message(field(1, b"\x10\x01") + field(2, b"note"))
TALKS = [conversation("GetFeature", POINT), conversation("ListFeatures", message(b"")),
         conversation("RecordRoute", POINT, POINT, POINT), conversation("RouteChat", NOTE, NOTE)]


def streams_cut(port):
    """Each kind of call, its connection ended after each octet by FIN, by RST, and half: then the
    server's answer is read to its end."""
    for talk in TALKS:
        whole = b"".join(talk)
        for end in range(len(PREFACE), len(whole) + 1):
            for how in ("fin", "rst", "half"):
                sock = socket.create_connection(("127.0.0.1", port), SECONDS)
                sock.sendall(whole[:end])
                if how == "rst":
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if how == "half" and end % 8 == 0:
                    sock.shutdown(socket.SHUT_WR)
                    try:
                        while sock.recv(65536):
                            pass
                    except ConnectionResetError:
                        pass
                sock.close()


def streams_reset_at_each_frame(port):
    """RST_STREAM after each frame of each kind of call; the connection goes on."""
    with Conn(port) as conn:
        stream = 1
        for talk in TALKS:
            for frames in range(1, len(talk) - 2):
                for code in (0, 5, 8):
                    conn.send(b"".join(f[:5] + struct.pack(">I", stream) + f[9:]
                                       for f in talk[3:3 + frames]))
                    conn.send(frame(RST, 0, stream, struct.pack(">I", code)))
                    stream += 2
        conn.start(stream, POINT, headers(ROUTE + "GetFeature"))
        expect(conn.reply(stream), OK)


def nothing_follows_a_reset(port):
    """A handler waits for its peer, who resets the stream: what it says to that is not sent. Much
    is to be read behind the reset, so that the handler is back before the reader is done."""
    more = headers("/no.Such/Method") + b"".join(literal(f"x{i}", "y" * 100) for i in range(80))
    with Conn(port) as conn:
        for turn in range(60):
            stream = 10 * turn + 1
            note = message(field(1, b"\x10" + varint(1000 + turn)) + field(2, b"note"))
            conn.start(stream, note, headers(ROUTE + "RouteChat"), end=False)
            while not conn.replies.get(stream) or not conn.replies[stream].data:
                assert conn.read_frame(), conn.goaway_text
            conn.send(frame(RST, 0, stream, struct.pack(">I", 8)) + b"".join(
                frame(HEADERS, END_HEADERS | END_STREAM, stream + 2 * k, more)
                for k in range(1, 5)))
            for k in range(1, 5):
                expect(conn.reply(stream + 2 * k), UNIMPLEMENTED)
            assert not conn.replies[stream].ended, f"turn {turn}: {conn.replies[stream]}"


def empty_messages_to_each_method(port):
    """And none at all: where one is due, that is an error; a stream takes it as its end."""
    for method, none in (("GetFeature", INTERNAL), ("ListFeatures", INTERNAL),
                         ("RecordRoute", OK), ("RouteChat", OK)):
        with Conn(port) as conn:
            conn.start(1, message(b""), headers(ROUTE + method))
            expect(conn.reply(1), OK)
            conn.start(3, b"", headers(ROUTE + method))
            expect(conn.reply(3), none)
    for body in (field(1, b""), field(2, b"")):  # a message with one field and not the other
        for method in ("ListFeatures", "RouteChat"):
            with Conn(port) as conn:
                conn.start(1, message(body), headers(ROUTE + method))
                expect(conn.reply(1), OK)


def octet_by_octet(port):
    """The same call, each octet a segment of its own, is answered."""
    with Conn(port, b"", b"") as conn:
        for octet in (PREFACE + frame(SETTINGS) + frame(HEADERS, END_HEADERS, 1, headers())
                      + frame(DATA, END_STREAM, 1, message(field(1, b"slow")))):
            conn.send(bytes([octet]))
        reply = conn.reply(1)
        expect(reply, OK)
        assert reply.data == message(field(1, b"Hello slow")), reply


def killed_mid_call(port):
    for i in range(20):
        conn = Conn(port)
        for stream in range(1, 100, 2):
            conn.start(stream, message(field(1, b"x" * 1000), length=2000 if i % 2 else None),
                       end=i % 3 != 0)
        conn.close(reset=i % 2 == 0)


def resets(port):
    """2,000 calls, each cancelled at once: rapid reset ends the connection or is borne."""
    with Conn(port) as conn:
        for stream in range(1, 4000, 2):
            conn.send(frame(HEADERS, END_HEADERS, stream, headers())
                      + frame(RST, 0, stream, bytes(4)))
    expect(call(port, message(b"")), OK)


# -- what is no gRPC -------------------------------------------------------------------------------

def http_status(port, status, **fields):
    reply = call(port, b"", **fields)
    got = reply.fields.get(":status")
    assert got == status, f":status {got} of {status}: {reply}"
    said = reply.fields.get("grpc-message", "") + reply.data.decode()
    assert said.strip() and said.strip().count("\n") == 0, f"no line of text: {reply}"


def get_over_http2(port):
    http_status(port, "405", replace={":method": "GET"})


def wrong_content_type(port):
    for kind in ("text/html", "application/json", "application/grpcx", None):
        http_status(port, "415", replace={"content-type": kind})
    expect(call(port, message(b""), replace={"content-type": "application/grpc+proto"}), OK)


def bad_pseudo_headers(port):
    for replace in ({":path": None}, {":method": None}, {":scheme": None}, {":nope": "x"},
                    {"Upper": "case"}, {"connection": "close"}, {"te": "gzip"}):
        with Conn(port) as conn:
            conn.start(1, message(b""), headers(replace=replace))
            reply = conn.reply(1)
            assert reply.rst == PROTOCOL or conn.goaway == PROTOCOL or reply.status not in (
                None, OK), f"{replace}: {reply}"


# -- the call --------------------------------------------------------------------------------------

def unknown_service(port):
    expect(call(port, message(b""), path="/no.Such/SayHello"), UNIMPLEMENTED,
           "unknown service no.Such")


def unknown_method(port):
    expect(call(port, message(b""), path="/helloworld.Greeter/Nope"), UNIMPLEMENTED,
           "unknown method Nope for service helloworld.Greeter")


def malformed_path(port):
    for where in ("/", "//", "/helloworld.Greeter", "helloworld.Greeter/SayHello", "*"):
        reply = call(port, message(b""), path=where)
        assert reply.status == UNIMPLEMENTED or reply.rst == PROTOCOL, f"{where}: {reply}"


def over_the_limit(port):
    """Only said to be too large: the server must not wait for the octets."""
    reply = call(port, message(b"x", length=4194305), end=False)
    expect(reply, EXHAUSTED, "4194305 vs. 4194304")


def at_the_limit(port):
    """Exactly 4 MiB, sent as fast as the windows allow, is fine."""
    body = message(field(1, b"y" * (4194304 - 5)))
    assert len(body) == 4194304 + 5
    with Conn(port, settings=frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0x7FFFFFFF))
              + frame(WINDOW, 0, 0, struct.pack(">I", 0x7F000000))) as conn:
        conn.send(frame(HEADERS, END_HEADERS, 1, headers()))
        send_within_windows(conn, 1, body)
        reply = conn.reply(1)
        expect(reply, OK)
        assert len(reply.data) == 5 + 1 + 4 + 4194304 - 5 + 6, len(reply.data)


def send_within_windows(conn, stream, body):
    windows, sent = {0: 65535, stream: 65535}, 0
    while sent < len(body):
        room = min(windows[0], windows[stream], 16384, len(body) - sent)
        if room > 0:
            end = END_STREAM if sent + room == len(body) else 0
            conn.send(frame(DATA, end, stream, body[sent:sent + room]))
            sent += room
            windows[0] -= room
            windows[stream] -= room
            continue
        got = conn.read_frame()
        assert got, f"closed after {sent} octets: {conn.goaway_text}"
        kind, flags, where, octets = got
        if kind == WINDOW:
            windows[where] += int.from_bytes(octets, "big")
        elif kind == SETTINGS and not flags & 1:
            for name, value in struct.iter_unpack(">HI", octets):
                if name == 4:
                    windows[stream] += value - 65535
        elif kind in (HEADERS, RST, GOAWAY):
            raise AssertionError(f"refused after {sent} octets: {conn.replies}")


def truncated(port):
    whole = message(field(1, b"truncated"))
    for end in range(1, len(whole)):
        expect(call(port, whole[:end]), INTERNAL)


def no_message(port):
    """END_STREAM without a message: a unary call cannot be made of that."""
    reply = call(port, b"")
    assert reply.status in (INTERNAL, UNIMPLEMENTED), reply


def two_messages(port):
    reply = call(port, message(field(1, b"one")) + message(field(1, b"two")))
    assert reply.status in (OK, INTERNAL, UNIMPLEMENTED), reply


def bad_protobuf(port):
    for octets in (b"\x0a", b"\x0a\x05ab", b"\xff" * 11, b"\x07", b"\x0c", b"\x00\x01",
                   b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x13", b"\x09\x01"):
        expect(call(port, message(octets)), INTERNAL)


def invalid_utf8(port):
    for octets in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"abc\xe2\x82"):
        expect(call(port, message(field(1, octets))), INTERNAL)


def nested_deep(port):
    """Groups of an unknown field, 100,000 deep, closed and not."""
    expect(call(port, message(b"\x7b" * 100000 + b"\x7c" * 100000)), INTERNAL)
    expect(call(port, message(b"\x7b" * 100000)), INTERNAL)
    expect(call(port, message(b"\x7b" * 50 + b"\x7c" * 50)), OK)
    inner = b""
    for _ in range(2000):  # length-delimited unknown fields are octets, whatever is inside
        inner = field(15, inner)
    expect(call(port, message(inner)), OK)


def empty_message(port):
    """The only field missing: the greeting is of nobody."""
    reply = call(port, message(b""))
    expect(reply, OK)
    assert reply.data == message(field(1, b"Hello ")), reply


def unknown_fields(port):
    reply = call(port, message(field(99, b"new") + field(1, b"old") + b"\xa0\x06\x01"))
    expect(reply, OK)
    assert reply.data == message(field(1, b"Hello old")), reply


def nul_in_a_string(port):
    reply = call(port, message(field(1, b"a\0b")))
    expect(reply, OK)
    assert reply.data.startswith(message(b"", length=len(reply.data) - 5)[:5]), reply


def compressed(port):
    """The flag without an encoding, then an encoding that no one has."""
    expect(call(port, message(b"x", compressed=1)), INTERNAL)
    expect(call(port, message(b"x", compressed=1), grpc_encoding="zip9"), UNIMPLEMENTED)
    assert call(port, message(b"", compressed=7)).status not in (None, OK)


def bad_metadata(port):
    for name, value in (("grpc-timeout", "1"), ("grpc-timeout", "123456789S"),
                        ("grpc-timeout", "-1S"), ("grpc-timeout", ""), ("x-bin", "*not base64*")):
        reply = call(port, message(b""), replace={name: value})
        assert reply.status not in (None, OK), f"{name}: {value!r} was taken: {reply}"


def header_list_too_large(port):
    with Conn(port) as conn:
        block = headers() + b"".join(literal(f"x-{i}", "v" * 1000) for i in range(20))
        conn.send(frame(HEADERS, 0, 1, block[:16000])
                  + frame(CONTINUATION, END_HEADERS, 1, block[16000:])
                  + frame(DATA, END_STREAM, 1, message(b"")))
        reply = conn.reply(1)
        assert reply.status not in (None, OK) or reply.rst or conn.goaway, reply


def deadline_in_the_past(port):
    reply = call(port, message(b""), grpc_timeout="0n")
    assert reply.status in (4, OK) or reply.rst is not None, reply


GREETER = [
    wrong_preface, http1_get, garbage, bad_frames, last_words, unknown_frames_are_skipped,
    cut_everywhere, octet_by_octet, killed_mid_call, resets, get_over_http2, wrong_content_type,
    bad_pseudo_headers, unknown_service, unknown_method, malformed_path, over_the_limit,
    at_the_limit, truncated, no_message, two_messages, bad_protobuf, invalid_utf8, nested_deep,
    empty_message, unknown_fields, nul_in_a_string, compressed, bad_metadata,
    header_list_too_large, deadline_in_the_past,
]


# -- the other example, and both ends --------------------------------------------------------------

def empty_echo(port):
    reply = call(port, message(b""), path=ECHO)
    expect(reply, OK)
    assert reply.data == message(b""), reply


def streaming_is_unimplemented(port):
    for name in ("ServerStreamingEcho", "ClientStreamingEcho", "BidirectionalStreamingEcho"):
        expect(call(port, message(b""), path=f"/grpc.examples.echo.Echo/{name}"), UNIMPLEMENTED,
               f"method {name} not implemented")


GUIDE = [streams_cut, streams_reset_at_each_frame, nothing_follows_a_reset,
         empty_messages_to_each_method]
MULTIPLEX = [empty_echo, empty_message, streaming_is_unimplemented]


def client_fails(args, addr, *wanted):
    code, text = run(path(args.bin, "greeter_client"), "-addr", addr)
    assert code == 1 and "could not greet: rpc error: code = " in text, (code, text)
    assert any(part in plain(text) for part in wanted), text


def no_server(args):
    client_fails(args, "127.0.0.1:1",
                 'code = Unavailable desc = connection error: desc = "transport: Error while '
                 'dialing: dial tcp 127.0.0.1:1: connect: connection refused"')


def name_that_does_not_resolve(args):
    client_fails(args, "no-such-name.invalid:1", "code = Unavailable desc = ",
                 "code = DeadlineExceeded desc = ")


def bad_target(args):
    client_fails(args, "127.0.0.1:port", "code = ")
    client_fails(args, "nope:///x", "code = ")


def port_in_use(args):
    with Server(path(args.bin, "greeter_server"), "-port", "0") as server:
        for name in ("greeter_server", "multiplex_server"):
            code, text = run(path(args.bin, name), "-port", str(server.port))
            assert code == 1, (code, text)
            assert plain(text).startswith("failed to listen: "), text
            assert plain(text).endswith("address already in use"), text


def silent_server(args):
    """A peer that accepts and says nothing: the client's deadline ends the call."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client_fails(args, f"127.0.0.1:{listener.getsockname()[1]}", "code = DeadlineExceeded",
                     "code = Unavailable")


def hostile_servers(args):
    """Servers that answer with what is no HTTP/2, or hang up."""
    import threading
    for answer in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 100, b"", b"\xff" * 1000,
                   frame(SETTINGS) + frame(GOAWAY, 0, 0, bytes(8)),
                   frame(SETTINGS) + frame(DATA, 0, 0, b"x"),
                   frame(SETTINGS) + frame(HEADERS, END_HEADERS, 2, b"\x88")):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            stop = threading.Event()

            def serve(listener=listener, answer=answer, stop=stop):
                listener.settimeout(0.1)
                while not stop.is_set():
                    try:
                        sock, _ = listener.accept()
                        with sock:
                            sock.sendall(answer)
                    except OSError:
                        pass
            thread = threading.Thread(target=serve)
            thread.start()
            try:
                client_fails(args, f"127.0.0.1:{listener.getsockname()[1]}", "code = Unavailable",
                             "code = DeadlineExceeded", "code = Internal", "code = Unknown")
            finally:
                stop.set()
                thread.join()


def stopped_under_load(args):
    """SIGTERM while 108 callers are busy: the server ends with 0, each call ends, none hangs."""
    with Server(path(args.bin, "multiplex_server"), "-port", "0") as server:
        with tempfile.TemporaryFile("w+") as out:
            load = subprocess.Popen([path(args.tests, "share_conn"), "-addr", server.addr,
                                     "-kinds", "2", "-calls", "100000000", "-until-closed", "1"],
                                    stdout=out, stderr=subprocess.STDOUT)
            try:
                for _ in range(3):  # the load is running when these have been answered
                    code, text = run(path(args.bin, "greeter_client"), "-addr", server.addr)
                    assert code == 0, text
                server.stop()
                code = load.wait(100)
            finally:
                load.kill()
                load.wait()
            out.seek(0)
            text = out.read()
    assert code == 0 and text.endswith("all right: yes\n"), (code, text[-2000:])


ENDS = [no_server, name_that_does_not_resolve, bad_target, port_in_use, silent_server,
        hostile_servers, stopped_under_load]


class Tally:
    def __init__(self, only):
        self.only, self.passed, self.failed = only, 0, 0

    def run(self, case, *args):
        if self.only not in case.__name__:
            return
        try:
            case(*args)
            self.passed += 1
            print(f"ok    {case.__name__}", flush=True)
        except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
            self.failed += 1
            print(f"FAIL  {case.__name__}: {type(error).__name__} {error}", flush=True)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def answers(args, name, server):
    """The real client is still served."""
    if name == "route_guide_server":
        code, text = run(path(args.bin, "route_guide_client"), "-addr", f"localhost:{server.port}")
        assert code == 0 and "Got message Sixth message at point(0, 3)" in text, text[-2000:]
    else:
        code, text = run(path(args.bin, "greeter_client"), "-addr", server.addr)
        assert code == 0 and text.endswith("Greeting: Hello world\n"), text


def against(args, tally, name, cases):
    if not any(tally.only in case.__name__ for case in cases):
        return
    port = free_port() if name == "route_guide_server" else 0  # that one says nothing
    with Server(path(args.bin, name), "-port", str(port), port=port) as server:
        for case in cases:
            def alive(case=case):
                case(server.port)
                assert server.alive(), f"the server ended: {server.text()[-3000:]}"
                answers(args, name, server)
            alive.__name__ = case.__name__
            tally.run(alive)
            if not server.alive():
                print(server.text()[-5000:])
                return


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--tests", required=True, help="where share_conn is")
    parser.add_argument("--only", default="", help="a part of the names to run")
    args = parser.parse_args()
    tally = Tally(args.only)
    for name, cases in (("greeter_server", GREETER), ("multiplex_server", MULTIPLEX),
                        ("route_guide_server", GUIDE)):
        try:
            against(args, tally, name, cases)
        except AssertionError as error:
            tally.failed += 1
            print(f"FAIL  {name}: {error}")
    for case in ENDS:
        tally.run(case, args)
    print(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main())
