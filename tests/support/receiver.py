"""A real HTTP receiver on 127.0.0.1: records what it is sent and answers as its script says."""

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Self


class Manner(StrEnum):
    """How an answer is given."""

    plain = "plain"
    drip = "drip"
    drip_headers = "drip_headers"
    endless = "endless"
    huge_header = "huge_header"
    reset = "reset"
    torn = "torn"
    hang = "hang"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One scripted answer; `delay` in seconds before the first byte."""

    status: int = 200
    body: bytes = b"ok"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    manner: Manner = Manner.plain


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as it arrived; header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Receiver:
    """Answers with the next reply of its script, then with `otherwise` for ever."""

    def __init__(
        self,
        *script: Reply,
        otherwise: Reply | None = None,
        tls: ssl.SSLContext | None = None,
        notice: Callable[[Request], None] = lambda request: None,
    ) -> None:
        """`notice` is called with each request before it is answered."""
        self.notice = notice
        self.script = deque(script)
        self.otherwise = otherwise or Reply()
        self.requests: list[Request] = []
        self.connections = 0
        self.ended = 0
        """Requests that are over: answered, or given up by the sender."""
        self.most_at_once = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        self.most_at_once = max(self.most_at_once, len(self._tasks))
        try:
            self.requests.append(await _read(reader))
            self.notice(self.requests[-1])
            await self._answer(self.script.popleft() if self.script else self.otherwise, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.ended += 1
            writer.close()

    async def _answer(self, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(reply.delay)
        if reply.manner is Manner.hang:
            await reader.read()  # until the sender gives up
        else:
            await MANNERS[reply.manner](reply, writer)


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ", 2)
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method=method, path=path, headers=headers, body=body)


def _head(reply: Reply, length: int | None) -> bytes:
    lines = [f"HTTP/1.1 {reply.status} Scripted", "Connection: close"]
    lines += [] if length is None else [f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _plain(reply: Reply, writer: asyncio.StreamWriter) -> None:
    writer.write(_head(reply, len(reply.body)) + reply.body)
    await writer.drain()


async def _drip(reply: Reply, writer: asyncio.StreamWriter) -> None:
    writer.write(_head(reply, 1_000_000))
    await _forever(writer, b"x", pause=0.02)


async def _drip_headers(reply: Reply, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 Scripted\r\n")
    await _forever(writer, b"X-Drip: 1\r\n", pause=0.02)


async def _endless(reply: Reply, writer: asyncio.StreamWriter) -> None:
    writer.write(_head(reply, None))
    await _forever(writer, b"y" * 16_384, pause=0)


async def _huge_header(reply: Reply, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 Scripted\r\nX-Huge: " + b"z" * 5_000_000 + b"\r\n\r\n")
    await writer.drain()


async def _reset(reply: Reply, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def _torn(reply: Reply, writer: asyncio.StreamWriter) -> None:
    """Reset in the middle of the body: the receiver took the message, but its answer never got through."""
    writer.write(_head(reply, 1_000_000) + b"x" * 1000)
    await writer.drain()
    await asyncio.sleep(0.02)
    writer.transport.abort()


async def _forever(writer: asyncio.StreamWriter, piece: bytes, *, pause: float) -> None:
    while True:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(pause)


MANNERS: Mapping[Manner, Callable[[Reply, asyncio.StreamWriter], Awaitable[None]]] = {
    Manner.plain: _plain,
    Manner.drip: _drip,
    Manner.drip_headers: _drip_headers,
    Manner.endless: _endless,
    Manner.huge_header: _huge_header,
    Manner.reset: _reset,
    Manner.torn: _torn,
}
