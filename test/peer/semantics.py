#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""semantics.py --bin DIR [--only PART] [--show]: gRPC over HTTP/2 line by line, both roles. SERVER
has requests, wrong in one way each, and exactly what our server answers; CLIENT has answers of a
scripted server and exactly what our client's call ends with; SENT is what our client sends. Rows
are named by what they send, and doc/wire.md names them. --show prints what comes instead of
comparing it."""
import argparse
import concurrent.futures
import gzip
import os
import re
import subprocess
import sys
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hostile_server as hostile  # noqa: E402
from h2wire import (  # noqa: E402
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, RST, Conn, field, frame, headers,
    literal, message)
from hostile_server import data, head, tail, u32  # noqa: E402
from programs import Server, path  # noqa: E402

SERVICE = "/grpc.testing.TestService/"
EMPTY, UNARY = SERVICE + "EmptyCall", SERVICE + "UnaryCall"
NOT_BASE64 = "A -bin header is not valid base64."
BAD_TIMEOUT = ("The header grpc-timeout is malformed: 1 to 8 digits and one of H M S m u n are "
               "expected.")
NO_CODEC = 'grpc: Decompressor is not installed for grpc-encoding "{}"'
TWO_HOSTS = "There is more than one host header."
ACCEPTS = "identity,deflate,gzip"


def answer(code=0, text=None, **more):
    """Of gRPC: Trailers-Only for an error."""
    out = {":status": "200", "content-type": "application/grpc", "grpc-status": str(code)}
    if text is not None:
        out["grpc-message"] = text
    out.update({k.replace("_", "-"): v for k, v in more.items()})
    return out


def refusal(status, code, text, **more):
    """Of HTTP, with a line for people."""
    return dict({":status": str(status), "content-type": "text/plain; charset=utf-8",
                 "grpc-status": str(code), "grpc-message": text}, **more)


OK = answer()
NOT_POST = refusal(405, 13, "This is a gRPC server: only POST is served here.", allow="POST")
NOT_GRPC = refusal(415, 2,
                   "This is a gRPC server: the content-type must be application/grpc.")
MALFORMED = "RST 1"  # PROTOCOL_ERROR
EOF = answer(13, "unexpected EOF: the stream ended inside a message")
ECHO = {"x-grpc-test-echo-trailing-bin": "q6ur"}
SERVER = []


def serve(name, wanted, block=None, body=message(b""), **how):
    """One row: the header block, or what differs from a good one, and the body."""
    replace = how.pop("replace", {})
    replace.update({k.replace("_", "-"): v for k, v in how.items() if k != "path"})
    if block is None:
        block = headers(how.get("path", EMPTY), replace=replace)
    SERVER.append((name, block, body, wanted))


# -- requests: pseudo-headers, path, content-type (1, 10, 11, 13, 14) ------------------------------

serve("a good request", OK)
serve("method GET", NOT_POST, replace={":method": "GET"}, body=b"")
serve("method PUT", NOT_POST, replace={":method": "PUT"})
serve("method post", NOT_POST, replace={":method": "post"})
serve("method of nothing", MALFORMED, replace={":method": ""})
serve("no method", MALFORMED, replace={":method": None})
serve("no scheme", MALFORMED, replace={":scheme": None})
serve("scheme https on plain text", OK, replace={":scheme": "https"})
serve("no path", MALFORMED, replace={":path": None})
serve("path of nothing", MALFORMED, replace={":path": ""})
serve("unknown pseudo-header", MALFORMED, replace={":nope": "x"})
serve("pseudo-header of responses", MALFORMED, replace={":status": "200"})
serve("pseudo-header last", MALFORMED,
      block=headers(EMPTY, replace={":scheme": None}) + literal(":scheme", "http"))
serve("no te", OK, te=None)
serve("te gzip", MALFORMED, te="gzip")
serve("connection header", MALFORMED, connection="close")
serve("upper-case name", MALFORMED, replace={"Upper": "case"})
serve("name with a space", MALFORMED, replace={"a b": "x"})
serve("no authority", OK, replace={":authority": None})
serve("no authority but a host", OK, replace={":authority": None}, host="test")
serve("authority and host", OK, host="other")
serve("two authorities", MALFORMED, block=literal(":authority", "a") + headers(EMPTY))
serve("two hosts", refusal(400, 13, TWO_HOSTS),
      block=headers(EMPTY) + literal("host", "a") + literal("host", "b"))
for where in ("/", "*", "EmptyCall", "/EmptyCall", "grpc.testing.TestService/EmptyCall"):
    serve("path " + where, answer(12, f'malformed method name: "{where}"'), path=where)
serve("path //", answer(12, "unknown service "), path="//")
serve("path of an unknown service", answer(12, "unknown service no.Such"), path="/no.Such/Call")
serve("path in other case", answer(12, "unknown service grpc.testing.testservice"),
      path=EMPTY.lower())
serve("path of an unknown method",
      answer(12, "unknown method Nope for service grpc.testing.TestService"),
      path=SERVICE + "Nope")
serve("path with a slash more",
      answer(12, "unknown method EmptyCall/ for service grpc.testing.TestService"),
      path=EMPTY + "/")
serve("path with a query",
      answer(12, "unknown method EmptyCall?a=1 for service grpc.testing.TestService"),
      path=EMPTY + "?a=1")
for kind in ("application/grpc+proto", "application/grpc+json", "application/grpc;charset=utf-8"):
    serve("content-type " + kind, OK, content_type=kind)
for kind in ("application/grpcx", "application/grpc-web", "application/json", "text/html", "",
             None):
    serve(f"content-type {kind}", NOT_GRPC, content_type=kind)

# -- timeouts (3, 16) ------------------------------------------------------------------------------

for text in ("1H", "60M", "3600S", "5000m", "5000000u", "99999999n", "99999999H", "00000001M"):
    serve("timeout " + text, OK, grpc_timeout=text)
for text in ("", "1", "S", "1s", "-1S", "+1S", "1.5S", "1 S", "0x1S", "123456789S", "1SS",
             "1h"):
    serve(f"timeout '{text}'", refusal(400, 13, BAD_TIMEOUT), grpc_timeout=text)
for text in (" 1S", "1S "):  # RFC 9113 8.2.1: white space around a value
    serve(f"timeout '{text}'", MALFORMED, grpc_timeout=text)
for text in ("0n", "0S"):
    serve("timeout " + text, answer(4, "context deadline exceeded"), grpc_timeout=text)

# -- metadata (5 to 9, 12) -------------------------------------------------------------------------

for text in ("q6ur", "q6ur==", "q6u", "q6u="):
    decoded = {"q6ur": "q6ur", "q6u": "q6s", "q6u=": "q6s"}.get(text)
    serve("base64 " + text, answer(x_grpc_test_echo_trailing_bin=decoded) if decoded
          else refusal(400, 13, NOT_BASE64), x_grpc_test_echo_trailing_bin=text)
serve("base64 joined by a comma", answer(x_grpc_test_echo_trailing_bin="q6ur"),
      x_grpc_test_echo_trailing_bin="q6ur, AAEC")
serve("base64 of nothing", answer(x_grpc_test_echo_trailing_bin=""),
      x_grpc_test_echo_trailing_bin="")
for text in ("*", "q", "====", "q6ur,*", "q6-_", "q6 ur", "q===", "q6ur=", "\x80\x81"):
    serve(f"base64 {text!r}", refusal(400, 13, NOT_BASE64), x_bin=text)
serve("ASCII is echoed", answer(x_grpc_test_echo_initial="! ~"), x_grpc_test_echo_initial="! ~")
for text in ("caf\xc3\xa9", "tab\there", "\x7f", "0123456789\xff"):  # dropped
    serve(f"a value that is not ASCII, {text!r}", OK, x_grpc_test_echo_initial=text)
serve("a value that begins with a space", MALFORMED, x_a=" a")
serve("a value with a NUL", MALFORMED, x_a="a\0b")
serve("a value with a line feed", MALFORMED, x_a="a\nb")
serve("reserved names are not looked at", OK, grpc_foo="bar")
serve("a header list over the limit",
      answer(8, "the request's header list is over the limit (max_header_list_size)"),
      block=headers(EMPTY) + b"".join(literal(f"x-{i}", "v" * 1000) for i in range(20)))

# -- messages (20, 23 to 29) -----------------------------------------------------------------------

serve("flag 2", answer(13, "grpc: received unexpected payload format: the compressed-flag is "
                           "neither 0 nor 1"), body=message(b"", compressed=2))
serve("flag 255", answer(13, "grpc: received unexpected payload format: the compressed-flag is "
                             "neither 0 nor 1"), body=message(b"", compressed=255))
for name, more in (("no encoding", {}), ("identity", {"grpc_encoding": "identity"})):
    serve("flag 1 and " + name,
          answer(13, "grpc: compressed flag set with identity or empty encoding"),
          body=message(b"", compressed=1), **more)
for name in ("zip9", "GZIP", "gzip,deflate"):
    serve("encoding " + name, answer(12, NO_CODEC.format(name), grpc_accept_encoding=ACCEPTS),
          grpc_encoding=name)
serve("encoding identity", answer(grpc_accept_encoding=ACCEPTS), grpc_encoding="identity")
PACKED = gzip.compress(field(5, b"x"), mtime=0)
BOTH = answer(grpc_encoding="gzip", grpc_accept_encoding=ACCEPTS)
serve("encoding gzip, compressed", BOTH, body=message(PACKED, compressed=1), path=UNARY,
      grpc_encoding="gzip")
serve("encoding gzip, plain", BOTH, body=message(b""), path=UNARY, grpc_encoding="gzip")
serve("encoding deflate, compressed",
      answer(grpc_encoding="deflate", grpc_accept_encoding=ACCEPTS),
      body=message(zlib.compress(b""), compressed=1), path=UNARY, grpc_encoding="deflate")


def broken(name, octets, why):
    serve("gzip " + name, answer(13, f"grpc: failed to decompress the request (gzip, {len(octets)} "
                                     f"octets): {why}", grpc_accept_encoding=ACCEPTS),
          body=message(octets, compressed=1), path=UNARY, grpc_encoding="gzip")


serve("gzip of nothing", BOTH, body=message(b"", compressed=1), path=UNARY, grpc_encoding="gzip")
broken("cut short", PACKED[:-1], "the data is cut short")
broken("with an octet behind, as if another one began", PACKED + b"x", "the data is cut short")
broken("with a wrong checksum", PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:], "incorrect data check")
broken("of garbage", b"garbage", "incorrect header check")
for end in range(1, 5):
    serve(f"a prefix of {end} octets", EOF, body=message(b"")[:end])
serve("a message cut short", EOF, body=message(b"abc", length=4))
serve("no message", answer(13, "cardinality violation: the stream ended without a request message"),
      body=b"")
serve("two messages", answer(13, "cardinality violation: more than one message where one is "
                                 "expected"), body=message(b"") * 2)
serve("a length over the limit",
      answer(8, "grpc: received message larger than max (16777217 vs. 16777216)"),
      body=message(b"", length=16777217))
serve("a length of all ones",
      answer(8, "grpc: received message larger than max (4294967295 vs. 16777216)"),
      body=message(b"", length=4294967295))
serve("a bomb", answer(8, "grpc: received message after decompression larger than max 16777216",
                       grpc_accept_encoding=ACCEPTS),
      body=message(gzip.compress(bytes(16777217)), compressed=1), path=UNARY, grpc_encoding="gzip")
serve("no protobuf", answer(13, "grpc: error unmarshalling request (grpc.testing.Empty, 1 octets): "
                                "the octets end inside a field"), body=message(b"\x0a"))


def asked(port, block, body):
    with Conn(port) as conn:
        first = block[:16000]
        out = frame(HEADERS, 0 if block[16000:] else END_HEADERS, 1, first)
        if block[16000:]:
            out += frame(CONTINUATION, END_HEADERS, 1, block[16000:])
        conn.send(out + frame(DATA, END_STREAM, 1, body))
        reply = conn.reply(1)
        if conn.goaway is not None:
            return f"GOAWAY {conn.goaway}"
        return f"RST {reply.rst}" if reply.rst and not reply.fields else reply.fields


def ask(port, row):
    _name, block, body, wanted = row
    got = asked(port, block, body)
    after = asked(port, headers(EMPTY), message(b""))
    return got, wanted, [] if after == OK else [f"the next call got {after}"]


# -- responses (6, 7, 23 to 40, 3.6, 3.7) ----------------------------------------------------------

CLIENT = []
UNEXPECTED = "unexpected HTTP status code received from server: "
CONTENT = '; content-type "application/grpc"'


def call(name, how, wanted, *args):
    """how(peer, stream) is the answer to the first request; wanted: the call's line."""
    CLIENT.append((name, how, wanted, args))


