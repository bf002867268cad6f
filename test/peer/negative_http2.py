#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""negative_http2.py --bin DIR [--client PROGRAM] [--cases "NAME..."]: the official negative HTTP/2
cases. A scripted server misbehaves as each case's description says and judges what it sees on the
wire; the client, interop_client or one of another make with its flags, judges the rest."""
import argparse
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from h2wire import ACK, DATA, GOAWAY, HEADERS, PING, RST, field, frame, message  # noqa: E402
from hostile_server import PADDED, Peer, Stage, data, head, setting, tail, u32  # noqa: E402
from programs import path, run  # noqa: E402

RESPONSE = message(field(1, field(2, bytes(314159))))
REQUEST_LEAST = 271828
MAX_CONCURRENT_STREAMS = 3


class Partner(Peer):
    """Counts acks, and answers with the official response as far as windows allow."""

    def __init__(self, sock, n):
        super().__init__(sock, n)
        self.acks, self.answered, self.most_open = [], set(), 0

    def _apply(self, kind, flags, stream, body):
        super()._apply(kind, flags, stream, body)
        if kind == PING and flags & ACK:
            self.acks.append(body)
        elif kind == HEADERS:
            self.most_open = max(self.most_open, len(self.replies.keys() - self.answered))

    def await_request(self):
        stream = self.request()
        assert stream is None or len(self.replies[stream].data) > REQUEST_LEAST, "a short request"
        return stream

    def respond(self, stream, size=16384, padding=None):
        self.send(head(stream))
        cost = 0 if padding is None else padding + 1
        for i in range(0, len(RESPONSE), size):
            piece = RESPONSE[i:i + size]
            while min(self.windows[0], self.window(stream)) < len(piece) + cost:
                if self.read_frame() is None or self.replies[stream].rst is not None:
                    return
            self.windows[0] -= len(piece) + cost
            self.windows[stream] -= len(piece) + cost
            if padding is None:
                self.send(frame(DATA, 0, stream, piece))
            else:
                self.send(frame(DATA, PADDED, stream, bytes([padding]) + piece + bytes(padding)))
        self.answered.add(stream)
        self.send(tail(stream))

    def serve_official(self, **how):
        while (stream := self.await_request()) is not None:
            self.respond(stream, **how)


def goaway(peer):
    """The second call has to come on a second connection."""
    stream = peer.await_request()
    peer.respond(stream)
    if peer.n == 0:
        peer.send(frame(GOAWAY, 0, 0, u32(stream) + u32(0)))
    assert peer.n <= 1, "a third connection"
    assert peer.await_request() is None, "a call after GOAWAY"


def reset_after(octets):
    def play(peer):
        stream = peer.await_request()
        peer.send(head(stream) + (data(stream, octets) if octets else b"") +
                  frame(RST, 0, stream, u32(0)))
        peer.await_request()
    return play


def ping(peer):
    sent = []

    def one():
        sent.append(len(sent).to_bytes(8, "big"))
        peer.send(frame(PING, 0, 0, sent[-1]))

    one()
    stream = peer.await_request()
    one()
    for i in range(5):
        peer.send(frame(PING, 0, 0, bytes([i]) * 8))
        sent.append(bytes([i]) * 8)
    peer.respond(stream)
    one()
    peer.await_request()
    assert peer.acks[:len(sent) - 1] == sent[:-1], f"acks {peer.acks} of {sent}"


def max_streams(peer):
    """The limit of 1 comes with the first answer; later calls must take turns."""
    stream = peer.await_request()
    peer.send(setting((MAX_CONCURRENT_STREAMS, 1)))
    peer.respond(stream)
    peer.serve_official()
    assert peer.n == 0, "a second connection"
    assert len(peer.answered) > 10, f"{len(peer.answered)} calls"
    assert peer.most_open == 1, f"{peer.most_open} streams at once, above the limit of 1"


CASES = {
    "goaway": goaway,
    "rst_after_header": reset_after(b""),
    "rst_during_data": reset_after(RESPONSE[:20000]),
    "rst_after_data": reset_after(RESPONSE),
    "ping": ping,
    "max_streams": max_streams,
    "data_frame_padding": lambda peer: peer.serve_official(size=5, padding=255),
    "no_df_padding_sanity_test": lambda peer: peer.serve_official(size=5),
}




def official(program, name):
    """Plays one case; what was wrong, or nothing."""
    def greet_and_play(peer):
        if peer.hello():
            CASES[name](peer)

    stage = Stage(greet_and_play, Partner)
    try:
        code, text = run(program, "--server_host=127.0.0.1", f"--server_port={stage.port}",
                         "--test_case=" + name, seconds=60)
        wrong = [] if code == 0 else [f"exit code {code}: {text[-600:]}"]
    except subprocess.TimeoutExpired:
        wrong = ["the client hangs"]
    stage.stop()
    if len(stage.peers) != (2 if name == "goaway" else 1):
        wrong.append(f"{len(stage.peers)} connections")
    return wrong + stage.errors


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", default="build/bin")
    parser.add_argument("--client", help="another program with the official flags")
    parser.add_argument("--cases", default=" ".join(CASES), help="what it implements")
    args = parser.parse_args()
    program = args.client or path(args.bin, "interop_client")
    passed = failed = 0
    for name in args.cases.split():
        wrong = official(program, name)
        passed, failed = passed + (not wrong), failed + bool(wrong)
        print(f"{'FAIL ' if wrong else 'ok   '} {name}{': ' if wrong else ''}{'; '.join(wrong)}",
              flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
