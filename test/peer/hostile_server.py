#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""hostile_server.py --bin DIR [--only PART]: scripted servers that misbehave, one way each, against
our client (probe_client). A case is a script, played on each connection, and the lines that the
calls must end with; where the connection must survive, the last call is made on it and must be OK.
A script answers what it does not spoil with an echo."""
import argparse
import concurrent.futures
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from h2wire import (  # noqa: E402
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, PRIORITY,
    PUSH, RST, SETTINGS, WINDOW, Conn, Inflater, frame, literal, message)
from programs import path  # noqa: E402

CODES = ["OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
         "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
         "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
         "UNAUTHENTICATED"]
PADDED = 8
u32 = struct.Struct(">I").pack


def setting(*pairs):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", k, v) for k, v in pairs))


def block(*fields):
    return b"".join(literal(name, value) for name, value in fields)


def head(stream, *fields, end=False, status="200", kind="application/grpc"):
    found = [(":status", status)] + ([("content-type", kind)] if kind else []) + list(fields)
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block(*found))


def tail(stream, status="0", *fields):
    found = ([("grpc-status", status)] if status is not None else []) + list(fields)
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, block(*found))


def data(stream, body, end=False):
    out = b"".join(frame(DATA, 0, stream, body[i:i + 16384]) for i in range(0, len(body), 16384))
    return out + (frame(DATA, END_STREAM, stream) if end else b"")


class Peer(Conn):
    """The server's end of one connection; n counts them from 0."""

    def __init__(self, sock, n):
        self.sock, self.n = sock, n
        self.inflater, self.buffer, self.goaway, self.goaway_text = Inflater(), b"", None, ""
        self.replies, self.block, self.windows = {}, b"", {0: 65535}
        self.initial = 65535
        self.generous, self.got = True, 0  # gives back what arrives; octets of DATA so far
        sock.settimeout(20)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _apply(self, kind, flags, stream, body):
        super()._apply(kind, flags, stream, body)
        if kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, body))
        if kind == WINDOW:
            self.windows[stream] = self.window(stream) + int.from_bytes(body, "big")
        if kind == SETTINGS:
            for key, value in struct.iter_unpack(">HI", body):
                self._initial_window(value if key == 4 else self.initial)
        self.got += len(body) if kind == DATA else 0
        if kind == DATA and body and self.generous:
            self.send(frame(WINDOW, 0, 0, u32(len(body))) + frame(WINDOW, 0, stream,
                                                                   u32(len(body))))

    def window(self, stream):
        return self.windows.setdefault(stream, self.initial)

    def _initial_window(self, value):
        for stream in self.windows.keys() - {0}:
            self.windows[stream] += value - self.initial
        self.initial = value

    def hello(self, settings=setting()):
        """False: the client left."""
        self.send(settings)
        return self._read(len(PREFACE)) == PREFACE

    def request(self, whole=True):
        """The next request's stream, once it is there (whole: to its end); None: the client left.
        """
        seen = set(k for k, r in self.replies.items() if getattr(r, "taken", False))
        while True:
            for stream, reply in self.replies.items():
                if stream not in seen and reply.rst is None and (
                        reply.ended or (not whole and reply.fields)):
                    reply.taken = True
                    return stream
            if self.read_frame() is None:
                return None

    def echo(self, stream):
        """As the client's windows allow."""
        octets = self.replies[stream].data
        self.send(head(stream))
        while octets:
            window = self.window(stream)
            n = min(self.windows[0], window, 16384, len(octets))
            if n > 0:
                self.send(frame(DATA, 0, stream, octets[:n]))
                self.windows[0], self.windows[stream] = self.windows[0] - n, window - n
                octets = octets[n:]
            elif self.read_frame() is None or self.replies[stream].rst is not None:
                return
        self.send(tail(stream))

    def serve(self):
        """Echoes until the client leaves."""
        while (stream := self.request()) is not None:
            self.echo(stream)


CASES = []


def case(script, *lines, args=(), same=False, connections=None, name=None):
    """lines: a pattern for each call. same: all on one connection."""
    CASES.append((name or script.__name__, script, lines, list(args), same, connections))


def spoil(how, *lines, args=(), after=None, name, same=True):
    """how(peer, stream): what the first request is answered with. The next one is served, on the
    same connection or, after an error of the connection, on another."""
    def script(peer):
        if not peer.hello():
            return
        if peer.n == 0:
            stream = peer.request()
            if stream is None:
                return
            out = how(peer, stream)
            if out is not None:
                peer.send(out)
            if after is False:
                return
        peer.serve()
    case(script, *lines, "OK$", args=["--calls", "2", *args], same=same, name=name,
         connections=None if same else 2)


def over(how, *, name, args=()):
    """The first request is answered with an error of the connection: the next goes elsewhere."""
    spoil(how, "UNAVAILABLE: ", name=name, args=args, same=False)


# -- the beginning ---------------------------------------------------------------------------------

def begins(name, octets, line="UNAVAILABLE: "):
    def script(peer):
        peer.send(octets)
        while peer.sock.recv(65536):
            pass
    case(script, line, name=name)


def silent(peer):
    while peer.sock.recv(65536):
        pass