def whole(peer, stream):
    return peer.replies[stream].data


def trailers_only(name, wanted, *fields, **more):
    call(name, lambda p, s: head(s, *fields, end=True, **more), wanted)


def ending(name, wanted, *fields, status="0"):
    """A good message, then these trailers."""
    call(name, lambda p, s: head(s) + data(s, whole(p, s)) + tail(s, status, *fields), wanted)


ending("a good answer", "OK")
ending("status 5 after a message", "NOT_FOUND: gone", ("grpc-message", "gone"), status="5")
trailers_only("trailers only", "NOT_FOUND: ", ("grpc-status", "5"))
trailers_only("trailers only, OK without a message",
              "INTERNAL: cardinality violation: /bench.Bench/Unary ended with OK and without a "
              "response", ("grpc-status", "0"))
for text in ("", "05", "-1", "1x", "0x5", "4294967296000"):
    ending(f"status '{text}'", "UNKNOWN: the server sent a malformed grpc-status", status=text)
for text in ("17", "99", "1000000000"):
    ending("status " + text, "UNKNOWN: ", status=text)
ending("no status", "UNKNOWN: the server sent no grpc-status in its trailers", status=None)
for text, decoded in (("a%20b%09c", "a b?c"), ("%zz%4", "%zz%4"), ("100%", "100%"), ("%", "%"),
                      ("%E2%98%BA", "\u263a"), ("caf%C3%A9", "caf\u00e9"), ("%00", ""),
                      ("", ""), ("%2", "%2"), ("%25", "%")):
    ending(f"message '{text}'", "ABORTED: " + decoded, ("grpc-message", text), status="10")
