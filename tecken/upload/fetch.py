"""Archives that we download for whoever uploads: only from hosts we know, and never from our own network."""

from __future__ import annotations

import hashlib
import posixpath
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import BinaryIO, NamedTuple, cast
from urllib.parse import unquote

import httpx

from tecken.errors import BadInput, CouldNotAsk, TooMuch
from tecken.storage.upstreams.deadline import DeadlineBackend
from tecken.upload.addresses import is_public
from tecken.upload.form import Archive, check_name

MOST_REDIRECTS = 5
PRECISE = {"Accept-Encoding": "identity", "User-Agent": "tecken/0.1.0"}
LIMITS = httpx.Limits(max_connections=1, max_keepalive_connections=0)


class Rules(NamedTuple):
    """`limit` in bytes; `timeout` (of each silence) and `deadline` (of everything) in seconds."""

    domains: Sequence[str]
    limit: int
    timeout: float
    deadline: float
    spool_dir: str | None = None


def public_address(host: str, port: int) -> str:
    """Return an address of the host, all of whose addresses are public. Raises BadInput, CouldNotAsk.

    The caller connects to this address and resolves the name no second time, so an answer that changes
    between the check and the connection (DNS rebinding) changes nothing.
    """
    try:
        found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        raise CouldNotAsk(f"{host} cannot be resolved: {error}") from None
    if not found or not all(map(is_public, found)):
        raise BadInput(f"Not an allowed domain ('{host}') to download from.")
    return found[0]


@contextmanager
def fetched(
    url: str,
    rules: Rules,
    address: Callable[[str, int], str] = public_address,
    trust: ssl.SSLContext | None = None,
) -> Iterator[Archive]:
    """Raises BadInput for a URL that we do not follow, TooMuch, CouldNotAsk."""
    name = posixpath.basename(unquote(_checked(url, rules.domains).path))
    check_name(name)
    backend = DeadlineBackend()
    transport = httpx.HTTPTransport(limits=LIMITS, verify=trust or ssl.create_default_context())
    transport._pool._network_backend = backend  # httpcore takes one, httpx does not pass it on
    client = httpx.Client(transport=transport, headers=PRECISE, timeout=rules.timeout, trust_env=False)
    with (
        client,
        backend.until(time.monotonic() + rules.deadline),
        cast(BinaryIO, TemporaryFile(dir=rules.spool_dir)) as file,
    ):
        visited = [url]
        try:
            digest = _follow(client, visited, rules, address, file)
        except httpx.HTTPError as error:
            raise CouldNotAsk(f"{url} cannot be downloaded: {error}") from error
        size = file.tell()
        file.seek(0)
        yield Archive(name, file, size, digest, url, tuple(visited[1:]))


def _follow(
    client: httpx.Client,
    visited: list[str],
    rules: Rules,
    address: Callable[[str, int], str],
    file: BinaryIO,
) -> str:
    """Redirect by redirect into `visited`, the body into `file`; its SHA-256."""
    while len(visited) <= MOST_REDIRECTS + 1:
        request = _request(client, visited[-1], rules.domains, address)
        response = client.send(request, stream=True)
        try:
            if not response.has_redirect_location:
                return _body(response, visited[0], rules.limit, file)
            visited.append(str(httpx.URL(visited[-1]).join(response.headers["Location"])))
        except (httpx.InvalidURL, UnicodeError):
            raise BadInput("Insecure URL") from None
        finally:
            response.close()
    raise BadInput(f"Too many redirects trying to open {visited[0]}")


def _request(
    client: httpx.Client, text: str, domains: Sequence[str], address: Callable[[str, int], str]
) -> httpx.Request:
    """To the address that was judged, under the host's own name."""
    url = _checked(text, domains)
    host = url.raw_host.decode()
    return client.build_request(
        "GET",
        url.copy_with(host=address(host, url.port or 443)),
        headers={"Host": url.netloc.decode()},
        extensions={"sni_hostname": host},
    )


def _checked(text: str, domains: Sequence[str]) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, UnicodeError):
        raise BadInput("Insecure URL") from None
    if url.scheme != "https" or not url.host or url.userinfo:
        raise BadInput("Insecure URL")
    if url.host.lower() not in domains:
        raise BadInput(f"Not an allowed domain ('{url.host}') to download from.")
    return url


def _body(response: httpx.Response, url: str, limit: int, file: BinaryIO) -> str:
    if response.status_code != httpx.codes.OK:
        raise BadInput(f"non-200 status code when retrieving {url}")
    digest, total = hashlib.sha256(), 0
    for chunk in response.iter_raw():
        total += len(chunk)
        if total > limit:
            raise TooMuch(f"The archive is larger than {limit} bytes")
        digest.update(chunk)
        file.write(chunk)
    return digest.hexdigest()
