"""Uploads whose files a client sends one by one, to storage itself where that has URLs.

Each file has a slot in staging. When all were sent the client says so; then each is read once more, checked,
and kept as the files of any upload are. Whoever asks again for what is done gets the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from hashlib import md5
from typing import BinaryIO, Final, NamedTuple

from django.contrib.auth.models import User
from django.core import signing
from django.db import transaction
from django.utils import timezone

from tecken.errors import Absent, BadInput, NotAllowed
from tecken.runtimeconfig.current import options
from tecken.storage import services as storage_services
from tecken.storage.backends.staging import Slot
from tecken.storage.port import OwnFiles
from tecken.symbols.decompression import decoded
from tecken.symbols.layouts import FileKey, storage_path
from tecken.upload.announcement import MD5, Announced
from tecken.upload.archive_upload import refuse_if_all_were
from tecken.upload.file_rows import Kept, Refused, Row, record, rows, warn_of_native_files
from tecken.upload.ingest import storage, store
from tecken.upload.member_names import file_key
from tecken.upload.models import Announcement, Protocol, Upload
from tecken.upload.staged import chunks, staged
from tecken.upload.threads import each

SALT: Final = "tecken.upload.direct_upload"
AT_ONCE: Final = 4
GZIP_OVERHEAD: Final = 64 << 10  # bytes; what compression may add to a file that it cannot compress


class Wanted(NamedTuple):
    """A file to come: its size in bytes and md5 before any compression."""

    key: FileKey
    size: int
    md5_hash: str


class Verdict(NamedTuple):
    """`wanted` goes to `slot`; without them, there is an `error`, or the same file is stored already."""

    slot: Slot | None = None
    wanted: Wanted | None = None
    error: str = ""


def begin(user: User, try_symbols: bool, files: Sequence[Announced]) -> tuple[Upload, list[Verdict]]:
    """An upload of these files; complete at once when nothing is to be sent. Raises CouldNotAsk."""
    upload = Upload(
        user=user, protocol=Protocol.V2, bucket_name=storage(try_symbols).name, try_symbols=try_symbols
    )
    judged = _judged(files)
    stored = _stored(upload, [one for one in judged if isinstance(one, Wanted)])
    wanted = [one for one in judged if isinstance(one, Wanted) and one not in stored]
    upload.size = sum(one.size for one in wanted)
    upload.skipped_keys = sorted(storage_path(one.key) for one in stored)
    upload.members_total = len(wanted)
    upload.completed_at = None if wanted else timezone.now()
    with transaction.atomic():
        upload.save()
        if wanted:
            Announcement.objects.create(upload=upload, files=wanted)
        else:
            warn_of_native_files(upload)
    return upload, list(_verdicts(upload, judged, wanted))


def _judged(files: Sequence[Announced]) -> list[Wanted | str]:
    """Of each what is wanted, or what is wrong with it."""
    seen: set[FileKey] = set()
    judged: list[Wanted | str] = []
    for file in files:
        try:
            judged.append(_wanted(file, seen))
        except BadInput as error:
            judged.append(str(error))
    return judged


def _wanted(file: Announced, seen: set[FileKey]) -> Wanted:
    key = _key(file.key)
    if not MD5.fullmatch(file.md5_hash):
        raise BadInput("invalid MD5 hex digest")
    most = options().symbol_max_bytes
    if not 0 <= file.size <= most:
        raise BadInput(f"invalid size: 0 to {most} bytes")
    if key in seen:
        raise BadInput("the key is there twice")
    seen.add(key)
    return Wanted(key, file.size, file.md5_hash)


def _key(text: str) -> FileKey:
    try:
        return file_key(text)
    except BadInput:
        raise BadInput("invalid key") from None


def _stored(upload: Upload, wanted: Sequence[Wanted]) -> set[Wanted]:
    """Those that are there already, byte for byte: only one of the same size is worth reading."""
    found = rows(upload, [one.key for one in wanted])
    sizes = {key: {row.content.size for row in some} for key, some in found.items()}
    likely = [one for one in wanted if one.size in sizes.get(storage_path(one.key), ())]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        same = each(pool, partial(_is_there, storage(upload.try_symbols)), likely)
        return {one for one, there in zip(likely, same, strict=True) if there}


def _is_there(files: OwnFiles, wanted: Wanted) -> bool:
    try:
        with files.read(wanted.key) as stored:
            for _ in checked(stored, wanted):
                pass
    except (Absent, BadInput):
        return False
    return True


def _verdicts(upload: Upload, judged: Sequence[Wanted | str], wanted: Sequence[Wanted]) -> Iterator[Verdict]:
    slots = {one: Slot(upload.pk, number) for number, one in enumerate(wanted)}
    for one in judged:
        if isinstance(one, str):
            yield Verdict(error=one)
        else:
            yield Verdict(slots[one], one) if one in slots else Verdict()


def checked(sent: Iterable[bytes], wanted: Wanted) -> Iterator[bytes]:
    """The file's own bytes; raises BadInput at the end when they are not what was announced."""
    digest, size = md5(usedforsecurity=False), 0
    for chunk in decoded(sent, wanted.size) if wanted.key.file_type.is_compressed else sent:
        digest.update(chunk)
        size += len(chunk)
        yield chunk
    if size != wanted.size:
        raise BadInput(f"it has {size} bytes, not {wanted.size}")
    if digest.hexdigest() != wanted.md5_hash:
        raise BadInput(f"its MD5 hash is {digest.hexdigest()}, not {wanted.md5_hash}")