for http, code in ((100, None), (200, "UNKNOWN"), (204, "UNKNOWN"), (301, "UNKNOWN"),
                   (400, "INTERNAL"), (401, "UNAUTHENTICATED"), (403, "PERMISSION_DENIED"),
                   (404, "UNIMPLEMENTED"), (408, "UNKNOWN"), (429, "UNAVAILABLE"),
                   (431, "INTERNAL"), (500, "UNKNOWN"), (502, "UNAVAILABLE"),
                   (503, "UNAVAILABLE"), (504, "UNAVAILABLE"), (505, "UNKNOWN")):
    if http == 100:
        trailers_only("HTTP 100 with END_STREAM",
                      "INTERNAL: stream terminated by RST_STREAM with error code: PROTOCOL_ERROR: "
                      "END_STREAM on an interim response", status="100", kind=None)
        continue
    why = f"{UNEXPECTED}{http}" if http != 200 else "the server's answer is no gRPC"
    trailers_only(f"HTTP {http} without a body", f'{code}: {why}; content-type "text/html"',
                  status=str(http), kind="text/html")
    trailers_only(f"HTTP {http} and grpc-status 5", "NOT_FOUND: ", ("grpc-status", "5"),
                  status=str(http), kind="text/html")
call("a web page", lambda p, s: head(s, status="502", kind="text/html") + data(
    s, b"\r\n<html>\r\n<title>Bad \"gateway\"</title>", end=True),
     f'UNAVAILABLE: {UNEXPECTED}502; content-type "text/html"; it begins with "<html>"')
