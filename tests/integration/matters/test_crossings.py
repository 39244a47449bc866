"""A subject's service and that of its matter, while messages cross, wait and repeat as chance has it: they end agreed."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import pytest
from sqlalchemy import text

from shared.messaging.bus import Delivered
from shared.pure.hashing import sha256_hex
from tests.conftest import StartService
from tests.support import toy_subject
from tests.support.changes import created, ok
from tests.support.harness import RunningService
from tests.support.matters import MATTERS, OWNER, VOTERS, make_proposals
from tests.support.postgres import PostgresServer
from tests.support.toy_subject import PROPOSALS
from tests.support.world import World

RUNS: Final = 40
STEPS: Final = 30
ENDED: Final = ("refused", "withdrawn", "stale")
AGREED: Final = {
    "awaiting_decision": ("open",),
    "approved": ("decided",),
    "rejected": ("decided",),
    "deferred": ("decided",),
    "withdrawn": ("withdrawn", "stale"),
    "dropped": ("open", *ENDED),
}
"""What a matter may be when all is delivered, by the state of its subject."""
Step = Callable[[], Awaitable[object]]


@dataclass
class Wire:
    """What one service has published about a matter, on its way to the other, in order."""

    sender: RunningService
    receiver: RunningService
    delivered: int = 0

    async def published(self, matter_id: str) -> list[bytes]:
        wanted = "SELECT payload FROM event WHERE aggregate_id = :id ORDER BY position"
        async with self.sender.kernel.database.system() as session:
            return list(await session.scalars(text(wanted), {"id": UUID(matter_id)}))

    async def deliver(self, matter_id: str, *, again: int | None = None) -> bool:
        """The next message, or one that came before; False when there is none."""
        published = await self.published(matter_id)
        place = self.delivered if again is None else again
        if place >= len(published):
            return False
        self.delivered = max(self.delivered, place + 1)
        assert self.receiver.kernel.consumer is not None
        await self.receiver.kernel.consumer.handle(
            Delivered("t", 0, place, matter_id.encode(), published[place], {})
        )
        return True


@dataclass
class Run:
    """One subject's life, by chance."""

    toy: RunningService
    changes: RunningService
    chance: random.Random
    proposal: dict[str, Any]
    to_changes: Wire = field(init=False)
    to_toy: Wire = field(init=False)
    did: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.to_changes = Wire(self.toy, self.changes)
        self.to_toy = Wire(self.changes, self.toy)

    @property
    def matter_id(self) -> str:
        return str(self.proposal["matter_id"])

    async def step(self) -> None:
        steps: dict[str, tuple[int, Step]] = {
            "deliver to changes": (12, lambda: self.to_changes.deliver(self.matter_id)),
            "deliver to toy": (12, lambda: self.to_toy.deliver(self.matter_id)),
            "deliver to changes again": (2, lambda: self.again(self.to_changes)),
            "deliver to toy again": (2, lambda: self.again(self.to_toy)),
            "customer votes": (14, lambda: self.vote(VOTERS[0])),
            "provider votes": (14, lambda: self.vote(VOTERS[1])),
            "change": (4, lambda: self.act("change", title=f"Title {self.chance.random()}")),
            "withdraw": (1, lambda: self.act("withdraw", reason="Solved otherwise")),
            "drop": (1, lambda: self.act("drop")),
        }
        [name] = self.chance.choices(list(steps), [weight for weight, _ in steps.values()])
        self.did.append(name)
        await steps[name][1]()

    async def again(self, wire: Wire) -> None:
        if wire.delivered:
            await wire.deliver(self.matter_id, again=self.chance.randrange(wire.delivered))

    async def vote(self, member: str) -> None:
        """Whether it may or not."""
        read = await self.changes.get(member, f"{MATTERS}/{self.matter_id}")
        if read.status_code == 200:
            ballot = {
                "vote": self.chance.choice(["approve", "approve", "approve", "reject"]),
                "rationale": "discussed",
            }
            path = f"{MATTERS}/{self.matter_id}/decide"
            await self.changes.post(member, path, ballot, version=read.json()["version"])

    async def act(self, verb: str, **form: str) -> None:
        """Whether it may or not; a proposal that has ended is not dropped."""
        if verb != "drop" or (await self.subject())["state"] == "awaiting_decision":
            await self.toy.post(OWNER, f"{PROPOSALS}/{self.proposal['id']}/{verb}", form)

    async def settle(self) -> None:
        """Deliver until nobody has more to say."""
        while any([await wire.deliver(self.matter_id) for wire in (self.to_changes, self.to_toy)]):
            pass

    async def subject(self) -> dict[str, Any]:
        return ok(await self.toy.get(OWNER, f"{PROPOSALS}/{self.proposal['id']}"))

    async def matter(self) -> dict[str, Any]:
        return ok(await self.changes.get(VOTERS[0], f"{MATTERS}/{self.matter_id}"))

    async def text_carried_out(self) -> str:
        """The hash of the text as it was put last, which is that of the decision once it is carried out."""
        async with self.toy.kernel.database.system() as session:
            kept = await session.scalar(
                text("SELECT text FROM awaited_matter WHERE id = :id"), {"id": UUID(self.matter_id)}
            )
            return sha256_hex(bytes(kept))


@dataclass
class Services:
    toy: RunningService
    changes: RunningService

    async def set_aside(self) -> int:
        letters = 0
        for service in (self.toy, self.changes):
            async with service.kernel.database.system() as session:
                letters += int(await session.scalar(text("SELECT count(*) FROM dead_letter")) or 0)
        return letters


@pytest.fixture(scope="module")
async def services(start_service: StartService, postgres: PostgresServer) -> AsyncIterator[Services]:
    async def prepare(database: str) -> None:
        await make_proposals(postgres, database)

    world = World()
    async with (
        start_service("sla", create_app=toy_subject.create_app, prepare=prepare, world=world) as toy,
        start_service("changes", world=world) as changes,
    ):
        yield Services(toy, changes)


@pytest.mark.parametrize("seed", range(RUNS))
async def test_whatever_crosses_subject_and_matter_end_agreed(services: Services, seed: int) -> None:
    toy = services.toy
    form = {"charter_id": str(toy.world.charter_id), "title": "A later cut-off"}
    proposal = created(await toy.post(OWNER, PROPOSALS, form))
    run = Run(toy, services.changes, random.Random(seed), proposal)
    for _ in range(STEPS):
        await run.step()
    await run.settle()
    subject, matter = await run.subject(), await run.matter()
    assert await services.set_aside() == 0, run.did
    assert matter["state"] in AGREED[subject["state"]], run.did
    assert subject["times_decided"] == (1 if matter["state"] == "decided" else 0), run.did
    if matter["state"] == "decided":
        assert subject["decision_id"] == matter["decision_id"], run.did
        assert await run.text_carried_out() == matter["subject_hash"], run.did
