"""A client that uploads to an empty site."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import md5
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.contrib.auth.models import User
from django.test import Client

from tecken.storage import services as storage_services
from tecken.symbols.decompression import decompress
from tecken.symbols.layouts import FileKey

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
SYM_KEY = FileKey("crash-c", "DADBB96C91ED58F912FB09F7F2655E6F0", "crash-c.sym")
SYM = (SAMPLES / str(SYM_KEY)).read_bytes()


class Uploader(NamedTuple):
    key: str
    client: Client
    user: User

    def post(self, path: str, content: Any = None) -> Any:
        return self.client.post(path, content, content_type="application/json")

    def announce(self, files: dict[FileKey, bytes]) -> Any:
        specs = [spec(str(key), content) for key, content in files.items()]
        reply = self.post("/upload/v2/", {"files": specs})
        assert reply.status_code == 201, reply.content
        return reply.json()

    def put(self, url: str, content: bytes) -> Any:
        return self.client.put(urlsplit(url).path, content, content_type="application/octet-stream")

    def complete(self, number: int) -> Any:
        return self.post(f"/upload/v2/{number}/complete")


def spec(key: str, content: bytes) -> dict[str, Any]:
    return {"key": key, "size": len(content), "md5_hash": md5(content).hexdigest()}


Makes = Callable[..., Uploader]


def stored(key: FileKey, *, try_symbols: bool = False) -> bytes:
    files = storage_services.try_files() if try_symbols else storage_services.own_files()
    with files.read(key) as chunks:
        return b"".join(decompress(chunks, 1 << 30) if key.file_name.endswith(".sym") else chunks)
