"""Examples of deploy/nginx and deploy/caddy, in front of a site on this machine."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.support.redis_server import free_port
from tests.support.sentinel import wait_until
from tests.support.tls import Papers, papers
from tests.system.site import ROOT, Site, end

pytestmark = pytest.mark.xdist_group("proxies")  # all tests share a site

SAMPLES = ROOT / "tests" / "data" / "samples"
SYM = next((SAMPLES / "crash-c").glob("*/crash-c.sym"))
PATH = f"/{SYM.relative_to(SAMPLES)}"
NGINX = """
daemon off;
worker_processes 1;
pid {home}/pid;
error_log {home}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    include {home}/tecken.conf;
}}
"""


class Proxy(NamedTuple):
    """Proxy of a kind in front of the site, and its two ports."""

    site: Site
    http: int
    https: int
    token: str
    trust: ssl.SSLContext
    log: Path

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=f"https://localhost:{self.https}", verify=self.trust, timeout=30)


class ProxiedSite(Site):
    """Site whose configuration is that of production, behind one proxy."""

    def __init__(self, home: Path) -> None:
        super().__init__(
            home,
            {"log_requests": "on"},
            TRUSTED_PROXIES="1",
            HTTPS_ONLY="true",
            ALLOWED_HOSTS="localhost,127.0.0.1",
            LOG_FORMAT="json",
        )
        self.log = home / "log"

    @property
    def port(self) -> int:
        return self._port


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxiedSite]:
    with ProxiedSite(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture(scope="module")
def token(site: ProxiedSite) -> str:
    permission = ("--permission", "upload.upload_symbols", "--create-user")
    return site.manage("createtoken", "ci@example.com", *permission).strip()


@pytest.fixture(scope="module")
def certificate() -> Iterator[Papers]:
    with papers("localhost") as made:
        yield made


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def proxy(
    request: pytest.FixtureRequest,
    site: ProxiedSite,
    token: str,
    certificate: Papers,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Proxy]:
    home, ports = tmp_path_factory.mktemp(request.param), (free_port(), free_port())
    start = {"nginx": start_nginx, "caddy": start_caddy}[request.param]
    process = start(home, site, certificate, *ports)
    try:
        trust = ssl.create_default_context(cafile=certificate.authority)
        running = Proxy(site, *ports, token, trust, site.log)
        wait_until(lambda: answers(running), 30, f"{request.param} answers")
        yield running
    finally:
        end(process)


def find_program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/opt/gobin")
    return found or pytest.skip(f"{name} is not installed")


def start_nginx(
    home: Path, site: ProxiedSite, certificate: Papers, http: int, https: int
) -> subprocess.Popen[bytes]:
    text = (ROOT / "deploy" / "nginx" / "tecken.conf").read_text()
    replaced = {
        r"listen 80;": f"listen 127.0.0.1:{http};",
        r"listen 443": f"listen 127.0.0.1:{https}",
        r"\n *listen \[::\].*": "",
        r"symbols\.example\.com;": "localhost;",
        r"(ssl_certificate(_key)?) .*;": rf"\1 {certificate.certificate};",
        r"127\.0\.0\.1:8000": f"127.0.0.1:{site.port}",
        # A test waits for this one.
        r"client_header_timeout 10s": "client_header_timeout 1s",
    }
    for pattern, replacement in replaced.items():
        text, count = re.subn(pattern, replacement, text)
        assert count, pattern
    (home / "tecken.conf").write_text(text)
    (home / "nginx.conf").write_text(NGINX.format(home=home))
    command = [find_program("nginx"), "-p", str(home), "-e", f"{home}/error.log", "-c", f"{home}/nginx.conf"]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "emerg" not in checked.stderr
    return subprocess.Popen(command, start_new_session=True)


def start_caddy(
    home: Path, site: ProxiedSite, certificate: Papers, http: int, https: int
) -> subprocess.Popen[bytes]:
    program = find_program("caddy")
    text = (ROOT / "deploy" / "caddy" / "Caddyfile").read_text()
    ports = f"{{\n\tadmin off\n\thttp_port {http}\n\thttps_port {https}\n\tskip_install_trust\n"
    text, count = re.subn(r"^\{\n", ports, text, flags=re.MULTILINE)
    assert count == 1
    (home / "Caddyfile").write_text(text.replace("read_header 10s", "read_header 1s"))
    key = certificate.certificate
    environment = {
        **os.environ,
        "SITE_NAME": "localhost",
        "TLS": f"{key} {key}",
        "UPSTREAMS": f"127.0.0.1:{site.port} spare.invalid:8000",
        "XDG_DATA_HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
    }
    for command in ("validate", "run"):
        whole = [program, command, "--config", f"{home}/Caddyfile", "--adapter", "caddyfile"]
        if command == "validate":
            checked = subprocess.run(whole, env=environment, capture_output=True, text=True, check=False)
            assert checked.returncode == 0, checked.stderr
    log = (home / "log").open("wb")
    with closing(log):
        return subprocess.Popen(whole, env=environment, stdout=log, stderr=log, start_new_session=True)


def answers(proxy: Proxy) -> bool:
    try:
        with proxy.client() as client:
            return client.get("/__lbheartbeat__").status_code == 200
    except httpx.TransportError:
        return False


def connect(proxy: Proxy, *protocols: str) -> ssl.SSLSocket:
    proxy.trust.set_alpn_protocols(list(protocols or ["http/1.1"]))
    plain = socket.create_connection(("localhost", proxy.https), timeout=60)
    return proxy.trust.wrap_socket(plain, server_hostname="localhost")


def test_proxy_upload_of_a_large_body_is_stored(proxy: Proxy) -> None:
    # Random letters, so that neither side can make the body small.
    name = f"large-{proxy.https}"
    lines = "".join(f"PUBLIC {number:x} 0 {os.urandom(1000).hex()}\n" for number in range(12_000))
    text = f"MODULE Linux x86_64 {proxy.https:032X}0 {name}\n{lines}".encode()
    assert len(text) > 20 << 20
    with proxy.client() as client:
        headers = {"Auth-Token": proxy.token, "Content-Type": "application/octet-stream"}
        reply = client.post("/upload/", params={"name": f"{name}.sym"}, content=text, headers=headers)
    assert reply.status_code == 201, reply.text


def test_proxy_upload_without_token_returns_403_with_the_reason(proxy: Proxy) -> None:
    with proxy.client() as client:
        reply = client.post("/upload/?name=a.sym", content=b"a" * (8 << 20))
    assert (reply.status_code, "Auth-Token" in reply.text) == (403, True)


def test_proxy_symbolication_returns_functions(proxy: Proxy) -> None:
    upload(proxy)
    with proxy.client() as client:
        reply = client.post("/symbolicate/v5", content=(SAMPLES / "stack.json").read_bytes())
    assert "crash_report" in reply.text or "main" in reply.text, reply.text


def test_proxy_download_of_a_range_returns_its_bytes(proxy: Proxy) -> None:
    upload(proxy)
    # Ranges are those of the stored, compressed file.
    coding = {"Accept-Encoding": "gzip"}
    with proxy.client() as client:
        with client.stream("GET", PATH, headers=coding | {"Range": "bytes=10-99"}) as reply:
            part = b"".join(reply.iter_raw())
        with client.stream("GET", PATH, headers=coding) as whole:
            packed = b"".join(whole.iter_raw())
    assert (reply.status_code, part) == (206, packed[10:100])
    assert gzip.decompress(packed) == SYM.read_bytes()


def test_proxy_client_address_in_the_log_is_that_of_the_connection(proxy: Proxy) -> None:
    with proxy.client() as client:
        client.get(
            "/api/stats", headers={"X-Forwarded-For": "203.0.113.9", "X-Request-ID": f"id-{proxy.https}"}
        )
    wait_until(lambda: f"id-{proxy.https}" in proxy.log.read_text(), 30, "the request is logged")
    (line,) = [json.loads(line) for line in proxy.log.read_text().splitlines() if f"id-{proxy.https}" in line]
    assert line["address"] == "127.0.0.1"


def test_proxy_plain_http_is_redirected(proxy: Proxy) -> None:
    reply = httpx.get(f"http://localhost:{proxy.http}/tokens/?a=1")
    assert reply.status_code == 308
    assert re.fullmatch(r"https://localhost(:\d+)?/tokens/\?a=1", reply.headers["Location"])


def test_proxy_response_has_the_headers_of_https(proxy: Proxy) -> None:
    with proxy.client() as client:
        reply = client.get("/")
    assert "max-age" in reply.headers["Strict-Transport-Security"]


@pytest.mark.parametrize(
    "path", ["/metrics", "/metrics/", "//metrics", "/%6detrics", "/./metrics", "/a/../metrics"]
)
def test_proxy_metrics_are_not_public(proxy: Proxy, path: str) -> None:
    with closing(connect(proxy)) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        reply = b"".join(iter(lambda: client.recv(1 << 16), b""))
    assert b"tecken_up" not in reply


def test_proxy_speaks_http_2(proxy: Proxy) -> None:
    with closing(connect(proxy, "h2", "http/1.1")) as client:
        assert client.selected_alpn_protocol() == "h2"


@pytest.mark.parametrize("path", ["/health", "/health/live", "/__heartbeat__"])
def test_proxy_health_is_public(proxy: Proxy, path: str) -> None:
    with proxy.client() as client:
        assert client.get(path).status_code == 200


def test_proxy_client_with_slow_headers_is_disconnected(proxy: Proxy) -> None:
    with closing(connect(proxy)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        assert client.recv(1 << 10).partition(b"\r\n")[0] in {b"", b"HTTP/1.1 408 Request Time-out"}


def test_proxy_client_with_a_slow_body_is_disconnected(proxy: Proxy) -> None:
    """The site ends the wait after 15 s, also where the proxy would wait longer."""
    head = b"POST /symbolicate/v5 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{"
    with closing(connect(proxy)) as client:
        client.sendall(head)
        reply = client.recv(1 << 10)
    assert reply == b"" or int(reply.split()[1]) in {408, 502}


def upload(proxy: Proxy) -> None:
    with proxy.client() as client:
        headers = {"Auth-Token": proxy.token, "Content-Type": "application/octet-stream"}
        reply = client.post("/upload/?name=crash-c.sym", content=SYM.read_bytes(), headers=headers)
    assert reply.status_code == 201, reply.text
