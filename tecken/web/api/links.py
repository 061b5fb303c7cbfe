from __future__ import annotations

from urllib.parse import quote

from tecken.upload.models import FileUpload


def address_of(file: FileUpload) -> str:
    """The path of its download."""
    below = file.key.removeprefix("try/").removeprefix("v1/")
    return f"/{'try/' if file.try_symbols else ''}{quote(below)}"
