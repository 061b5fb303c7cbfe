"""Files in forms and bodies, written to files without a name, so that a killed process leaves nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import PurePosixPath
from tempfile import TemporaryFile
from typing import Any, BinaryIO, NamedTuple, cast

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, SkipFile
from django.http import HttpRequest, QueryDict
from django.http.multipartparser import MultiPartParser, MultiPartParserError

from tecken.errors import InvalidInput, TooLarge, UnknownEncoding
from tecken.http.decorators import stream_body
from tecken.runtimeconfig.current import options
from tecken.symbols.decompression import decompress
from tecken.upload.containers import check_name

NO_FILE = "Must be multipart form data with at least one file"
# Django's parser copies each chunk several times. Chunks of 1 MiB took half as much CPU time again, because
# the system maps fresh memory for each of them.
CHUNK_BYTES = 256 << 10
# The limit of a form without a file.
FIELDS_BYTES = 64 << 10
ENCODINGS = ("identity", "gzip", "x-gzip", "zstd")
# Fields that do not have the name of their file: those of an HTML form, and of `curl -F file=@x`.
OWN_NAMES = ("archive", "file")
# A body of any other type is the file itself, unless it is a form.
NO_FILE_TYPES = ("", "application/json")


class Archive(NamedTuple):
    """Received file with its size in bytes and SHA-256. The code that opened `file` closes it."""

    name: str
    file: BinaryIO
    size: int
    digest: str
    download_url: str = ""
    redirect_urls: tuple[str, ...] = ()


class Spool(FileUploadHandler):
    """Upload handler that writes a file without a name, which the kernel frees with its last descriptor."""

    chunk_size = CHUNK_BYTES

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Open the file."""
        super().new_file(*args, **kwargs)
        self.file = cast(BinaryIO, TemporaryFile(dir=settings.SPOOL_DIR))  # noqa: SIM115 - see close
        self.digest = hashlib.sha256()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:  # noqa: ARG002
        """Write a chunk and add it to the digest."""
        self.file.write(raw_data)
        self.digest.update(raw_data)

    def file_complete(self, file_size: int) -> UploadedFile[Any]:
        """Return the file for `request.FILES`."""
        self.size = file_size
        self.file.seek(0)
        return UploadedFile(self.file, self.file_name, self.content_type, file_size, self.charset)

    def close(self) -> None:
        """Close the file, which frees its disk space."""
        # The parser does not close the file of a body that was refused.
        if hasattr(self, "file"):
            self.file.close()


class NoFiles(FileUploadHandler):
    """Upload handler that drops files.

    All other forms have it. With Django's own handlers any client could fill the disk before its token is
    checked.
    """

    def new_file(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Skip the file."""
        raise SkipFile

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Do nothing: every file is skipped."""

    def file_complete(self, file_size: int) -> None:
        """Do nothing: every file is skipped."""


class OneArchive(Spool):
    """Upload handler that refuses a second file, or an unknown kind, before the first byte is written."""

    def new_file(self, field_name: str, file_name: str, *args: Any, **kwargs: Any) -> None:
        """Open the file. Raise InvalidInput."""
        name = file_name if field_name in OWN_NAMES else field_name
        if hasattr(self, "file"):
            raise InvalidInput(f"One archive in each upload: there is {self.field_name} and {name}")
        check_name(name)
        super().new_file(name, file_name, *args, **kwargs)


def max_form_bytes() -> int:
    """Return how large a form with an archive may be."""
    return options().upload_max_bytes + FIELDS_BYTES


@contextmanager
def receive_archive(request: HttpRequest) -> Iterator[Archive | str]:
    """Return the file in a body or form, or the URL in its field `url`. Raise InvalidInput or TooLarge."""
    kind = request.content_type or ""
    if kind == "application/x-www-form-urlencoded":
        fields = QueryDict(b"".join(_read_body(request, FIELDS_BYTES)))
        yield _get_url(fields)
    elif kind == "multipart/form-data":
        with _parse_multipart(request) as archive_or_url:
            yield archive_or_url
    elif kind in NO_FILE_TYPES:
        raise InvalidInput(NO_FILE)
    else:
        with _spool_body(request) as archive:
            yield archive


@contextmanager
def _spool_body(request: HttpRequest) -> Iterator[Archive]:
    """Write a body that is the file itself. The query has the name, which a symbol file does not need."""
    name = PurePosixPath(request.GET.get("name", "").replace("\\", "/")).name
    check_name(name)
    digest = hashlib.sha256()
    with TemporaryFile(dir=settings.SPOOL_DIR) as file:
        for chunk in _read_body(request, options().upload_max_bytes):
            file.write(chunk)
            digest.update(chunk)
        size = file.tell()
        if not size:
            raise InvalidInput(NO_FILE)
        yield Archive(name, cast(BinaryIO, file), size, digest.hexdigest())


@contextmanager
def _parse_multipart(request: HttpRequest) -> Iterator[Archive | str]:
    spool = OneArchive(request)
    # Django's parser refuses a body without a length, and a chunked body has none. The real bound is in
    # `stream_body`.
    meta = {**request.META, "CONTENT_LENGTH": "1"}
    body = _BodyReader(_read_body(request, max_form_bytes()))
    with closing(spool):
        try:
            fields, files = MultiPartParser(meta, body, [spool]).parse()  # type: ignore[arg-type]
        except (MultiPartParserError, SuspiciousOperation) as error:
            raise InvalidInput(f"{NO_FILE}: {error}") from None
        if files:
            yield Archive(str(spool.field_name), spool.file, spool.size, spool.digest.hexdigest())
        else:
            yield _get_url(fields)


def _read_body(request: HttpRequest, limit: int) -> Iterator[bytes]:
    """Return the unpacked body. `limit` bounds the bytes as sent and, against zip bombs, as unpacked."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ENCODINGS:
        raise UnknownEncoding(f"Content-Encoding must be gzip or zstd, not {encoding!r}")
    sent = stream_body(request, limit)
    return sent if encoding == "identity" else _decompress(sent, limit)


def _decompress(sent: Iterator[bytes], limit: int) -> Iterator[bytes]:
    try:
        # Empty chunks are dropped: to the parser an empty chunk is the end of the body.
        yield from filter(None, decompress(sent, limit))
    except TooLarge:
        raise TooLarge(f"The body is larger than {limit} bytes") from None


def _get_url(fields: QueryDict) -> str:
    url = fields.get("url", "").strip()
    if not url:
        raise InvalidInput(NO_FILE)
    return url


class _BodyReader:
    """File whose content is an iterator of chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        data, self._rest = self._rest[:size], self._rest[size:]
        return bytes(data)
