"""Compression of pages on all cores, in order, with one zstd dictionary for the module (RFC 8878)."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import zstandard

# Bytes of pages that one thread compresses in one call.
BATCH: Final = 1 << 20
THREADS: Final = min(4, os.cpu_count() or 1)

# Tables for small pages: those of zstd's levels are for larger inputs. The dictionary's id is left out: it
# is the same for all pages of a module and would cost each page up to four bytes.
PARAMETERS: Final = zstandard.ZstdCompressionParameters(
    window_log=17,
    chain_log=14,
    hash_log=15,
    search_log=3,
    min_match=5,
    target_length=16,
    strategy=zstandard.STRATEGY_LAZY,
    write_dict_id=False,
)
Piece = bytes | bytearray | memoryview
"""Types that zstandard accepts."""


def train(samples: list[Piece], size: int) -> bytes:
    """Return a dictionary of at most `size` bytes; empty when there are too few samples for one."""
    try:
        trained = zstandard.train_dictionary(size, samples, k=256, d=8, f=20, steps=1, accel=10, threads=1)
    except zstandard.ZstdError:
        return b""
    return trained.as_bytes()


def compress(pages: Iterable[bytes], dictionary: bytes) -> Iterator[bytes]:
    """Yield each page compressed, in order. A few megabytes of pages are in memory at a time."""
    trained = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
    if trained:
        trained.precompute_compress(compression_params=PARAMETERS)

    def compress_batch(batch: list[Piece]) -> list[bytes]:
        # A zstd context serves one thread at a time, so each batch has its own.
        compressor = zstandard.ZstdCompressor(compression_params=PARAMETERS, dict_data=trained)
        # One call for the whole batch releases the GIL once, so the threads run on several cores while the
        # main thread makes the next batch.
        compressed = compressor.multi_compress_to_buffer(batch)
        return [compressed[i].tobytes() for i in range(len(compressed))]

    with ThreadPoolExecutor(THREADS) as pool:
        # Results are taken in order, and the number of batches in the pool is bounded: an unbounded queue
        # would hold all pages of a large module in memory.
        pending: deque[Future[list[bytes]]] = deque()
        for batch in _batches(pages):
            pending.append(pool.submit(compress_batch, batch))
            if len(pending) > THREADS:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


def _batches(pages: Iterable[bytes]) -> Iterator[list[Piece]]:
    batch: list[Piece] = []
    size = 0
    for page in pages:
        batch.append(page)
        size += len(page)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