call("a page of escapes", lambda p, s: head(s, status="200", kind="a\x1b") + data(
    s, b"\x1b[2J\xff\\\"", end=True),
     "UNKNOWN: the server's answer is no gRPC; content-type \"a\\x1b\"; it begins with "
     "\"\\x1b[2J\\xff\\x5c\\x22\"")
call("a page in one line of 10,000", lambda p, s: head(s, status="500", kind="text/html") + data(
    s, b"y" * 10000, end=True), f'UNKNOWN: {UNEXPECTED}500; content-type "text/html"; it begins '
     f'with "{"y" * 252}..."')
call("a page with trailers", lambda p, s: head(s, status="503", kind="text/html") + data(
    s, b"busy\n") + tail(s, None, ("x", "y")),
     f'UNAVAILABLE: {UNEXPECTED}503; content-type "text/html"; it begins with "busy"')
trailers_only("no content-type", 'UNKNOWN: the server\'s answer is no gRPC; content-type ""',
              kind=None)
trailers_only("content-type application/grpcx",
              'UNKNOWN: the server\'s answer is no gRPC; content-type "application/grpcx"',
              kind="application/grpcx")
call("content-type application/grpc+proto",
     lambda p, s: head(s, kind="application/grpc+proto") + data(s, whole(p, s)) + tail(s), "OK")

# Metadata.
trailers_only("a -bin header that is no base64", "INTERNAL: a -bin header from the server is no "
              "base64", ("grpc-status", "0"), ("x-bin", "*"))
ending("a -bin trailer that is no base64", "INTERNAL: a -bin header from the server is no base64",
       ("x-bin", "q"))
ending("a -bin list", "OK", ("x-bin", "q6ur, AAEC,"))
ending("details that are no base64", "ABORTED: m", ("grpc-message", "m"),
       ("grpc-status-details-bin", "*"), status="10")
