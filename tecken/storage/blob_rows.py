"""Rows that count who refers to content, and the deletion of content that no file has any more.

Content is an object in storage, and its `Blob` row is the lock: a process that adds a reference, or deletes
the object, first locks that row in a transaction. On PostgreSQL that is SELECT FOR UPDATE. On SQLite every
transaction of this site begins by taking the one write lock (`transaction_mode` in the settings).

An upload writes in this order; the content and the reference are objects, and have no lock:

    U1 content, unless it is there    U2 reference    U3 transaction: lock or create the Blob row, check that
                                                         the object is there, write the SymbolFile row

A deletion starts when the last SymbolFile row is gone:

    D1 transaction: lock the Blob row, check that no row refers to it, delete the object, delete the Blob row

What happens when a process is killed, or when both run at the same time:

* Killed after U1: content without a row. A repeated upload uses it, and `symbols fsck` finds it.
* Killed after U2: a file without a row, as any other file (`tecken.upload.ingest`). A repeated upload adopts
  it.
* Killed in U3: the transaction is rolled back, so this is the case above.
* Killed in D1 after the object was deleted: the transaction is rolled back, and the Blob row remains without
  its object. No file refers to it, the next deletion finishes it, and an upload checks the object (U1, U3).
* D1 between U1 and U3: U3 waits for the row or creates it, finds no object, and raises Unavailable. The
  client sends the file again, and U1 stores it again. Without the check in U3 the row would have no content.
* U3 before D1: D1 waits for the row and finds a reference.
* U1 to U3 twice, for two files: the object is written twice with the same bytes, or once. One of the
  transactions creates the Blob row, which is unique, and the other one waits and then uses it.
"""

from __future__ import annotations

from contextlib import suppress

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from tecken.errors import NotFound, Unavailable
from tecken.storage.backends.files import ObjectFiles
from tecken.storage.models import Blob, SymbolFile
from tecken.storage.port import FileContent, Stored

RETRY_SECONDS = 1.0
LOCK_TRIES = 20


def refer(files: ObjectFiles, stored: Stored) -> Blob:
    """Return the locked row of a stored file's content, for a row of the same transaction that refers to it.

    Raises Unavailable when the content was deleted since it was stored.
    """
    blob = _lock(files, stored.blob, stored.size)
    present = _stat(files, stored.blob)
    if present is None:
        raise Unavailable(
            f"{files.name}: the content {stored.blob} was deleted while it was uploaded; send the file again",
            RETRY_SECONDS,
        )
    if blob.stored_size != present.size:
        blob.stored_size = present.size
        blob.save(update_fields=["stored_size"])
    return blob


def unreferenced(files: ObjectFiles, except_by: Q | None = None) -> QuerySet[Blob]:
    """Return content to which no file refers, or no other than the files with a condition."""
    rows = SymbolFile.objects.filter(blob=OuterRef("pk"))
    if except_by is not None:
        rows = rows.exclude(except_by)
    return Blob.objects.filter(~Exists(rows), bucket_name=files.name)


def delete_if_unreferenced(files: ObjectFiles, digest: str) -> bool:
    """Delete content and its row unless a file refers to it; return whether it did. Raises Unavailable."""
    with transaction.atomic():
        # A row of its own for content without one, so that an upload of the same content waits here, too.
        blob = _lock(files, digest, 0)
        if blob.files.exists():
            return False
        files.blobs.delete(digest)
        blob.delete()
    return True


def repair(files: ObjectFiles, blob: Blob) -> None:
    """Correct the stored size of intact content; delete other content with the rows of all its files.

    The next upload of such a file stores it again. Raises Unavailable.
    """
    # Gigabytes may have to be read, so that is done before the lock, and the object compared under it.
    before = _stat(files, blob.sha256)
    is_intact = before is not None and files.blobs.is_intact(FileContent(blob.size, blob.sha256))
    with transaction.atomic():
        locked = Blob.objects.select_for_update().filter(pk=blob.pk).first()
        if locked is None or _stat(files, blob.sha256) != before:
            return
        if before is not None and is_intact:
            locked.stored_size = before.size
            locked.save(update_fields=["stored_size"])
            return
        locked.files.all().delete()
        files.blobs.delete(locked.sha256)
        locked.delete()


def _lock(files: ObjectFiles, digest: str, size: int) -> Blob:
    """Return the locked row of content, which is created if there is none. Raises Unavailable."""
    for _ in range(LOCK_TRIES):
        # Another transaction may create the row first, and a third one delete it before it is read here.
        with suppress(IntegrityError):
            blob, _ = Blob.objects.select_for_update().get_or_create(
                bucket_name=files.name, sha256=digest, defaults={"size": size}
            )
            return blob
    raise Unavailable(
        f"{files.name}: others store and delete the content {digest} all the time", RETRY_SECONDS
    )


def _stat(files: ObjectFiles, digest: str) -> Stored | None:
    try:
        return files.blobs.stat(digest)
    except NotFound:
        return None
