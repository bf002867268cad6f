#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""tls_shape.py --bin DIR: what our server speaks of TLS, asked by openssl s_client: versions,
ciphers, ALPN, renegotiation, compression, resumption, and that nothing is sent in the clear."""
import argparse
import re
import ssl
import subprocess
import sys
import tempfile

from bad_input import last_words
from programs import Server, certificates, path

# The client that asks for these may not have them: then there is nothing to show.
WEAK = "aNULL:eNULL:NULL:RC4:3DES:DES:MD5:EXPORT:LOW:CAMELLIA:SEED:IDEA"
NO_FORWARD_SECRECY = "kRSA:PSK:kDH:kECDH"
NO_AEAD = "ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA:" \
    "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384"


class Asker:
    def __init__(self, port, ca):
        self.port, self.ca = port, ca

    def ask(self, *flags, said=b""):
        """All that s_client prints; said: what is typed once it is connected. It ends when its
        input does, or the server closes."""
        with subprocess.Popen(
                ["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-CAfile", self.ca,
                 "-servername", "x.test.example.com", *flags],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as p:
            if said:
                p.stdin.write(said)
                p.stdin.flush()  # and stays open: the server has to end it
                text = p.stdout.read()
            else:
                text = p.communicate(timeout=20)[0]
        return text.decode("utf-8", "replace")

    def accepts(self, *flags):
        text = self.ask("-alpn", "h2", *flags)
        return re.search(r"ALPN protocol: h2", text) is not None, text


def versions(a):
    for flag, wanted in (("-tls1_2", True), ("-tls1_3", True), ("-tls1_1", False),
                         ("-tls1", False)):
        weak = [] if wanted else ["-cipher", "ALL:@SECLEVEL=0"]
        got, text = a.accepts(flag, *weak)
        assert got == wanted, f"{flag}: {got}, not {wanted}: {text[-800:]}"


def ciphers_that_are_refused(a):
    for names in (WEAK, NO_FORWARD_SECRECY, NO_AEAD):
        got, text = a.accepts("-tls1_2", "-cipher", names + ":@SECLEVEL=0")
        assert not got, f"{names}: {text[-800:]}"


def ciphers_that_are_spoken(a):
    for name in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
                 "ECDHE-ECDSA-CHACHA20-POLY1305"):
        got, text = a.accepts("-tls1_2", "-cipher", name)
        assert got, f"{name}: {text[-800:]}"
    for name in ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                 "TLS_CHACHA20_POLY1305_SHA256"):
        got, text = a.accepts("-tls1_3", "-ciphersuites", name)
        assert got, f"{name}: {text[-800:]}"


def alpn(a):
    text = a.ask("-alpn", "http/1.1,h2")
    assert "ALPN protocol: h2" in text, text[-800:]
    for flags in ((), ("-alpn", "http/1.1"), ("-alpn", "h2c,h3")):
        text = a.ask(*flags)
        assert re.search(r"alert no application protocol|alert number 120", text), \
            f"{flags}: {text[-800:]}"


def certificate(a):
    text = a.ask("-alpn", "h2", "-verify_return_error")
    assert "Verify return code: 0 (ok)" in text, text[-800:]


def compression_and_renegotiation(a):
    text = a.ask("-alpn", "h2", "-tls1_2", "-comp", said=b"R\n")
    assert "Compression: NONE" in text, text[-800:]
    assert "Secure Renegotiation IS supported" in text, text[-800:]  # RFC 5746, needed by clients
    assert re.search(r"RENEGOTIATING[\s\S]*(no renegotiation|alert|closed|error)", text), \
        text[-800:]


def resumption(a):
    with tempfile.NamedTemporaryFile() as file:
        a.ask("-alpn", "h2", "-tls1_2", "-sess_out", file.name)
        text = a.ask("-alpn", "h2", "-tls1_2", "-sess_in", file.name)
    assert "Reused, TLSv1.2" in text, text[-800:]


def last_words_are_read(a):
    """As over plain sockets: see bad_input.py."""
    context = ssl.create_default_context(cafile=a.ca)
    context.set_alpn_protocols(["h2"])
    last_words(a.port, lambda sock: context.wrap_socket(
        sock, server_hostname="x.test.example.com"))


CHECKS = [versions, ciphers_that_are_refused, ciphers_that_are_spoken, alpn, certificate,
          compression_and_renegotiation, resumption, last_words_are_read]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    args = parser.parse_args()
    passed = failed = 0
    with tempfile.TemporaryDirectory() as work:
        certificates(work)
        with Server(path(args.bin, "hello_server"), "--port", "0", "--use_tls=true",
                    "--tls_cert_file=" + path(work, "cert.pem"),
                    "--tls_key_file=" + path(work, "key.pem")) as s:
            for check in CHECKS:
                try:
                    check(Asker(s.port, path(work, "ca.pem")))
                    passed += 1
                except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
                    failed += 1
                    print(f"FAIL  {check.__name__}: {error}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