case(silent, "DEADLINE_EXCEEDED: ", args=["--deadline-ms", "300"])
case(silent, "DEADLINE_EXCEEDED: ", args=["--deadline-ms", "300", "--mode", "stream"],
     name="silent_to_a_stream")
begins("http1_answer", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
begins("tls_alert", b"\x15\x03\x01\x00\x02\x02\x46" * 2)
begins("zeros", bytes(100))
begins("ones", b"\xff" * 100)
begins("first_frame_is_a_ping", frame(PING, 0, 0, bytes(8)))
begins("first_frame_is_an_ack", frame(SETTINGS, ACK))
begins("first_frame_is_a_goaway", frame(GOAWAY, 0, 0, bytes(8)))
begins("settings_of_five_octets", frame(SETTINGS, 0, 0, bytes(5)))
begins("settings_on_a_stream", frame(SETTINGS, 0, 1))
begins("settings_with_too_many_entries", setting(*[(0x77, 1)] * 40))
begins("settings_enable_push", setting((2, 1)))
begins("settings_window_too_large", setting((4, 1 << 31)))
begins("settings_frame_too_small", setting((5, 16383)))
begins("settings_frame_too_large", setting((5, 1 << 24)))


def late_settings(peer):
    time.sleep(0.3)
    if peer.hello():
        peer.serve()


def all_settings(peer):
    if peer.hello(setting((1, 0), (3, 7), (4, 100000), (5, 1 << 20), (6, 50000), (0xabcd, 5))):
        peer.serve()


def no_settings_ack(peer):
    peer.send = lambda octets: (None if octets == frame(SETTINGS, ACK)
                                else Conn.send(peer, octets))
    if peer.hello():
        peer.serve()


case(late_settings, "OK$")
case(all_settings, "OK$", args=["--size", "100000"])
case(no_settings_ack, "OK$")


# -- HTTP and gRPC statuses ------------------------------------------------------------------------

STATUS = {"400": "INTERNAL", "401": "UNAUTHENTICATED", "403": "PERMISSION_DENIED",
          "404": "UNIMPLEMENTED", "429": "UNAVAILABLE", "431": "INTERNAL", "502": "UNAVAILABLE",
          "503": "UNAVAILABLE", "504": "UNAVAILABLE", "204": "UNKNOWN", "301": "UNKNOWN",
          "304": "UNKNOWN", "405": "UNKNOWN", "418": "UNKNOWN", "500": "UNKNOWN",
          "501": "UNKNOWN", "599": "UNKNOWN", "999": "UNKNOWN"}
for code, line in STATUS.items():
    spoil(lambda p, s, code=code: head(s, status=code, kind=None, end=True), line + ": ",
          name=f"http_{code}_without_a_body")
    spoil(lambda p, s, code=code: head(s, status=code, kind="text/html")
          + data(s, b"<html>no</html>", end=True), line + ": ", name=f"http_{code}_with_a_page")
spoil(lambda p, s: head(s, status="503", kind="text/html") + data(s, b"<p>") + tail(s, None),
      "UNAVAILABLE: ", name="http_503_with_trailers")
spoil(lambda p, s: head(s, ("grpc-status", "5"), status="503", end=True), "NOT_FOUND: ",
      name="grpc_status_beats_http_status")
spoil(lambda p, s: head(s, kind="text/html") + data(s, b"<html>", end=True), "UNKNOWN: ",
      name="http_200_with_a_page")
spoil(lambda p, s: head(s, status="103", kind=None) + head(s, status="100", kind=None)
      + head(s) + data(s, p.replies[s].data) + tail(s), "OK$", name="interim_responses")
spoil(lambda p, s: head(s, status="103", kind=None, end=True), "INTERNAL: ",
      name="interim_response_that_ends")
spoil(lambda p, s: head(s, status="101", kind=None), "INTERNAL: ", name="switching_protocols")
for number in list(range(1, 17)) + [17, 99, 2147483647]:
    line = CODES[number] if number < 17 else "UNKNOWN"
    spoil(lambda p, s, n=str(number): head(s, ("grpc-status", n), ("grpc-message", "why%21"),
                                           end=True),
          line + ": why!$", name=f"grpc_status_{number}")
for text in ("", "x", "-1", "1x", " 1", "1.0", "99999999999", "0x1"):
    spoil(lambda p, s, text=text: head(s) + data(s, p.replies[s].data) + tail(s, text),
          "(UNKNOWN|INTERNAL): ", name=f"grpc_status_malformed_{text!r}")
spoil(lambda p, s: head(s) + data(s, p.replies[s].data) + tail(s, None), "UNKNOWN: ",
      name="grpc_status_missing")
spoil(lambda p, s: head(s) + data(s, p.replies[s].data, end=True), "INTERNAL: ",
      name="end_without_trailers")
spoil(lambda p, s: head(s, ("grpc-status", "0"), end=True), "INTERNAL: ",
      name="ok_without_a_message")
spoil(lambda p, s: head(s) + tail(s), "INTERNAL: ", name="ok_with_headers_and_no_message")
spoil(lambda p, s: head(s) + data(s, 2 * p.replies[s].data) + tail(s), "INTERNAL: ",
      name="two_messages")
spoil(lambda p, s: head(s) + data(s, p.replies[s].data) + tail(s, "9"), "FAILED_PRECONDITION: ",
      name="message_and_then_an_error")
for text, said in (("%41%zz%", "A%zz%"), ("a%0Ab%00c", r"a\?b"), ("%FF%e2%82", "."),
                   ("", "")):
    spoil(lambda p, s, text=text: head(s, ("grpc-status", "3"), ("grpc-message", text), end=True),
          "INVALID_ARGUMENT: " + said, name=f"grpc_message_{text!r}")
spoil(lambda p, s: head(s, ("grpc-status", "3"), ("grpc-status-details-bin", "*bad*"), end=True),
      "INVALID_ARGUMENT: ", name="details_that_are_no_base64")
spoil(lambda p, s: head(s, ("x-bin", "*bad*")) + data(s, p.replies[s].data) + tail(s),
      "INTERNAL: ", name="metadata_that_is_no_base64")


# -- messages --------------------------------------------------------------------------------------

def body(name, octets, line, *fields):
    spoil(lambda p, s: head(s, *fields) + data(s, octets) + tail(s), line, name=name)


body("message_flag_2", b"\2" + bytes(9), "INTERNAL: ")
body("message_compressed_without_encoding", b"\1" + u32(3) + b"abc", "INTERNAL: ")
body("message_compressed_identity", b"\1" + u32(3) + b"abc", "INTERNAL: ",
     ("grpc-encoding", "identity"))
body("message_compressed_unknown", b"\1" + u32(3) + b"abc", "(INTERNAL|UNIMPLEMENTED): ",
     ("grpc-encoding", "zip9"))
body("message_of_4_gib", b"\0\xff\xff\xff\xff", "RESOURCE_EXHAUSTED: ")
body("message_over_the_limit", b"\0" + u32(4194305), "RESOURCE_EXHAUSTED: ")
body("message_cut_in_its_prefix", b"\0\0\0", "INTERNAL: ")
body("message_cut", b"\0" + u32(10) + b"abc", "INTERNAL: ")
body("message_that_is_no_protobuf", message(b"\x0a\x05ab"), "INTERNAL: ")
body("message_that_is_another", message(b"\x0a\x03abc"), "BAD_ECHO: ")
spoil(lambda p, s: head(s) + data(s, p.replies[s].data[:5])
      + frame(DATA, 0, s) * 50 + b"".join(
          frame(DATA, 0, s, bytes([c])) for c in p.replies[s].data[5:]) + tail(s), "OK$",
      name="message_in_crumbs")
spoil(lambda p, s: b"".join(frame(DATA, PADDED, s, b"\xff" + p.replies[s].data[i:i + 5]
                                  + bytes(255)) if i else head(s) + frame(
                                      DATA, PADDED, s, b"\xff" + p.replies[s].data[:5]
                                      + bytes(255))
                            for i in range(0, len(p.replies[s].data), 5)) + tail(s), "OK$",
      args=["--size", "314"], name="message_in_padding")


# -- resets ----------------------------------------------------------------------------------------

RESETS = {0: "INTERNAL", 1: "INTERNAL", 2: "INTERNAL", 3: "INTERNAL", 4: "INTERNAL",
          5: "(INTERNAL|UNKNOWN)", 6: "INTERNAL", 8: "CANCELLED", 9: "INTERNAL", 10: "INTERNAL",
          11: "RESOURCE_EXHAUSTED", 12: "PERMISSION_DENIED", 13: "INTERNAL", 14: "UNKNOWN",
          0xffffffff: "UNKNOWN"}
for code, line in RESETS.items():
    spoil(lambda p, s, code=code: frame(RST, 0, s, u32(code)), line + ": ",
          name=f"reset_{code}_before_headers")
    spoil(lambda p, s, code=code: head(s) + frame(RST, 0, s, u32(code)), line + ": ",
          name=f"reset_{code}_after_headers")
    spoil(lambda p, s, code=code: head(s) + data(s, p.replies[s].data[:9])
          + frame(RST, 0, s, u32(code)), line + ": ", name=f"reset_{code}_within_the_message")
spoil(lambda p, s: head(s) + data(s, p.replies[s].data) + frame(RST, 0, s, u32(0)), "INTERNAL: ",
      name="reset_after_the_message")
spoil(lambda p, s: head(s) + data(s, p.replies[s].data) + tail(s) + frame(RST, 0, s, u32(0)),
      "OK$", name="reset_after_the_end")


def refuses_the_first(peer):
    """REFUSED_STREAM means never seen: the call is repeated once, unasked."""
    if peer.hello():
        peer.send(frame(RST, 0, peer.request() or 1, u32(7)))
        peer.serve()


def refuses_all(peer):
    if peer.hello():
        while (stream := peer.request()) is not None:
            peer.send(frame(RST, 0, stream, u32(7)))


case(refuses_the_first, "OK$", same=True)
case(refuses_all, "UNAVAILABLE: ", same=True)


# -- GOAWAY ----------------------------------------------------------------------------------------

def goaway(last, code=0, text=b""):
    return frame(GOAWAY, 0, 0, u32(last) + u32(code) + text)


def goes_away(name, first, line="OK$", connections=None, then=None, args=()):
    def script(peer):
        if not peer.hello():
            return
        stream = peer.request()
        if peer.n == 0 and stream is not None:
            peer.send(first(stream))
            if then:
                then(peer, stream)
        elif stream is not None:
            peer.echo(stream)
        peer.serve()
    case(script, line, name=name, connections=connections, args=args)


goes_away("goaway_before_the_call_was_seen", lambda s: goaway(0), connections=2)
goes_away("goaway_that_covers_the_call", goaway, then=Peer.echo, connections=1)
goes_away("goaway_in_two_steps", lambda s: goaway(0x7fffffff) + frame(PING, 0, 0, bytes(8))
          + goaway(s), then=Peer.echo, connections=1)
goes_away("goaway_with_an_error_and_the_call_unseen",
          lambda s: goaway(0, 11, b"too_many_pings"), connections=2)
goes_away("goaway_with_a_long_text", lambda s: goaway(s, 0, b"x" * 16000), then=Peer.echo,
          connections=1)
goes_away("goaway_with_an_even_id", lambda s: goaway(2), "UNAVAILABLE: ")
goes_away("goaway_that_rises", lambda s: goaway(1) + goaway(3), "UNAVAILABLE: ")
goes_away("goaway_of_seven_octets", lambda s: frame(GOAWAY, 0, 0, bytes(7)), "UNAVAILABLE: ")
goes_away("goaway_on_a_stream", lambda s: frame(GOAWAY, 0, 1, bytes(8)), "UNAVAILABLE: ")
goes_away("goaway_and_then_nothing", goaway, "UNAVAILABLE: ",
          then=lambda p, s: p.sock.shutdown(socket.SHUT_RDWR))


def goes_away_after_each(peer):
    """Each connection is good for one call; each call is answered."""
    if peer.hello():
        stream = peer.request()
        if stream is not None:
            peer.send(goaway(stream))
            peer.echo(stream)
            peer.serve()


def goes_away_always_unseen(peer):
    if peer.hello():
        while peer.request() is not None:
            peer.send(goaway(0))


case(goes_away_after_each, *["OK$"] * 5, args=["--calls", "5"], connections=5)
case(goes_away_always_unseen, "UNAVAILABLE: ")


# -- stream limits, windows ------------------------------------------------------------------------

def no_streams(peer):
    if peer.hello(setting((3, 0))):
        peer.serve()


def streams_later(peer):
    if peer.hello(setting((3, 0))):
        time.sleep(0.3)
        peer.send(setting((3, 1)))
        peer.serve()


def one_stream(peer):
    if peer.hello(setting((3, 1))):
        peer.serve()


case(no_streams, "DEADLINE_EXCEEDED: ", args=["--deadline-ms", "300"])
case(streams_later, "OK$", same=True)
case(one_stream, *["OK$"] * 10, args=["--calls", "10"], same=True)


def window_never(peer):
    peer.generous = False
    if peer.hello(setting((4, 0))):
        peer.serve()


def window_by_octets(peer):
    peer.generous = False
    if peer.hello(setting((4, 0))):
        stream = peer.request(whole=False)
        while stream and not peer.replies[stream].ended:
            peer.send(frame(WINDOW, 0, stream, u32(1)))
            peer.read_frame()
        if stream:
            peer.echo(stream)
        peer.serve()


def window_that_shrinks(peer):
    """A window of 1,000, then of 0 while 1,000 octets are out: negative; then enough."""
    peer.generous = False
    if peer.hello(setting((4, 1000))):
        stream = peer.request(whole=False)
        while stream and peer.got < 1000 and peer.read_frame():
            pass
        assert peer.got == 1000, peer.got
        peer.send(setting((4, 0)) + frame(WINDOW, 0, stream, u32(1000))
                  + frame(PING, 0, 0, b"shrunken"))
        while (got := peer.read_frame()) and got[3] != b"shrunken":
            pass
        assert peer.got == 1000, peer.got
        peer.send(frame(WINDOW, 0, stream, u32(1)) + frame(PING, 0, 0, b"one more"))
        while (got := peer.read_frame()) and got[3] != b"one more":
            pass
        assert peer.got <= 1001, peer.got
        peer.send(setting((4, 5000)))
        while not peer.replies[stream].ended and peer.read_frame():
            pass
        peer.echo(stream)
        peer.serve()


case(window_never, "DEADLINE_EXCEEDED: ", args=["--deadline-ms", "300"])
case(window_never, "DEADLINE_EXCEEDED: ", args=["--deadline-ms", "300", "--mode", "stream"],
     name="window_never_for_a_stream")
case(window_by_octets, "OK$", args=["--size", "40"])
case(window_that_shrinks, "OK$", args=["--size", "3000"])
spoil(lambda p, s: frame(WINDOW, 0, s, u32(0)), "INTERNAL: ", name="window_update_of_0")
spoil(lambda p, s: frame(WINDOW, 0, s, u32(0x7fffffff)) + head(s), "INTERNAL: ",
      name="window_overflow", args=["--size", "10"])
over(lambda p, s: frame(WINDOW, 0, 0, u32(0)), name="window_update_of_0_for_the_connection")
over(lambda p, s: frame(WINDOW, 0, 0, u32(0x7fffffff)), name="window_overflow_of_the_connection")
over(lambda p, s: setting((4, 0x7fffffff)) + frame(WINDOW, 0, s, u32(0x10000)) + frame(DATA, 0, 0),
     name="window_overflow_by_settings")
spoil(lambda p, s: head(s) + data(s, b"\0" + u32(3 << 20) + bytes(90000)), "DEADLINE_EXCEEDED: ",
      name="a_long_message_is_granted_its_window", args=["--deadline-ms", "300"])
spoil(lambda p, s: head(s) + data(s, b"\0" + u32(3 << 20) + bytes(4 << 20)),
      "(INTERNAL|UNAVAILABLE): ", name="more_than_the_window_of_a_long_message", same=None)


# -- framing ---------------------------------------------------------------------------------------

for title, wrong in {
        "frame_too_large": frame(DATA, 0, 1, bytes(16385)),
        "headers_too_large": frame(HEADERS, END_HEADERS, 1, bytes(16385)),
        "push_promise": frame(PUSH, END_HEADERS, 1, u32(2) + block((":method", "GET"))),
        "headers_on_an_even_stream": head(2),
        "headers_on_an_idle_stream": head(99),
        "data_on_an_idle_stream": frame(DATA, 0, 99, b"x"),
        "data_on_stream_0": frame(DATA, 0, 0, b"x"),
        "reset_on_an_idle_stream": frame(RST, 0, 99, bytes(4)),
        "reset_of_3_octets": frame(RST, 0, 1, bytes(3)),
        "window_update_on_an_idle_stream": frame(WINDOW, 0, 99, u32(1)),
        "window_update_of_3_octets": frame(WINDOW, 0, 1, bytes(3)),
        "ping_of_7_octets": frame(PING, 0, 0, bytes(7)),
        "ping_on_a_stream": frame(PING, 0, 1, bytes(8)),
        "ack_with_a_payload": frame(SETTINGS, ACK, 0, bytes(6)),
        "priority_on_stream_0": frame(PRIORITY, 0, 0, bytes(5)),
        "continuation_of_nothing": frame(CONTINUATION, END_HEADERS, 1, b""),
        "header_block_interrupted": frame(HEADERS, 0, 1, b"") + frame(PING, 0, 0, bytes(8)),
        "header_block_that_does_not_decode": frame(HEADERS, END_HEADERS, 1, b"\xff" * 6),
        "header_index_0": frame(HEADERS, END_HEADERS, 1, b"\x80"),
        "header_table_too_large": frame(HEADERS, END_HEADERS, 1, b"\x3f\xe2\x1f\x88"),
        "huffman_eos": frame(HEADERS, END_HEADERS, 1, b"\0\x84\xff\xff\xff\xff\0"),
        "padding_beyond_the_frame": frame(HEADERS, END_HEADERS, 1, block((":status", "200")))
        + frame(DATA, PADDED, 1, b"\x09abc"),
}.items():
    over(lambda p, s, wrong=wrong: wrong, name=title)

spoil(lambda p, s: frame(0xb0, 0xff, 0, bytes(100)) + frame(0xb1, 0xff, s, bytes(100)) + head(s)
      + frame(0xb2, 0, s) + data(s, p.replies[s].data) + frame(PRIORITY, 0, s, u32(0) + b"\7")
      + tail(s), "OK$", name="frames_of_unknown_type")
spoil(lambda p, s: frame(DATA, 0, s, b"\0\0\0\0\0"), "INTERNAL: ", name="data_before_headers")
spoil(lambda p, s: head(s) + data(s, p.replies[s].data) + tail(s) + frame(WINDOW, 0, s, u32(7)),
      "OK$", name="window_update_after_the_end")
over(lambda p, s: head(s) + frame(RST, 0, s, bytes(3)), name="reset_cut_short")
spoil(lambda p, s: head(s) + head(s), "INTERNAL: ", name="headers_twice")
spoil(lambda p, s: frame(PRIORITY, 0, s, u32(s) + b"\0"), "INTERNAL: ",
      name="stream_that_depends_on_itself")


# -- header lists ----------------------------------------------------------------------------------

for title, fields in {
        "upper_case_name": [(":status", "200"), ("X-Upper", "y")],
        "name_with_a_space": [(":status", "200"), ("x y", "z")],
        "name_that_is_empty": [(":status", "200"), ("", "z")],
        "value_with_a_line_end": [(":status", "200"), ("x", "a\r\nb")],
        "connection_field": [(":status", "200"), ("connection", "close")],
        "transfer_encoding": [(":status", "200"), ("transfer-encoding", "chunked")],
        "status_missing": [("content-type", "application/grpc")],
        "status_twice": [(":status", "200"), (":status", "200")],
        "status_late": [("content-type", "application/grpc"), (":status", "200")],
        "status_of_two_digits": [(":status", "20")],
        "status_of_letters": [(":status", "2oo")],
        "request_field": [(":status", "200"), (":path", "/")],
        "unknown_pseudo_field": [(":status", "200"), (":x", "y")],
}.items():
    spoil(lambda p, s, fields=fields: frame(HEADERS, END_HEADERS, s, block(*fields)), "INTERNAL: ",
          name="response_with_" + title)
spoil(lambda p, s: head(s) + data(s, p.replies[s].data) + tail(s, "0", (":status", "200")),
      "INTERNAL: ", name="trailers_with_a_status")
spoil(lambda p, s: head(s, ("content-length", "3")) + data(s, p.replies[s].data) + tail(s),
      "INTERNAL: ", name="more_than_content_length")
spoil(lambda p, s: head(s, ("content-length", "99")) + data(s, p.replies[s].data) + tail(s),
      "INTERNAL: ", name="less_than_content_length")
spoil(lambda p, s: head(s, ("content-type", "application/grpc+proto"), kind=None)
      + data(s, p.replies[s].data) + tail(s), "OK$", name="content_type_with_a_suffix")


def long_list(stream, count, end, *first):
    octets = block(*first) + b"".join(literal(f"x-{i}", "v" * 1000) for i in range(count))
    pieces = [octets[i:i + 16384] for i in range(0, len(octets), 16384)]
    out = frame(HEADERS, (END_STREAM if end else 0) | (END_HEADERS if len(pieces) == 1 else 0),
                stream, pieces[0])
    for i, piece in enumerate(pieces[1:]):
        out += frame(CONTINUATION, END_HEADERS if i == len(pieces) - 2 else 0, stream, piece)
    return out


ok200 = [(":status", "200"), ("content-type", "application/grpc")]
spoil(lambda p, s: long_list(s, 15, False, *ok200) + data(s, p.replies[s].data) + tail(s), "OK$",
      name="header_list_within_the_limit")
spoil(lambda p, s: long_list(s, 20, False, *ok200) + data(s, p.replies[s].data) + tail(s),
      "RESOURCE_EXHAUSTED: ", name="header_list_over_the_limit")
spoil(lambda p, s: long_list(s, 20, True, *ok200, ("grpc-status", "0")), "RESOURCE_EXHAUSTED: ",
      name="trailers_only_over_the_limit")
spoil(lambda p, s: head(s) + data(s, p.replies[s].data)
      + long_list(s, 20, True, ("grpc-status", "0")), "RESOURCE_EXHAUSTED: ",
      name="trailers_over_the_limit")
over(lambda p, s: long_list(s, 50, False, *ok200), name="header_block_over_the_limit")
bomb = b"\x40" + literal("x", "v" * 4000)[1:] + b"\xbe" * 12000
over(lambda p, s: frame(HEADERS, END_HEADERS, s, b"\x88" + bomb), name="hpack_bomb")


# -- answers in one piece whose header blocks have been seen before -------------------------------

def insert(name, value):
    return b"\x40" + literal(name, value)[1:]


def seen(stream, body, head_block=b"\x88\xbf", tail_block=b"\xbe"):
    return (frame(HEADERS, END_HEADERS, stream, head_block) + frame(DATA, 0, stream, body)
            + frame(HEADERS, END_HEADERS | END_STREAM, stream, tail_block))


def after_some(how, line, *, name, after=seen):
    """Five good answers, how, and two good ones: by index, the first one fills the table."""
    def script(peer):
        if not peer.hello():
            return
        for n in range(8):
            stream = peer.request()
            if stream is None:
                return
            body = peer.replies[stream].data
            peer.send(how(stream, body) if n == 5 else after(stream, body) if n > 5 else
                      seen(stream, body) if n else
                      seen(stream, body, b"\x88" + insert("content-type", "application/grpc"),
                           insert("grpc-status", "0")))
        peer.request()
    case(script, *["OK$"] * 5, line, "OK$", "OK$", args=["--calls", "8"], same=True, name=name)


after_some(seen, "OK$", name="seen_answers")
after_some(lambda s, b: seen(s, b, b"\x88\xbf" + literal("x", "v" * 16320)),
           "RESOURCE_EXHAUSTED: ", name="seen_head_and_more_over_the_limit")
after_some(lambda s, b: seen(s, b, tail_block=b"\xbe" + literal("x", "v" * 16320)),
           "RESOURCE_EXHAUSTED: ", name="seen_trailers_and_more_over_the_limit")
after_some(lambda s, b: seen(s, b"\2" + b[1:]), "INTERNAL: .*unexpected payload format",
           name="seen_answer_with_flag_2")
after_some(lambda s, b: seen(s, b"\1" + b[1:]), "INTERNAL: .*compressed flag",
           name="seen_answer_with_flag_1")
after_some(lambda s, b: seen(s, b * 2), "INTERNAL: cardinality", name="seen_answer_of_two")
after_some(lambda s, b: seen(s, b[:-1]), "INTERNAL: unexpected EOF", name="seen_answer_cut_short")
after_some(lambda s, b: seen(s, b[:4]), "INTERNAL: unexpected EOF", name="seen_answer_of_a_prefix")
after_some(lambda s, b: seen(s, b""), "INTERNAL: cardinality", name="seen_answer_of_nothing")
after_some(lambda s, b: seen(s, b"\0\x7f\xff\xff\xff" + b[5:]), "RESOURCE_EXHAUSTED: ",
           name="seen_answer_too_large")
after_some(lambda s, b: seen(s, b, b"\x88\xbf", insert("grpc-status", "5")), "NOT_FOUND: ",
           name="seen_head_and_a_new_code", after=lambda s, b: seen(s, b, b"\x88\xc0", b"\xbf"))
after_some(lambda s, b: seen(s, b, b"\x88\x40" + literal("content-type", "text/html")[1:]),
           "UNKNOWN: .*no gRPC", name="seen_octets_that_mean_something_else",
           after=lambda s, b: seen(s, b, b"\x88\xc0", b"\xbf"))


# -- floods: the client hangs up, its next call goes elsewhere -------------------------------------

for title, item in {
        "pings": frame(PING, 0, 0, bytes(8)),
        "ping_acks": frame(PING, ACK, 0, bytes(8)),
        "settings": setting(),
        "settings_acks": frame(SETTINGS, ACK),
        "empty_data": frame(DATA, 0, 1),
        "window_updates": frame(WINDOW, 0, 0, u32(1)),
        "priorities": frame(PRIORITY, 0, 1, u32(0) + b"\0"),
        "unknown_frames": frame(0xb0, 0, 0, b"x"),
        "interim_responses": head(1, status="103", kind=None),
        "goaways": goaway(1),
}.items():
    def flood(peer, stream, item=item, title=title):
        if title == "empty_data":
            peer.send(head(stream))
        if title == "goaways":
            peer.send(head(stream))
        for _ in range(100):
            peer.send(item * 100)
    spoil(flood, "UNAVAILABLE: ", name="flood_of_" + title, same=False)
spoil(lambda p, s: frame(RST, 0, s, u32(7)) * 10000, "(OK$|UNAVAILABLE: )",
      name="flood_of_resets", same=False)
over(lambda p, s: frame(HEADERS, 0, s, b"") + frame(CONTINUATION, 0, s) * 100000,
     name="flood_of_continuations")
spoil(lambda p, s: frame(PING, 0, 0, bytes(8)) * 300 + setting() * 100 + head(s)
      + data(s, p.replies[s].data) + tail(s), "OK$", name="pings_and_settings_in_measure")


# -- slow and short --------------------------------------------------------------------------------

def dripping(peer, stream):
    for octet in head(stream) + data(stream, peer.replies[stream].data) + tail(stream):
        peer.send(bytes([octet]))


spoil(dripping, "OK$", name="dripping")
for title, part in {
        "headers": lambda p, s: head(s),
        "part_of_a_message": lambda p, s: head(s) + data(s, p.replies[s].data[:9]),
        "the_message": lambda p, s: head(s) + data(s, p.replies[s].data),
        "part_of_a_frame": lambda p, s: head(s)[:20],
        "part_of_a_block": lambda p, s: frame(HEADERS, 0, s, block((":status", "200")))}.items():
    def falls_silent(peer, stream, part=part, title=title):
        """Until the client gives the call up; then what was begun is ended."""
        peer.send(part(peer, stream))
        while peer.replies[stream].rst is None and peer.read_frame():
            pass
        if title == "part_of_a_frame":
            peer.send(head(stream)[20:])
        elif title == "part_of_a_block":
            peer.send(frame(CONTINUATION, END_HEADERS, stream))
    spoil(falls_silent, "DEADLINE_EXCEEDED: ", args=["--deadline-ms", "300"],
          name="silence_after_" + title)

    def closes(peer, stream, part=part):
        peer.send(part(peer, stream))
        peer.sock.shutdown(socket.SHUT_RDWR)
    spoil(closes, "UNAVAILABLE: ", name="closed_after_" + title, same=False)

    def breaks(peer, stream, part=part):
        peer.send(part(peer, stream))
        time.sleep(0.05)
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.sock.close()
    spoil(breaks, "UNAVAILABLE: ", name="broken_after_" + title, same=False)


def early_answer(peer):
    """Trailers while the request is still coming: they stand, and the client stops sending."""
    peer.generous = False
    if peer.hello():
        stream = peer.request(whole=False)
        if peer.n == 0 and stream:
            peer.send(head(stream, ("grpc-status", "7"), end=True) + frame(WINDOW, 0, 0,
                                                                           u32(1 << 20)))
        peer.generous = True
        peer.serve()


case(early_answer, "PERMISSION_DENIED: ", "(OK|PERMISSION_DENIED)", args=[
    "--calls", "2", "--size", "300000"], same=True)


# -- connections -----------------------------------------------------------------------------------

def dropped(peer):
    """Closed at once: tries are bounded by the backoff."""
    peer.sock.close()


case(dropped, "UNAVAILABLE: ", connections=1)
case(dropped, "(UNAVAILABLE|DEADLINE_EXCEEDED): ", args=["--wait-ready", "--deadline-ms", "2500"],
     connections=4, name="dropped_while_the_caller_waits")


def dropped_twice(peer):
    if peer.n >= 2 and peer.hello():
        peer.serve()


case(dropped_twice, "OK$", args=["--wait-ready", "--deadline-ms", "8000"], connections=3)


# -- streams ---------------------------------------------------------------------------------------

def streams(how, *lines, name, args=("--messages", "20", "--size", "1000"), same=True):
    def script(peer):
        if peer.hello():
            if peer.n == 0 and (stream := peer.request()) is not None:
                peer.send(how(peer, stream) or b"")
            peer.serve()
    case(script, *lines, "OK$", name="stream_" + name, same=same,
         args=["--mode", "stream", "--calls", "2", *args])


def messages(peer, stream):
    octets, out = peer.replies[stream].data, []
    while octets:
        n = 5 + int.from_bytes(octets[1:5], "big")
        out.append(octets[:n])
        octets = octets[n:]
    return out


streams(lambda p, s: head(s) + data(s, p.replies[s].data) + tail(s), "OK$", name="echo")
for size in (10, 10000, 70000, 300000):
    streams(Peer.echo, "OK$", name=f"of_{size}_octets_each_read_late", args=[
        "--messages", "20", "--size", str(size), "--stall-ms", "100", "--deadline-ms", "20000"])
streams(lambda p, s: head(s) + data(s, p.replies[s].data) + tail(s), "INTERNAL: ",
        args=["--messages", "20", "--size", "10000", "--stall-ms", "100"],
        name="more_than_its_window")
streams(lambda p, s: head(s) + data(s, b"".join(messages(p, s)[:-1])) + tail(s), "DATA_LOSS: ",
        name="one_missing")
streams(lambda p, s: head(s) + data(s, b"".join(reversed(messages(p, s)))) + tail(s),
        "BAD_ECHO: ", name="out_of_order")
streams(lambda p, s: head(s) + data(s, b"".join(messages(p, s)[:3])) + tail(s, "10"),
        "ABORTED: ", name="error_between")
streams(lambda p, s: head(s) + data(s, b"".join(messages(p, s)[:3])) + frame(RST, 0, s, u32(8)),
        "CANCELLED: ", name="reset_between")
streams(lambda p, s: head(s) + data(s, p.replies[s].data[:-1]) + tail(s), "INTERNAL: ",
        name="cut_in_the_last_message")
streams(lambda p, s: head(s) + data(s, b"".join(messages(p, s)[:3])) + goaway(s) + data(
    s, b"".join(messages(p, s)[3:])) + tail(s), "OK$", name="goaway_between", same=None)

# What was never seen is repeated once, with all that was sent: as much as is kept.
streams(lambda p, s: frame(RST, 0, s, u32(7)), "OK$", name="refused")
streams(lambda p, s: frame(RST, 0, s, u32(7)), "UNAVAILABLE: ", name="refused_beyond_what_is_kept",
        args=["--messages", "20", "--size", "20000"])
streams(lambda p, s: goaway(0), "OK$", name="goaway_unseen", same=None)


def refused_twice(peer):
    if peer.hello():
        for _ in range(2):
            peer.send(frame(RST, 0, peer.request() or 1, u32(7)))
        peer.serve()


def refused_while_sending(peer):
    """Before the end came, and while the client waits for window."""
    if peer.hello():
        if peer.n == 0:
            peer.generous = False
            stream = peer.request(whole=False)
            while peer.got < 50000 and peer.read_frame() is not None:
                pass
            peer.generous = True
            peer.send(frame(RST, 0, stream, u32(7)) + frame(WINDOW, 0, 0, u32(peer.got)))
        peer.serve()


STREAM = ["--mode", "stream", "--calls", "2"]
case(refused_twice, "UNAVAILABLE: ", "OK$", args=STREAM + ["--messages", "3"], same=True,
     name="stream_refused_twice")
case(refused_while_sending, "OK$", "OK$", same=True, name="stream_refused_while_sending",
     args=STREAM + ["--messages", "20", "--size", "10000", "--deadline-ms", "5000"])


# -- playing ---------------------------------------------------------------------------------------

class Stage:
    """Plays a script on each connection that comes."""

    def __init__(self, script, make=Peer):
        self.script, self.make, self.peers, self.errors = script, make, [], []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            peer = self.make(sock, len(self.peers))
            self.peers.append(peer)
            thread = threading.Thread(target=self._play, args=(peer,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _play(self, peer):
        try:
            self.script(peer)
        except (OSError, ValueError):
            pass
        except Exception as error:  # pylint: disable=broad-except
            self.errors.append(repr(error))
        finally:
            peer.sock.close()

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(20)


def play(program, name, script, lines, args, same, connections):
    stage = Stage(script)
    try:
        start = time.monotonic()
        done = subprocess.run([program, "--port", str(stage.port), *args], capture_output=True,
                              text=True, errors="replace", timeout=30, check=False)
        took = time.monotonic() - start
    except subprocess.TimeoutExpired as error:
        return name, [f"hangs, after {(error.stdout or b'').decode()!r}"]
    finally:
        stage.stop()
    said = done.stdout.splitlines()
    wrong = []
    if len(said) != len(lines):
        wrong.append(f"{len(said)} lines of {len(lines)}")
    wrong += [f"call {i}: {line!r} is no {want!r}"
              for i, (line, want) in enumerate(zip(said, lines)) if not re.match(want, line)]
    if done.returncode != (0 if said and said[-1] == "OK" else 1) or done.stderr:
        wrong.append(f"exit {done.returncode} {done.stderr[-3000:]}")
    if same and len(stage.peers) != 1:
        wrong.append(f"{len(stage.peers)} connections of 1")
    if connections and len(stage.peers) > connections:
        wrong.append(f"{len(stage.peers)} connections of at most {connections}")
    if took > 10:
        wrong.append(f"took {took:.1f} s")
    return name, wrong + stage.errors


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--only", default="", help="a part of the names to run")
    args = parser.parse_args()
    program = path(args.bin, "probe_client")
    chosen = [c for c in CASES if args.only in c[0]]
    assert len({c[0] for c in CASES}) == len(CASES), "two cases of one name"
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for name, wrong in pool.map(lambda c: play(program, *c), chosen):
            failed += bool(wrong)
            if wrong:
                print(f"FAIL  {name}: {'; '.join(wrong)}", flush=True)
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
