"""A form as it comes in: its file goes to disk under no name at all, so a killed process leaves nothing."""

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

from tecken.errors import BadInput, TooMuch, UnknownEncoding
from tecken.http.decorators import streamed
from tecken.runtimeconfig.current import options
from tecken.symbols.decompression import decoded

NO_FILE = "Must be multipart form data with at least one file"
CHUNK_BYTES = 1 << 20
FIELDS_BYTES = 64 << 10  # of a form without a file
ENCODINGS = ("identity", "gzip", "x-gzip", "zstd")
OWN_NAME = "archive"  # the field of a form that cannot be named as the file that will be chosen


class Archive(NamedTuple):
    """`size` in bytes; `digest` is its SHA-256; `file` is closed by whoever made it."""

    name: str
    file: BinaryIO
    size: int
    digest: str
    download_url: str = ""
    redirect_urls: tuple[str, ...] = ()


class Spool(FileUploadHandler):
    """A file on disk without a name: the kernel frees it with its last descriptor."""

    chunk_size = CHUNK_BYTES

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self.file = cast(BinaryIO, TemporaryFile(dir=settings.SPOOL_DIR))  # noqa: SIM115 - see close
        self.digest = hashlib.sha256()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:  # noqa: ARG002
        self.file.write(raw_data)
        self.digest.update(raw_data)

    def file_complete(self, file_size: int) -> UploadedFile[Any]:
        self.size = file_size
        self.file.seek(0)
        return UploadedFile(self.file, self.file_name, self.content_type, file_size, self.charset)

    def close(self) -> None:
        """Free the disk space at once, also of a body that was refused; the parser closes nothing then."""
        if hasattr(self, "file"):
            self.file.close()


class NoFiles(FileUploadHandler):
    """What every other form has: else anybody could fill the disk, before it is asked who it is."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        raise SkipFile

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None: ...

    def file_complete(self, file_size: int) -> None: ...


class OneArchive(Spool):
    """Refuses before the file's first byte what can be known then."""

    def new_file(self, field_name: str, file_name: str, *args: Any, **kwargs: Any) -> None:
        name = file_name if field_name == OWN_NAME else field_name
        if hasattr(self, "file"):
            raise BadInput(f"One archive in each upload: there is {self.field_name} and {name}")
        check_name(name)
        super().new_file(name, file_name, *args, **kwargs)


def check_name(name: str) -> None:
    """Raises BadInput."""
    extension = PurePosixPath(name).suffix
    if extension.lower() != ".zip":
        raise BadInput(f'Unrecognized archive file extension "{extension}"')


def max_form_bytes() -> int:
    """Return how large a form with an archive may be."""
    return options().upload_max_bytes + FIELDS_BYTES


@contextmanager
def received(request: HttpRequest) -> Iterator[Archive | str]:
    """The archive in a form, or the URL in its field `url`. Raises BadInput, TooMuch."""
    kind = request.content_type
    if kind == "application/x-www-form-urlencoded":
        fields = QueryDict(b"".join(_pieces(request, FIELDS_BYTES)))
        yield _url(fields)
    elif kind == "multipart/form-data":
        with _parsed(request) as found:
            yield found
    else:
        raise BadInput(NO_FILE)


@contextmanager
def _parsed(request: HttpRequest) -> Iterator[Archive | str]:
    spool = OneArchive(request)
    # The parser refuses a body without a length. `streamed` bounds what it reads.
    meta = {**request.META, "CONTENT_LENGTH": "1"}
    body = _Body(_pieces(request, max_form_bytes()))
    with closing(spool):
        try:
            fields, files = MultiPartParser(meta, body, [spool]).parse()  # type: ignore[arg-type]
        except (MultiPartParserError, SuspiciousOperation) as error:
            raise BadInput(f"{NO_FILE}: {error}") from None
        if files:
            yield Archive(str(spool.field_name), spool.file, spool.size, spool.digest.hexdigest())
        else:
            yield _url(fields)


def _pieces(request: HttpRequest, limit: int) -> Iterator[bytes]:
    """Return the body, unpacked: at most `limit` bytes, as sent and as unpacked."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ENCODINGS:
        raise UnknownEncoding(f"Content-Encoding must be gzip or zstd, not {encoding!r}")
    sent = streamed(request, limit)
    return sent if encoding == "identity" else _unpacked(sent, limit)


def _unpacked(sent: Iterator[bytes], limit: int) -> Iterator[bytes]:
    try:
        # An empty piece is none: to a parser it is the end of the body.
        yield from filter(None, decoded(sent, limit))
    except TooMuch:
        raise TooMuch(f"The body is larger than {limit} bytes") from None


def _url(fields: QueryDict) -> str:
    url = fields.get("url", "").strip()
    if not url:
        raise BadInput(NO_FILE)
    return url


class _Body:
    """Pieces of any size, read as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        given, self._rest = self._rest[:size], self._rest[size:]
        return bytes(given)