ending("details that are no protobuf", "ABORTED: m", ("grpc-message", "m"),
       ("grpc-status-details-bin", "/w"), status="10")
ending("a value that is not ASCII", "OK", ("x-a", "caf\xc3\xa9"))
ending("an upper-case trailer", "INTERNAL: stream terminated by RST_STREAM with error code: "
       "PROTOCOL_ERROR: field with forbidden characters", ("X-A", "b"))
ending("a pseudo-header in trailers", "INTERNAL: stream terminated by RST_STREAM with error code: "
       "PROTOCOL_ERROR: pseudo-header after an ordinary field", (":status", "200"))
trailers_only("no HTTP status", "INTERNAL: stream terminated by RST_STREAM with error code: "
              "PROTOCOL_ERROR: :status is no number of three digits", status="")
ending("trailers over the limit", "RESOURCE_EXHAUSTED: the server's header list is over the limit "
       "(max_header_list_size)", *[(f"x-{i}", "v" * 900) for i in range(18)])

# Messages.
call("flag 2", lambda p, s: head(s) + data(s, b"\2" + whole(p, s)[1:]) + tail(s),
     "INTERNAL: grpc: received unexpected payload format: the compressed-flag is neither 0 nor 1")
call("flag 1 without encoding", lambda p, s: head(s) + data(s, b"\1" + whole(p, s)[1:]) + tail(s),
     "INTERNAL: grpc: compressed flag set with identity or empty encoding")
call("an encoding that was not offered",
     lambda p, s: head(s, ("grpc-encoding", "zip9")) + data(s, b"\1" + whole(p, s)[1:]) + tail(s),
     "INTERNAL: grpc: Decompressor is not installed for grpc-encoding \"zip9\"")
call("an encoding that was not offered, plain",
     lambda p, s: head(s, ("grpc-encoding", "zip9")) + data(s, whole(p, s)) + tail(s), "OK")
call("gzip cut short",
     lambda p, s: head(s, ("grpc-encoding", "gzip")) + data(s, message(PACKED[:-1], 1)) + tail(s),
     f"INTERNAL: grpc: failed to decompress the response (gzip, {len(PACKED) - 1} octets): the "
     "data is cut short")
for end in range(1, 5):
    call(f"a prefix of {end} octets", lambda p, s, end=end: head(s) + data(
        s, message(b"")[:end]) + tail(s),
         "INTERNAL: unexpected EOF: the stream ended inside a message")
call("a message cut short", lambda p, s: head(s) + data(s, whole(p, s)[:-1]) + tail(s),
     "INTERNAL: unexpected EOF: the stream ended inside a message")
call("two messages", lambda p, s: head(s) + data(s, whole(p, s) * 2) + tail(s),
     "INTERNAL: cardinality violation: more than one message where one is expected")
call("no message", lambda p, s: head(s) + tail(s), "INTERNAL: cardinality violation: "
     "/bench.Bench/Unary ended with OK and without a response")
call("a length over the limit", lambda p, s: head(s) + data(s, message(b"", 0, 4194305)),
     "RESOURCE_EXHAUSTED: grpc: received message larger than max (4194305 vs. 4194304)")
call("no protobuf", lambda p, s: head(s) + data(s, message(b"\x0a")) + tail(s),
     "INTERNAL: grpc: error unmarshalling response (bench.Msg, 1 octets): the octets end inside a "
     "field")
call("DATA with END_STREAM", lambda p, s: head(s) + data(s, whole(p, s), end=True),
     "INTERNAL: server closed the stream without sending trailers")
call("headers twice", lambda p, s: head(s) + head(s),
     "INTERNAL: stream terminated by RST_STREAM with error code: PROTOCOL_ERROR: trailers without "
     "END_STREAM")

# RST_STREAM codes (3.7); the first row that succeeds was repeated, as nobody had seen it.
for value, (name, wanted) in enumerate((
        ("NO_ERROR", "INTERNAL"), ("PROTOCOL_ERROR", "INTERNAL"), ("INTERNAL_ERROR", "INTERNAL"),
        ("FLOW_CONTROL_ERROR", "INTERNAL"), ("SETTINGS_TIMEOUT", "INTERNAL"),
        ("STREAM_CLOSED", "INTERNAL"), ("FRAME_SIZE_ERROR", "INTERNAL"), ("REFUSED_STREAM", "OK"),
        ("CANCEL", "CANCELLED"), ("COMPRESSION_ERROR", "INTERNAL"), ("CONNECT_ERROR", "INTERNAL"),
        ("ENHANCE_YOUR_CALM", "RESOURCE_EXHAUSTED"), ("INADEQUATE_SECURITY", "PERMISSION_DENIED"),
        ("HTTP_1_1_REQUIRED", "INTERNAL"), ("UNKNOWN", "UNKNOWN"))):
    line = wanted if wanted == "OK" else (
        f"{wanted}: stream terminated by RST_STREAM with error code: {name}")
    call(f"RST {value}", lambda p, s, value=value: frame(RST, 0, s, u32(value)), line)


