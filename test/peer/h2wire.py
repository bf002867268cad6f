# SPDX-License-Identifier: Apache-2.0 OR MIT
"""HTTP/2 by hand, right or wrong as asked: frames from Python, header blocks sent as plain literals
and read by nghttp2's decoder, so that nothing of ours judges itself."""
import ctypes
import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK = 1, 4, 1
SECONDS = 10


def frame(kind, flags=0, stream=0, body=b""):
    return struct.pack(">I", len(body))[1:] + struct.pack(">BBI", kind, flags, stream) + body


def hpack_int(value, bits):
    most = (1 << bits) - 1
    if value < most:
        return bytes([value])
    out, value = [most], value - most
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes(out + [value])


def literal(name, value):
    """A field without indexing, no Huffman."""
    out = b"\0"
    for text in (name, value):
        text = text.encode("latin-1") if isinstance(text, str) else text
        out += hpack_int(len(text), 7) + text
    return out


def headers(path="/helloworld.Greeter/SayHello", replace=None, **more):
    """The header block of a call; replace maps names to other values, None leaves one out."""
    fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "test",
              "te": "trailers", "content-type": "application/grpc"}
    fields.update({k.replace("_", "-"): v for k, v in more.items()})
    fields.update(replace or {})
    return b"".join(literal(k, v) for k, v in fields.items() if v is not None)


def message(octets, compressed=0, length=None):
    return struct.pack(">BI", compressed, len(octets) if length is None else length) + octets


def varint(value):
    out = b""
    while value >= 128:
        out += bytes([value % 128 + 128])
        value //= 128
    return out + bytes([value])


def field(number, octets):
    """A length-delimited protobuf field."""
    return varint(number << 3 | 2) + varint(len(octets)) + octets


class _Field(ctypes.Structure):
    _fields_ = [("name", ctypes.POINTER(ctypes.c_ubyte)),
                ("value", ctypes.POINTER(ctypes.c_ubyte)),
                ("name_len", ctypes.c_size_t), ("value_len", ctypes.c_size_t),
                ("flags", ctypes.c_uint8)]


class Inflater:
    """nghttp2's HPACK decoder."""

    library = None

    def __init__(self):
        if not Inflater.library:
            Inflater.library = ctypes.CDLL("libnghttp2.so.14")
            Inflater.library.nghttp2_hd_inflate_hd2.restype = ctypes.c_ssize_t
        self.state = ctypes.c_void_p()
        assert self.library.nghttp2_hd_inflate_new(ctypes.byref(self.state)) == 0

    def decode(self, block):
        found, flags = [], ctypes.c_int()
        while True:
            nv = _Field()
            used = self.library.nghttp2_hd_inflate_hd2(
                self.state, ctypes.byref(nv), ctypes.byref(flags), block,
                ctypes.c_size_t(len(block)), 1)
            assert used >= 0, f"nghttp2 cannot decode the header block: {used}"
            block = block[used:]
            if flags.value & 2:
                found.append((bytes(nv.name[:nv.name_len]).decode("latin-1"),
                              bytes(nv.value[:nv.value_len]).decode("latin-1")))
            if flags.value & 1:
                self.library.nghttp2_hd_inflate_end_headers(self.state)
                return found

    def close(self):
        self.library.nghttp2_hd_inflate_del(self.state)


class Reply:
    """What came back on one stream."""

    def __init__(self):
        self.fields, self.data, self.rst, self.ended = {}, b"", None, False

    @property
    def status(self):
        return int(self.fields["grpc-status"]) if "grpc-status" in self.fields else None

    def __repr__(self):
        return f"<{self.fields} {self.data[:200]!r} rst={self.rst} ended={self.ended}>"


def small_reader(port):
    """A socket for a Conn that does not take much before it is read."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    sock.settimeout(SECONDS)
    sock.connect(("127.0.0.1", port))
    return sock


class Conn:
    """One connection; goaway holds the peer's error code once it said one."""

    def __init__(self, port, preface=PREFACE, settings=frame(SETTINGS), sock=None):
        self.sock = sock or socket.create_connection(("127.0.0.1", port), SECONDS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.inflater, self.buffer, self.goaway, self.goaway_text = Inflater(), b"", None, ""
        self.replies, self.block = {}, b""
        self.send(preface + settings)

    def send(self, octets):
        """A peer that closed early is no failure of the sender's: what it said is read later."""
        try:
            self.sock.sendall(octets)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def start(self, stream, body, block=None, end=True):
        """A whole call, its DATA cut to frames of at most 16384 octets."""
        out = frame(HEADERS, END_HEADERS, stream, headers() if block is None else block)
        pieces = [body[i:i + 16384] for i in range(0, len(body), 16384)] or [b""]
        for piece in pieces[:-1]:
            out += frame(DATA, 0, stream, piece)
        self.send(out + frame(DATA, END_STREAM if end else 0, stream, pieces[-1]))

    def _read(self, count):
        while len(self.buffer) < count:
            try:
                got = self.sock.recv(65536)
            except ConnectionResetError:
                got = b""
            if not got:
                return None
            self.buffer += got
        out, self.buffer = self.buffer[:count], self.buffer[count:]
        return out

    def read_frame(self):
        """(kind, flags, stream, body), or None at the end."""
        head = self._read(9)
        if head is None:
            return None
        length, kind, flags, stream = (int.from_bytes(head[:3], "big"), head[3], head[4],
                                       int.from_bytes(head[5:9], "big") & 0x7FFFFFFF)
        body = self._read(length)
        if body is None:
            return None
        self._apply(kind, flags, stream, body)
        return kind, flags, stream, body

    def _apply(self, kind, flags, stream, body):
        reply = self.replies.setdefault(stream, Reply()) if stream else None
        if kind in (HEADERS, CONTINUATION):
            self.block += body
            if flags & END_HEADERS:
                reply.fields.update(self.inflater.decode(self.block))
                self.block = b""
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            reply.ended = True
        if kind == DATA:
            reply.data += body
        elif kind == RST:
            reply.rst, reply.ended = int.from_bytes(body, "big"), True
        elif kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK))
        elif kind == GOAWAY and self.goaway is None:
            self.goaway, self.goaway_text = int.from_bytes(body[4:8], "big"), body[8:].decode()
            self.last_id = int.from_bytes(body[:4], "big")

    def reply(self, stream):
        """Waits until the stream, or the connection, has ended."""
        while not self.replies.setdefault(stream, Reply()).ended:
            if self.read_frame() is None:
                break
        return self.replies[stream]

    def end(self):
        """Reads until the peer closes; a peer that does not raises TimeoutError."""
        while self.read_frame() is not None:
            pass

    def close(self, reset=False):
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        self.inflater.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
