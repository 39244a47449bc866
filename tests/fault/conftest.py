"""Every scenario gets a seed, a history that is kept when it fails, and a stage on each bus.

SEED=n repeats a run's random choices; FAULT_ROUNDS=n makes every loop n times as long. Scenarios on Apache Kafka
need KAFKA_BOOTSTRAP; those that kill brokers start three of their own.
"""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.notifier.settings import LONGEST_DEADLINE
from tests.support.faults.history import History, seed_of_this_run
from tests.support.faults.notifier import NotifierStage, notifier_stage
from tests.support.faults.stage import Stage, new_stage
from tests.support.postgres import PostgresServer
from tests.support.processes import kafka_bootstrap

KEPT = Path(__file__).resolve().parents[2] / ".cache" / "faults"
FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


@pytest.fixture
def seed() -> int:
    chosen = seed_of_this_run()
    print(f"SEED={chosen}")
    return chosen


@pytest.fixture
def history(request: pytest.FixtureRequest, seed: int) -> Iterator[History]:
    """Kept, with the processes' log beside it, when the test fails."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)
    kept = History(KEPT / f"{name}-{seed}-{os.getpid()}.jsonl", seed)
    print(f"history: {kept.path}")
    yield kept
    kept.close()
    if not request.node.stash.get(FAILED, False):
        for file in (kept.path, kept.path.with_suffix(".log")):
            file.unlink(missing_ok=True)


@pytest.fixture(params=["pglog", pytest.param("kafka", marks=pytest.mark.kafka)])
async def stage(
    request: pytest.FixtureRequest, postgres: PostgresServer, issuer_folder: Path, history: History, seed: int
) -> AsyncIterator[Stage]:
    """A fresh database and bus for one scenario."""
    kafka = kafka_bootstrap() if request.param == "kafka" else None
    async with new_stage(postgres, issuer_folder, history, seed, kafka) as made:
        yield made


@pytest.fixture
async def log_stage(
    postgres: PostgresServer, issuer_folder: Path, history: History, seed: int
) -> AsyncIterator[Stage]:
    """The same for scenarios that have nothing to do with the kind of bus."""
    async with new_stage(postgres, issuer_folder, history, seed) as made:
        yield made


@pytest.fixture
async def notifier(
    postgres: PostgresServer, issuer_folder: Path, history: History, seed: int
) -> AsyncIterator[NotifierStage]:
    """The product's notifier as a process, for scenarios about alerts and webhooks."""
    async with notifier_stage(postgres, issuer_folder, history, seed) as made:
        yield made


@pytest.fixture
async def patient_notifier(
    postgres: PostgresServer, issuer_folder: Path, history: History, seed: int
) -> AsyncIterator[NotifierStage]:
    """One that waits for a receiver as long as it can be told to: who waits behind a stuck one waits for ever."""
    async with notifier_stage(
        postgres, issuer_folder, history, seed, delivery_deadline=LONGEST_DEADLINE
    ) as made:
        yield made
