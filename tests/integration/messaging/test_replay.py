"""Projections filled anew from the archives: what they hold then is what the events made of them when they came."""

import asyncio
import random
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.base import Event, Received, Scope
from shared.messaging.archives import Archive, Archived, ArchiveUnreadable, in_order
from shared.messaging.bus import Delivered, RetryLater
from shared.messaging.consumer import ConsumerRunner, RetryPolicy
from shared.messaging.dead_letters import (
    Decision,
    discard_dead_letters,
    list_dead_letters,
    replay_dead_letters,
)
from shared.messaging.failures import Permanent
from shared.messaging.outbox import publish
from shared.messaging.projections import Projection
from shared.messaging.replay import NotReplayable, Plan, ReplayFailed, Report, plan_replay, replay, survey
from shared.pure.refusal import Missing, NotYet
from shared.runtime.clock import MovableClock
from tests.support.messaging import NOW, TOPIC, Deposited, OneByOne, Service, new_service
from tests.support.patience import until
from tests.support.postgres import PostgresServer

IMPATIENT = RetryPolicy(first=0.001, longest=0.002)
OPERATOR = Decision("operator", NOW, "agreed")
SCHEMA = (
    "CREATE TABLE customer (id uuid PRIMARY KEY, name text NOT NULL)",
    "CREATE TABLE balance (account uuid PRIMARY KEY, charter_id uuid, total int NOT NULL, version bigint NOT NULL)",
    "CREATE TABLE statement (account uuid, line int, charter_id uuid, PRIMARY KEY (account, line))",
    "CREATE TABLE mail (n bigint GENERATED ALWAYS AS IDENTITY, account uuid NOT NULL)",
    "CREATE SCHEMA other",
    "CREATE TABLE other.event (LIKE public.event INCLUDING ALL)",
    "CREATE TABLE other.outbox (LIKE public.outbox INCLUDING ALL)",
)
TABLES = ("customer", "balance", "statement", "mail")


class Registered(Event):
    TYPE: ClassVar[str] = "org.concordat.test.customer.registered.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "customer"

    name: str


async def add_up(session: AsyncSession, received: Received[Deposited]) -> None:
    """Not repeatable: a second application would show, and so would one out of order."""
    about = {
        "account": received.envelope.subject,
        "charter": received.envelope.charterid,
        "amount": received.event.amount,
        "version": received.envelope.sequence,
    }
    await session.execute(
        text(
            "INSERT INTO balance VALUES (:account, :charter, :amount, :version) ON CONFLICT (account) DO UPDATE"
            " SET total = balance.total * 3 + excluded.total, version = excluded.version"
        ),
        about,
    )


async def write_line(session: AsyncSession, received: Received[Deposited]) -> None:
    about = {
        "account": received.envelope.subject,
        "line": received.envelope.sequence,
        "charter": received.envelope.charterid,
    }
    await session.execute(text("INSERT INTO statement VALUES (:account, :line, :charter)"), about)


async def name_customer(session: AsyncSession, received: Received[Registered]) -> None:
    await session.execute(
        text("INSERT INTO customer VALUES (:id, :name) ON CONFLICT (id) DO UPDATE SET name = excluded.name"),
        {"id": received.envelope.subject, "name": received.event.name},
    )


async def send_mail(session: AsyncSession, received: Received[Deposited]) -> None:
    await session.execute(
        text("INSERT INTO mail (account) VALUES (:account)"), {"account": received.envelope.subject}
    )


BALANCES = Projection("balances", {Deposited: add_up}, tables=("balance",))
STATEMENTS = Projection("statements", {Deposited: write_line}, tables=("statement",))
CUSTOMERS = Projection("customers", {Registered: name_customer}, tables=("customer",))
MAILS = Projection("mails", {Deposited: send_mail})
ALL = (CUSTOMERS, BALANCES, STATEMENTS, MAILS)


