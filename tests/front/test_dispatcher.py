"""Dispatch of handlers: one after the other, unless they wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from tecken import waiting
from tecken.front.dispatcher import Dispatcher

PATIENCE = 30  # seconds


def run(threads: int, scenario: Callable[[Dispatcher], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario(Dispatcher(threads, asyncio.get_running_loop()))

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_run_returns_the_result_and_raises_the_error() -> None:
    async def scenario(dispatcher: Dispatcher) -> None:
        assert await dispatcher.run(pow, 2, 10) == 1024
        with pytest.raises(ZeroDivisionError):
            await dispatcher.run(divmod, 1, 0)

    run(1, scenario)


def test_quick_jobs_run_in_one_thread_in_order() -> None:
    done: list[tuple[int, str]] = []

    async def scenario(dispatcher: Dispatcher) -> None:
        def job(number: int) -> None:
            done.append((number, threading.current_thread().name))

        await asyncio.gather(*(dispatcher.run(job, number) for number in range(50)))

    run(8, scenario)
    assert [number for number, _ in done] == list(range(50))


def test_waiting_job_lets_others_start_up_to_the_limit() -> None:
    """A barrier of three opens only when three jobs run at the same time; a fourth waits for a thread."""
    together, last = threading.Barrier(3), threading.Event()

    async def scenario(dispatcher: Dispatcher) -> None:
        three = [dispatcher.run(together.wait, PATIENCE) for _ in range(3)]
        await asyncio.gather(*three, dispatcher.run(last.set))

    run(3, scenario)
    assert last.is_set()


def test_more_jobs_than_threads_all_run() -> None:
    async def scenario(dispatcher: Dispatcher) -> None:
        results = await asyncio.gather(*(dispatcher.run(waiting.sleep, 0.001) for _ in range(200)))
        assert len(results) == 200

    run(2, scenario)


def test_parked_job_takes_no_thread_from_others() -> None:
    """With one thread, twenty jobs wait for a worker; the job that wakes them runs all the same."""
    woken = threading.Event()

    def wait_for_worker() -> None:
        while not woken.is_set():
            waiting.sleep(0.01)

    async def scenario(dispatcher: Dispatcher) -> None:
        await asyncio.gather(*(dispatcher.run(wait_for_worker) for _ in range(20)), dispatcher.run(woken.set))

    run(1, scenario)


def test_parked_job_that_waits_for_an_event_takes_no_thread_from_others() -> None:
    woken = threading.Event()

    async def scenario(dispatcher: Dispatcher) -> None:
        waits = [dispatcher.run(waiting.wait, woken, PATIENCE) for _ in range(20)]
        *results, _ = await asyncio.gather(*waits, dispatcher.run(woken.set))
        assert results == [True] * 20

    run(1, scenario)


def test_cancelled_wait_leaves_the_dispatcher_usable() -> None:
    opened = threading.Event()

    async def scenario(dispatcher: Dispatcher) -> None:
        stuck = asyncio.ensure_future(dispatcher.run(opened.wait, PATIENCE))
        await asyncio.sleep(0)
        stuck.cancel()
        opened.set()
        assert await dispatcher.run(pow, 2, 3) == 8

    run(1, scenario)
