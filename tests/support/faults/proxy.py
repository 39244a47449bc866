"""A TCP proxy that behaves as badly as a network can. Change `faults` at any time; it acts on open connections too."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final, Self

CHUNK: Final = 16 * 1024


@dataclass(frozen=True)
class Faults:
    """What is wrong. Everything is off by default."""

    delay: float = 0.0
    """Seconds every chunk waits, in each direction."""
    bytes_per_second: int | None = None
    refuse: bool = False
    """New connections are reset at once."""
    half_open: bool = False
    """Everything is swallowed and nobody is told, as when a firewall forgot us: new connections are accepted and
    stay silent, open ones never come back."""
    cut_after: int | None = None
    """A connection is reset once this many bytes have passed, both directions together."""
    cut_answers: bool = False
    """Requests pass; the first byte of an answer resets the connection instead."""


HEALTHY: Final = Faults()


@dataclass(eq=False)
class _Link:
    """One client's connection and ours to the target, which lives and dies with it."""

    client: asyncio.StreamWriter
    upstream: asyncio.StreamWriter | None = None
    passed: int = 0
    dead: bool = False
    """It went through a half-open phase: nothing may pass any more, healed or not."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def reset(self) -> None:
        self.ended.set()
        for writer in (self.client, self.upstream):
            if writer is not None:
                writer.transport.abort()


@dataclass
class FaultProxy:
    """Listens on `port` and forwards to `host:target`."""

    target: int
    host: str = "127.0.0.1"
    port: int = 0
    faults: Faults = HEALTHY
    accepted: int = 0
    cuts: int = 0
    """Answers that were lost to `cut_answers`."""
    held_back: float = 0.0
    """Seconds that chunks were made to wait, all together."""
    _links: set[_Link] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def start(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.reset_all()
        while self._links:
            await asyncio.sleep(0.01)

    def fail(self, **faults: object) -> None:
        """Switch faults on beside those already on."""
        self.faults = replace(self.faults, **faults)  # type: ignore[arg-type]
        for link in self._links if self.faults.half_open else ():
            link.dead = True

    def heal(self) -> None:
        """No more faults. Connections that lost bytes stay dead: a network does not bring them back."""
        self.faults = HEALTHY

    def reset_all(self) -> int:
        """Reset every open connection; returns how many."""
        links = list(self._links)
        for link in links:
            link.reset()
        return len(links)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        link = _Link(writer)
        self._links.add(link)
        try:
            if not self.faults.refuse:
                await self._join(link, reader)
        finally:
            link.reset()
            self._links.discard(link)

    async def _join(self, link: _Link, reader: asyncio.StreamReader) -> None:
        if self.faults.half_open:
            await self._swallow(link, reader)
            return
        with contextlib.suppress(OSError):
            answers, link.upstream = await asyncio.open_connection(self.host, self.target)
            pumps = [
                asyncio.create_task(self._pump(link, reader, link.upstream, is_answer=False)),
                asyncio.create_task(self._pump(link, answers, link.client, is_answer=True)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(
        self, link: _Link, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        """Pass bytes one way until an end closes or a fault cuts the connection."""
        with contextlib.suppress(OSError):
            while chunk := await source.read(CHUNK):
                if link.dead:
                    continue
                passing = await self._spoil(link, chunk, is_answer)
                if passing is None:
                    return
                sink.write(passing)
                await sink.drain()
                if self._is_cut(link):
                    return
            if link.dead:
                await link.ended.wait()

    async def _spoil(self, link: _Link, chunk: bytes, is_answer: bool) -> bytes | None:
        """The part of a chunk that may pass, late; None when the connection is cut instead."""
        faults = self.faults
        if is_answer and faults.cut_answers:
            self.cuts += 1
            return None
        wait = faults.delay + (len(chunk) / faults.bytes_per_second if faults.bytes_per_second else 0.0)
        if wait:
            self.held_back += wait
            await asyncio.sleep(wait)
        if faults.cut_after is not None:
            chunk = chunk[: max(0, faults.cut_after - link.passed)]
        link.passed += len(chunk)
        return chunk

    def _is_cut(self, link: _Link) -> bool:
        return self.faults.cut_after is not None and link.passed >= self.faults.cut_after

    async def _swallow(self, link: _Link, reader: asyncio.StreamReader) -> None:
        link.dead = True
        with contextlib.suppress(OSError):
            while await reader.read(CHUNK):
                continue
            await link.ended.wait()


@asynccontextmanager
async def fault_proxy(target: int, host: str = "127.0.0.1") -> AsyncIterator[FaultProxy]:
    """A healthy proxy in front of a port, for the duration of the block."""
    proxy = await FaultProxy(target, host).start()
    try:
        yield proxy
    finally:
        await proxy.stop()
