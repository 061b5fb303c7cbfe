"""Private names of kombu that tecken.jobs uses, and methods of kombu and Celery that it replaces.

A test here fails when an upgrade changes one of them. Then review the module that uses it, run `bench.jobs`,
and update the table. docs/adr/0005-job-queue.md explains why they are used.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import celery
import kombu
import pytest
from celery.worker.consumer import Consumer
from celery.worker.request import Request
from kombu.connection import Connection
from kombu.transport.redis import Channel, PublishBatch, QoS
from kombu.transport.virtual import Transport
from kombu.utils.scheduling import round_robin_cycle

from tecken.jobs import keys
from tecken.settings import BASE_DIR
from tests.support.redis_server import RedisServer

# kombu has no types.
connect: Any = Connection
versions = f"kombu {kombu.__version__}, Celery {celery.__version__}"

CALLED: dict[Callable[..., Any], str] = {
    Channel._connparams: "(self, asynchronous=False)",
    Channel._do_restore_message: "(self, payload, exchange, routing_key, pipe, leftmost=False)",
    Channel._put: "(self, queue, message, **kwargs)",
    PublishBatch.add: "(self, name, *args)",
    Channel.conn_or_acquire: "(self, client=None)",
    Consumer.cancel_task_queue: "(self, queue)",
    Consumer.ensure_connected: "(self, conn)",
    Consumer.on_connection_error_before_connected: "(self, exc)",
    QoS.ack: "(self, delivery_tag)",
    QoS.append: "(self, message, delivery_tag)",
    QoS.reject: "(self, delivery_tag, requeue=False)",
    QoS.restore_by_tag: "(self, tag, client=None, leftmost=False)",
    Request.revoked: "(self)",
    Transport._deliver: "(self, message, queue)",
    round_robin_cycle.consume: "(self, n)",
    round_robin_cycle.rotate: "(self, last_used)",
}
"""Methods that are called or extended, and their parameters."""

REPLACED: dict[Callable[..., Any], str] = {
    Channel._brpop_read: "c42518699709f2df",
    Channel._brpop_start: "06723d707ddf2240",
    Consumer.on_connection_error_before_connected: "7297b2be735545d1",
    QoS.append: "35c655f6ecc62fe6",
    QoS.restore_by_tag: "58e161d81b6fe18d",
}
"""Methods whose steps ours repeat or rely on, and the beginning of their source's SHA-256."""

ATTRIBUTES = {
    "_brpop_sent_at",
    "_in_poll",
    "_queue_cycle",
    "active_queues",
    "brpop_timeout",
    "connection_errors",
}
"""Attributes of an open channel that are read or written."""


@pytest.mark.parametrize("method", CALLED, ids=lambda method: method.__qualname__)
def test_called_method_has_the_known_parameters(method: Callable[..., Any]) -> None:
    found = str(inspect.signature(method))
    assert found == CALLED[method], f"{method.__qualname__} changed in {versions}: review tecken/jobs"


@pytest.mark.parametrize("method", REPLACED, ids=lambda method: method.__qualname__)
def test_replaced_method_has_the_known_source(method: Callable[..., Any]) -> None:
    found = sha256(inspect.getsource(method).encode()).hexdigest()[:16]
    assert found == REPLACED[method], f"{method.__qualname__} changed in {versions}: review tecken/jobs"


def test_open_channel_has_the_used_attributes() -> None:
    with RedisServer() as server, connect(server.url) as connection:
        channel = connection.default_channel
        missing = {name for name in ATTRIBUTES if not hasattr(channel, name)}
        assert not missing, f"gone in {versions}: review tecken/jobs"
        assert isinstance(channel.qos._delivered, dict), f"changed in {versions}: review tecken/jobs"
        assert isinstance(channel._queue_cycle, round_robin_cycle), f"changed in {versions}"


def test_queue_keys_are_those_of_kombu() -> None:
    with RedisServer() as server, connect(server.url) as connection:
        channel = connection.default_channel
        assert (channel.unacked_key, channel.unacked_index_key) == (keys.UNACKED, keys.UNACKED_INDEX)
        assert tuple(channel.priority_steps) == keys.PRIORITIES
        for priority in keys.PRIORITIES:
            assert channel._q_for_pri("convert", priority) == keys.waiting("convert", priority)


def test_private_name_in_our_code_is_listed_here() -> None:
    tree = ast.parse((BASE_DIR / "tecken" / "jobs" / "transport.py").read_text())
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    private = {name for name in used if name.startswith("_") and not name.startswith("__")}
    of_kombu = {name for name in private if any(hasattr(owner, name) for owner in (Channel, QoS, Transport))}
    listed = {method.__name__ for method in (*CALLED, *REPLACED)} | ATTRIBUTES | {"_delivered"}
    assert of_kombu <= listed
