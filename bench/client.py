"""The load generator where there is no `wrk`: raw sockets and httptools, one request in flight a connection.

Reads its orders as JSON from standard input and prints one line of JSON.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import httptools
import uvloop


class Connection(asyncio.Protocol):
    """Sends the next request as soon as the last one is answered, until the deadline."""

    def __init__(self, requests: Iterator[bytes], deadline: float) -> None:
        self.milliseconds: list[float] = []
        self.errors = 0
        self.finished = asyncio.get_running_loop().create_future()
        self._requests, self._deadline = requests, deadline
        self._started = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._next()

    def _next(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._started = time.perf_counter()
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.milliseconds.append((time.perf_counter() - self._started) * 1000)
        self.errors += self._parser.get_status_code() >= 400
        if time.perf_counter() < self._deadline:
            asyncio.get_running_loop().call_soon(self._next)
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.errors += error is not None
        self.finished.set_result(None)


def _requests(orders: dict[str, Any]) -> Iterator[bytes]:
    head = f"{orders['method']} {orders['path']} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in orders["headers"].items())
    for number, body in enumerate(itertools.cycle(orders["bodies"])):
        key = f"Idempotency-Key: {orders['key']}-{number}\r\n" if orders["method"] == "POST" else ""
        yield f"{head}{key}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode()


async def _run(orders: dict[str, Any]) -> dict[str, float]:
    loop, requests = asyncio.get_running_loop(), _requests(orders)
    started = time.perf_counter()
    deadline = started + orders["seconds"]
    opened = [
        await loop.create_connection(lambda: Connection(requests, deadline), "127.0.0.1", orders["port"])
        for _ in range(orders["connections"])
    ]
    await asyncio.gather(*(connection.finished for _, connection in opened))
    seconds = time.perf_counter() - started
    times = sorted(t for _, connection in opened for t in connection.milliseconds)
    return {
        "requests": len(times),
        "seconds": seconds,
        "errors": sum(connection.errors for _, connection in opened),
        "p50_ms": times[len(times) // 2],
        "p99_ms": times[len(times) * 99 // 100],
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(_run(json.load(sys.stdin)))))
