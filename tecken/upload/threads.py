"""Threads that see what whoever starts them sees: one set of options from a request's start to its end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Executor, Future
from contextvars import Context, copy_context
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def submit(pool: Executor, function: Callable[..., R], *args: Any) -> Future[R]:
    return pool.submit(copy_context().run, function, *args)


def each(pool: Executor, function: Callable[[T], R], items: Collection[T]) -> Iterator[R]:
    """As `pool.map`."""
    contexts = [copy_context() for _ in items]  # one context runs in one thread at a time

    def run(context: Context, item: T) -> R:
        return context.run(function, item)

    return pool.map(run, contexts, items)
