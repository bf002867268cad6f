# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What the measurements of bench/ share: the programs of the peers, built from their registries,
and a server that is pinned to a core and whose CPU time can be read. The server has core 0 and one
thread, the client core 1."""
import json
import os
import shutil
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def build_go(into):
    program = os.path.join(into, "peer-go")
    subprocess.run(["go", "build", "-o", program, "."], cwd=os.path.join(HERE, "peers", "go"),
                   check=True)
    return program


def build_tonic(into):
    folder = os.path.join(into, "tonic")
    subprocess.run(["cargo", "build", "--quiet", "--release", "--target-dir", folder],
                   cwd=os.path.join(HERE, "peers", "tonic"), check=True)
    return os.path.join(folder, "release", "peer")


BUILD = {"go": ("go", build_go), "tonic": ("cargo", build_tonic)}


def pinned(core, command):
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[core % len(cores)]), *map(str, command)]


class Server:
    def __init__(self, program):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.process = subprocess.Popen(pinned(0, [program, "server", "--port", self.port,
                                                   "--threads", 1]), stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        for _ in range(1000):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.01)
        raise SystemExit(f"{program} does not serve")

    def cpu(self):
        """Microseconds of all its threads, dead ones too."""
        return time.clock_gettime(~self.process.pid << 3 | 2) * 1e6

    def rss(self):
        return rss(self.process.pid)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def start_client(client, port, mode, conns, streams, secs, *more):
    return subprocess.Popen(pinned(1, [client, "client", "--port", port, "--threads", 1, "--mode",
                                       mode, "--conns", conns, "--streams", streams, "--secs", secs,
                                       *more]), stdout=subprocess.PIPE, text=True)


def run_client(client, port, mode, conns, streams, secs, *more):
    """What it prints, as a dictionary."""
    client = start_client(client, port, mode, conns, streams, secs, *more)
    out, _ = client.communicate(timeout=60 + secs)
    if client.returncode:
        sys.exit(f"the client ended with {client.returncode}")
    return json.loads(out)


def rss(pid):
    """KiB."""
    with open(f"/proc/{pid}/statm", encoding="utf-8") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024


def programs(bin_dir, peers, into):
    """By name; ours is sennit."""
    os.makedirs(into, exist_ok=True)
    found = {"sennit": os.path.join(bin_dir, "bench")}
    for name in filter(None, peers.split(",")):
        tool, build = BUILD[name]
        if shutil.which(tool):
            found[name] = build(into)
        else:
            print(f"without {name}: there is no {tool}", file=sys.stderr)
    return found