@dataclass
class Bank:
    """A consumer with projections, fed from two archives: of the service itself, and of `other`."""

    service: Service
    projections: Sequence[Projection] = ALL
    offset: int = 0
    archives: Sequence[Archive] = field(init=False)

    def __post_init__(self) -> None:
        self.archives = [Archive("public", self.service.url), Archive("other", self.service.url)]
        self.learn(self.projections)

    def learn(self, projections: Sequence[Projection]) -> None:
        """The consumer's process starts afresh, with these projections."""
        self.bus = OneByOne()
        clock = MovableClock(NOW)
        self.runner = ConsumerRunner(
            "test", "bank", self.bus, self.service.sessions, projections, clock, policy=IMPATIENT
        )

    async def archive(
        self, event: Event, aggregate: UUID, version: int, *, of: str = "public", charter: UUID | None = None
    ) -> bytes:
        """Publish an event; returns its bytes, as the bus would deliver them."""
        async with self.service.sessions() as session:
            await session.execute(text(f"SET LOCAL search_path = {of}"))
            event_id = await publish(
                session,
                event,
                aggregate_id=aggregate,
                version=version,
                scope=Scope(charter_id=charter),
                source=f"/services/{of}",
                now=NOW,
            )
        [row] = await self.service.fetch(f"SELECT payload FROM {of}.event WHERE event_id = $1", event_id)
        return bytes(row["payload"])

    async def deliver(self, *payloads: bytes) -> None:
        """Deliver each once."""
        for payload in payloads:
            self.offset += 1
            await self.bus.deliver(Delivered(TOPIC, 0, self.offset, b"k", payload, {}))

    async def deliver_in_order(self, *payloads: bytes) -> None:
        """Deliver as a bus does: each again and again until it is done, then the next."""
        for payload in payloads:
            await until(partial(self._is_done, payload))

    async def _is_done(self, payload: bytes) -> bool:
        try:
            await self.deliver(payload)
        except RetryLater:
            return False
        return True

    async def account(self, *amounts: int, charter: UUID | None = None) -> tuple[UUID, list[bytes]]:
        """An account with deposits in the archive, and their messages."""
        account = uuid4()
        return account, [
            await self.archive(Deposited(amount=amount), account, version, charter=charter)
            for version, amount in enumerate(amounts, 1)
        ]

    async def replay(self, *types: type[Event], charter: UUID | None = None) -> Report:
        async with self.service.sessions() as session:
            plan = await self.plan(session, types, charter)
            return await replay(session, self.runner.inbox, plan, self.archives, lambda done, total: None)

    async def plan(
        self, session: AsyncSession, types: Collection[type[Event]] = (), charter: UUID | None = None
    ) -> Plan:
        return await plan_replay(session, self.runner.inbox, [cls.TYPE for cls in types], charter)

    async def rows(self, *tables: str) -> dict[str, list[tuple[Any, ...]]]:
        """What the tables hold, all of them when none is named."""
        return {
            table: sorted(map(tuple, await self.service.fetch(f"SELECT * FROM {table}")), key=str)
            for table in tables or TABLES
        }

    async def letters(self, state: str = "new") -> list[Any]:
        async with self.service.sessions() as session:
            return await list_dead_letters(session, state=state)


@pytest.fixture(scope="module")
async def database(postgres: PostgresServer) -> AsyncIterator[Service]:
    async with new_service(postgres) as made:
        for statement in SCHEMA:
            await made.fetch(statement)
        yield made


@pytest.fixture
async def service(database: Service) -> Service:
    await database.empty()
    await database.fetch(f"TRUNCATE {', '.join(TABLES)}, other.event, other.outbox RESTART IDENTITY")
    return database


@pytest.fixture
def bank(service: Service) -> Bank:
    return Bank(service)


async def test_a_projection_broken_by_hand_is_right_again(bank: Bank) -> None:
    for _ in range(3):
        await bank.deliver(*(await bank.account(1, 2, 3))[1])
    before = await bank.rows()
    await bank.service.fetch("DELETE FROM statement WHERE line = 2")
    await bank.service.fetch("UPDATE balance SET total = 0")
    await bank.service.fetch("INSERT INTO customer VALUES (gen_random_uuid(), 'nobody')")
    report = await bank.replay()
    assert await bank.rows() == before
    assert report.removed == {"customer": 1, "balance": 3, "statement": 6}
    assert report.rows == {"customer": 0, "balance": 3, "statement": 9}
    assert (report.applied, report.set_aside) == ({Deposited.TYPE: 9}, 0)


