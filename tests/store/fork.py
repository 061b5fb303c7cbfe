"""Run by tests: `fork.py URL`. Parent and child ask at the same time; each must get its own answers."""

from __future__ import annotations

import os
import sys

from tecken.redisclient import client, nodes
from tecken.store.page_store import RedisPageStore
from tecken.store.port import PageKey
from tecken.symbols.ids import ObjectId

connection = client(sys.argv[1], timeout=5, connect_timeout=5)
store = RedisPageStore(connection)
module = ObjectId.parse("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
pages = {PageKey(module, "a" * 16, number): str(number).encode() * 1000 for number in range(100)}
store.put_pages(pages)
before = nodes(connection)[0].client_id()

child = os.fork()
ours = [key for key in pages if (key.page % 2 == 0) == bool(child)]
for _ in range(200):
    assert store.pages(ours) == {key: pages[key] for key in ours}
assert (nodes(connection)[0].client_id() == before) == bool(child)
if not child:
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
