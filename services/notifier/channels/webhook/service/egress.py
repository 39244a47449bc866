"""Sends one webhook: resolves once, vets every address, follows nothing, reads little, ends in time."""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from services.notifier.channels.domain import Fault
from services.notifier.channels.webhook.domain.addresses import Blocked, EgressPolicy, vet
from services.notifier.channels.webhook.domain.redaction import excerpt, redacted

DEADLINE = timedelta(seconds=15)
RESOLVE_WITHIN = 2.0
LONGEST_ANSWER = 65_536
MOST_ADDRESSES = 4
# Idle connections are kept just long enough for a burst; older ones die on the receiver's time-out.
IDLE_SECONDS = 2.0
RESOLVER_THREADS = 16
FIXED_HEADERS = {
    "user-agent": "Concordat-Notifier/1",
    "accept-encoding": "identity",
    "content-type": "application/json",
}

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
AddrInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]]


@dataclass(kw_only=True, slots=True)
class Exchange:
    """What came of one request: a status, or a fault. `excerpt` is redacted and at most 2 KiB."""

    duration: timedelta = timedelta(0)
    status: int | None = None
    fault: Fault | None = None
    error: str = ""
    retry_after: str | None = None
    excerpt: str = ""
    address: str | None = None
    truncated: bool = False


@dataclass
class _Target:
    """The request a connection is being made for; the socket check learns it from here."""

    host: str
    encrypted: bool
    address: str | None = None


_target: ContextVar[_Target] = ContextVar("webhook_target")


class _VettingResolver(AbstractResolver):
    """Resolves a name once; any address that may not be reached refuses them all."""

    def __init__(self, policy: EgressPolicy, resolve: Resolve) -> None:
        self._policy = policy
        self._resolve = resolve

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        async with asyncio.timeout(RESOLVE_WITHIN):
            answers = await self._resolve(host, port)
        encrypted = _target.get().encrypted
        vetted = [vet(answer, self._policy, host=host, encrypted=encrypted) for answer in answers]
        if not vetted:
            raise OSError(f"{host} has no address")
        return [_result(host, str(address), address.version, port) for address in vetted[:MOST_ADDRESSES]]

    async def close(self) -> None:
        return None


def _result(name: str, address: str, version: int, port: int) -> ResolveResult:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    return ResolveResult(
        hostname=name,
        host=address,
        port=port,
        family=family,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST,
    )


class Egress:
    """The one way out of the notifier. Use it as an async context manager."""

    def __init__(
        self,
        policy: EgressPolicy,
        *,
        deadline: timedelta = DEADLINE,
        ca_file: Path | None = None,
        resolve: Resolve | None = None,
        connections: int = 128,
    ) -> None:
        self._policy = policy
        self._deadline = deadline
        self._tls = tls_context(ca_file)
        self._threads = ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="webhook-dns")
        self._resolve = resolve or self._system_resolve
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_VettingResolver(self._policy, self._resolve),
                socket_factory=self._open_socket,
                ssl=self._tls,
                use_dns_cache=False,
                happy_eyeballs_delay=None,
                limit=self._connections,
                keepalive_timeout=IDLE_SECONDS,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
            max_line_size=8190,
            max_field_size=8190,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Exchange:
        """POST `body` once and tell what happened. Raises nothing but cancellation."""
        started = time.monotonic()
        target = URL(url)
        seen = _Target(host=target.host or "", encrypted=target.scheme == "https")
        token = _target.set(seen)
        try:
            async with asyncio.timeout(self._deadline.total_seconds()):
                answer = await self._exchange(target, body, headers)
        except (Blocked, TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            answer = _failed(error)
        finally:
            _target.reset(token)
        answer.duration, answer.address = timedelta(seconds=time.monotonic() - started), seen.address
        return answer

    async def _exchange(self, url: URL, body: bytes, headers: Mapping[str, str]) -> Exchange:
        if self._session is None:
            raise RuntimeError("Egress is used outside its context")
        async with self._session.post(
            url, data=body, headers={**FIXED_HEADERS, **headers}, allow_redirects=False
        ) as response:
            content, truncated = await _read_little(response)
            return Exchange(
                status=response.status,
                retry_after=response.headers.get("retry-after"),
                excerpt=excerpt(content),
                truncated=truncated,
            )

    def _open_socket(self, info: AddrInfo) -> socket.socket:
        """The last check: the very address the socket will connect to, also for literal addresses."""
        family, kind, protocol, _, sockaddr = info
        address, port = str(sockaddr[0]), sockaddr[1]
        target = _target.get()
        vet(address, self._policy, host=target.host, encrypted=target.encrypted)
        if not isinstance(port, int) or not self._policy.allows_port(port):
            raise Blocked("port_not_allowed", f"port {port} is not allowed")
        target.address = address
        opened = socket.socket(family, kind, protocol)
        opened.setblocking(False)
        return opened

    async def _system_resolve(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        resolved = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return tuple(dict.fromkeys(str(entry[4][0]) for entry in resolved))


async def _read_little(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """The body up to 64 KiB and whether there was more; then the connection is dropped."""
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > LONGEST_ANSWER:
            response.close()
            return bytes(content[:LONGEST_ANSWER]), True
    return bytes(content), False


def _failed(error: Exception) -> Exchange:
    return Exchange(fault=_fault(error), error=redacted(_message(error))[:500])


def _fault(error: Exception) -> Fault:
    if isinstance(error, Blocked | aiohttp.InvalidURL):
        return Fault.blocked
    if isinstance(error, aiohttp.ClientSSLError):
        return Fault.tls
    return Fault.timeout if isinstance(error, TimeoutError) else Fault.network


def _message(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no complete answer in time"
    return str(error) or type(error).__name__


def tls_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """TLS 1.2 or newer with the system's authorities, or those in `ca_file`. Always verifies."""
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
