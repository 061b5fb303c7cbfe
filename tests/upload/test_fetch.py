"""Downloads of archives by URL: redirects, limits and forbidden addresses."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.test import Client

from tecken.errors import InvalidInput, TooLarge, Unavailable
from tecken.upload import archive_upload
from tecken.upload.models import Upload
from tecken.upload.protocols.archive import DownloadRules, fetch_archive, resolve_public_address
from tests.support.http_upstream import HttpUpstream, Reply
from tests.upload.uploaders import SYM, SYM_KEY, Makes
from tests.upload.zips import zipped

pytest_plugins = ["tests.upload.site"]

HOSTS = ("queue.example", "artifacts.example")
ZIP = b"PK" + bytes(200_000)


class Site:
    """TLS server on loopback that is both hosts."""

    def __init__(self, upstream: HttpUpstream, trust: ssl.SSLContext) -> None:
        self.upstream = upstream
        self.trust = trust
        self.port = upstream._server.server_port
        self.resolved: list[str] = []

    def url(self, path: str, host: str = HOSTS[0]) -> str:
        return f"https://{host}:{self.port}{path}"

    def address(self, host: str, port: int) -> str:
        self.resolved.append(host)
        return "127.0.0.1"

    def get(self, url: str, limit: int = 1 << 20, deadline: float = 20) -> tuple[str, bytes, tuple[str, ...]]:
        rules = DownloadRules(HOSTS, limit, timeout=10, deadline=deadline)
        with fetch_archive(url, rules, self.address, self.trust) as archive:
            assert archive.size == len(ZIP)
            return archive.name, archive.file.read(), archive.redirect_urls


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(secret + made.public_bytes(pem))
    return path


@pytest.fixture
def site(certificate: Path) -> Iterator[Site]:
    upstream = HttpUpstream()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    upstream._server.socket = context.wrap_socket(upstream._server.socket, server_side=True)
    with upstream.running():
        yield Site(upstream, ssl.create_default_context(cafile=str(certificate)))


def test_fetch_archive_returns_name_and_content(site: Site) -> None:
    site.upstream.script["/a/symbols.zip"] = Reply(body=ZIP)
    assert site.get(site.url("/a/symbols.zip")) == ("symbols.zip", ZIP, ())
    assert site.upstream.requests[0].headers["Host"] == f"queue.example:{site.port}"


def test_fetch_archive_redirects_are_followed_and_listed(site: Site) -> None:
    target = site.url("/signed/x?key=1", HOSTS[1])
    site.upstream.script["/symbols.zip"] = Reply(302, headers={"Location": target})
    site.upstream.script["/signed/x?key=1"] = Reply(body=ZIP)
    assert site.get(site.url("/symbols.zip")) == ("symbols.zip", ZIP, (target,))
    assert site.resolved == list(HOSTS)


@pytest.mark.parametrize(
    ("location", "text"),
    [
        ("https://evil.example/a.zip", r"Not an allowed domain \('evil.example'\) to download from."),
        ("http://queue.example/a.zip", "Insecure URL"),
        ("https://queue.example@evil.example/a.zip", "Insecure URL"),
        ("file:///etc/passwd", "Insecure URL"),
    ],
)
def test_fetch_archive_redirect_to_a_forbidden_url_is_refused(site: Site, location: str, text: str) -> None:
    site.upstream.script["/symbols.zip"] = Reply(302, headers={"Location": location})
    with pytest.raises(InvalidInput, match=f"^{text}$"):
        site.get(site.url("/symbols.zip"))
    assert len(site.upstream.requests) == 1


def test_fetch_archive_sixth_redirect_is_refused(site: Site) -> None:
    url = site.url("/symbols.zip")
    again = Reply(302, headers={"Location": "/symbols.zip"})
    site.upstream.script["/symbols.zip"] = [*[again] * 5, Reply(body=ZIP)]
    assert site.get(url)[1] == ZIP
    site.upstream.script["/symbols.zip"] = again
    with pytest.raises(InvalidInput, match=f"^Too many redirects trying to open {url}$"):
        site.get(url)
    assert len(site.upstream.requests) == 12


@pytest.mark.parametrize("status", [204, 404, 500])
def test_fetch_archive_other_status_than_200_is_refused(site: Site, status: int) -> None:
    url = site.url("/symbols.zip")
    site.upstream.script["/symbols.zip"] = Reply(status)
    with pytest.raises(InvalidInput, match=f"^non-200 status code when retrieving {url}$"):
        site.get(url)


def test_fetch_archive_body_over_the_limit_raises_too_much(site: Site) -> None:
    site.upstream.script["/symbols.zip"] = Reply(body=ZIP, length=False, cut=len(ZIP))
    with pytest.raises(TooLarge, match="larger than 100000 bytes"):
        site.get(site.url("/symbols.zip"), limit=100_000)


@pytest.mark.parametrize("reply", [Reply(mute=True), Reply(body=ZIP, drip=0.01)])
def test_fetch_archive_slow_server_is_stopped_at_the_deadline(site: Site, reply: Reply) -> None:
    site.upstream.script["/symbols.zip"] = reply
    with pytest.raises(Unavailable, match="cannot be downloaded"):
        site.get(site.url("/symbols.zip"), deadline=0.3)


def test_fetch_archive_cut_body_raises_could_not_ask(site: Site) -> None:
    site.upstream.script["/symbols.zip"] = Reply(body=ZIP, cut=1000)
    with pytest.raises(Unavailable, match="cannot be downloaded"):
        site.get(site.url("/symbols.zip"))


def test_fetch_archive_certificate_of_another_host_raises_could_not_ask(site: Site) -> None:
    with (
        pytest.raises(Unavailable, match="cannot be downloaded"),
        fetch_archive(
            f"https://other.example:{site.port}/a.zip",
            DownloadRules(["other.example"], 100, timeout=10, deadline=20),
            site.address,
            site.trust,
        ),
    ):
        pass


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "fe80::1",
        "fd00::1",
        "::ffff:10.0.0.1",
        "2002:a00:1::",
        "64:ff9b::a00:1",
    ],
)
def test_resolve_public_address_private_address_is_refused(address: str) -> None:
    assert ip_address(address)
    with pytest.raises(InvalidInput, match="Not an allowed domain"):
        resolve_public_address(address, 443)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
def test_resolve_public_address_public_address_is_returned(address: str) -> None:
    assert resolve_public_address(address, 443) == address


@pytest.mark.django_db
def test_upload_from_a_url_is_downloadable_byte_for_byte(site: Site, uploader: Makes) -> None:
    site.upstream.script["/symbols.zip"] = Reply(body=zipped({str(SYM_KEY): SYM}))
    rules = DownloadRules(HOSTS, 1 << 20, timeout=10, deadline=20)
    with (
        fetch_archive(site.url("/symbols.zip"), rules, site.address, site.trust) as archive,
        archive_upload.open_listed(archive.file, archive.name) as listing,
    ):
        archive_upload.ingest_all(archive_upload.begin(uploader().user, False, archive, listing), listing)
    assert Upload.objects.get().download_url == site.url("/symbols.zip")
    assert Client().get(f"/{SYM_KEY}").getvalue() == SYM