def probe(program, script, *args):
    """The lines of the client's calls to a scripted server, and what went wrong otherwise."""
    stage = hostile.Stage(script)
    try:
        done = subprocess.run([program, "--port", str(stage.port), *args], capture_output=True,
                              text=True, errors="replace", timeout=30, check=False)
    finally:
        stage.stop()
    return done.stdout.splitlines(), stage.errors + ([done.stderr[-2000:]] if done.stderr else [])


def play(program, row):
    _name, how, wanted, args = row

    def script(peer):
        if peer.hello():
            stream = peer.request()
            if stream is not None and peer.n == 0:
                peer.send(how(peer, stream) or b"")
            peer.serve()

    said, wrong = probe(program, script, "--calls", "2", *args)
    return said, [wanted, "OK"], wrong


# -- what our client sends (1 to 4, 28, 31) --------------------------------------------------------

FIELDS = [":method POST", ":scheme http", ":path /bench.Bench/{}", ":authority 127.0.0.1:{}",
          "content-type application/grpc", "user-agent grpc-c-sennit/0.1.0", "te trailers",
          "grpc-accept-encoding " + ACCEPTS]
SENT = [  # name, arguments, method, octets of the last DATA frame
    ("a unary call", ["--size", "10"], "Unary", 5 + 2 + 10),
    ("a stream of two messages", ["--mode", "stream", "--messages", "2", "--size", "10"], "Stream",
     0),
    ("a stream without messages", ["--mode", "stream", "--messages", "0"], "Stream", 0),
]


def watch(program, row):
    _name, args, method, last = row
    frames, fields, port = [], [], []

    def script(peer):
        apply = peer._apply

        def note(kind, flags, stream, body):
            if stream == 1 and kind in (HEADERS, DATA):
                frames.append((kind, flags, len(body)))
            apply(kind, flags, stream, body)

        peer._apply = note
        port.append(peer.sock.getsockname()[1])
        if peer.hello() and peer.request():
            fields.extend(f"{k} {v}" for k, v in peer.replies[1].fields.items())
            peer.echo(1)
            peer.serve()

    said, wrong = probe(program, script, "--deadline-ms", "9000", *args)
    timeout = fields.pop() if fields else ""
    if not re.fullmatch(r"grpc-timeout \d{1,8}[umS]", timeout):
        wrong.append(f"the last field is {timeout!r}")
    wanted = ["OK"] + [f.format(method if "path" in f else port[0]) for f in FIELDS]
    ends = [f[1] for f in frames]
    if frames[0][:2] != (HEADERS, END_HEADERS) or frames[-1] != (DATA, END_STREAM, last) or \
            any(end & END_STREAM for end in ends[:-1]):
        wrong.append(f"frames {frames}")
    return said + fields, wanted, wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--only", default="", help="a part of the names to run")
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    failed = total = 0
    with Server(path(args.bin, "interop_server"), "--port", "0") as server, \
            concurrent.futures.ThreadPoolExecutor(8) as pool:
        for role, rows, run in (
                ("server", SERVER, lambda row: ask(server.port, row)),
                ("client", CLIENT, lambda row: play(path(args.bin, "probe_client"), row)),
                ("sent", SENT, lambda row: watch(path(args.bin, "probe_client"), row))):
            assert len({row[0] for row in rows}) == len(rows), "two rows of one name"
            chosen = [row for row in rows if args.only in f"{role} {row[0]}"]
            for row, (got, wanted, wrong) in zip(chosen, pool.map(run, chosen)):
                total += 1
                if got != wanted or wrong or args.show:
                    failed += not args.show
                    print(f"{'' if args.show else 'FAIL  '}{role} {row[0]}: {got}"
                          + ("" if args.show else f", not {wanted} {'; '.join(wrong)}"))
    print(f"{total - failed} passed, {failed} failed")
    return 1 if failed or not total else 0


if __name__ == "__main__":
    sys.exit(main())
