"""Page files on object storage.

A page file has the key `v1/<debug file>/<DEBUG ID>/<symbol file>.pages`, beside a symbol file of our own.
A page file of try symbols has `try/` before that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from tecken.storage.backends.bucket import Bucket
from tecken.storage.port import symbol_file
from tecken.symbols.ids import TRY, ModuleKey, TryModuleKey, in_try

ROOT = "v1"
SUFFIX = ".pages"


class ObjectPageFiles:
    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def read(self, module: ModuleKey, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        return self._bucket.ranges(_path(module), spans)

    def write(self, module: ModuleKey, chunks: Iterable[bytes]) -> None:
        self._bucket.put(_path(module), chunks)

    def delete(self, module: ModuleKey) -> None:
        self._bucket.delete(_path(module))

    def entries(self) -> Iterator[tuple[ModuleKey, datetime]]:
        for root in (ROOT, f"{TRY}/{ROOT}"):
            for path, meta in self._bucket.entries(root):
                names = path.removeprefix(f"{root}/").split("/")
                if len(names) == 3:
                    module = ModuleKey(*names[:2]) if root == ROOT else in_try(ModuleKey(*names[:2]))
                    if path == _path(module):
                        yield module, meta["last_modified"]


def _path(module: ModuleKey) -> str:
    scope = f"{TRY}/" if isinstance(module, TryModuleKey) else ""
    return f"{scope}{ROOT}/{symbol_file(module)}{SUFFIX}"