def address(slot: Slot, limit: int) -> str:
    """A key that lets whoever has it send `limit` bytes to `slot`, until the upload is completed."""
    return signing.dumps([*slot, limit], salt=SALT)


def opened(signed: str) -> tuple[Slot, int]:
    """Return the slot that an address leads to, and the bytes it takes. Raise NotAllowed."""
    most_age = timedelta(seconds=options().upload_direct_seconds)
    try:
        upload, number, limit = signing.loads(signed, salt=SALT, max_age=most_age)
    except signing.SignatureExpired:
        raise NotAllowed("This address has expired") from None
    except signing.BadSignature:
        raise NotAllowed("Nobody was given this address") from None
    if not Upload.objects.filter(pk=upload, completed_at=None, cancelled_at=None).exists():
        raise NotAllowed("This upload takes no more files")
    return Slot(upload, number), limit


def receive(signed: str, body: Callable[[int], Iterator[bytes]]) -> None:
    """Keep what `body`, called with the limit, yields. Raise NotAllowed, or what `body` raises."""
    slot, limit = opened(signed)
    storage_services.staging().put(slot, body(limit))


def most_bytes(wanted: Wanted) -> int:
    """Return how many bytes a client may send of it."""
    return wanted.size + (GZIP_OVERHEAD if wanted.key.file_type.is_compressed else 0)


def complete(upload: Upload) -> dict[str, str]:
    """Keep what was sent. What is wrong, by key: empty when all is kept, and the upload complete.

    Raises CouldNotAsk; what was kept by then is not looked at again. Raises Conflict
    when every file was refused.
    """
    announcement = Announcement.objects.filter(upload=upload).first()
    if announcement is not None:
        wanted = [Wanted(FileKey(*key), size, digest) for key, size, digest in announcement.files]
        problems = _keep_all(upload, wanted) if upload.completed_at is None else {}
        if problems:
            return problems
        warn_of_native_files(upload)
        _finish(upload, range(len(wanted)))
    refuse_if_all_were(upload)
    return {}


def _keep_all(upload: Upload, wanted: Sequence[Wanted]) -> dict[str, str]:
    """Read and stored several at once, written down in this thread, which has the database."""
    found = rows(upload, [one.key for one in wanted])
    done = {*upload.files.values_list("key", flat=True), *upload.skipped_keys}
    left = {
        Slot(upload.pk, number): one for number, one in enumerate(wanted) if storage_path(one.key) not in done
    }
    problems = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        kept = each(pool, partial(_kept, upload, found), left.items())
        for one, outcome in zip(left.values(), kept, strict=True):
            if isinstance(outcome, str):
                problems[str(one.key)] = outcome
            else:
                record(upload, outcome)
    return problems


def _kept(
    upload: Upload, found: Mapping[str, Sequence[Row]], sent: tuple[Slot, Wanted]
) -> Kept | Refused | str:
    """Return what became of a file, or what is wrong with it."""
    slot, wanted = sent
    known = found.get(storage_path(wanted.key), ())
    try:
        with staged(slot) as spool:
            read = partial(_checked_file, spool, wanted)
            return store(upload, wanted.key, read, wanted.size, known)
    except Absent:
        return "it was not sent"
    except BadInput as error:
        return str(error)


def _checked_file(spool: BinaryIO, wanted: Wanted) -> Iterator[bytes]:
    return checked(chunks(spool), wanted)


def _finish(upload: Upload, numbers: Iterable[int]) -> None:
    """In this order, so that a call that was killed anywhere is finished by the next one."""
    Upload.objects.filter(pk=upload.pk, completed_at=None).update(completed_at=timezone.now())
    for number in numbers:
        storage_services.staging().delete(Slot(upload.pk, number))
    Announcement.objects.filter(upload=upload).delete()
    upload.refresh_from_db()