async def test_what_acts_on_events_is_left_alone_and_said_so(bank: Bank) -> None:
    await bank.deliver(*(await bank.account(1, 2))[1])
    async with bank.service.sessions() as session:
        plan = await bank.plan(session)
    assert [projection.name for projection in plan.projections] == ["customers", "balances", "statements"]
    assert "a second time" in plan.left_alone["mails"]
    await bank.replay()
    assert len((await bank.rows("mail"))["mail"]) == 2


async def test_a_handler_added_later_learns_what_was_ignored_then(bank: Bank) -> None:
    bank.learn([BALANCES])
    customer = uuid4()
    registered = [
        await bank.archive(Registered(name=name), customer, version)
        for version, name in enumerate(("Ann", "Ann Lee"), 1)
    ]
    await bank.deliver(*registered)
    bank.learn([BALANCES, CUSTOMERS])
    await bank.replay(Registered)
    assert (await bank.rows("customer"))["customer"] == [(customer, "Ann Lee")]
    await bank.deliver(await bank.archive(Registered(name="Ann Miller"), customer, 3), *registered)
    assert (await bank.rows("customer"))["customer"] == [(customer, "Ann Miller")], "and goes on learning"


async def test_what_was_stale_for_a_projection_that_did_not_exist_yet_is_learnt(bank: Bank) -> None:
    _, messages = await bank.account(1, 2, 3)
    await bank.deliver(messages[2], messages[0], messages[1])
    assert (await bank.rows("statement"))["statement"][0][1] == 3
    await bank.replay()
    assert [line for _, line, _ in (await bank.rows("statement"))["statement"]] == [1, 2, 3]


async def test_only_what_learns_from_a_type_is_filled_but_from_all_its_types(bank: Bank) -> None:
    both = Projection("both", {Registered: name_customer, Deposited: add_up}, tables=("customer", "balance"))
    bank.learn([both, STATEMENTS])
    customer = uuid4()
    await bank.deliver(
        await bank.archive(Registered(name="Ann"), customer, 1), *(await bank.account(4, 5))[1]
    )
    before = await bank.rows("customer", "balance")
    await bank.service.fetch("TRUNCATE customer, balance, statement")
    report = await bank.replay(Registered)
    assert await bank.rows("customer", "balance") == before
    assert report.applied == {Registered.TYPE: 1, Deposited.TYPE: 2}
    assert await bank.rows("statement") == {"statement": []}, "learns nothing from that type"


async def test_only_one_charter_is_emptied_and_filled(bank: Bank) -> None:
    ours, theirs = uuid4(), uuid4()
    bank.learn([BALANCES, STATEMENTS])
    _, messages = await bank.account(1, 2, charter=ours)
    other, more = await bank.account(3, 4, charter=theirs)
    await bank.deliver(*messages, *more)
    before = await bank.rows()
    await bank.service.fetch("UPDATE balance SET total = total + 1000")
    report = await bank.replay(charter=ours)
    await bank.service.fetch("UPDATE balance SET total = total - 1000 WHERE account = $1", other)
    assert await bank.rows() == before
    assert (report.removed, report.applied) == ({"balance": 1, "statement": 2}, {Deposited.TYPE: 2})
    await bank.deliver(*messages, *more)
    assert await bank.rows() == before, "the guards of both charters stand"


async def test_a_table_without_charters_is_not_narrowed_to_one(bank: Bank) -> None:
    async with bank.service.sessions() as session:
        plan = await bank.plan(session, charter=uuid4())
        with pytest.raises(NotReplayable, match=r"customer belong to no charter.*replayed whole"):
            await bank.plan(session, [Registered], charter=uuid4())
    assert [projection.name for projection in plan.projections] == ["balances", "statements"]
    assert set(plan.left_alone) == {"customers", "mails"}


