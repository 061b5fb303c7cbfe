"""What both upload protocols share: limits of the server, results of files, and the progress bar."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from tqdm import tqdm

from tecken.client.files import BAR_DELAY, SymbolFile
from tecken.client.origin import UploadOrigin

CHUNK_BYTES: Final = 1 << 18
# Limits of an archive with more than one file, unpacked. They bound the size of the temporary file.
MAX_BATCH_BYTES: Final = 1 << 30
MAX_BATCH_FILES: Final = 1000
"""Largest number of files in an archive, or in one announcement."""


class FileState(Enum):
    """What has happened to a file, from the worst to the best."""

    FAILED = "failed"
    NOT_SENT = "not sent"
    SKIPPED = "skipped"
    STORED = "stored"
    THERE_BEFORE = "there before"


class Result(NamedTuple):
    """Result of a file by its key. `warnings` concern a stored file; `upload` is the server's number."""

    key: str
    state: FileState
    reason: str = ""
    warnings: tuple[str, ...] = ()
    upload: int | None = None


class Limits(NamedTuple):
    """Limits of the server, 0 for one that it does not send: older servers send none.

    The bytes of an archive as sent and of its files, the number of its files, the bytes of one file, and the
    number of files in an announcement.
    """

    upload_max_bytes: int = 0
    upload_max_unpacked_bytes: int = 0
    upload_max_members: int = 0
    symbol_max_bytes: int = 0
    upload_direct_max_files: int = 0

    @classmethod
    def read(cls, token_info: Mapping[str, Any]) -> Self:
        """Return the limits in a response of `POST /upload/auth_info/`."""
        sent = token_info.get("limits")
        limits = sent if isinstance(sent, dict) else {}
        return cls(**{name: limits[name] for name in cls._fields if _is_limit(limits.get(name))})

    def describe_excess(self, file: SymbolFile) -> str:
        """Return why the server does not take a file, whatever else is sent; nothing if it does."""
        return describe_excess(file.size, "symbol_max_bytes", self.symbol_max_bytes) or describe_excess(
            file.size, "upload_max_unpacked_bytes", self.upload_max_unpacked_bytes
        )


def _is_limit(value: object) -> bool:
    return isinstance(value, int) and value > 0


def describe_excess(size: int, name: str, limit: int) -> str:
    """Return how a number of bytes exceeds a limit; nothing if it does not."""
    if not limit or size <= limit:
        return ""
    return f"has {format_bytes(size)}, and the server takes at most {format_bytes(limit)} ({name})"


def format_bytes(size: int) -> str:
    """Return a number of bytes as people read it: `1.5 MB`."""
    if size < 1000:
        return f"{size} B"
    text = tqdm.format_sizeof(size)
    return f"{text[:-1]} {text[-1]}B"


class Task(NamedTuple):
    """What is the same for all requests of a run."""

    limits: Limits = Limits()
    origin: UploadOrigin = UploadOrigin()
    to_try: bool = False


def batches(files: Iterable[SymbolFile], max_bytes: int, max_files: int) -> Iterator[list[SymbolFile]]:
    """Yield the files in batches within both limits; a larger file is a batch of its own."""
    batch: list[SymbolFile] = []
    size = 0
    for file in files:
        if batch and (len(batch) == max_files or size + file.size > max_bytes):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield batch


def least(*limits: int) -> int:
    """Return the least of the limits that are set."""
    return min(filter(None, limits))


def read_results(
    files: Sequence[SymbolFile], upload: Mapping[str, Any], problems: Mapping[str, str]
) -> Iterator[Result]:
    """Yield the result of each file, and of other keys that the server names.

    Args:
        files: The files of the upload.
        upload: The server's description of the upload.
        problems: The reasons of files that are known to have failed, by key.
    """
    before, ignored = _read_keys(upload, "skipped_keys"), _read_keys(upload, "ignored_keys")
    refused, warnings = _read_warnings(upload)
    number = upload.get("id") if isinstance(upload.get("id"), int) else None
    names = dict.fromkeys((*(file.key for file in files), *refused, *warnings, *ignored))
    for key in names:
        # Newer servers have a warning with the reason for each ignored file.
        if reason := problems.get(key) or "; ".join(refused.get(key, ())):
            yield Result(key, FileState.FAILED, reason, upload=number)
        elif key in ignored:
            yield Result(key, FileState.FAILED, "the server ignores such files", upload=number)
        else:
            state = FileState.THERE_BEFORE if key in before else FileState.STORED
            yield Result(key, state, warnings=tuple(warnings.get(key, ())), upload=number)


def _read_keys(upload: Mapping[str, Any], name: str) -> dict[str, None]:
    return dict.fromkeys(_plain_key(key) for key in upload.get(name) or ())


def _plain_key(key: object) -> str:
    """Return a key without the folder of the storage in front of it."""
    return str(key).removeprefix("v1/")


def _read_warnings(upload: Mapping[str, Any]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return the texts about files that the server refused, and about files that it stored, by key."""
    refused: dict[str, list[str]] = {}
    stored: dict[str, list[str]] = {}
    for warning in upload.get("warnings") or ():
        texts = refused if warning.get("stored") is False else stored
        texts.setdefault(_plain_key(warning.get("key")), []).append(str(warning.get("message")))
    return refused, stored


class Bar:
    """Progress bar in bytes for long work on a terminal; a build log shows nothing.

    Several threads may move it.
    """

    def __init__(self, title: str, total: int) -> None:
        self._bar = tqdm(
            desc=title, total=total, unit="B", unit_scale=True, disable=None, leave=False, delay=BAR_DELAY
        )
        self._lock = threading.Lock()

    def move(self, size: float) -> None:
        """Move the bar forward by `size` bytes."""
        with self._lock:
            self._bar.update(size)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def read(self, path: Path) -> Iterator[bytes]:
        """Yield the content of a file in chunks, and move the bar after each."""
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
                self.move(len(chunk))
