"""Compresses pages on all cores, in order, with one dictionary for the module."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import zstandard

BATCH: Final = 1 << 20  # bytes of pages that one thread compresses in one call
THREADS: Final = min(4, os.cpu_count() or 1)
PARAMETERS: Final = zstandard.ZstdCompressionParameters(
    window_log=17,
    chain_log=14,
    hash_log=15,
    search_log=2,
    min_match=5,
    target_length=16,
    strategy=zstandard.STRATEGY_LAZY2,
    write_dict_id=False,
)
Piece = bytes | bytearray | memoryview  # what zstandard takes


def train(samples: list[Piece], size: int) -> bytes:
    """A dictionary of at most `size` bytes; empty when the samples are too few to make one."""
    try:
        trained = zstandard.train_dictionary(size, samples, k=256, d=8, f=20, steps=1, accel=10, threads=1)
    except zstandard.ZstdError:
        return b""
    return trained.as_bytes()


def press(pages: Iterable[bytes], dictionary: bytes) -> Iterator[bytes]:
    """Each page compressed, in order. A few megabytes of pages are in flight."""
    trained = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
    if trained:
        trained.precompute_compress(compression_params=PARAMETERS)

    def work(batch: list[Piece]) -> list[bytes]:
        compressor = zstandard.ZstdCompressor(compression_params=PARAMETERS, dict_data=trained)
        done = compressor.multi_compress_to_buffer(batch)  # without the GIL, for the whole batch
        return [done[i].tobytes() for i in range(len(done))]

    with ThreadPoolExecutor(THREADS) as pool:
        flying: deque[Future[list[bytes]]] = deque()
        for batch in _batches(pages):
            flying.append(pool.submit(work, batch))
            if len(flying) > THREADS:
                yield from flying.popleft().result()
        while flying:
            yield from flying.popleft().result()


def _batches(pages: Iterable[bytes]) -> Iterator[list[Piece]]:
    batch: list[Piece] = []
    held = 0
    for page in pages:
        batch.append(page)
        held += len(page)
        if held >= BATCH:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
