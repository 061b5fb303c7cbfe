"""Downloads of native files, whose content is stored compressed."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import pytest
from django.test import Client

from tecken.storage import services as storage_services
from tecken.symbols.layouts import FileKey
from tests.download.conftest import Put

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]
DLL = FileKey("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2", "xul.dll")
OTHER = FileKey("XUL.pdb", "A" * 33, "Xul.dll")
CONTENT = b"".join(b"function %d\n" % number for number in range(200_000))
ETAG = f'"{sha256(CONTENT).hexdigest()}"'


def body(reply: Iterable[bytes]) -> bytes:
    return b"".join(reply)


@pytest.fixture(autouse=True)
def stored(put: Put) -> None:
    put(DLL, CONTENT)
    ((_, blob),) = storage_services.own_files().blobs.entries()
    assert blob.size < len(CONTENT) / 2


def test_native_file_is_sent_as_it_was_uploaded(client: Client) -> None:
    reply = client.get(f"/{DLL}", headers={"Accept-Encoding": "gzip, zstd"})
    assert (reply.status_code, body(reply)) == (200, CONTENT)
    assert (reply["Content-Length"], reply["ETag"]) == (str(len(CONTENT)), ETAG)
    assert "Content-Encoding" not in reply


def test_native_file_head_has_the_same_headers(client: Client) -> None:
    reply = client.head(f"/{DLL}")
    assert (reply.status_code, body(reply)) == (200, b"")
    assert (reply["Content-Length"], reply["ETag"], reply["Accept-Ranges"]) == (
        str(len(CONTENT)),
        ETAG,
        "bytes",
    )


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=1500000-1500099", 1_500_000, 1_500_100),
        ("bytes=-7", len(CONTENT) - 7, len(CONTENT)),
    ],
)
def test_native_file_range_is_of_its_own_bytes(client: Client, header: str, start: int, end: int) -> None:
    reply = client.get(f"/{DLL}", headers={"Range": header, "If-Range": ETAG})
    assert (reply.status_code, body(reply)) == (206, CONTENT[start:end])
    assert reply["Content-Range"] == f"bytes {start}-{end - 1}/{len(CONTENT)}"


def test_native_file_of_the_same_etag_is_not_sent(client: Client) -> None:
    assert client.get(f"/{DLL}", headers={"If-None-Match": ETAG}).status_code == 304


def test_native_file_in_other_case_is_found(client: Client, put: Put) -> None:
    put(OTHER, CONTENT)
    reply = client.get(f"/{OTHER.in_lower_case}")
    assert (reply.status_code, reply["Location"]) == (302, f"/{OTHER}")
    assert body(client.get(f"/{OTHER}")) == CONTENT


def test_native_file_whose_content_is_gone_is_not_found(client: Client) -> None:
    storage_services.own_files().blobs.delete(sha256(CONTENT).hexdigest())
    assert client.get(f"/{DLL}").status_code == 404
