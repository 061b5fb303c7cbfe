"""Symbol files that are replaced while clients download them: a client never receives a mixture of two."""

from __future__ import annotations

import gzip
import http.client
from collections.abc import Callable
from hashlib import sha512

import pytest
from django.core.wsgi import get_wsgi_application

from tecken.front.config import Deadlines
from tecken.storage import services as storage_services
from tecken.symbolication import services as symbolication_services
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import symbol_file
from tests.download.test_native import DEBUG, SYM, get
from tests.front.server import Server, serving
from tests.upload.natives import FRAMES_ID, send
from tests.upload.uploaders import Uploader

pytest_plugins = ["tests.upload.site"]
# Threads of a server see what is committed.
pytestmark = pytest.mark.django_db(transaction=True)

MODULE = ObjectId("frames.so", FRAMES_ID)
NAMELESS = ObjectId.without_name(FRAMES_ID)
FUNCTIONS = 9_000
# Bytes that the systems of server and client buffer.
BUFFER_BYTES = 32 << 10


def text_of(version: str) -> bytes:
    """Return a symbol file of a megabyte; those of two versions have the same length."""
    # Digests do not compress well, so that page files have many pages.
    names = (sha512(f"{version}{number}".encode()).hexdigest() for number in range(FUNCTIONS))
    records = (f"FUNC {number * 16:x} 10 0 {name}\n" for number, name in enumerate(names))
    return f"MODULE Linux x86_64 {FRAMES_ID} frames.so\n{''.join(records)}".encode()


TEXTS = {version: text_of(version) for version in "ab"}


def page_file_of(text: bytes) -> list[bytes]:
    with symbolication_services.page_file_builder().of([text], native_id=FRAMES_ID) as converted:
        return [*converted.chunks()]


def nothing() -> None:
    pass


def download(server: Server, meanwhile: Callable[[], object] = nothing) -> bytes | None:
    """Return a symbol file as a slow client receives it; None for a transfer that is broken.

    `meanwhile` is called when the client has taken the first part, and the server has not read all of the
    rest.
    """
    with server.connect(receive_buffer=BUFFER_BYTES) as connection:
        connection.sendall(f"GET {SYM} HTTP/1.1\r\nHost: testserver\r\nConnection: close\r\n\r\n".encode())
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == http.HTTPStatus.OK
        start = response.read(BUFFER_BYTES)
        meanwhile()
        try:
            return start + response.read()
        except (http.client.IncompleteRead, ConnectionError):
            return None


def download_around_replacement(write: Callable[[str], object]) -> tuple[bytes | None, ...]:
    """Return what clients receive before a file is replaced, while it is, and afterwards."""
    write("a")
    with serving(get_wsgi_application(), Deadlines(), send_buffer=BUFFER_BYTES) as server:
        return download(server), download(server, lambda: write("b")), download(server)


def test_page_file_that_is_replaced_while_a_client_is_slow_breaks_the_transfer(
    native_builder: Uploader,
) -> None:
    send(native_builder, *DEBUG)
    page_files = {version: page_file_of(text) for version, text in TEXTS.items()}
    # The search for the module is cached.
    assert get(SYM).status_code == 200

    def write(version: str) -> None:
        storage_services.page_files().write(NAMELESS, page_files[version])

    before, during, after = download_around_replacement(write)
    assert before
    assert after
    assert (lines_of(before), lines_of(after)) == (lines_of(TEXTS["a"]), lines_of(TEXTS["b"]))
    assert during is None


def test_symbol_file_that_is_replaced_while_a_client_is_slow_is_the_former_one(
    native_builder: Uploader,
) -> None:
    key = symbol_file(MODULE)

    def write(version: str) -> None:
        storage_services.own_files().put(key, [gzip.compress(TEXTS[version], 1)])
        storage_services.presence_cache().forget_file(key)

    assert download_around_replacement(write) == (TEXTS["a"], TEXTS["a"], TEXTS["b"])


def lines_of(text: bytes) -> list[bytes]:
    return [line for line in text.splitlines() if line.startswith(b"FUNC ")]
