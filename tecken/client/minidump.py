"""Minidumps that `tecken-symbolicate` sends to `POST /process/minidump`, and the wait for their results."""

from __future__ import annotations

import json
import os
import re
import time
import zlib
from collections.abc import Iterator
from http import HTTPStatus
from io import BytesIO
from typing import Any, BinaryIO, Final

import httpx

from tecken.client.exchange import Busy, NoServer, Refused, exchange, is_page, print_remark, read_error
from tecken.client.site import parse_retry_after
from tecken.client.uploads import CHUNK_BYTES, Bar
from tecken.errors import redact_url
from tecken.symbolication.minidump.signature import HEAD_BYTES as SIGNATURE_BYTES
from tecken.symbolication.minidump.signature import MINIDUMP, is_dump

try:
    import zstandard
except ImportError:
    # The program as one file has no compiled packages.
    zstandard = None  # type: ignore[assignment]

PATH: Final = "process/minidump"
GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
COMPRESSED: Final = {GZIP: "gzip", ZSTD: "zstd"}
# The window of zlib for a gzip header.
GZIP_WINDOW: Final = 31
# The longest block of zstd and the headers before it: only a complete block can be unpacked.
HEAD_BYTES: Final = (128 << 10) + 32
# Seconds until a result must be there, and between two requests for it.
DEADLINE: Final = 600.0
PAUSE: Final = 1.0
MAX_PAUSE: Final = 10.0
NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def find_encoding(head: bytes) -> str | None:
    """Return the Content-Encoding of a dump by its first bytes; "" for none, None for another file."""
    if is_dump(head):
        return ""
    if head.startswith(GZIP) and is_dump(_unpack_gzip(head)):
        return "gzip"
    if head.startswith(ZSTD) and is_dump(_unpack_zstd(head)):
        return "zstd"
    return None


def _unpack_gzip(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(GZIP_WINDOW).decompress(head, SIGNATURE_BYTES)
    except zlib.error:
        return b""


def _unpack_zstd(head: bytes) -> bytes:
    """Return the first bytes of the content; a signature if they cannot be read here: the server can."""
    if zstandard is None:
        return MINIDUMP
    try:
        return bytes(zstandard.ZstdDecompressor().stream_reader(BytesIO(head)).read(SIGNATURE_BYTES))
    except zstandard.ZstdError:
        return b""


def process_minidump(client: httpx.Client, url: str, file: BinaryIO, encoding: str) -> dict[str, Any]:
    """Return the report of a minidump.

    Raises:
        Refused: It is no minidump, too large, or its result is lost.
        NoServer: No Tecken server that processes minidumps is at this address.
        Busy: All attempts or all time is used up.
    """
    address = f"{url.rstrip('/')}/{PATH}"
    size = file.seek(0, os.SEEK_END)
    headers = {"Accept": "application/json", "Content-Type": "application/octet-stream"}
    headers |= {"Content-Length": str(size)} | ({"Content-Encoding": encoding} if encoding else {})
    response = exchange(client, "POST", address, lambda: _read_chunks(file, size), headers)
    deadline = time.monotonic() + DEADLINE
    if response.status_code == HTTPStatus.ACCEPTED:
        print_remark(f"not ready yet; waiting up to {DEADLINE:.0f} s")
    while response.status_code == HTTPStatus.ACCEPTED:
        result = f"{address}/{_read_name(response, address)}"
        if time.monotonic() > deadline:
            raise Busy(f"not ready after {DEADLINE:.0f} s; the result will be at {redact_url(result)}")
        pause = parse_retry_after(response.headers.get("Retry-After"))
        time.sleep(min(PAUSE if pause is None else pause, MAX_PAUSE))
        response = exchange(client, "GET", result, headers={"Accept": "application/json"})
        if response.status_code == HTTPStatus.NOT_FOUND:
            raise Refused(f"{read_error(response)}: send it again")
    return _read_report(response, address)


def _read_chunks(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield the content of a file from its start, with a progress bar if that takes long."""
    file.seek(0)
    with Bar("Sending", size) as bar:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
            bar.move(len(chunk))


def _read_name(response: httpx.Response, address: str) -> str:
    """Return the name of the result. Behind a proxy its address may be that of another host."""
    name = str(_read_document(response).get("id"))
    if not NAME.fullmatch(name):
        raise NoServer(f"{redact_url(address)}: no Tecken server answers there ({response.status_code})")
    return name


def _read_report(response: httpx.Response, address: str) -> dict[str, Any]:
    if response.status_code == HTTPStatus.NOT_FOUND and not is_page(response):
        raise NoServer(f"{redact_url(address)}: it processes no minidumps (404), or is no Tecken server")
    document = _read_document(response)
    if response.status_code != HTTPStatus.OK or not document:
        raise NoServer(f"{redact_url(address)}: no Tecken server answers there ({response.status_code})")
    return document


def _read_document(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON object in a response; an empty one for anything else."""
    try:
        document = json.loads(response.content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
