# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Starting and stopping the programs under test, for the scripts of test/peer, test/interop and
test/house. Servers listen on port 0 and say where, so no port is guessed and nothing waits long."""
import os
import re
import signal
import socket
import subprocess
import threading
import time

TIME = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ", re.M)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def certificates(folder, name="x.test.example.com"):
    """Makes ca.pem, and for this name cert.pem and key.pem, in folder. Flags of route_guide
    programs for TLS with them."""
    names = path(folder, "names")
    with open(names, "w", encoding="utf-8") as file:
        file.write(f"subjectAltName=DNS:{name}\n")
    ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for command in (
            ["req", "-x509", *ec, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
             "-subj", "/CN=test root"],
            ["req", *ec, "-keyout", "key.pem", "-out", "server.csr", "-subj", "/CN=server"],
            ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
             "-CAcreateserial", "-extfile", names, "-out", "cert.pem", "-days", "2"]):
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
    return {"client": ("-tls", "-ca_file", path(folder, "ca.pem")),
            "server": ("-tls", "-cert_file", path(folder, "cert.pem"),
                       "-key_file", path(folder, "key.pem"))}


class Server:
    """A server program; `with` stops it by SIGTERM and checks that it ends by itself, with 0."""

    def __init__(self, *command, graceful=True, port=None, env=None):
        """port: of a server that says nothing; it serves once it takes connections. env: beside
        our own."""
        self.graceful = graceful
        self.lines = []
        self.heard = threading.Condition()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, errors="replace",
                                        env={**os.environ, **(env or {})})
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if port:
            self._wait_connectable(port)
        else:
            line = self.wait_for(r"server listening at \S+:(\d+)$")
            port = int(re.search(r":(\d+)$", line).group(1))
        if graceful:
            self._wait_catches(signal.SIGTERM)
        self.port = port
        self.addr = f"127.0.0.1:{self.port}"

    def _wait_catches(self, number, seconds=5):
        """Its waiting for signals is a goroutine, which may begin later than it listens."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.alive():
            with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as file:
                caught = int(re.search(r"SigCgt:\s*(\w+)", file.read()).group(1), 16)
            if caught >> (number - 1) & 1:
                return
            time.sleep(0.005)

    def _wait_connectable(self, port, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.alive():
            try:
                socket.create_connection(("localhost", port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError(f"nobody serves on port {port}: {self.text()!r}")

    def wait_refuses(self, seconds=20):
        """Until nobody listens any more: a server that was told to stop has begun to."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                socket.create_connection(("localhost", self.port), 1).close()
            except OSError:
                return
            time.sleep(0.02)
        raise AssertionError(f"port {self.port} is still listened on")

    def _read(self):
        for line in self.process.stdout:
            with self.heard:
                self.lines.append(line.rstrip("\n"))
                self.heard.notify_all()
        with self.heard:
            self.lines.append(None)  # the end
            self.heard.notify_all()

    def wait_for(self, pattern, seconds=20):
        """The first line that matches."""
        def found():
            return next((x for x in self.lines if x is None or re.search(pattern, x)), False)

        with self.heard:
            self.heard.wait_for(lambda: found() is not False, seconds)
            line = found()
        if not line:
            raise AssertionError(f"the server never said {pattern!r}, but {self.text()!r}")
        return line

    def text(self):
        return "\n".join(x for x in self.lines if x is not None)

    def alive(self):
        return self.process.poll() is None

    def stop(self, seconds=30):
        if self.alive():
            self.process.terminate()
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("the server does not end after SIGTERM") from None
        self.reader.join(5)
        self.process.stdout.close()
        if self.graceful and code != 0:
            raise AssertionError(f"the server ended with {code}: {self.text()[-3000:]}")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            self.stop()
        except AssertionError as error:
            if kind is None:
                raise
            print(error)  # the first failure says more


def run(*command, seconds=60):
    """(exit code, all output) of a client."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", timeout=seconds, check=False)
    return done.returncode, done.stdout


def plain(text):
    """Without log times, spaces folded: what two implementations are compared by."""
    text = TIME.sub("", text)
    return "\n".join(" ".join(line.split()) for line in text.splitlines())


def path(folder, name):
    return os.path.join(folder, name)
