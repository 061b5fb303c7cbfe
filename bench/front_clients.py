"""Slow clients for bench.front: `python -m bench.front_clients KIND PORT COUNT PATH`."""

from __future__ import annotations

import asyncio
import resource
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

CONNECTS_PER_SECOND = 200  # the handlers that begin a thousand downloads take seconds of CPU
PAUSE = 1.0  # seconds between two bytes
PATIENCE = 90.0  # seconds until a client that was not disconnected gives up

Client = Callable[[socket.socket, str], Awaitable[None]]


async def headers(client: socket.socket, path: str) -> None:
    await drip(client, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")


async def bodies(client: socket.socket, _path: str) -> None:
    await drip(client, "POST /symbolicate/v5 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n{")


async def readers(client: socket.socket, path: str) -> None:
    """Read nothing: the reset that ends the connection is noticed by writing."""
    await drip(client, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")


async def drip(client: socket.socket, head: str) -> None:
    """Send one byte a second until the connection ends."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(client, head.encode())
    while True:
        await asyncio.sleep(PAUSE)
        await loop.sock_sendall(client, b" ")


async def lifetime(act: Client, port: int, path: str) -> float | None:
    """Return after how many seconds the server has disconnected the client."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
    began = time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE):
            with suppress(OSError):
                await act(client, path)
    except TimeoutError:
        return None
    finally:
        client.close()
    return time.monotonic() - began


async def main(kind: str, port: int, count: int, path: str) -> None:
    act: Client = {"headers": headers, "bodies": bodies, "readers": readers}[kind]
    running = []
    for _ in range(count):
        running.append(asyncio.ensure_future(lifetime(act, port, path)))
        await asyncio.sleep(1 / CONNECTS_PER_SECOND)
    print("connected", flush=True)
    seconds = await asyncio.gather(*running)
    ended = sorted(one for one in seconds if one is not None)
    last = f", the last after {ended[-1]:.0f} s" if ended else ""
    print(f"{len(ended)} of {count}{last}")


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
