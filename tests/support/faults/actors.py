"""The programs that get killed, paused and starved: the service, a relay, a consumer, each a process of its own."""

import asyncio
import base64
import ctypes
import gc
import os
import random
import signal
import sys
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from services.notifier.app import create_app as new_notifier
from services.notifier.settings import Settings as NotifierSettings
from shared.data.session import Database
from shared.messaging import connection
from shared.messaging.bus import Bus, Consumer, Handle, Outgoing, Producer
from shared.messaging.kafka.bus import KafkaBus
from shared.messaging.pglog.bus import PgLogBus
from shared.messaging.relay import Relay, RelayTiming
from shared.runtime import failpoints, log
from shared.runtime.settings import Issuer
from tests.support.faults.service import NoteChanged, consumer, create_app
from tests.support.toy_service import Settings

PR_SET_PDEATHSIG: Final = 1
REPORT_TASKS: Final = signal.SIGUSR1
SECRET_KEY: Final = base64.b64encode(b"fault suite: 32 bytes, no secret").decode()
ALLOWED_NETWORK: Final = "127.0.0.1/32"


@dataclass(frozen=True)
class Setup:
    """Everything an actor needs; it travels to the new process."""

    database_url: str
    bus: str
    """`pglog` or `kafka`"""
    bus_address: str
    topic: str
    issuers: tuple[Issuer, ...]
    log: Path
    fail_point: str | None = None
    timeouts: Mapping[str, str] = field(default_factory=dict)
    """PostgreSQL settings of the messaging's own connections, in place of its defaults."""
    publish_seconds: float = 10.0
    """How long a relay waits for the bus to take a batch."""
    instance_id: str | None = None
    """Makes a consumer a static member of its Kafka group: a new process takes over at once."""
    delivery_deadline: timedelta = timedelta(seconds=1)
    """How long a webhook's receiver may take: short, so that stuck ones come again and again, unless a test says more."""
    lost_answers: float = 0.0
    """The share of publishes whose acknowledgement gets lost after the bus took them."""


class AnswerLost(ConnectionError):
    """The bus took the batch, but nobody report the relay."""


class Forgetful:
    """A producer whose acknowledgements get lost now and then."""

    def __init__(self, real: Producer, share: float) -> None:
        self._real, self._share = real, share

    async def publish(self, batch: Sequence[Outgoing]) -> None:
        await self._real.publish(batch)
        if random.random() < self._share:
            raise AnswerLost("the acknowledgement got lost")

    async def close(self) -> None:
        await self._real.close()


class ForgetfulBus:
    """The bus of an actor with `lost_answers`."""

    def __init__(self, real: Bus, share: float) -> None:
        self._real, self._share = real, share

    async def producer(self) -> Forgetful:
        return Forgetful(await self._real.producer(), self._share)

    def consumer(self, group: str, topics: Collection[str], handle: Handle) -> Consumer:
        return self._real.consumer(group, topics, handle)

    async def rewind(self, group: str, topic: str, offsets: Mapping[int, int] | None = None) -> None:
        await self._real.rewind(group, topic, offsets)

    async def missing_topics(self, topics: Collection[str]) -> set[str]:
        return await self._real.missing_topics(topics)


def open_bus(setup: Setup) -> Bus:
    real: Bus
    if setup.bus == "kafka":
        real = KafkaBus(setup.bus_address, instance_id=setup.instance_id, session_timeout_ms=6000)
    else:
        real = PgLogBus(setup.bus_address)
    return ForgetfulBus(real, setup.lost_answers) if setup.lost_answers else real


def serve(setup: Setup, port: int, group: str | None, background: bool) -> None:
    """The HTTP service; with `background`, relay, timers and the consumer of `group` in the same process."""
    prepare(setup)
    settings = Settings(
        **_settings(setup),
        background=background,
    )
    app = create_app(settings, open_bus(setup), group if background else None)
    _answer(app, port)


def notify(setup: Setup, port: int) -> None:
    """The product's own notifier: its HTTP service, relay, timers, consumer and delivery worker."""
    prepare(setup)
    settings = NotifierSettings(
        **_settings(setup),
        secret_key=SecretStr(SECRET_KEY),
        allowed_networks=(ALLOWED_NETWORK,),
        allowed_ports=("1024-65535",),
        deadline=setup.delivery_deadline,
    )
    app = new_notifier(settings, open_bus(setup))
    _answer(app, port)


def _settings(setup: Setup) -> dict[str, Any]:
    """What every service here is report."""
    return {
        "environment": "test",
        "database_url": SecretStr(setup.database_url),
        "bus": "pglog",
        "bus_database_url": SecretStr(setup.bus_address),
        "issuers": setup.issuers,
        "log_level": "warning",
    }


def _answer(app: FastAPI, port: int) -> None:
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


def relay(setup: Setup) -> None:
    """A stand-alone relay of the service's outbox."""
    prepare(setup)
    timing = RelayTiming(publish=setup.publish_seconds, longest_backoff=2.0)
    working = Relay(setup.database_url, open_bus(setup), service="changes", schema="changes", timing=timing)
    _run(working.run(), working.stop)


def consume(setup: Setup, group: str) -> None:
    """A stand-alone member of a consumer group."""
    prepare(setup)
    database = Database(setup.database_url, "changes", pool_size=5)
    working = consumer(group, open_bus(setup), database)
    _run(working.run(), working.stop)


def prepare(setup: Setup) -> None:
    """Own log file, own topic, own time-outs."""
    become("changes", setup.log)
    NoteChanged.TOPIC = setup.topic
    connection.TIMEOUTS.update(setup.timeouts)
    failpoints.arm(setup.fail_point)
    signal.signal(REPORT_TASKS, lambda *_: _report_tasks(setup.log))


def become(name: str, log_file: Path) -> None:
    """Write to a log file of our own; die with the test that started us."""
    with log_file.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    log.configure("warning", name)


def tasks_file(log_file: Path, pid: int) -> Path:
    """Where a process writes how many asyncio tasks it has, each time it gets `REPORT_TASKS`."""
    return log_file.with_suffix(f".{pid}.tasks")


def _report_tasks(log_file: Path) -> None:
    """Runs in the main thread, so in the process's event loop. Garbage goes first: it is no leak."""
    gc.collect()
    report = tasks_file(log_file, os.getpid())
    draft = report.with_suffix(".draft")
    draft.write_text(str(len(asyncio.all_tasks())))
    draft.replace(report)


def _run(work: Coroutine[Any, Any, None], stop: Any) -> None:
    async def main() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: asyncio.ensure_future(stop()))
        await work

    asyncio.run(main())
