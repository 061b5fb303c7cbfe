"""Comparison of an imported place with what is stored: all objects by their rows, some by their content."""

from __future__ import annotations

import hashlib
import heapq
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from django.db.models import QuerySet

from tecken.errors import TeckenError, Unavailable
from tecken.storage.models import SymbolFile
from tecken.symbols.layouts import FileKey, FileType, parse_storage_path, storage_path
from tecken.upload.import_reader import Candidate, ObjectReader
from tecken.upload.ingest import select_storage
from tecken.upload.tree_import import TreeImport

SAMPLES: Final = 50


class CheckCounts(NamedTuple):
    """Numbers of objects: those with a row, those without, those that were read, and those that differ."""

    present: int
    missing: int
    read: int
    different: int

    def __str__(self) -> str:
        return (
            f"{self.present:,} there, {self.missing:,} missing; "
            f"{self.read:,} read and compared, {self.different:,} different"
        )


class ImportCheck:
    """Check after an import. `report` receives the path of each object that is missing or different."""

    def __init__(
        self,
        imported: TreeImport,
        reader: ObjectReader,
        report: Callable[[str, str, str], object],
        samples: int = SAMPLES,
    ) -> None:
        self._import = imported
        self._reader = reader
        self._report = report
        self._samples = samples

    def run(self) -> CheckCounts:
        """Compare all objects, and read some. Raises Unavailable."""
        present = missing = 0
        sample: list[tuple[int, str, Candidate]] = []
        suspects = []
        for part in self._import.parts(lambda *_: None):
            found = dict(self._find(part))
            present += len(found)
            missing += len(part) - len(found)
            for candidate in part:
                path = candidate.source.path
                if path not in found:
                    self._report(path, "failed", "it is missing")
                elif found[path]:
                    suspects.append(candidate)
            there = (item for item in part if item.source.path in found)
            # The choice is the same in each run, and spread over all paths.
            ranked = ((zlib.crc32(item.source.path.encode()), item.source.path, item) for item in there)
            sample = heapq.nsmallest(self._samples, [*sample, *ranked])
        chosen = {candidate.source.path: candidate for candidate in suspects}
        chosen.update((path, candidate) for _, path, candidate in sample)
        different = sum(not self._is_equal(candidate) for candidate in chosen.values())
        return CheckCounts(present, missing, len(chosen), different)

    def _find(self, part: Sequence[Candidate]) -> Iterator[tuple[str, bool]]:
        """Yield the path of each object that is stored, and whether the size of its file is another one."""
        sizes = _find_sizes(part)
        is_complete = any(item.path.key is None for item in part) and self._import.find_complete(part)
        for item in part:
            if item.path.key is None:
                if is_complete:
                    yield item.source.path, False
            elif (size := sizes.get(storage_path(item.path.key))) is not None:
                is_native = item.path.key.file_type is not FileType.SYMBOL_FILE
                yield item.source.path, is_native and size != item.source.size

    def _is_equal(self, candidate: Candidate) -> bool:
        """Read an object and compare it with the site's file."""
        try:
            difference = self._find_difference(candidate)
        except Unavailable:
            raise
        except (TeckenError, OSError) as error:
            difference = str(error)
        if difference:
            self._report(candidate.source.path, "failed", difference)
        return not difference

    def _find_difference(self, candidate: Candidate) -> str:
        if (key := candidate.path.key) is not None:
            return _compare(candidate, [key], self._reader.read(candidate.source, key))
        job = self._reader.locate(candidate)
        if job.spool is None:
            return str(job.problem)
        with job.spool.file:
            return _compare(candidate, job.keys, job.spool.read())


def _compare(candidate: Candidate, keys: Sequence[FileKey], content: Iterable[bytes]) -> str:
    """Return how the site's files differ from an object's content; "" if they do not."""
    digest = hashlib.sha256()
    for chunk in content:
        digest.update(chunk)
    files = select_storage(candidate.path.try_symbols)
    for key in keys:
        row = _newest_rows([storage_path(key)], candidate).order_by("pk").last()
        if row is None:
            return f"{key} is missing"
        if row.content_hash != digest.hexdigest():
            return f"{key} has other content here"
        if files.stat(parse_storage_path(row.key)).etag != row.etag:
            return f"the file of {key} was changed without its row: run symbols fsck"
    return ""


def _find_sizes(part: Sequence[Candidate]) -> dict[str, int]:
    keys = [storage_path(item.path.key) for item in part if item.path.key]
    rows = _newest_rows(keys, part[0]).order_by("pk")
    return dict(rows.values_list("key", "original_size"))


def _newest_rows(keys: Sequence[str], candidate: Candidate) -> QuerySet[SymbolFile]:
    files = select_storage(candidate.path.try_symbols)
    return SymbolFile.objects.filter(
        key__in=keys, bucket_name=files.name, completed_at__isnull=False, replaced_by=None
    )
