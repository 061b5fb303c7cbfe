"""`POST /upload/`: a file in a form or body, or by a URL, which is fetched from the public internet only.

Without the address check an uploader could read servers of our own network through a URL (server-side request
forgery).
"""

from __future__ import annotations

import hashlib
import posixpath
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from tempfile import TemporaryFile
from typing import BinaryIO, NamedTuple, cast
from urllib.parse import unquote

import httpx
import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from tecken.errors import InvalidInput, TooLarge, Unavailable
from tecken.http.decorators import Grant, accept_body, check_permission, post_only, require_permission
from tecken.http.ratelimit import charge, rate_limited, upload_cost
from tecken.http.responses import json_reply, render_errors
from tecken.limits.port import Cost
from tecken.runtimeconfig.current import options
from tecken.storage.upstreams.addresses import is_public, resolve
from tecken.storage.upstreams.http import USER_AGENT, DeadlineBackend
from tecken.upload import archive_upload
from tecken.upload.containers import check_name
from tecken.upload.form import Archive, max_form_bytes, receive_archive
from tecken.upload.models import Upload
from tecken.upload.origin import parse_origin
from tecken.upload.protocols.direct import UPLOADERS, upload_fields, writes_try

PROGRESS = "/api/uploads/upload/{}"


@render_errors
@post_only
@require_permission(*UPLOADERS)
@rate_limited("upload", upload_cost)
@accept_body(max_form_bytes)
def upload_archive(request: HttpRequest) -> HttpResponse:
    """Store the members of an archive: 201. With `?async=1` leave them to a worker: 202."""
    grant: Grant = request.auth  # type: ignore[attr-defined]
    origin = parse_origin(request.GET, grant.token)
    with _get_archive(request) as archive, archive_upload.open_listed(archive.file, archive.name) as listing:
        upload = archive_upload.begin(grant.user, writes_try(grant), archive, listing, origin)
        if request.GET.get("async", "").lower() in ("1", "true", "yes"):
            archive_upload.stage(upload, archive.file)
            return _accept(request, upload)
        archive_upload.ingest_all(upload, listing)
    return json_reply(orjson.dumps({"upload": upload_fields(upload)}), HTTPStatus.CREATED)


def admit_archive(request: HttpRequest) -> None:
    """Check permission and origin before the body is read."""
    check_permission(request, *UPLOADERS)
    parse_origin(request.GET)


upload_archive.admit = admit_archive  # type: ignore[attr-defined]


@contextmanager
def _get_archive(request: HttpRequest) -> Iterator[Archive]:
    # Within the `with` blocks: the unnamed file of the archive exists as long as they do.
    with receive_archive(request) as archive_or_url:
        if isinstance(archive_or_url, Archive):
            yield archive_or_url
            return
        with fetch_archive(archive_or_url, _build_rules()) as archive:
            # The limit counted the request's own body, which was only the URL.
            charge(request, "upload", Cost(0, 0, archive.size))
            yield archive


def _build_rules() -> DownloadRules:
    config = options()
    return DownloadRules(
        [domain.lower() for domain in settings.ALLOW_UPLOAD_BY_DOWNLOAD_DOMAINS],
        config.upload_max_bytes,
        config.source_timeout_seconds,
        config.source_deadline_seconds,
        settings.SPOOL_DIR,
    )


def _accept(request: HttpRequest, upload: Upload) -> HttpResponse:
    url = request.build_absolute_uri(PROGRESS.format(upload.pk))
    reply = json_reply(orjson.dumps({"upload": upload_fields(upload), "url": url}), HTTPStatus.ACCEPTED)
    reply["Location"] = url
    return reply


# Fetch by URL

MAX_REDIRECTS = 5
HEADERS = {"Accept-Encoding": "identity", "User-Agent": USER_AGENT}
LIMITS = httpx.Limits(max_connections=1, max_keepalive_connections=0)


class DownloadRules(NamedTuple):
    """Allowed domains, limit in bytes, and seconds for each read (`timeout`) and in total (`deadline`)."""

    domains: Sequence[str]
    limit: int
    timeout: float
    deadline: float
    spool_dir: str | None = None


