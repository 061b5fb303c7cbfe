"""Build, branch, commit, note and token of an upload, by each protocol."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import urlencode

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, RequestFactory

from tecken.accounts.models import Token
from tecken.errors import Forbidden, InvalidInput
from tecken.upload.models import Upload
from tecken.upload.origin import ORIGIN_FIELDS, UploadOrigin, parse_origin
from tecken.upload.protocols.archive import upload_archive
from tests.upload.uploaders import SYM, SYM_KEY, Makes, Uploader, spec
from tests.upload.zips import zipped

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db

ARCHIVE = zipped({str(SYM_KEY): SYM})
ORIGIN = {"build": "1234", "branch": "release/ü", "commit": "9ac1ec4a5d0e", "note": "nightly, again"}
LONG = "x" * 256
REFUSED = [
    ({"build": LONG}, "build has 256 characters, at most 255"),
    ({"branch": "a\nb"}, "branch has a control character or a line break"),
    ({"commit": "a\0"}, "commit has a control character or a line break"),
    ({"note": "\x1b[31mred"}, "note has a control character or a line break"),
    ({"note": "a\u2028b"}, "note has a control character or a line break"),
]


@pytest.fixture
def builder(uploader: Makes) -> Uploader:
    return uploader()


def send(builder: Uploader, query: dict[str, str]) -> Any:
    file = SimpleUploadedFile("symbols.zip", ARCHIVE)
    return builder.client.post(f"/upload/?{urlencode(query)}", {"symbols.zip": file})


def origin_of(upload: Upload) -> dict[str, str]:
    return {name: getattr(upload, name) for name in ORIGIN_FIELDS}


def test_upload_with_origin_stores_and_returns_it(builder: Uploader) -> None:
    reply = send(builder, ORIGIN)
    upload = Upload.objects.get()
    assert (reply.status_code, origin_of(upload)) == (201, ORIGIN)
    assert reply.json()["upload"].items() >= ORIGIN.items()
    assert upload.token == Token.objects.get()


def test_upload_with_longest_texts_is_stored(builder: Uploader) -> None:
    texts = dict.fromkeys(ORIGIN_FIELDS, "ü" * 255)
    assert send(builder, texts).status_code == 201
    assert origin_of(Upload.objects.get()) == texts


def test_upload_of_session_has_no_token(builder: Uploader) -> None:
    client = Client(headers={"Origin": "http://testserver"})
    client.force_login(builder.user)
    file = io.BytesIO(ARCHIVE)
    file.name = "symbols.zip"
    reply = client.post("/upload/", {"symbols.zip": file})
    assert (reply.status_code, Upload.objects.get().token) == (201, None)


def test_deleted_token_leaves_its_uploads(builder: Uploader) -> None:
    send(builder, ORIGIN)
    Token.objects.all().delete()
    assert Upload.objects.get().token is None


@pytest.mark.parametrize(("query", "text"), REFUSED)
def test_upload_with_bad_origin_is_400_and_stores_nothing(
    builder: Uploader, query: dict[str, str], text: str
) -> None:
    reply = send(builder, query)
    assert (reply.status_code, reply.json()["error"]) == (400, text)
    assert not Upload.objects.exists()


def test_bad_origin_is_refused_before_the_body_is_read(builder: Uploader) -> None:
    """The front calls `admit` when it has read the head of a request."""
    request = RequestFactory().post(f"/upload/?build={LONG}", headers={"Auth-Token": builder.key})
    with pytest.raises(InvalidInput, match="build has 256 characters"):
        upload_archive.admit(request)  # type: ignore[attr-defined]
    upload_archive.admit(RequestFactory().post("/upload/?build=1", headers={"Auth-Token": builder.key}))  # type: ignore[attr-defined]


def test_permission_is_checked_before_the_origin() -> None:
    with pytest.raises(Forbidden):
        upload_archive.admit(RequestFactory().post(f"/upload/?build={LONG}"))  # type: ignore[attr-defined]


def test_direct_upload_with_origin_stores_it(builder: Uploader) -> None:
    files = [spec(str(SYM_KEY), SYM)]
    reply = builder.post("/upload/v2/", {"files": files, **ORIGIN})
    upload = Upload.objects.get()
    assert (reply.status_code, origin_of(upload)) == (201, ORIGIN)
    assert upload.token == Token.objects.get()


@pytest.mark.parametrize(("member", "text"), [*REFUSED, ({"build": 7}, "build must be a text")])
def test_direct_upload_with_bad_origin_is_400(
    builder: Uploader, member: dict[str, object], text: str
) -> None:
    reply = builder.post("/upload/v2/", {"files": [spec(str(SYM_KEY), SYM)], **member})
    assert (reply.status_code, reply.json()["error"]) == (400, text)
    assert not Upload.objects.exists()


def test_sym_upload_stores_its_token_alone(builder: Uploader) -> None:
    file = SimpleUploadedFile("crash-c.sym", SYM)
    fields = {"debug_file": SYM_KEY.debug_file, "debug_identifier": SYM_KEY.debug_id, "symbol_file": file}
    reply = builder.client.post("/upload/sym_upload?build=1", fields)
    assert reply.status_code == 200, reply.content
    upload = Upload.objects.get()
    assert (upload.token, origin_of(upload)) == (Token.objects.get(), dict.fromkeys(ORIGIN_FIELDS, ""))


def test_parse_origin_removes_surrounding_space() -> None:
    assert parse_origin({"build": " 7 ", "name": "x.zip"}) == UploadOrigin(build="7")
