"""Uploads and files as rows only: the API reads no storage."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import User
from django.utils import timezone

from tecken.storage.models import FetchedModule, SymbolFile
from tecken.upload.models import Upload


def upload_of(user: User, **columns: object) -> Upload:
    defaults = {
        "filename": "symbols.zip",
        "bucket_name": "ours",
        "size": 1000,
        "completed_at": timezone.now(),
    }
    return Upload.objects.create(user=user, **{**defaults, **columns})


def file_of(
    upload: Upload | None, name: str = "xul", *, at: datetime | None = None, **columns: object
) -> SymbolFile:
    """Of module NAME.pdb."""
    debug_id = "44E4EC8C2F41492B9369D6B9A059577C2"
    defaults = {
        "upload": upload,
        "bucket_name": "ours",
        "key": f"v1/{name}.pdb/{debug_id}/{name}.sym",
        "debug_file": f"{name}.pdb",
        "debug_id": debug_id,
        "code_file": f"{name}.dll",
        "code_id": "5C2E3F4A1000",
        "generator": "dump_syms 2.3.4",
        "size": 100,
        "original_size": 1000,
        "compressed": True,
        "created_at": at or timezone.now(),
        "completed_at": at or timezone.now(),
    }
    return SymbolFile.objects.create(**{**defaults, **columns})


def fetched_of(name: str = "ntdll.pdb", **columns: object) -> FetchedModule:
    defaults = {
        "debug_file": name,
        "debug_id": "1EB9FACB04C73C5DEA7160764CD333D01",
        "code_file": "ntdll.dll",
        "code_id": "5B6D0C12E1000",
        "upstream": "symsrv+https://msdl.example.com/",
        "format": "pdb",
        "received_size": 2_000_000,
        "stored_size": 300_000,
    }
    return FetchedModule.objects.create(**{**defaults, **columns})
