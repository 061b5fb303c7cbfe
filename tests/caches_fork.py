"""Run by tests: parent and child use both caches at the same time, and each must get its own answers."""

from __future__ import annotations

import os
import sys

import django

django.setup()

from tecken.redisclient import services as redis_services  # noqa: E402 - only now is Django set up
from tecken.store import services as store_services  # noqa: E402 - only now is Django set up

clients = {"default": redis_services.cache_client, "store": store_services.store_client}
keys = [f"key {number}" for number in range(100)]
connections = {}
for alias, client in clients.items():
    client().mset({key: key * 500 for key in keys})
    connections[alias] = client().client_id()

child = os.fork()
ours = keys[:50] if child else keys[50:]
for alias, client in clients.items():
    for _ in range(200):
        assert client().mget(ours) == [(key * 500).encode() for key in ours]
    assert (client().client_id() == connections[alias]) == bool(child), alias
if not child:
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