async def test_a_type_nobody_learns_from_is_refused_with_those_that_are_known(bank: Bank) -> None:
    class Invented(Event):
        TYPE: ClassVar[str] = "org.concordat.test.invented.v1"

    async with bank.service.sessions() as session:
        with pytest.raises(NotReplayable) as refused:
            await bank.plan(session, [Invented])
    for type_ in (Invented.TYPE, Deposited.TYPE, Registered.TYPE):
        assert type_ in str(refused.value)


async def test_a_type_only_reactions_learn_from_is_refused(bank: Bank) -> None:
    bank.learn([CUSTOMERS, MAILS])
    async with bank.service.sessions() as session:
        with pytest.raises(NotReplayable, match="mails: it acts on events"):
            await bank.plan(session, [Deposited])


async def test_a_survey_counts_and_changes_nothing(bank: Bank) -> None:
    await bank.deliver(*(await bank.account(1, 2, 3))[1])
    await bank.archive(Registered(name="Ann"), uuid4(), 1, of="other")
    before = await bank.rows()
    async with bank.service.sessions() as session:
        result = await survey(session, await bank.plan(session), bank.archives)
    assert result.rows == {"customer": 0, "balance": 1, "statement": 3}
    assert result.events == {Deposited.TYPE: 3, Registered.TYPE: 1}
    assert await bank.rows() == before


async def test_live_events_wait_and_are_then_applied_once_each(bank: Bank) -> None:
    account, messages = await bank.account(1, 2, 3, 4)
    fresh, more = await bank.account(5)
    await bank.deliver(*messages[:2])
    async with bank.service.sessions() as blocking:
        # The replay comes to version 3 of the account, and waits for this transaction.
        await blocking.execute(text("INSERT INTO statement VALUES (:account, 3)"), {"account": account})
        replaying = asyncio.create_task(bank.replay())
        await until(lambda: gate_is_shut(bank))
        arriving = asyncio.create_task(bank.deliver_in_order(*messages[1:], *more))
        with pytest.raises(RetryLater):
            await bank.deliver(messages[3])
        late = await bank.archive(Deposited(amount=9), fresh, 2)
        with pytest.raises(RetryLater):
            await bank.deliver(late)
        assert len((await bank.rows("statement"))["statement"]) == 2, "readers see the former rows meanwhile"
        assert not replaying.done()
        await blocking.rollback()
        await replaying
    await arriving
    await bank.deliver(late)
    expected = {(account, None, ((1 * 3 + 2) * 3 + 3) * 3 + 4, 4), (fresh, None, 5 * 3 + 9, 2)}
    counts = await bank.rows("balance", "statement", "mail")
    assert set(counts["balance"]) == expected
    assert len(counts["statement"]) == 6
    assert len(counts["mail"]) == 6, "reactions came live, once each"
    assert await bank.letters() == []


async def gate_is_shut(bank: Bank) -> bool:
    async with bank.service.sessions() as session:
        return not await bank.runner.inbox.passes_gate(session)


