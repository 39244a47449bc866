"""The fault proxy does to a connection what its name says, and heals."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.faults.proxy import FaultProxy, fault_proxy
from tests.support.patience import PATIENCE


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[FaultProxy]:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    async with fault_proxy(server.sockets[0].getsockname()[1]) as made:
        yield made
    server.close()


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(proxy: FaultProxy) -> Connection:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def echo(connection: Connection, sent: bytes, within: float = PATIENCE) -> bytes:
    """What comes back; empty when the connection ends. Raises TimeoutError when nothing happens."""
    reader, writer = connection
    async with asyncio.timeout(within):
        try:
            writer.write(sent)
            await writer.drain()
            return await reader.readexactly(len(sent))
        except asyncio.IncompleteReadError as cut:
            return cut.partial
        except ConnectionError:
            return b""


async def test_a_healthy_proxy_passes_everything_both_ways(proxy: FaultProxy) -> None:
    sent = bytes(range(256)) * 2000
    assert await echo(await connect(proxy), sent) == sent


async def test_a_delay_is_felt_in_both_directions(proxy: FaultProxy) -> None:
    connection = await connect(proxy)
    proxy.fail(delay=0.1)
    assert await echo(connection, b"x") == b"x"
    assert proxy.held_back == pytest.approx(0.2)


async def test_a_throttle_takes_the_time_the_bytes_need(proxy: FaultProxy) -> None:
    proxy.fail(bytes_per_second=10_000)
    assert len(await echo(await connect(proxy), b"x" * 1500)) == 1500
    assert proxy.held_back == pytest.approx(0.3)


async def test_refused_connections_end_and_open_ones_go_on(proxy: FaultProxy) -> None:
    before = await connect(proxy)
    assert await echo(before, b"x") == b"x"
    proxy.fail(refuse=True)
    assert await echo(await connect(proxy), b"x") == b""
    assert await echo(before, b"y") == b"y"
    proxy.heal()
    assert await echo(await connect(proxy), b"z") == b"z"


async def test_a_half_open_connection_swallows_silently_and_stays_dead_after_healing(
    proxy: FaultProxy,
) -> None:
    before = await connect(proxy)
    assert await echo(before, b"x") == b"x"
    proxy.fail(half_open=True)
    fresh = await connect(proxy)
    for connection in (before, fresh):
        with pytest.raises(TimeoutError):
            await echo(connection, b"lost", within=0.1)
    proxy.heal()
    with pytest.raises(TimeoutError):
        await echo(before, b"lost too", within=0.1)
    assert await echo(await connect(proxy), b"z") == b"z"


async def test_a_reset_ends_every_open_connection(proxy: FaultProxy) -> None:
    connections = [await connect(proxy) for _ in range(3)]
    for connection in connections:
        assert await echo(connection, b"x") == b"x"
    assert proxy.reset_all() == 3
    assert [await echo(connection, b"x") for connection in connections] == [b"", b"", b""]


async def test_a_cut_lets_exactly_so_many_bytes_pass(proxy: FaultProxy) -> None:
    proxy.fail(cut_after=15)
    assert len(await echo(await connect(proxy), b"x" * 10)) == 5


async def test_cut_answers_let_the_request_through(proxy: FaultProxy) -> None:
    received = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(100) == b"please":
            received.set()
        writer.write(b"done")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with fault_proxy(server.sockets[0].getsockname()[1]) as lossy:
        lossy.fail(cut_answers=True)
        assert await echo(await connect(lossy), b"please") == b""
        assert received.is_set()
    server.close()
