"""What a consumer does with an event: once, in order, retried, or set aside where an operator finds it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, NoResultFound
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.base import Received
from shared.data.ids import uuid7
from shared.messaging.bus import Delivered, RetryLater
from shared.messaging.consumer import ConsumerRunner, RetryPolicy
from shared.messaging.dead_letters import (
    Decision,
    Replay,
    discard_dead_letters,
    list_dead_letters,
    replay_dead_letters,
)
from shared.messaging.failures import Failure, Permanent, classify
from shared.messaging.pglog.bus import PgLogBus
from shared.messaging.projections import Projection
from shared.messaging.relay import Relay
from shared.pure.refusal import Missing, NotYet, Refusal
from shared.runtime.clock import MovableClock
from tests.conftest import StartService
from tests.support.messaging import (
    NOW,
    TOPIC,
    Closed,
    Deposited,
    OneByOne,
    Service,
    apply_deposit,
    running,
)
from tests.support.patience import until

IMPATIENT = RetryPolicy(first=0.001, longest=0.002, transient_limit=timedelta(minutes=15), handler_timeout=60)
OPERATOR = Decision("operator", NOW, "the fix is deployed")


Behaviour = Callable[[AsyncSession, Received[Deposited]], Awaitable[None]]


@dataclass
class Desk:
    """A consumer whose handler can be attributes to fail, and a hand that delivers messages to it."""

    service: Service
    errors: list[Exception] = field(default_factory=list)
    refuses: set[int] = field(default_factory=set)
    clock: MovableClock = field(default_factory=lambda: MovableClock(NOW))
    offset: int = 0
    more: Sequence[Projection] = ()

    def __post_init__(self) -> None:
        self.bus = OneByOne()
        self.runner = ConsumerRunner(
            "test",
            "test-group",
            self.bus,
            self.service.sessions,
            [Projection("effects", {Deposited: self._apply}), *self.more],
            self.clock,
            policy=IMPATIENT,
        )

    async def _apply(self, session: AsyncSession, received: Received[Deposited]) -> None:
        await apply_deposit(session, received)
        if received.event.amount in self.refuses:
            raise Refusal("limit_exceeded", "this account takes no such deposit")
        if self.errors:
            raise self.errors.pop(0)

    async def deliver(self, value: bytes | None, *, key: bytes = b"k", **headers: str) -> None:
        """Deliver once."""
        self.offset += 1
        attributes = {"event_time": NOW.isoformat()} | headers
        await self.bus.deliver(Delivered(TOPIC, 0, self.offset, key, value, attributes))

    async def deliver_until_done(self, value: bytes | None, *, tries: int = 50) -> int:
        """Deliver as a bus does: again and again until it is done. Returns the number of deliveries."""
        self.offset += 1
        for delivery in range(1, tries + 1):
            try:
                await self.bus.deliver(Delivered(TOPIC, 0, self.offset, b"k", value, {}))
            except RetryLater:
                continue
            return delivery
        raise AssertionError(f"not done after {tries} deliveries")

    async def outcomes(self) -> list[str]:
        return [
            row["outcome"]
            for row in await self.service.fetch("SELECT outcome FROM inbox ORDER BY processed_at")
        ]

    async def parked(self) -> set[UUID]:
        return {
            row["aggregate_id"] for row in await self.service.fetch("SELECT aggregate_id FROM parked_key")
        }

    async def letters(self, state: str | None = "new") -> list[Any]:
        async with self.service.sessions() as session:
            return await list_dead_letters(session, state=state)

    async def replay(self, **selection: Any) -> list[Replay]:
        async with self.service.sessions() as session:
            results = await replay_dead_letters(session, self.runner.inbox, OPERATOR, **selection)
        return [result.result for result in results]


@pytest.fixture
def desk(service: Service) -> Desk:
    return Desk(service)


def event(account: UUID, version: int, amount: int = 1, **changes: Any) -> bytes:
    """A well-formed event as a publisher would write it; `changes` make it something else."""
    body = {
        "specversion": "1.0",
        "id": str(uuid7()),
        "source": "/services/test",
        "type": Deposited.TYPE,
        "subject": str(account),
        "time": NOW.isoformat(),
        "datacontenttype": "application/json",
        "dataschema": "https://concordat.invalid/x",
        "sequence": version,
        "data": {"amount": amount},
    }
    return json.dumps(body | changes).encode()


async def test_a_duplicate_has_one_effect(desk: Desk) -> None:
    message = event(uuid4(), 1, 10)
    for _ in range(3):
        await desk.deliver(message)
    assert await desk.service.effects() == [10]
    assert await desk.outcomes() == ["done"]


async def test_two_members_that_get_the_same_event_at_once_apply_it_once(service: Service) -> None:
    message = event(uuid4(), 1, 10)
    await asyncio.gather(*(Desk(service).deliver(message) for _ in range(8)))
    assert await service.effects() == [10]


async def test_a_version_that_was_overtaken_is_stale(desk: Desk) -> None:
    account = uuid4()
    await desk.deliver(event(account, 3, 30))
    await desk.deliver(event(account, 2, 20))
    await desk.deliver(event(uuid4(), 2, 99))
    assert await desk.service.effects() == [30, 99]
    assert await desk.outcomes() == ["done", "stale", "done"]


def gaps() -> float:
    return REGISTRY.get_sample_value("concordat_consumer_gaps_total", {"consumer": "test-group"}) or 0.0


async def test_a_skipped_version_is_applied_and_counted(desk: Desk) -> None:
    account, before = uuid4(), gaps()
    for version, previous in ((1, ""), (2, "1"), (5, "4")):
        attributes = {"event_previous": previous, "event_previoustype": Deposited.TYPE}
        await desk.deliver(event(account, version), **attributes)
    assert gaps() - before == 1
    assert len(await desk.service.effects()) == 3


NO_GAPS = {
    "a version without an event: an act that concerns nobody else": ("1", Deposited.TYPE),
    "an event before it that nobody here handles": ("2", Closed.TYPE),
    "an event that does not say what came before it": ("", ""),
}


@pytest.mark.parametrize("before", NO_GAPS.values(), ids=NO_GAPS.keys())
async def test_what_looks_like_a_gap_and_is_none_is_not_counted(desk: Desk, before: tuple[str, str]) -> None:
    account, counted = uuid4(), gaps()
    await desk.deliver(event(account, 1))
    await desk.deliver(event(account, 3), event_previous=before[0], event_previoustype=before[1])
    assert (gaps(), len(await desk.service.effects())) == (counted, 2)


@pytest.mark.parametrize("type_", ["org.concordat.test.account.renamed.v9", Closed.TYPE])
async def test_what_nobody_handles_is_ignored(desk: Desk, type_: str) -> None:
    await desk.deliver(event(uuid4(), 1, type=type_))
    assert await desk.outcomes() == ["ignored"]
    assert await desk.letters() == []


async def test_what_the_headers_call_unhandled_costs_no_transaction(desk: Desk) -> None:
    message = Delivered(TOPIC, 0, 1, b"k", event(uuid4(), 1), {"event_type": Closed.TYPE})
    await desk.bus.deliver(message)
    assert await desk.outcomes() == []


async def test_a_refused_event_is_set_aside_and_its_aggregate_parked(desk: Desk) -> None:
    account, other = uuid4(), uuid4()
    desk.refuses = {13}
    message = event(account, 2, 13)
    await desk.deliver(event(account, 1, 1))
    await desk.deliver(message)
    await desk.deliver(event(account, 3, 3))
    await desk.deliver(event(other, 1, 100))
    assert await desk.service.effects() == [1, 100], "the refused handler's effects are rolled back"
    assert await desk.outcomes() == ["done", "dead", "parked", "done"]
    assert await desk.parked() == {account}
    first, second = await desk.letters()
    assert (first.error_class, second.error_class) == (Failure.PERMANENT, Failure.PARKED)
    assert (first.value, first.key, first.off, first.tries) == (message, b"k", 2, 1)
    assert "takes no such deposit" in first.error


async def test_a_parked_duplicate_is_set_aside_once(desk: Desk) -> None:
    account = uuid4()
    desk.refuses = {13}
    refused, later = event(account, 1, 13), event(account, 2, 2)
    for message in (refused, refused, later, later):
        await desk.deliver(message)
    assert len(await desk.letters()) == 2


POISON = {
    "not_utf8": b"\xff\xfe{}",
    "not_json": b"hello",
    "null": None,
    "empty": b"",
    "an_array": b"[1]",
    "too_deep": b"[" * 5000,
    "no_context": b'{"amount": 1}',
    "wrong_content_type": event(uuid4(), 1, datacontenttype="text/plain"),
    "future_specversion": event(uuid4(), 1, specversion="2.0"),
    "version_zero": event(uuid4(), 0),
    "version_beyond_64_bits": event(uuid4(), 2**70),
    "nul_in_an_attribute": event(uuid4(), 1, source="/services/\0"),
}


@pytest.mark.parametrize("value", POISON.values(), ids=POISON.keys())
async def test_poison_is_kept_byte_for_byte_and_does_not_block(desk: Desk, value: bytes | None) -> None:
    await desk.deliver(value)
    desk.offset -= 1
    await desk.deliver(value)
    await desk.deliver(event(uuid4(), 1, 5))
    [letter] = await desk.letters()
    assert letter.value == value
    assert (letter.topic, letter.part, letter.off) == (TOPIC, 0, 1)
    assert await desk.service.effects() == [5]


@pytest.mark.parametrize(
    "data",
    [{"amount": "many"}, {}, {"amount": 2**40}, {"amount": None}],
    ids=["wrong_type", "missing", "does_not_fit_the_column", "null"],
)
async def test_data_that_can_never_be_applied_are_set_aside_at_once(
    desk: Desk, data: dict[str, object]
) -> None:
    await desk.deliver(event(uuid4(), 1, data=data))
    assert [letter.error_class for letter in await desk.letters()] == [Failure.PERMANENT]


async def test_the_error_text_does_not_repeat_confidential_values(desk: Desk) -> None:
    await desk.deliver(event(uuid4(), 1, data={"amount": "very secret"}))
    [letter] = await desk.letters()
    assert "secret" not in letter.error


async def test_unknown_fields_from_a_newer_publisher_are_harmless(desk: Desk) -> None:
    await desk.deliver(event(uuid4(), 1, data={"amount": 7, "invented_later": True}, tracestate="x=y"))
    assert await desk.service.effects() == [7]


async def test_a_bug_gets_five_tries(desk: Desk) -> None:
    desk.errors = [KeyError("oops")] * 10
    assert await desk.deliver_until_done(event(uuid4(), 1)) == 5
    [letter] = await desk.letters()
    assert (letter.error_class, letter.tries) == (Failure.BUG, 5)
    assert await desk.service.effects() == []


async def test_a_bug_that_goes_away_leaves_no_trace(desk: Desk) -> None:
    desk.errors = [KeyError("oops")] * 3
    assert await desk.deliver_until_done(event(uuid4(), 1, 8)) == 4
    assert await desk.service.effects() == [8]
    assert await desk.outcomes() == ["done"]


async def test_what_is_missing_for_now_is_awaited_a_quarter_of_an_hour(desk: Desk) -> None:
    account = uuid4()
    desk.errors = [NotYet("no_agreement", "the agreement has not arrived")] * 1000
    message = event(account, 1)
    with pytest.raises(AssertionError, match="not done"):
        await desk.deliver_until_done(message)
    desk.clock.advance(timedelta(minutes=15))
    desk.offset -= 1
    assert await desk.deliver_until_done(message) == 1
    assert await desk.parked() == {account}
    [letter] = await desk.letters()
    assert letter.error_class == Failure.NOT_YET
    assert "the agreement has not arrived" in letter.error


async def test_the_length_of_an_outage_is_not_held_against_a_message(desk: Desk) -> None:
    desk.errors = [NotYet("no", "no"), ConnectionRefusedError(), NotYet("no", "no")]
    message = event(uuid4(), 1, 7)
    for _ in range(3):
        with pytest.raises(RetryLater):
            await desk.deliver(message)
        desk.offset -= 1
        desk.clock.advance(timedelta(hours=1))
    await desk.deliver(message)
    assert await desk.service.effects() == [7]
    assert await desk.letters() == []


def lost(kind: type[Exception], message: str = "gone") -> Exception:
    return DBAPIError("SELECT 1", {}, kind(message))


MISSING = {
    "what a rule needs": Missing("charter in force"),
    "a row a query wants": NoResultFound(),
    "a row another refers to": lost(asyncpg.ForeignKeyViolationError),
}


@pytest.mark.parametrize("error", MISSING.values(), ids=MISSING.keys())
async def test_an_event_before_its_prerequisite_is_applied_once_that_has_come(
    desk: Desk, error: Exception
) -> None:
    account = uuid4()
    desk.errors = [error] * 30
    assert await desk.deliver_until_done(event(account, 1, 1)) == 31
    await desk.deliver(event(account, 2, 2))
    assert await desk.service.effects() == [1, 2]
    assert await desk.letters() == []


async def test_a_handler_added_later_learns_what_comes_from_then_on(service: Service) -> None:
    account = uuid4()
    await Desk(service).deliver(event(account, 5, 5))
    closed: list[int] = []

    async def close(session: AsyncSession, received: Received[Closed]) -> None:
        closed.append(received.envelope.sequence)

    later = Desk(service, more=[Projection("closings", {Closed: close})])
    await later.deliver(event(account, 3, type=Closed.TYPE))
    await later.deliver(event(account, 2, type=Closed.TYPE))
    await later.deliver(event(account, 4, 4))
    assert closed == [3], "another projection's guard says nothing about this one; its own does"
    assert await service.effects() == [5]


async def test_an_event_that_feeds_two_projections_is_applied_to_both(service: Service) -> None:
    counted: list[int] = []

    async def count(session: AsyncSession, received: Received[Deposited]) -> None:
        counted.append(received.event.amount)

    desk = Desk(service, more=[Projection("counts", {Deposited: count})])
    await desk.deliver(event(uuid4(), 1, 9))
    assert (counted, await service.effects()) == ([9], [9])


def test_two_projections_of_one_name_are_refused(service: Service) -> None:
    with pytest.raises(ValueError, match="names of their own"):
        Desk(service, more=[Projection("effects", {})])


OUTAGES = {
    "refused": ConnectionRefusedError(),
    "starting_up": lost(asyncpg.CannotConnectNowError),
    "shut_down": lost(asyncpg.AdminShutdownError),
    "connection_gone": asyncpg.ConnectionDoesNotExistError("gone"),
    "protocol_broken": asyncpg.InternalClientError("got result for unknown protocol state"),
    "serialization": lost(asyncpg.SerializationError),
    "deadlock": lost(asyncpg.DeadlockDetectedError),
    "lock_timeout": lost(asyncpg.LockNotAvailableError),
    "disk_full": lost(asyncpg.DiskFullError),
    "too_many_connections": lost(asyncpg.TooManyConnectionsError),
    "read_only": lost(asyncpg.ReadOnlySQLTransactionError),
}


@pytest.mark.parametrize("error", OUTAGES.values(), ids=OUTAGES.keys())
async def test_an_outage_is_waited_for_however_long_it_lasts(desk: Desk, error: Exception) -> None:
    desk.errors = [error] * 20
    assert await desk.deliver_until_done(event(uuid4(), 1, 6)) == 21
    assert await desk.service.effects() == [6]
    assert await desk.letters() == []


async def test_during_an_outage_the_consumer_is_not_healthy(desk: Desk) -> None:
    desk.errors = [ConnectionRefusedError()]
    message = event(uuid4(), 1)
    with pytest.raises(RetryLater):
        await desk.deliver(message)
    assert not desk.runner.healthy
    await desk.deliver(message)
    assert desk.runner.healthy


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (Permanent("no"), Failure.PERMANENT),
        (Refusal("no", "no"), Failure.PERMANENT),
        (lost(asyncpg.NumericValueOutOfRangeError), Failure.PERMANENT),
        (lost(asyncpg.UntranslatableCharacterError), Failure.PERMANENT),
        (lost(asyncpg.QueryCanceledError), Failure.TRANSIENT),
        (lost(asyncpg.ForeignKeyViolationError), Failure.NOT_YET),
        (Missing("charter"), Failure.NOT_YET),
        (lost(asyncpg.UniqueViolationError), Failure.BUG),
        (lost(asyncpg.UndefinedTableError), Failure.BUG),
        (FileNotFoundError("template"), Failure.BUG),
        (ZeroDivisionError(), Failure.BUG),
    ],
)
def test_every_error_has_a_class(error: Exception, failure: Failure) -> None:
    assert classify(error) is failure


async def test_a_handler_that_hangs_is_in_trouble_of_its_own(service: Service) -> None:
    async def hang(session: AsyncSession, received: Received[Deposited]) -> None:
        await session.execute(text("SELECT pg_sleep(60)"))

    bus = OneByOne()
    policy = RetryPolicy(first=0.01, longest=0.01, transient_limit=timedelta(0), handler_timeout=0.2)
    ConsumerRunner(
        "t",
        "g",
        bus,
        service.sessions,
        [Projection("effects", {Deposited: hang})],
        MovableClock(NOW),
        policy=policy,
    )
    await bus.deliver(Delivered(TOPIC, 0, 1, b"k", event(uuid4(), 1), {}))
    [row] = await service.fetch("SELECT error_class, error FROM dead_letter")
    assert row["error_class"] == Failure.TRANSIENT
    assert "took more than" in row["error"]


async def test_a_handler_that_waits_in_vain_is_set_aside_in_the_end(desk: Desk) -> None:
    """As long as it takes each time: the database answered when the message was taken up, so this is no outage."""
    desk.errors = [TimeoutError()] * 1000
    message = event(uuid4(), 1)
    with pytest.raises(RetryLater):
        await desk.deliver(message)
    assert desk.runner.healthy
    desk.clock.advance(timedelta(minutes=15))
    desk.offset -= 1
    await desk.deliver(message)
    assert [letter.error_class for letter in await desk.letters()] == [Failure.TRANSIENT]


async def test_a_slow_statement_is_cancelled_by_the_server_before_the_driver_gives_up(
    start_service: StartService,
) -> None:
    async with start_service("sla") as started, started.kernel.database.system() as session:
        seconds = await session.scalar(
            text("SELECT setting::int / 1000 FROM pg_settings WHERE name = 'statement_timeout'")
        )
        raw = await (await session.connection()).get_raw_connection()
        assert 0 < seconds < raw.driver_connection._config.command_timeout
        await session.execute(text("SET LOCAL statement_timeout = '50ms'"))
        with pytest.raises(DBAPIError) as slow:
            await session.execute(text("SELECT pg_sleep(60)"))
        await session.rollback()
    assert classify(slow.value) is Failure.TRANSIENT


async def park_three(desk: Desk, account: UUID) -> list[UUID]:
    """Versions 2, 3 and 4 of an account are set aside; returns the ids of their letters."""
    desk.refuses = {2}
    for version in (1, 2, 3, 4):
        await desk.deliver(event(account, version, version))
    letters = await desk.letters()
    return [letter.id for letter in letters if letter.aggregate_id == account]


async def test_replay_applies_in_the_order_of_versions_and_takes_the_aggregate_back(desk: Desk) -> None:
    account = uuid4()
    letters = await park_three(desk, account)
    desk.refuses = set()
    assert await desk.replay(ids=list(reversed(letters))) == [Replay.REPLAYED] * 3
    await desk.deliver(event(account, 5, 5))
    assert await desk.service.effects() == [1, 2, 3, 4, 5]
    assert await desk.parked() == set()
    assert await desk.letters() == []
    [first, *_] = await desk.letters("replayed")
    assert (first.decided_by, first.reason) == (OPERATOR.by, OPERATOR.reason)


async def test_replay_by_aggregate_takes_everything_that_waits(desk: Desk) -> None:
    account = uuid4()
    await park_three(desk, account)
    desk.refuses = set()
    assert await desk.replay(aggregate_id=account) == [Replay.REPLAYED] * 3


async def test_replaying_twice_changes_nothing(desk: Desk) -> None:
    letters = await park_three(desk, uuid4())
    desk.refuses = set()
    await desk.replay(ids=letters)
    assert await desk.replay(ids=letters) == []
    assert await desk.service.effects() == [1, 2, 3, 4]


async def test_a_dry_run_tells_and_changes_nothing(desk: Desk) -> None:
    account = uuid4()
    letters = await park_three(desk, account)
    desk.refuses = {3}
    assert await desk.replay(ids=letters, dry_run=True) == [
        Replay.WOULD_REPLAY,
        Replay.FAILED,
        Replay.BLOCKED,
    ]
    assert await desk.service.effects() == [1]
    assert len(await desk.letters()) == 3
    assert await desk.parked() == {account}


async def test_replay_stops_at_the_first_letter_that_still_fails(desk: Desk) -> None:
    account = uuid4()
    letters = await park_three(desk, account)
    desk.refuses = {3}
    assert await desk.replay(ids=letters) == [Replay.REPLAYED, Replay.FAILED, Replay.BLOCKED]
    assert await desk.service.effects() == [1, 2]
    assert await desk.parked() == {account}


async def test_a_letter_is_not_replayed_before_an_earlier_one_of_its_aggregate(desk: Desk) -> None:
    _, second, _ = await park_three(desk, uuid4())
    desk.refuses = set()
    assert await desk.replay(ids=[second]) == [Replay.BLOCKED]
    assert await desk.service.effects() == [1]


async def test_discarding_the_last_letter_takes_the_aggregate_back(desk: Desk) -> None:
    account = uuid4()
    first, *others = await park_three(desk, account)
    async with desk.service.sessions() as session:
        assert await discard_dead_letters(session, "test-group", OPERATOR, ids=[first]) == [first]
    assert await desk.parked() == {account}
    assert await desk.replay(ids=others) == [Replay.REPLAYED] * 2
    await desk.deliver(event(account, 5, 5))
    assert await desk.service.effects() == [1, 3, 4, 5]


async def test_discarding_needs_a_reason(desk: Desk) -> None:
    letters = await park_three(desk, uuid4())
    async with desk.service.sessions() as session:
        with pytest.raises(Refusal, match="say why"):
            await discard_dead_letters(session, "test-group", Decision("operator", NOW), ids=letters)


async def test_an_event_that_arrives_during_a_replay_is_not_forgotten(desk: Desk) -> None:
    account = uuid4()
    letters = await park_three(desk, account)
    desk.refuses = set()
    async with desk.service.sessions() as session:
        await replay_dead_letters(session, desk.runner.inbox, OPERATOR, ids=letters)
        arriving = asyncio.create_task(desk.deliver(event(account, 5, 5)))
        await asyncio.sleep(0.2)
        assert not arriving.done()
    await arriving
    assert await desk.service.effects() == [1, 2, 3, 4, 5]
    assert await desk.letters() == []


async def test_from_the_transaction_of_one_service_to_the_effect_in_another(service: Service) -> None:
    """Outbox, relay, log and inbox together: every deposit counts once, in order, while handlers stumble."""
    bus, stumbles = PgLogBus(service.url, poll=0.02), iter(range(10_000))

    async def stumble(session: AsyncSession, received: Received[Deposited]) -> None:
        await apply_deposit(session, received)
        if next(stumbles) % 7 == 3:
            raise ConnectionResetError

    runner = ConsumerRunner(
        "test",
        "e2e",
        bus,
        service.sessions,
        [Projection("effects", {Deposited: stumble})],
        MovableClock(NOW),
        policy=IMPATIENT,
    )
    accounts = [await service.open_account() for _ in range(5)]
    async with running(Relay(service.url, bus, service="test")), running(runner):
        for amount in range(12):
            await asyncio.gather(*(service.deposit(account, amount) for account in accounts))
        await until(lambda: _count(service, 60))
    for account in accounts:
        assert await service.effects(account) == list(range(12))


async def _count(service: Service, expected: int) -> bool:
    return len(await service.effects()) == expected
