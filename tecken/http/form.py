"""Files in forms and bodies, written to files without a name, so that a killed process leaves nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import Any, BinaryIO, cast

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest, QueryDict
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.utils.datastructures import MultiValueDict

from tecken.errors import InvalidInput, TooLarge, UnknownEncoding
from tecken.http.decorators import stream_body
from tecken.symbols.decompression import decompress

# Django's parser copies each chunk several times. Chunks of 1 MiB took half as much CPU time again, because
# the system maps fresh memory for each of them.
CHUNK_BYTES = 256 << 10
# What a form may have beside its file.
FIELDS_BYTES = 64 << 10
ENCODINGS = ("identity", "gzip", "x-gzip", "zstd")


class MalformedForm(InvalidInput):
    """Body that is no form."""


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


def parse_multipart(
    request: HttpRequest, limit: int, handler: FileUploadHandler
) -> tuple[QueryDict, MultiValueDict[str, UploadedFile[Any]]]:
    """Return fields and files of the form in the body, which may be compressed.

    Raises:
        MalformedForm: The body is no form.
        TooLarge: It has more than `limit` bytes, as sent or as unpacked.
    """
    # Django's parser refuses a body without a length, and a chunked body has none. The real bound is in
    # `stream_body`.
    meta = {**request.META, "CONTENT_LENGTH": "1"}
    body = _BodyReader(read_body(request, limit))
    try:
        return MultiPartParser(meta, body, [handler]).parse()  # type: ignore[arg-type]
    except (MultiPartParserError, SuspiciousOperation) as error:
        raise MalformedForm(str(error)) from None


def read_body(request: HttpRequest, limit: int) -> Iterator[bytes]:
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
