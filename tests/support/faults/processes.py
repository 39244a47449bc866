"""Real processes, forked from one that has imported everything, so that a killed one is back in milliseconds."""

import contextlib
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from typing import Final, Self

import httpx

from tests.support.patience import until

PRELOAD: Final = ["tests.support.faults.actors"]


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


class Actor:
    """One process running `target(*args)`; start it again after it died."""

    def __init__(self, name: str, target: Callable[..., None], *args: object) -> None:
        self.name, self._target, self._args = name, target, args
        self._context = _context()
        self.start()

    def start(self) -> Self:
        """Start it, or start it again."""
        self._process = self._context.Process(target=self._target, args=self._args, daemon=True)
        self._process.start()
        return self

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that killed it."""
        return self._process.exitcode

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone. A paused process dies too."""
        self.signal(signal.SIGKILL)
        await self.ended()

    async def ended(self) -> int:
        """Wait for its end; its exit code."""
        await until(lambda: self.exit_code is not None)
        assert self.exit_code is not None
        return self.exit_code

    async def restart(self) -> None:
        await self.kill()
        self.start()


class WebActor(Actor):
    """A process that serves HTTP on a port of its own, the same one after every restart."""

    def __init__(
        self,
        name: str,
        port: int | None,
        target: Callable[..., None],
        setup: object,
        *args: object,
        service: str = "changes",
    ) -> None:
        """`service` is the prefix under which it says that it is healthy."""
        self.port, self._service = port or free_port(), service
        super().__init__(name, target, setup, self.port, *args)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def answers(self) -> None:
        """Wait until it serves requests."""
        async with httpx.AsyncClient(trust_env=False) as client:
            await until(lambda: self._is_healthy(client))

    async def _is_healthy(self, client: httpx.AsyncClient) -> bool:
        try:
            return (await client.get(f"{self.url}/{self._service}/healthz")).is_success
        except httpx.TransportError:
            return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