def resolve_public_address(host: str, port: int) -> str:
    """Return an address of a host whose addresses are all public. Raise InvalidInput or Unavailable.

    The caller connects to this address and does not resolve the name again. Otherwise a name server could
    return another address between the check and the connection (DNS rebinding).
    """
    try:
        addresses = resolve(host, port)
    except (OSError, UnicodeError) as error:
        raise Unavailable(f"{host} cannot be resolved: {error}") from None
    if not addresses or not all(map(is_public, addresses)):
        raise InvalidInput(f"Not an allowed domain ('{host}') to download from.")
    return addresses[0]


@contextmanager
def fetch_archive(
    url: str,
    rules: DownloadRules,
    resolve: Callable[[str, int], str] = resolve_public_address,
    trust: ssl.SSLContext | None = None,
) -> Iterator[Archive]:
    """Download an archive to a file without a name.

    Args:
        url: The HTTPS URL of the archive.
        rules: The allowed domains and the limits.
        resolve: A function that returns the address of a host and port; tests replace it.
        trust: The TLS context; tests replace it.

    Raises:
        InvalidInput: The URL or a redirect is not allowed.
        Unavailable: The server did not answer.
        TooLarge: The archive exceeds the limit.
    """
    name = posixpath.basename(unquote(_parse_url(url, rules.domains).path))
    check_name(name)
    backend = DeadlineBackend()
    transport = httpx.HTTPTransport(limits=LIMITS, verify=trust or ssl.create_default_context())
    # httpcore accepts a network backend, but httpx has no parameter for it.
    transport._pool._network_backend = backend
    client = httpx.Client(transport=transport, headers=HEADERS, timeout=rules.timeout, trust_env=False)
    with (
        client,
        backend.until(time.monotonic() + rules.deadline),
        cast(BinaryIO, TemporaryFile(dir=rules.spool_dir)) as file,
    ):
        visited = [url]
        try:
            digest = _follow(client, visited, rules, resolve, file)
        except httpx.HTTPError as error:
            raise Unavailable(f"{url} cannot be downloaded: {error}") from error
        size = file.tell()
        file.seek(0)
        yield Archive(name, file, size, digest, url, tuple(visited[1:]))


def _follow(
    client: httpx.Client,
    visited: list[str],
    rules: DownloadRules,
    resolve: Callable[[str, int], str],
    file: BinaryIO,
) -> str:
    """Follow redirects, add each URL to `visited`, write the body to `file` and return its SHA-256."""
    while len(visited) <= MAX_REDIRECTS + 1:
        request = _build_request(client, visited[-1], rules.domains, resolve)
        response = client.send(request, stream=True)
        try:
            if not response.has_redirect_location:
                return _save_body(response, visited[0], rules.limit, file)
            visited.append(str(httpx.URL(visited[-1]).join(response.headers["Location"])))
        except (httpx.InvalidURL, UnicodeError):
            raise InvalidInput("Insecure URL") from None
        finally:
            response.close()
    raise InvalidInput(f"Too many redirects trying to open {visited[0]}")


def _build_request(
    client: httpx.Client, text: str, domains: Sequence[str], resolve: Callable[[str, int], str]
) -> httpx.Request:
    """Return a request to the checked address, with the host's name in the header and in TLS."""
    url = _parse_url(text, domains)
    host = url.raw_host.decode()
    return client.build_request(
        "GET",
        url.copy_with(host=resolve(host, url.port or 443)),
        headers={"Host": url.netloc.decode()},
        extensions={"sni_hostname": host},
    )


def _parse_url(text: str, domains: Sequence[str]) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, UnicodeError):
        raise InvalidInput("Insecure URL") from None
    if url.scheme != "https" or not url.host or url.userinfo:
        raise InvalidInput("Insecure URL")
    if url.host.lower() not in domains:
        raise InvalidInput(f"Not an allowed domain ('{url.host}') to download from.")
    return url


def _save_body(response: httpx.Response, url: str, limit: int, file: BinaryIO) -> str:
    if response.status_code != httpx.codes.OK:
        raise InvalidInput(f"non-200 status code when retrieving {url}")
    digest, total = hashlib.sha256(), 0
    for chunk in response.iter_raw():
        total += len(chunk)
        if total > limit:
            raise TooLarge(f"The archive is larger than {limit} bytes")
        digest.update(chunk)
        file.write(chunk)
    return digest.hexdigest()
