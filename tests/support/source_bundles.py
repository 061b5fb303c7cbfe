"""Source bundles, as `sentry-cli debug-files bundle-sources` writes them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

from tecken.symbols.formats.source_bundle import HEADER

TEXTS = {
    "/src/app/main.c": b"int main(void) {\n    return 0;\n}\n",
    "/src/lib/zip.h": b"#pragma once\n" * 500,
}


def manifest(
    debug_id: str, paths: Mapping[str, str], name: str = "libnative.so", **more: Any
) -> dict[str, Any]:
    """Return the manifest of files, whose `paths` are by their names in the archive."""
    files = {member: {"type": "source", "path": path} for member, path in paths.items()}
    return {"files": files, "debug_id": debug_id, "object_name": name, "arch": "x86_64"} | more


def bundle_of(
    described: Any,
    members: Mapping[str, bytes],
    header: bytes = HEADER,
    compression: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    """Return a bundle with this manifest, as the `zip` crate writes it: offsets include the header."""
    made = io.BytesIO()
    made.write(header)
    with zipfile.ZipFile(made, "a", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
        archive.writestr(
            zipfile.ZipInfo("manifest.json"),
            described if isinstance(described, bytes) else json.dumps(described),
        )
    return made.getvalue()


def bundle(debug_id: str, texts: Mapping[str, bytes] = TEXTS, **options: Any) -> bytes:
    """Return the bundle of source files by their paths."""
    paths = {f"files/{number}": path for number, path in enumerate(texts)}
    members = dict(zip(paths, texts.values(), strict=True))
    compression = options.pop("compression", zipfile.ZIP_DEFLATED)
    header = options.pop("header", HEADER)
    return bundle_of(manifest(debug_id, paths, **options), members, header, compression)