async def test_a_replay_that_breaks_off_has_never_been(bank: Bank) -> None:
    _, messages = await bank.account(1, 2, 3)
    await bank.deliver(*messages[:1])
    before = await bank.rows()

    def give_up(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    async with bank.service.sessions() as session:
        plan = await bank.plan(session)
        with pytest.raises(KeyboardInterrupt):
            await replay(session, bank.runner.inbox, plan, bank.archives, give_up)
        await session.rollback()
    assert await bank.rows() == before
    await bank.deliver(*messages)
    assert (await bank.replay()).applied == {Deposited.TYPE: 3}


async def test_two_replays_of_a_consumer_do_not_run_at_once(bank: Bank) -> None:
    async with bank.service.sessions() as first, bank.service.sessions() as second:
        await bank.runner.inbox.shut_gate(first)
        await second.execute(text("SET LOCAL lock_timeout = '50ms'"))
        plan = await bank.plan(second)
        with pytest.raises(ReplayFailed, match="another replay"):
            await replay(second, bank.runner.inbox, plan, bank.archives, lambda done, total: None)
        await second.rollback()


async def set_aside_from(bank: Bank, version: int, messages: Sequence[bytes]) -> UUID:
    """Deliver to a handler that refuses one version; returns the id of that letter."""

    async def refuse(session: AsyncSession, received: Received[Deposited]) -> None:
        if received.envelope.sequence == version:
            raise Permanent("the limit of this account")
        await add_up(session, received)

    bank.learn([Projection("balances", {Deposited: refuse}, tables=("balance",))])
    await bank.deliver(*messages)
    bank.learn([BALANCES])
    first, *_ = await bank.letters()
    return UUID(str(first.id))


async def test_what_is_set_aside_waits_on_with_all_that_follows_it(bank: Bank) -> None:
    account, messages = await bank.account(1, 2, 3, 4)
    await set_aside_from(bank, 2, messages[:3])
    report = await bank.replay()
    assert (report.applied, report.set_aside) == ({Deposited.TYPE: 1}, 3)
    await bank.deliver(messages[3])
    async with bank.service.sessions() as session:
        await replay_dead_letters(session, bank.runner.inbox, OPERATOR, aggregate_id=account)
    [(_, _, total, version)] = (await bank.rows("balance"))["balance"]
    assert (total, version) == (((1 * 3 + 2) * 3 + 3) * 3 + 4, 4)


async def test_what_was_given_up_stays_given_up(bank: Bank) -> None:
    account, messages = await bank.account(1, 2, 3)
    letter = await set_aside_from(bank, 2, messages)
    async with bank.service.sessions() as session:
        await discard_dead_letters(session, "bank", OPERATOR, ids=[letter])
        await replay_dead_letters(session, bank.runner.inbox, OPERATOR, aggregate_id=account)
    before = await bank.rows("balance")
    report = await bank.replay()
    assert await bank.rows("balance") == before
    assert report.set_aside == 1


async def test_letters_are_not_replayed_while_the_archives_are(bank: Bank) -> None:
    account, messages = await bank.account(1, 2)
    await set_aside_from(bank, 2, messages)
    async with bank.service.sessions() as replaying, bank.service.sessions() as session:
        await bank.runner.inbox.shut_gate(replaying)
        with pytest.raises(NotYet, match="replayed from the archives"):
            await replay_dead_letters(session, bank.runner.inbox, OPERATOR, aggregate_id=account)


async def test_an_event_that_cannot_be_applied_is_named_and_nothing_changes(bank: Bank) -> None:
    account, messages = await bank.account(1, 2, 3)
    await bank.deliver(*messages)
    before = await bank.rows()

    async def stumble(session: AsyncSession, received: Received[Deposited]) -> None:
        if received.envelope.sequence == 2:
            raise KeyError("oops")

    bank.learn([Projection("balances", {Deposited: stumble}, tables=("balance",))])
    with pytest.raises(ReplayFailed, match=f"{Deposited.TYPE}.*of public .version 2 of {account}.*oops"):
        await bank.replay()
    assert await bank.rows() == before


async def test_a_projection_that_writes_what_it_does_not_name_is_refused(bank: Bank) -> None:
    async def both(session: AsyncSession, received: Received[Deposited]) -> None:
        await add_up(session, received)
        await send_mail(session, received)

    await bank.account(1, 2)
    bank.learn([Projection("balances", {Deposited: both}, tables=("balance",))])
    with pytest.raises(ReplayFailed, match=r"also write to mail, .*twice"):
        await bank.replay()
    assert await bank.rows("balance", "mail") == {"balance": [], "mail": []}


async def test_an_archive_that_is_not_there_is_named(bank: Bank) -> None:
    bank.archives = [*bank.archives, Archive("nowhere", bank.service.url)]
    with pytest.raises(ArchiveUnreadable, match="archive of nowhere cannot be read"):
        await bank.replay()


async def test_what_an_event_needs_from_another_archive_comes_before_it(
    bank: Bank, postgres: PostgresServer
) -> None:
    """Accounts belong to customers, whom another service registers: in the same database, and in one of its own."""

    async def needs_customer(session: AsyncSession, received: Received[Deposited]) -> None:
        if not await session.scalar(text("SELECT count(*) FROM customer")):
            raise Missing("customer")
        await add_up(session, received)

    bank.learn([Projection("balances", {Deposited: needs_customer}, tables=("balance",)), CUSTOMERS])
    await bank.archive(Registered(name="Ann"), uuid4(), 1, of="other")
    await bank.account(1, 2)
    await bank.archive(Registered(name="Bob"), uuid4(), 1, of="other")
    assert (await bank.replay()).applied == {Deposited.TYPE: 2, Registered.TYPE: 2}

    async with new_service(postgres) as elsewhere:
        await elsewhere.fetch("CREATE SCHEMA other")
        await elsewhere.fetch("CREATE TABLE other.event (LIKE public.event INCLUDING ALL)")
        for row in await bank.service.fetch("SELECT * FROM other.event"):
            places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
            await elsewhere.fetch(f"INSERT INTO other.event OVERRIDING SYSTEM VALUE VALUES ({places})", *row)
        await bank.service.fetch("TRUNCATE other.event")
        bank.archives = [Archive("public", bank.service.url), Archive("other", elsewhere.url)]
        assert (await bank.replay()).applied == {Deposited.TYPE: 2, Registered.TYPE: 2}


async def test_archives_are_merged_by_the_moment_of_writing_and_each_keeps_its_order() -> None:
    """The clock of the first went back between its second event and its third."""

    def events(service: str, *seconds: int) -> list[Archived]:
        start = datetime(2026, 11, 1, tzinfo=UTC)
        return [
            Archived(service, uuid4(), "t", uuid4(), n, start + timedelta(seconds=second), b"")
            for n, second in enumerate(seconds, 1)
        ]

    async def stream(given: Sequence[Archived]) -> AsyncIterator[Archived]:
        for event in given:
            yield event

    streams = [events("a", 1, 5, 2, 6), events("b", 3, 4, 7), []]
    merged = [event async for event in in_order([stream(given) for given in streams])]
    assert [(event.service, event.aggregate_version) for event in merged] == [
        ("a", 1),
        ("b", 1),
        ("b", 2),
        ("a", 2),
        ("a", 3),
        ("a", 4),
        ("b", 3),
    ]


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_the_order_a_replay_gives_what_living_through_it_gave(bank: Bank, seed: int) -> None:
    """Some events have come live before the replay, the others come after it; duplicates come at any time."""
    chance = random.Random(seed)
    queues = [
        (await bank.account(*(chance.randint(1, 9) for _ in range(chance.randint(1, 6)))))[1]
        for _ in range(5)
    ]
    for n in range(4):
        customer = uuid4()
        queues.append(
            [
                await bank.archive(Registered(name=f"{n}.{version}"), customer, version, of="other")
                for version in range(1, chance.randint(2, 4))
            ]
        )
    lived = interleaved(queues, chance)
    await bank.deliver(*lived)
    expected = await bank.rows("customer", "balance", "statement")

    await bank.replay()
    assert await bank.rows("customer", "balance", "statement") == expected

    await bank.service.fetch("TRUNCATE inbox, consumed_version, customer, balance, statement, mail")
    before = lived[: chance.randint(0, len(lived))]
    await bank.deliver(*before)
    await bank.replay()
    assert await bank.rows("customer", "balance", "statement") == expected
    await bank.deliver(*chance.choices(before, k=5) if before else (), *lived[len(before) :])
    await bank.deliver(*chance.choices(lived, k=5))
    assert await bank.rows("customer", "balance", "statement") == expected
    assert await bank.letters() == []


def interleaved(queues: Sequence[Sequence[bytes]], chance: random.Random) -> list[bytes]:
    """One order of all messages that keeps each queue's own."""
    turns = [n for n, queue in enumerate(queues) for _ in queue]
    chance.shuffle(turns)
    left = [iter(queue) for queue in queues]
    return [next(left[n]) for n in turns]
