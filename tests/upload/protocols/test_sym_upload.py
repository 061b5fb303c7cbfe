"""Breakpad's `sym_upload`, both protocols.

The requests were recorded from the program itself; docs/upload.md describes how to run it.
"""

from __future__ import annotations

import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client

from tecken.errors import BadModule, InvalidInput
from tecken.storage import services as storage_services
from tecken.storage.models import SymbolFile
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey, FileType
from tecken.upload.models import Upload
from tecken.upload.protocols import sym_upload
from tecken.upload.protocols.sym_upload import NamedFile
from tests.support.options import Override
from tests.upload.uploaders import SYM, SYM_KEY, Makes, stored

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db

ID = SYM_KEY.debug_id
BOUNDARY = "------------------------948f53b2137c575d"
FIELDS = {
    "code_file": "crash-c",
    "cpu": "x86_64",
    "debug_file": "crash-c",
    "debug_identifier": ID,
    "os": "Linux",
    "version": "1.2.3",
}


def form(fields: dict[str, str], symbols: bytes | None = SYM) -> bytes:
    """Return a form in the layout of libcurl."""
    parts = [f'form-data; name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    if symbols is not None:
        file = (
            b'form-data; name="symbol_file"; filename="crash-c.sym"\r\nContent-Type: application/octet-stream'
        )
        parts.append(file + b"\r\n\r\n" + symbols)
    lines = [f"--{BOUNDARY}\r\nContent-Disposition: ".encode() + part for part in parts]
    return b"\r\n".join([*lines, f"--{BOUNDARY}--\r\n".encode()])


@pytest.fixture
def key(uploader: Makes) -> str:
    return uploader().key


def send(key: str, body: bytes) -> Any:
    return Client().post(
        f"/upload/sym_upload?key={key}", body, content_type=f"multipart/form-data; boundary={BOUNDARY}"
    )


class TestProtocol1:
    def test_send_form_stores_a_symbol_file(self, key: str) -> None:
        reply = send(key, form(FIELDS))
        assert (reply.status_code, reply.content) == (200, b'{"result": "OK"}')
        assert stored(SYM_KEY) == SYM
        upload = Upload.objects.get()
        assert (upload.protocol, upload.filename, upload.completed_at is None) == (
            "sym_upload",
            "crash-c.sym",
            False,
        )
        row = SymbolFile.objects.get()
        assert (row.upload, row.debug_file, row.debug_id) == (upload, "crash-c", ID)

    def test_send_same_file_again_is_duplicate(self, key: str) -> None:
        send(key, form(FIELDS))
        assert send(key, form(FIELDS)).content == b'{"result": "DUPLICATE_DATA"}'
        assert SymbolFile.objects.count() == 1

    def test_send_to_base_url_with_trailing_slash_is_served(self, key: str) -> None:
        kind = f"multipart/form-data; boundary={BOUNDARY}"
        reply = Client().post(f"/upload/sym_upload/?key={key}", form(FIELDS), content_type=kind)
        assert reply.status_code == 200
        status = f"/upload/sym_upload//v1/symbols/{SYM_KEY.debug_file}/{SYM_KEY.debug_id}:checkStatus"
        assert Client().get(f"{status}?key={key}").content == b'{"status": "FOUND"}'

    def test_send_module_record_without_age_is_accepted(self, key: str) -> None:
        short = SYM.replace(SYM_KEY.debug_id.encode(), SYM_KEY.debug_id[:32].lower().encode(), 1)
        fields = {**FIELDS, "debug_identifier": SYM_KEY.debug_id[:32]}
        assert send(key, form(fields, short)).content == b'{"result": "OK"}'
        assert stored(SYM_KEY) == short

    def test_send_with_token_in_header_is_accepted(self, key: str) -> None:
        client = Client(headers={"Auth-Token": key})
        content_type = f"multipart/form-data; boundary={BOUNDARY}"
        assert client.post("/upload/sym_upload", form(FIELDS), content_type).status_code == 200

    def test_send_with_invalid_token_stores_nothing(self, uploader: Makes) -> None:
        reply = send("0" * 64, form(FIELDS))
        assert (reply.status_code, reply.json()) == (403, {"error": "API Token not matched"})
        assert not Upload.objects.exists()

    @pytest.mark.parametrize("field", ["debug_file", "debug_identifier"])
    def test_send_form_without_a_field_is_400(self, key: str, field: str) -> None:
        reply = send(key, form({name: value for name, value in FIELDS.items() if name != field}))
        assert (reply.status_code, reply.json()) == (400, {"error": f"The form has no field {field}"})

    def test_send_form_without_the_file_is_400(self, key: str) -> None:
        reply = send(key, form(FIELDS, None))
        assert (reply.status_code, reply.json()) == (400, {"error": "The form has no file symbol_file"})

    def test_send_file_over_the_limit_is_413(self, key: str, runtime_options: Override) -> None:
        runtime_options(symbol_max_bytes=1)
        reply = send(key, form(FIELDS, SYM + bytes(64 << 10)))
        assert reply.status_code == 413
        assert not Upload.objects.exists()

    def test_send_largest_allowed_file_is_stored(self, key: str, runtime_options: Override) -> None:
        runtime_options(symbol_max_bytes=len(SYM))
        assert send(key, form(FIELDS)).content == b'{"result": "OK"}'

    def test_send_with_get_is_405(self, key: str) -> None:
        reply = Client().get(f"/upload/sym_upload?key={key}")
        assert (reply.status_code, reply["Allow"]) == (405, "POST, OPTIONS")

    def test_send_file_of_another_module_is_refused(self, key: str) -> None:
        for symbols in (SYM.replace(ID.encode(), b"1" * 33), b"", b"PK\3\4"):
            reply = send(key, form(FIELDS, symbols))
            assert reply.status_code == 400
            assert reply.json()["error"].startswith(
                "The file does not begin with the MODULE record of debug id"
            )
        assert not SymbolFile.objects.exists()
        assert not Upload.objects.filter(completed_at__isnull=False).exists()

    def test_send_invalid_module_name_is_refused(self, key: str) -> None:
        reply = send(key, form(FIELDS | {"debug_identifier": "nothing"}))
        assert (reply.status_code, reply.json()) == (400, {"error": "debug id must be 9 to 40 hex digits"})


class Client2:
    """Requests of the program in protocol v2, with its own regular expressions."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.client = Client()

    def status(self, debug_file: str = "crash-c") -> str:
        reply = self.client.get(f"/upload/sym_upload/v1/symbols/{debug_file}/{ID}:checkStatus?key={self.key}")
        return found('"status": "([^"]+)"', reply)

    def create(self) -> tuple[str, str]:
        reply = self.client.post(
            f"/upload/sym_upload/v1/uploads:create?key={self.key}", b"", "application/x-www-form-urlencoded"
        )
        return found('"uploadUrl": "([^"]+)"', reply), found('"uploadKey": "([^"]+)"', reply)

    def put(self, url: str, content: bytes) -> int:
        """Send a chunked body: without a length, from a stream that the server ends."""
        chunked: Any = {"wsgi.input": BytesIO(content), "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
        return self.client.generic("PUT", urlsplit(url).path, **chunked).status_code

    def complete(self, upload: str, debug_file: str = "crash-c", kind: str = "BREAKPAD") -> Any:
        module = f'debug_file: "{debug_file}", debug_id: "{ID}"'
        body = f'{{ symbol_id: {{{module} }}, symbol_upload_type: "{kind}" }}'
        url = f"/upload/sym_upload/v1/uploads/{upload}:complete?key={self.key}"
        return self.client.post(url, body.encode(), "application/son")


def found(pattern: str, reply: Any) -> str:
    match = re.search(pattern, reply.content.decode())
    assert match, reply.content
    return match[1]


FAT_ID = "4C4C440055553144A1A3693FB126F9380"
OTHER_ID = "4C4C44CC55553144A19875D9B8EAD5440"


class TestProtocol2:
    @pytest.mark.parametrize("kind", ["DSYM", "dsym"])
    def test_complete_fat_file_is_stored_below_the_id_of_each_object(self, key: str, kind: str) -> None:
        """As the client of macOS writes the body, which is JSON there."""
        program = Client2(key)
        url, upload = program.create()
        content = (Path(__file__).parents[2] / "data" / "native" / "fat.dwarf").read_bytes()
        program.put(url, content)
        body = {"symbol_id": {"debug_file": "x", "debug_id": FAT_ID}, "symbol_upload_type": kind}
        path = f"/upload/sym_upload/v1/uploads/{upload}:complete?key={key}"
        reply = program.client.post(path, json.dumps(body, indent=2).replace(":", " :"), "application/json")
        assert found('"result": "([^"]+)"', reply) == "OK"
        for debug_id in (FAT_ID, OTHER_ID):
            assert stored(FileKey("x", debug_id, "x.dSYM")) == content

    def test_sym_upload_v2_stores_a_missing_module(self, key: str) -> None:
        program = Client2(key)
        assert program.status() == "MISSING"
        url, upload = program.create()
        assert program.put(url, SYM) == 200
        assert program.status() == "MISSING"
        assert found('"result": "([^"]+)"', program.complete(upload)) == "OK"
        assert program.status() == "FOUND"
        assert stored(SYM_KEY) == SYM
        assert list(storage_services.staging().entries()) == []

    def test_complete_same_file_is_duplicate(self, key: str) -> None:
        program = Client2(key)
        for result in ("OK", "DUPLICATE_DATA"):
            url, upload = program.create()
            program.put(url, SYM)
            assert found('"result": "([^"]+)"', program.complete(upload)) == result
            assert found('"result": "([^"]+)"', program.complete(upload)) == result
        assert SymbolFile.objects.count() == 1

    @pytest.mark.parametrize(("kind", "name"), [("ELF", "app"), ("PDB", "app"), ("DEBUG_ONLY", "app.debug")])
    def test_complete_native_file_is_stored_unchanged(self, key: str, kind: str, name: str) -> None:
        program = Client2(key)
        url, upload = program.create()
        program.put(url, b"\x7fELF...")
        assert found('"result": "([^"]+)"', program.complete(upload, "app", kind)) == "OK"
        assert stored(FileKey("app", ID, name)) == b"\x7fELF..."

    def test_complete_without_a_file_is_400(self, key: str) -> None:
        program = Client2(key)
        _, upload = program.create()
        reply = program.complete(upload)
        assert (reply.status_code, reply.json()) == (400, {"error": "The file was not sent"})

    def test_complete_other_module_is_refused_and_can_be_sent_again(self, key: str) -> None:
        program = Client2(key)
        url, upload = program.create()
        program.put(url, SYM.replace(ID.encode(), b"1" * 33))
        assert program.complete(upload).status_code == 400
        assert program.status() == "MISSING"
        program.put(url, SYM)
        assert found('"result": "([^"]+)"', program.complete(upload)) == "OK"

    def test_complete_upload_of_another_user_is_404(self, key: str, uploader: Makes) -> None:
        _, upload = Client2(key).create()
        other = Client2(uploader(email="else@example.com").key)
        assert other.complete(upload).status_code == 404

    def test_sym_upload_v2_with_invalid_token_is_403(self, key: str) -> None:
        bad = Client2("0" * 64)
        for path in (f"symbols/crash-c/{ID}:checkStatus", "uploads:create", "uploads/1:complete"):
            send = bad.client.get if path.startswith("symbols") else bad.client.post
            reply = send(f"/upload/sym_upload/v1/{path}?key={bad.key}")
            assert (reply.status_code, reply.json()["error"]) == (403, "API Token not matched")


class TestBodies:
    def test_parse_completion_documented_spelling_is_accepted(self) -> None:
        body = b'{symbol_id:{"debugFile":"file_name","debugId":"123123123123123123123123abcdef"}}'
        module = ObjectId("file_name", "123123123123123123123123ABCDEF")
        assert sym_upload.parse_completion(body) == NamedFile(module, FileType.SYMBOL_FILE)

    @pytest.mark.parametrize(
        ("body", "error", "text"),
        [
            (b"", InvalidInput, "must have a symbol_id with debug_file and debug_id"),
            (b"\xff{", InvalidInput, "must have a symbol_id with debug_file and debug_id"),
            (b'{debug_file: "x", debug_id: "no"}', BadModule, "debug id must be 9 to 40 hex digits"),
            (b'{debug_file: "..", debug_id: "1234567890"}', BadModule, "path separator"),
            (b'{symbol_upload_type: "MAP"}', InvalidInput, "must be one of BREAKPAD, ELF, PE, MACHO, PDB"),
        ],
    )
    def test_parse_completion_invalid_body_is_refused(
        self, body: bytes, error: type[InvalidInput], text: str
    ) -> None:
        with pytest.raises(error, match=text):
            sym_upload.parse_completion(body)

    def test_format_json_has_a_space_after_each_colon(self) -> None:
        assert sym_upload.format_json(status="FOUND", more='"') == b'{"status": "FOUND", "more": "\\""}'
